"""Hostile expressions are refused after little work and without running out of stack."""

import sys
from collections.abc import Callable
from datetime import date
from types import FrameType
from typing import Any

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd

from tagcast import audiences, behaviour, tags
from tagcast.audiences.rules import (
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Not,
    Or,
    RankLeaf,
    SendLeaf,
    Span,
    ThenLeaf,
    check,
    from_json,
    limits,
)
from tagcast.behaviour import Where
from tagcast.kit.errors import Refused, TagcastError
from tagcast.kit.uow import Work

parse = audiences.parse

# Calls of Python and C functions. The slowest refusal made 202,313 in 22 ms of processor time on 2026-11-23, so these
# are 27 ms there and 50 ms on a machine half as fast.
MOST_CALLS = 250_000


def _refused(attempt: Callable[[], object]) -> tuple[str, int]:
    """With which code an attempt is refused, and after how many calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with pytest.raises(TagcastError) as caught:
            attempt()
    finally:
        sys.setprofile(None)
    return caught.value.code, calls


def _deep_json(depth: int) -> object:
    data: object = {"all": True}
    for _ in range(depth):
        data = {"not": data}
    return data


def _nested(depth: int) -> object:
    data: object = 1
    for _ in range(depth):
        data = [data]
    return data


def _deep(depth: int) -> Expression:
    expression: Expression = FieldLeaf("a", "known")
    for _ in range(depth):
        expression = Not(expression)
    return expression


MILLION = 1_000_000
_DEEP_JSON, _WIDE_JSON = _deep_json(10_000), {"or": [{"all": True}] * MILLION}
_DEEP, _WIDE = _deep(10_000), And((FieldLeaf("a", "known"),) * MILLION)
_DEEP_LIST, _KEYS = _nested(10_000), {f"k{n}": 1 for n in range(MILLION)}
_LONG_LIST = {"field": "a", "op": "in", "value": list(range(MILLION))}
_NESTED_LISTS = {"and": [{"or": [{"field": "a", "op": "in", "value": list(range(900))}] * 3}] * 200}
_WHERE = {"property": "a", "op": "is", "value": 1}
_DID, _NAN, _INF, _HUGE = {"did": "a"}, float("nan"), float("inf"), 10**400
_MANY = Where("a", "in", tuple(range(MILLION)))
_FAR = Span(-MILLION, 0)

TEXTS = [
    ("(" * 10_000 + "all" + ")" * 9_000, "too_large"),
    ("not " * 4_900 + "all", "too_large"),
    ("not (" * 3_900 + "all", "too_large"),
    ("all or " * 2_800 + "all", "too_large"),
    ("a in (" + "1," * 9_900 + "1)", "too_large"),
    ("all or " * MILLION + "all", "too_large"),
    ('"' * 20_000, "bad_text"),
    ('a = "' + "\\" * 19_000, "bad_text"),
    ("a." * 9_999, "bad_text"),
    ("1" * 20_000, "bad_text"),
    ("a = " + "1" * 19_000, "bad_text"),
    ("a = 1e9999", "bad_number"),
    (" " * 20_000, "text_ends"),
    ("`" * 20_000, "bad_text"),
    (f'tag("{"x" * 1_001}")', "too_large"),
    (f'a = "{"x" * 201}"', "too_large"),
    ('did("a",' * 2_400, "bad_text"),
    ('did("a", ' + "x = 1, " * 2_800 + "y = 1)", "too_large"),
    ('did("a", x in (' + "1," * 9_900 + "1))", "too_large"),
    ('did("a", ' + "last 3 days, " * 1_500 + "today)", "too_large"),
    ('did("a", ' + "last 3 days, " * 900 + "today)", "twice"),
    ('did("a") then ' * 1_400 + 'did("b") within 7 days', "bad_text"),
    ('did("a") or ' * 1_600 + 'did("b")', "too_large"),
    ("received(any) or " * 1_100 + "received(any)", "too_large"),
    ('received(any, "x", ' * 1_000, "bad_text"),
    (f'received(any, "{"x" * 1_001}")', "twice"),
    (f'received("{"x" * 1_001}")', "too_large"),
    (f'did("{"x" * 1_001}")', "too_large"),
    (f'did("a", x = "{"x" * 201}")', "too_large"),
    ("birthday(a, today) or " * 900 + "all", "too_large"),
    ('did("a", last 1000000 days)', "far_day"),
    (f'did("a", last {"9" * 40} days)', "far_day"),
    (f"a {'9' * 40} to {'9' * 40} days ago", "far_day"),
    ("a in 1000000 days", "far_day"),
    ("a since 9999-12-31", "far_day"),
    ("a before 1000-01-01", "far_day"),
    ("birthday(a, next 1000000 days)", "far_day"),
    (f'did("a") then did("b") within {"9" * 40} days', "bad_within"),
    (f'did("a", times >= {"9" * 40})', "bad_figure"),
    ('did("a", times >= 1e9999)', "bad_figure"),
    ('did("a", sum(amount) >= 1e9999)', "bad_amount"),
    (f'did("a", sum(amount) >= 0.{"1" * 40})', "bad_amount"),
    ("a top 1e9999 %", "bad_percent"),
    ("a top -1 %", "bad_percent"),
    (f"clicked(broadcast {'9' * 40})", "wrong_type"),
]
FORMS: list[tuple[object, str]] = [
    (_DEEP_JSON, "too_large"),
    (_WIDE_JSON, "too_large"),
    (_LONG_LIST, "too_large"),
    (_NESTED_LISTS, "too_large"),
    ({"field": "a", "op": "is", "value": _NAN}, "bad_number"),
    ({"field": "a", "op": "between", "value": [0, _INF]}, "bad_number"),
    ({"field": "a", "op": "is", "value": _HUGE}, "bad_number"),
    ({"field": "a", "op": _DEEP_LIST}, "unknown_op"),
    ({"field": _DEEP_LIST, "op": "known"}, "wrong_type"),
    ({"x" * MILLION: 1}, "no_kind"),
    (_KEYS, "no_kind"),
    ({"all": True, **_KEYS}, "unknown_key"),
    ({**_DID, "where": [_WHERE] * MILLION}, "too_large"),
    ({**_DID, "where": [{**_WHERE, "op": "in", "value": list(range(MILLION))}]}, "too_large"),
    ({**_DID, "where": [{**_WHERE, "value": _NAN}]}, "bad_number"),
    ({**_DID, "where": [{**_WHERE, "value": _DEEP_LIST}]}, "wrong_type"),
    ({**_DID, "where": _DEEP_JSON}, "wrong_type"),
    ({"or": [{**_DID, "where": [_WHERE] * 10}] * 400}, "too_large"),
    ({**_DID, "value": _HUGE}, "bad_figure"),
    ({**_DID, "value": _NAN}, "bad_figure"),
    ({**_DID, "op": "between", "value": [0] * MILLION}, "too_large"),
    ({**_DID, "measure": "sum", "value": _HUGE}, "bad_amount"),
    ({**_DID, "measure": "sum", "value": _NAN}, "bad_amount"),
    ({**_DID, "during": {"from": -_HUGE}}, "far_day"),
    ({**_DID, "during": {"from": "2" * MILLION}}, "wrong_type"),
    ({**_DID, "during": _KEYS}, "unknown_key"),
    ({"then": [_DID] * MILLION, "minutes": 5}, "wrong_type"),
    ({"then": [_DID, _DEEP_JSON], "minutes": 5}, "no_kind"),
    ({"then": [_DID, _DID], "minutes": _HUGE}, "bad_within"),
    ({"outcome": "x" * MILLION}, "unknown_op"),
    ({"outcome": "opened", "sending": "x" * MILLION}, "too_large"),
    ({"outcome": "opened", "sending": _HUGE}, "wrong_type"),
    ({"date": "a", "during": {"from": -MILLION, "to": MILLION}}, "far_day"),
    ({"birthday": "a", "during": {"from": -MILLION, "to": 0}}, "far_day"),
    ({"rank": "a", "top": _NAN}, "bad_percent"),
    ({"rank": "a", "bottom": -_INF}, "bad_percent"),
]
TREES: list[tuple[Expression, str]] = [
    (_DEEP, "too_large"),
    (_WIDE, "too_large"),
    (DidLeaf("a", where=(Where("b", "known"),) * MILLION), "too_large"),
    (DidLeaf("a", where=(_MANY,)), "too_large"),
    (ThenLeaf(DidLeaf("a"), DidLeaf("a", where=(_MANY,)), 5), "too_large"),
    (DidLeaf("a", _FAR), "far_day"),
    (DidLeaf("a", value=_HUGE), "bad_figure"),
    (DateLeaf("a", _FAR), "far_day"),
    (DateLeaf("a", Span(date.min, date.max)), "far_day"),
    (BirthdayLeaf("a", _FAR), "far_day"),
    (RankLeaf("a", "top", _NAN), "bad_percent"),
    (SendLeaf("opened", during=_FAR), "far_day"),
    (SendLeaf("opened", "x" * MILLION), "too_large"),
    (Or((SendLeaf("opened"),) * 501), "too_large"),
]
ATTEMPTS: list[tuple[Callable[[], object], str]] = [
    *[(lambda text=text: parse(text), code) for text, code in TEXTS],
    *[(lambda data=data: from_json(data), code) for data, code in FORMS],
    *[(lambda tree=tree: check(tree), code) for tree, code in TREES],
]


@pytest.mark.parametrize(("attempt", "code"), ATTEMPTS)
def test_refused_after_little_work(attempt: Callable[[], object], code: str) -> None:
    parse("all")  # The grammar is read once a process.
    found, calls = _refused(attempt)
    assert found == f"audiences.{code}"
    assert calls < MOST_CALLS


def test_the_greatest_expression_that_is_allowed_is_read() -> None:
    text = " and ".join(f"f{i} = {i}" for i in range(499))
    assert len(parse(text).parts) == 499  # type: ignore[union-attr]  # it is an And
    nested = "all"
    for _ in range(15):
        nested = f"(nobody or not ({nested} and all))" if nested != "all" else "not (all and nobody)"
    with pytest.raises(TagcastError):
        parse(nested)
    assert parse("not " * 31 + "all")
    with pytest.raises(TagcastError):
        parse("not " * 32 + "all")
    most = limits()
    deepest = "not " * (most.depth - 1) + 'did("a", x in (1))'
    assert parse(deepest)
    with pytest.raises(TagcastError):
        parse(f"not {deepest}")
    wide = 'did("a", ' + ", ".join(f"f{i} = {i}" for i in range(most.nodes - 1)) + ")"
    assert len(parse(wide).where) == most.nodes - 1  # type: ignore[union-attr]  # it is a DidLeaf
    with pytest.raises(TagcastError):
        parse(f"not {wide}")
    assert parse(f'did("a", last {most.span_days} days)')


def test_many_long_windows_are_refused_before_a_day_is_looked_at(work: Work) -> None:
    crowd(work, 3)
    behaviour.declare_event(work, "a", "test", ["x"])
    windows = 'did("a", last {} days)'
    days = limits().asked_days
    fits = f'{windows.format(days - 1)} or did("a", today)'
    assert audiences.count(work, parse(fits)) == 0
    asked = parse(
        " or ".join([windows.format(days // 2 + n) for n in range(3)] + [windows.format(n + 1) for n in range(490)])
    )
    with pytest.raises(Refused) as caught:
        audiences.count(work, asked)
    assert caught.value.params == {"limit": "asked_days", "most": days}


def _calls(attempt: Callable[[], object]) -> int:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        attempt()
    finally:
        sys.setprofile(None)
    return calls


def test_segments_that_name_each_other_again_and_again_are_opened_once(work: Work) -> None:
    everyone = crowd(work, 50)
    tag = tags.ensure(work, "a")
    work.bitmaps.add(tags.key(tag.id), BitMap(range(1, 11)), why="test")
    name, layers = "s0", limits().segment_depth
    audiences.create(work, name, parse(" or ".join(['tag("a")'] * 200)))
    for layer in range(1, layers):
        below, name = name, f"s{layer}"
        many = " or ".join([f'segment("{below}")'] * 100)
        audiences.create(work, name, parse(f'({many}) and not (segment("{below}") and not segment("{below}"))'))
    top = parse(f'segment("{name}")')
    assert audiences.count(work, top) == 10
    assert audiences.plan(work, top).size == 10
    assert audiences.explain(work, top, 5).holds
    assert not audiences.explain(work, top, 11).holds
    assert _calls(lambda: audiences.count(work, top)) < MOST_CALLS
    assert audiences.count(work, parse(f'not segment("{name}")')) == len(everyone) - 10


def test_the_deepest_segments_on_the_deepest_segments_are_counted(work: Work) -> None:
    crowd(work, 50)
    below, nested = "all", "{} and (nobody or " * ((limits().depth - 2) // 2)
    for layer in range(limits().segment_depth):
        text = nested.format(*[below] * nested.count("{}")) + below + ")" * nested.count("{}")
        audiences.create(work, f"s{layer}", parse(text))
        below = f'segment("s{layer}")'
    top = parse(below)
    assert audiences.count(work, top) == 50
    assert audiences.plan(work, top).size == 50
    assert audiences.explain(work, top, 5).holds
