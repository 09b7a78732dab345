"""The text and the JSON form: what is read, what is refused and how, and that they are one language."""

import json

import pytest
from hypothesis import example, given, settings
from tests.audiences.expressions import any_leaves, trees

from tagcast.audiences import (
    All,
    And,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    SegmentLeaf,
    TagLeaf,
    from_json,
    parse,
    to_json,
    to_text,
)
from tagcast.kit.errors import Invalid, TagcastError


@settings(max_examples=300, deadline=None)
@given(trees(any_leaves))
@example(FieldLeaf("not", "is", "x"))
@example(FieldLeaf("ALL", "known"))
@example(FieldLeaf("非", "is", 1))
@example(Not(Not(And((Or((All(), Nobody())), And((All(), Nobody())))))))
@example(FieldLeaf("a", "is", '"\\“”/'))
def test_every_form_gives_the_same_expression_again(expression: Expression) -> None:
    assert parse(to_text(expression)) == expression
    assert from_json(json.loads(json.dumps(to_json(expression)))) == expression
    assert to_text(parse(to_text(expression))) == to_text(expression)


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


@pytest.mark.parametrize(("text", "column"), [("", 1), ("a = ", 4), ('tag("x"', 8), ("(a = 1", 7), ("not", 4)])
def test_says_that_a_text_ends_too_early(text: str, column: int) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert (caught.value.code, caught.value.params["column"]) == ("audiences.text_ends", column)


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
