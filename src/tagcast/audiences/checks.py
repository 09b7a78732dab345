"""What an expression may be: its limits, and the values of its leaves. Pure."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Literal, cast

from tagcast.audiences.spans import Span, turned
from tagcast.audiences.tree import (
    COUNTS,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Named,
    Or,
    RankLeaf,
    Scalar,
    SegmentLeaf,
    SendLeaf,
    TagLeaf,
    ThenLeaf,
    parts_of,
    questions_of,
    walk,
)
from tagcast.behaviour import Where
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.shipped import read_toml

_MOST_ID = 2**31


@dataclass(frozen=True, slots=True)
class Limits:
    """What one expression may be; the figures stand in `limits.toml`."""

    text_length: int
    depth: int
    nodes: int
    values: int
    name_length: int
    value_length: int
    number: int
    segment_depth: int
    preview: int
    span_days: int
    asked_days: int
    birthday_days: int
    first_year: int
    last_year: int
    times: int
    amount: int
    within_days: int


@cache
def limits() -> Limits:
    """The limits that ship."""
    read = read_toml("audiences", "limits.toml")
    return Limits(**{name: value for name, value in read.items() if name not in ("source", "date")})


def over(limit: str) -> Refused:
    """The refusal of an expression beyond a limit, naming it."""
    return Refused("audiences.too_large", limit=limit, most=getattr(limits(), limit))


def wrong(where: str, expected: str, found: object) -> Invalid:
    """The error of a value of the wrong kind at a place."""
    kind = {dict: "object", list: "array", str: "text", bool: "true / false", type(None): "null"}.get(
        type(found), "number"
    )
    return Invalid("audiences.wrong_type", where=where, expected=expected, found=kind)


def check(expression: Expression) -> None:
    """Raise Refused for an expression beyond the limits, Invalid for a value that its operation cannot have."""
    most, nodes, values = limits(), 0, 0
    for node, depth in walk(expression):
        conditions = [asked.where for asked in questions_of(node)]
        nodes += 1 + sum(map(len, conditions))
        if depth > most.depth:
            raise over("depth")
        if nodes + len(parts_of(node)) > most.nodes:
            raise over("nodes")
        if isinstance(node, And | Or) and len(node.parts) < 2:
            raise Invalid("audiences.group_of_one", group=type(node).__name__.lower())
        for leaf in [node] if isinstance(node, FieldLeaf) else [where for some in conditions for where in some]:
            values += len(leaf.value) if isinstance(leaf.value, tuple) else 1
        if values > most.values:
            raise over("values")
        check_leaf(node)


def check_leaf(node: Expression) -> None:
    """Raise Invalid for a value that a leaf cannot have, Refused beyond a limit. Groups pass."""
    if isinstance(node, Named | SegmentLeaf):
        check_text(node.name, "name_length")
    match node:
        case TagLeaf(path, account):
            check_text(path, "name_length")
            check_id("account", account)
        case FieldLeaf():
            check_value(node)
        case DateLeaf(_, during):
            check_span(during)
        case BirthdayLeaf(name, during):
            check_birthday(name, during)
        case RankLeaf(name, _, percent) if not 0 < percent <= 100:
            raise Invalid("audiences.bad_percent", field=name)
        case DidLeaf():
            _check_did(node)
        case ThenLeaf():
            _check_then(node)
        case SendLeaf():
            _check_send(node)
        case _:
            pass


def check_text(text: str, limit: Literal["name_length", "value_length"]) -> None:
    """Raise Invalid for control characters and halves of a character pair, Refused for a text that is too long."""
    if len(text) > getattr(limits(), limit):
        raise over(limit)
    if hidden := [char for char in text if unicodedata.category(char) in ("Cc", "Cs")]:
        raise Invalid("audiences.bad_characters", char=f"U+{ord(hidden[0]):04X}")


def check_id(place: str, number: int | None) -> None:
    """Raise Invalid for a number that no account and no broadcast can have."""
    if number is not None and not 0 < number < _MOST_ID:
        raise wrong(place, f"{place} id", number)


def check_value(leaf: FieldLeaf | Where) -> None:
    """Raise Invalid unless the value has the shape its operation needs and every number is finite."""
    many = isinstance(leaf.value, tuple)
    given = cast(tuple[Scalar, ...], leaf.value) if many else () if leaf.value is None else (cast(Scalar, leaf.value),)
    right = {
        "in": many and len(given) > 0,
        "between": many and len(given) == 2,
        "known": leaf.value is None,
        "unknown": leaf.value is None,
    }.get(leaf.op, leaf.value is not None and not many)
    if not right:
        raise Invalid("audiences.bad_value", field=leaf.name, op=leaf.op)
    for value in given:
        if isinstance(value, str):
            check_text(value, "value_length")
        elif abs(value) > limits().number or not math.isfinite(value):
            raise Invalid("audiences.bad_number", field=leaf.name, most=limits().number)


def check_span(span: Span) -> None:
    """Raise Invalid for days that are too far away or turned round."""
    most = limits()
    for day in (span.first, span.last):
        far = (
            not most.first_year <= day.year <= most.last_year
            if isinstance(day, date)
            else (day is not None and abs(day) > most.span_days)
        )
        if far:
            raise Invalid("audiences.far_day", days=most.span_days, first=most.first_year, last=most.last_year)
    if turned(span):
        raise Invalid("audiences.turned_span")


def check_birthday(name: str, span: Span) -> None:
    """Raise Invalid for a span of birthdays that is open or longer than a year."""
    check_span(span)
    match span:
        case Span(int(first), int(last)):
            length = last - first + 1
        case Span(date() as first, date() as last):
            length = (last - first).days + 1
        case _:
            length = 0
    if not 0 < length <= limits().birthday_days:
        raise Invalid("audiences.birthday_span", field=name, most=limits().birthday_days)


def check_figures(name: str, op: str, value: int | tuple[int, int], most: int, *, least: int = 0) -> None:
    """Raise Invalid unless there is one figure, or two for between, and each lies between `least` and `most`."""
    given = value if isinstance(value, tuple) else (value,)
    if (op == "between") != isinstance(value, tuple) or len(given) != (2 if op == "between" else 1):
        raise Invalid("audiences.bad_value", field=name, op=op)
    if any(type(one) is not int or not least <= one <= most for one in given):
        raise Invalid("audiences.bad_figure", field=name, least=least, most=most)


def whole(name: str, given: Sequence[object]) -> tuple[int, ...]:
    """The figures as whole numbers. Raises Invalid."""
    found = []
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or one != one // 1:
            raise Invalid("audiences.bad_figure", field=name, least=0, most=limits().times)
        found.append(int(one))
    return tuple(found)


def cents(name: str, given: Sequence[object]) -> tuple[int, ...]:
    """Amounts in currency units, with at most two decimals, as cents. Raises Invalid."""
    found = []
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) <= limits().amount:
            raise Invalid("audiences.bad_amount", field=name, most=limits().amount)
        exact = Decimal(repr(one)).scaleb(2)
        if exact != exact.to_integral_value():
            raise Invalid("audiences.bad_amount", field=name, most=limits().amount)
        found.append(int(exact))
    return tuple(found)


def _check_did(leaf: DidLeaf) -> None:
    check_text(leaf.event, "name_length")
    check_span(leaf.during)
    if leaf.measure in COUNTS:
        check_figures(leaf.measure, leaf.op, leaf.value, limits().times)
    else:
        most = limits().amount * 100
        check_figures(leaf.measure, leaf.op, leaf.value, most, least=-most)
    for where in leaf.where:
        check_text(where.name, "name_length")
        check_value(where)


def _check_then(leaf: ThenLeaf) -> None:
    for half in (leaf.first, leaf.second):
        _check_did(half)
        if (half.measure, half.op, half.value) != ("times", ">=", 1):
            raise Invalid("audiences.measured_half", event=half.event)
    if not 0 < leaf.minutes <= limits().within_days * 1440:
        raise Invalid("audiences.bad_within", most=limits().within_days)


def _check_send(leaf: SendLeaf) -> None:
    if isinstance(leaf.sending, str):
        check_text(leaf.sending, "name_length")
    else:
        check_id("broadcast", leaf.sending)
    check_id("account", leaf.account)
    check_span(leaf.during)
    check_figures(leaf.outcome, leaf.op, leaf.value, limits().times)
