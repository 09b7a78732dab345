"""The text and the JSON form: what is read, what is refused and how, and that they are one language."""

import json
from datetime import date

import pytest
from hypothesis import example, given, settings
from tests.audiences.expressions import any_leaves, trees

from tagcast.audiences import parse, to_text
from tagcast.audiences.rules import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    Span,
    TagLeaf,
    ThenLeaf,
    check,
    from_json,
    to_json,
)
from tagcast.behaviour import Where
from tagcast.kit.errors import Invalid, TagcastError


@settings(max_examples=300, deadline=None)
@given(trees(any_leaves))
@example(FieldLeaf("not", "is", "x"))
@example(FieldLeaf("ALL", "known"))
@example(FieldLeaf("非", "is", 1))
@example(Not(Not(And((Or((All(), Nobody())), And((All(), Nobody())))))))
@example(FieldLeaf("a", "is", '"\\“”/'))
def test_every_form_gives_the_same_expression_again(expression: Expression) -> None:
    check(expression)
    assert parse(to_text(expression)) == expression
    assert from_json(json.loads(json.dumps(to_json(expression)))) == expression
    assert to_text(parse(to_text(expression))) == to_text(expression)


BOUGHT, TO_COME = DidLeaf("purchase"), BirthdayLeaf("born", Span(0, 6))
FIRST_QUARTER = Span(date(2026, 1, 1), date(2026, 3, 31))
A, B, C = FieldLeaf("a", "is", 1), FieldLeaf("b", "is", 2), FieldLeaf("c", "is", 3)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("all", All()),
        ("nobody", Nobody()),
        ("所有人 and not 无人", And((All(), Not(Nobody())))),
        ('tag("会员/金卡")', TagLeaf("会员/金卡")),
        ('TAG( "x" , EXACTLY, account 3 )', TagLeaf("x", 3, True)),
        ("标签（“会员/金卡”，账号 7、仅本级）", TagLeaf("会员/金卡", 7, True)),
        ('segment("沉睡") or 人群("新客")', Or((SegmentLeaf("沉睡"), SegmentLeaf("新客")))),
        ("a = 1 or b = 2 and c = 3", Or((A, And((B, C))))),
        ("(a = 1 or b = 2) and c = 3", And((Or((A, B)), C))),
        ("a = 1 and (b = 2 and c = 3)", And((A, And((B, C))))),
        ("not a = 1 and b = 2", And((Not(A), B))),
        ("a = 1且b = 2或c = 3", Or((And((A, B)), C))),
        ("非 (a = 1 并且 b = 2) 或者 c = 3", Or((Not(And((A, B))), C))),
        ('region is "华东"', FieldLeaf("region", "is", "华东")),
        ('region is not "华东"', FieldLeaf("region", "is_not", "华东")),
        ('region 不是 "华东"', FieldLeaf("region", "is_not", "华东")),
        ("rfm.m ≥ -4.5e1", FieldLeaf("rfm.m", ">=", -45.0)),
        ("x <> 1", FieldLeaf("x", "is_not", 1)),
        ("x == true", FieldLeaf("x", "is", True)),
        ("x = 假", FieldLeaf("x", "is", False)),
        ('level in ("A", "B")', FieldLeaf("level", "in", ("A", "B"))),
        ('level not in ("A")', Not(FieldLeaf("level", "in", ("A",)))),
        ("spend between 100 and 500 and a = 1", And((FieldLeaf("spend", "between", (100, 500)), A))),
        ("spend 介于 100 和 500", FieldLeaf("spend", "between", (100, 500))),
        ("birthday known or city 未知", Or((FieldLeaf("birthday", "known"), FieldLeaf("city", "unknown")))),
        ("android = 1 or notes = 2", Or((FieldLeaf("android", "is", 1), FieldLeaf("notes", "is", 2)))),
        ("`not` = 1 and `total spend` = 2", And((FieldLeaf("not", "is", 1), FieldLeaf("total spend", "is", 2)))),
        ("a =\n\t1", A),
        ('name = "a\\"b\\u4f1a"', FieldLeaf("name", "is", 'a"b会')),
        ('did("purchase")', BOUGHT),
        ('not did("purchase", last 90 days)', Not(DidLeaf("purchase", Span(-89, 0)))),
        ('did("purchase", times >= 2, last 30 days)', DidLeaf("purchase", Span(-29, 0), value=2)),
        ("做过（“purchase”，次数 ≥ 2，近30天）", DidLeaf("purchase", Span(-29, 0), value=2)),
        (
            'did("purchase", sum(amount) >= 1000.00, 2026-01-01 to 2026-03-31)',
            DidLeaf("purchase", FIRST_QUARTER, "sum", ">=", 100_000),
        ),
        (
            '做过("purchase", 总额 >= 1000, 2026-01-01 到 2026-03-31)',
            DidLeaf("purchase", FIRST_QUARTER, "sum", ">=", 100_000),
        ),
        (
            'did("view", category = "鞋", price > 100, last 90 days)',
            DidLeaf("view", Span(-89, 0), where=(Where("category", "is", "鞋"), Where("price", ">", 100))),
        ),
        (
            'did("x", days is not 3, amount between 0.5 and 2, a in (1, 2), b known, ever)',
            DidLeaf(
                "x",
                measure="days",
                op="is_not",
                value=3,
                where=(Where("amount", "between", (50, 200)), Where("a", "in", (1, 2)), Where("b", "known")),
            ),
        ),
        (
            '做过("x", 金额 > 9.9, 数量 = 2)',
            DidLeaf("x", where=(Where("amount", ">", 990), Where("quantity", "is", 2))),
        ),
        ('did("x", average between -1 and 2.05)', DidLeaf("x", measure="average", op="between", value=(-100, 205))),
        ('did("x", `times` = 2)', DidLeaf("x", where=(Where("times", "is", 2),))),
        (
            'did("cart", last 30 days) then not did("purchase") within 7 days',
            ThenLeaf(DidLeaf("cart", Span(-29, 0)), BOUGHT, 10_080, absent=True),
        ),
        ('did("cart") then did("purchase") within 1 hour', ThenLeaf(DidLeaf("cart"), BOUGHT, 60)),
        ('做过("cart") 之后 非 做过("purchase") 于 30 分钟内', ThenLeaf(DidLeaf("cart"), BOUGHT, 30, absent=True)),
        (
            'did("cart") then did("purchase") within 1 day or a = 1',
            Or((ThenLeaf(DidLeaf("cart"), BOUGHT, 1440), A)),
        ),
        (
            'received("双十一预热") and not opened("双十一预热")',
            And((SendLeaf("received", "双十一预热"), Not(SendLeaf("opened", "双十一预热")))),
        ),
        ("收到过(任意群发, 近 7 天)", SendLeaf("received", during=Span(-6, 0))),
        ("sent(any, last 7 days)", SendLeaf("received", during=Span(-6, 0))),
        ("clicked(broadcast 12)", SendLeaf("clicked", 12)),
        ("received(account 3, last 7 days)", SendLeaf("received", account=3, during=Span(-6, 0))),
        ('holdout("x", times = 2)', SendLeaf("held_out", "x", op="is", value=2)),
        ("opened = 1", FieldLeaf("opened", "is", 1)),
        ("joined last 30 days", DateLeaf("joined", Span(-29, 0))),
        ("expires next 7 days", DateLeaf("expires", Span(0, 6))),
        ("joined 30 to 90 days ago", DateLeaf("joined", Span(-90, -30))),
        ("joined 30 到 90 天前", DateLeaf("joined", Span(-90, -30))),
        ("joined more than 90 days ago", DateLeaf("joined", Span(None, -91))),
        ("joined 早于 90 天前", DateLeaf("joined", Span(None, -91))),
        ("joined before 2026-01-01", DateLeaf("joined", Span(None, date(2025, 12, 31)))),
        ("joined until 2026-01-01", DateLeaf("joined", Span(None, date(2026, 1, 1)))),
        ("joined 自 2026-01-01", DateLeaf("joined", Span(date(2026, 1, 1)))),
        ("joined since 3 days ago", DateLeaf("joined", Span(-3))),
        ("joined 2026-01-01 to today", DateLeaf("joined", Span(date(2026, 1, 1), 0))),
        ("joined in 3 to 7 days and a = 1", And((DateLeaf("joined", Span(3, 7)), A))),
        ("joined 3 到 7 天后 或 joined 今天", Or((DateLeaf("joined", Span(3, 7)), DateLeaf("joined", Span(0, 0))))),
        ("joined in 3 days", DateLeaf("joined", Span(3, 3))),
        ("joined in (3)", FieldLeaf("joined", "in", (3,))),
        ("joined >= 2026-01-01", FieldLeaf("joined", ">=", "2026-01-01")),
        ("birthday(born, next 7 days) and birthday known", And((TO_COME, FieldLeaf("birthday", "known")))),
        ("生日(born, 未来 7 天)", TO_COME),
        ("周年(born, 未来 7 天)", TO_COME),
        ("spend top 10 %", RankLeaf("spend", "top", 10)),
        ("spend bottom 33.3%", RankLeaf("spend", "bottom", 33.3)),
        ("spend 前 10 % 或 spend 后 5％", Or((RankLeaf("spend", "top", 10), RankLeaf("spend", "bottom", 5)))),
    ],
)
def test_reads_text(text: str, expression: Expression) -> None:
    assert parse(text) == expression


@pytest.mark.parametrize(
    ("text", "place", "found", "expected"),
    [
        ("a = 1 b = 2", (1, 7), "b", "or  and"),
        ("a = 1 and\n  tag(1)", (2, 7), "1", '"…"'),
        ('tags("x")', (1, 5), "(", "= != < <= > >="),
        ("a $ 1", (1, 3), "$", "between"),
        ('"x" = 2', (1, 1), '"x"', "field"),
        ('a = "\\q"', (1, 5), '"\\q"', "\\n"),
        ("a = b", (1, 5), "b", "123"),
        ('tag("x", account 2.5)', (1, 18), "2.5", "123"),
        ('did("x", last days)', (1, 15), "days", "123"),
        ('did("x", last 3 weeks)', (1, 17), "weeks", "days"),
        ('did("x") then received("y") within 2 days', (1, 15), "received", 'did("…")'),
        ("received()", (1, 10), ")", "any"),
        ("birthday(born)", (1, 14), ")", ","),
    ],
)
def test_says_where_and_what_a_text_lacks(text: str, place: tuple[int, int], found: str, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.code == "audiences.bad_text"
    assert (caught.value.params["line"], caught.value.params["column"]) == place
    assert caught.value.params["found"] == found
    assert expected in str(caught.value.params["expected"])
    assert f"{place[1]}" in caught.value.text("zh")


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "field"),
        ("a = ", 4, "123"),
        ('tag("x"', 8, ")"),
        ("(a = 1", 7, ")"),
        ("not", 4, "all"),
        ('did("x") then did("y")', 23, "within 7 days"),
        ("spend top 10", 13, "%"),
        ("joined last 30", 15, "days"),
        ('did("x", sum(amount', 20, ")"),
    ],
)
def test_says_that_a_text_ends_too_early(text: str, column: int, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert (caught.value.code, caught.value.params["column"]) == ("audiences.text_ends", column)
    assert expected in str(caught.value.params["expected"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('did("x", last 0 days)', "no_days"),
        ('did("x", last -3 days)', "no_days"),
        ("a -3 days ago", "no_days"),
        ("a 90 to 30 days ago", "turned_span"),
        ("a 2026-03-01 to 2026-01-01", "turned_span"),
        ("a 2026-02-30 to 2026-03-01", "no_such_day"),
        ("a since 1899-12-31", "far_day"),
        ("a until 2200-01-01", "far_day"),
        ("a last 36528 days", "far_day"),
        ('did("x", times >= 2.5)', "bad_figure"),
        ('did("x", times >= -1)', "bad_figure"),
        ('did("x", times >= "2")', "bad_figure"),
        ('did("x", days = true)', "bad_figure"),
        ('did("x", sum(amount) >= 0.005)', "bad_amount"),
        ('did("x", sum(amount) >= 1e14)', "bad_amount"),
        ('did("x", amount > "2")', "bad_amount"),
        ('did("x", amount in (1, 2.555))', "bad_amount"),
        ('did("x", last 3 days, today)', "twice"),
        ('did("x", times >= 2, days >= 2)', "twice"),
        ('received("x", "y")', "twice"),
        ("received(any, broadcast 3)", "twice"),
        ('tag("x", account 3, account 4)', "twice"),
        ("received(any, days >= 2)", "times_only"),
        ("received(broadcast 0)", "wrong_type"),
        ("received(account -1)", "wrong_type"),
        ('did("x", times >= 2) then did("y") within 7 days', "measured_half"),
        ('did("x") then did("y", sum(amount) > 1) within 7 days', "measured_half"),
        ('did("x") then did("y") within 0 days', "bad_within"),
        ('did("x") then did("y") within 367 days', "bad_within"),
        ("birthday(a, ever)", "birthday_span"),
        ("birthday(a, since today)", "birthday_span"),
        ("birthday(a, last 367 days)", "birthday_span"),
        ("birthday(a, 2026-01-01 to today)", "birthday_span"),
        ("a top 0 %", "bad_percent"),
        ("a bottom 100.1 %", "bad_percent"),
    ],
)
def test_a_text_that_says_what_cannot_be_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.code == f"audiences.{code}"
    assert caught.value.text("zh")
    assert caught.value.remedy("en")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([], "wrong_type"),
        ({}, "no_kind"),
        ({"all": True, "nobody": True}, "no_kind"),
        ({"all": 1}, "wrong_type"),
        ({"and": [{"all": True}]}, "group_of_one"),
        ({"or": {}}, "wrong_type"),
        ({"not": None}, "wrong_type"),
        ({"tag": ""}, "wrong_type"),
        ({"tag": "x", "acount": 3}, "unknown_key"),
        ({"tag": "x", "account": True}, "wrong_type"),
        ({"tag": "x", "account": 0}, "wrong_type"),
        ({"tag": "x", "exactly": "yes"}, "wrong_type"),
        ({"tag": "a\x00b"}, "bad_characters"),
        ({"tag": "\ud800"}, "bad_characters"),
        ({"segment": 3}, "wrong_type"),
        ({"segment": "x", "value": 3}, "unknown_key"),
        ({"field": "x", "value": 3}, "unknown_op"),
        ({"field": "x", "op": "like", "value": "%"}, "unknown_op"),
        ({"field": "x", "op": ["is"], "value": "%"}, "unknown_op"),
        ({"field": "x", "op": "is"}, "bad_value"),
        ({"field": "x", "op": "is", "value": None}, "wrong_type"),
        ({"field": "x", "op": "is", "value": {}}, "wrong_type"),
        ({"field": "x", "op": "is", "value": [1]}, "bad_value"),
        ({"field": "x", "op": "in", "value": 1}, "bad_value"),
        ({"field": "x", "op": "in", "value": []}, "bad_value"),
        ({"field": "x", "op": "in", "value": [[1]]}, "wrong_type"),
        ({"field": "x", "op": "between", "value": [1]}, "bad_value"),
        ({"field": "x", "op": "known", "value": 1}, "bad_value"),
        ({"field": "`", "op": "known"}, "bad_characters"),
        ({"date": "x"}, "wrong_type"),
        ({"date": "x", "during": {}}, "wrong_type"),
        ({"date": "x", "during": {"from": "1.2.2026"}}, "wrong_type"),
        ({"date": "x", "during": {"from": "2026-W01-1"}}, "wrong_type"),
        ({"date": "x", "during": {"from": 1.5}}, "wrong_type"),
        ({"date": "x", "during": {"from": True}}, "wrong_type"),
        ({"date": "x", "during": {"since": 1}}, "unknown_key"),
        ({"date": "x", "during": {"from": 10**400}}, "far_day"),
        ({"birthday": "x", "during": {"from": 0}}, "birthday_span"),
        ({"rank": "x"}, "no_kind"),
        ({"rank": "x", "top": 1, "bottom": 1}, "no_kind"),
        ({"rank": "x", "top": "10"}, "wrong_type"),
        ({"rank": "x", "top": float("nan")}, "bad_percent"),
        ({"did": ""}, "wrong_type"),
        ({"did": "x", "window": {}}, "unknown_key"),
        ({"did": "x", "measure": "median"}, "unknown_op"),
        ({"did": "x", "measure": "sum"}, "bad_value"),
        ({"did": "x", "op": "known"}, "unknown_op"),
        ({"did": "x", "value": 1.5}, "bad_figure"),
        ({"did": "x", "value": True}, "bad_figure"),
        ({"did": "x", "value": 10**400}, "bad_figure"),
        ({"did": "x", "value": [1, 2]}, "bad_value"),
        ({"did": "x", "op": "between", "value": [1, 2, 3]}, "bad_value"),
        ({"did": "x", "measure": "sum", "value": float("inf")}, "bad_amount"),
        ({"did": "x", "measure": "sum", "value": 0.001}, "bad_amount"),
        ({"did": "x", "where": {}}, "wrong_type"),
        ({"did": "x", "where": [1]}, "wrong_type"),
        ({"did": "x", "where": [{}]}, "no_kind"),
        ({"did": "x", "where": [{"property": "a", "op": "is", "value": 1, "unit": 2}]}, "unknown_key"),
        ({"did": "x", "where": [{"property": "a", "op": "is"}]}, "bad_value"),
        ({"did": "x", "where": [{"property": "amount", "op": "is", "value": float("nan")}]}, "bad_amount"),
        ({"then": [{"did": "x"}]}, "wrong_type"),
        ({"then": [{"did": "x"}, {"all": True}], "minutes": 5}, "no_kind"),
        ({"then": [{"did": "x"}, {"did": "y"}]}, "wrong_type"),
        ({"then": [{"did": "x"}, {"did": "y"}], "minutes": 1.5}, "wrong_type"),
        ({"then": [{"did": "x"}, {"did": "y"}], "minutes": 5, "absent": 1}, "wrong_type"),
        ({"outcome": "read"}, "unknown_op"),
        ({"outcome": "opened", "sending": 0}, "wrong_type"),
        ({"outcome": "opened", "sending": ""}, "wrong_type"),
        ({"outcome": "opened", "account": "3"}, "wrong_type"),
        ({"outcome": "opened", "measure": "times"}, "unknown_key"),
    ],
)
def test_json_is_strict(data: object, code: str) -> None:
    with pytest.raises(TagcastError) as caught:
        from_json(data)
    assert caught.value.code == f"audiences.{code}"
    assert caught.value.text("zh")
    assert caught.value.remedy("en")


def test_json_names_the_place() -> None:
    with pytest.raises(Invalid) as caught:
        from_json({"and": [{"all": True}, {"not": {"or": [{"all": True}, {"tag": 5}]}}]})
    assert caught.value.params["where"] == "$.and[1].not.or[1].tag"
