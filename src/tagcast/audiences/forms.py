"""The JSON form of an expression. Every object has exactly one kind and beside it only the keys that belong to it.

    {"all": true}   {"nobody": true}   {"and": [e, e, …]}   {"or": [e, e, …]}   {"not": e}
    {"tag": "会员/金卡", "account": 3, "exactly": true}      account and exactly may be left out
    {"field": "rfm.m", "op": ">=", "value": 4}              value is left out for known and unknown
    {"date": "joined", "during": {"from": -29, "to": 0}}     days as dates or as days from today
    {"birthday": "born", "during": {"from": 0, "to": 6}}
    {"rank": "spend", "top": 10}   {"rank": "spend", "bottom": 25}
    {"segment": "沉睡"}
    {"did": "purchase", "during": …, "measure": "sum", "op": ">=", "value": 1000.5, "where": [{"property": …}]}
    {"then": [{"did": "cart"}, {"did": "purchase"}], "minutes": 10080, "absent": true}
    {"outcome": "opened", "sending": "双十一预热", "account": 3, "during": …, "op": ">=", "value": 2}

Amounts are currency units. What stands at its usual value (ever, times >= 1, no condition) is left out.
"""

from collections.abc import Callable, Mapping
from datetime import date
from itertools import islice
from typing import Any, cast

from tagcast.audiences import checks
from tagcast.audiences.checks import limits, over, wrong
from tagcast.audiences.spans import EVER, Day, Span, read_day
from tagcast.audiences.tree import (
    AMOUNTS,
    COUNTS,
    FIGURE_OPS,
    OPS,
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Measure,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    TagLeaf,
    ThenLeaf,
    Value,
)
from tagcast.behaviour import Where
from tagcast.kit.errors import Invalid
from tagcast.outcomes import OUTCOMES

Object = dict[str, Any]
_AMOUNT = "amount"


def to_json(expression: Expression) -> Object:  # noqa: PLR0911, C901 - one return a kind of node
    """The JSON form."""
    match expression:
        case All():
            return {"all": True}
        case Nobody():
            return {"nobody": True}
        case And(parts):
            return {"and": [to_json(part) for part in parts]}
        case Or(parts):
            return {"or": [to_json(part) for part in parts]}
        case Not(part):
            return {"not": to_json(part)}
        case SegmentLeaf(name):
            return {"segment": name}
        case TagLeaf(path, account, exactly):
            account_part = {} if account is None else {"account": account}
            return {"tag": path, **account_part, **({"exactly": True} if exactly else {})}
        case FieldLeaf(name):
            return {"field": name, **_condition(expression.op, expression.value)}
        case DateLeaf(name, during):
            return {"date": name, "during": _span(during)}
        case BirthdayLeaf(name, during):
            return {"birthday": name, "during": _span(during)}
        case RankLeaf(name, side, percent):
            return {"rank": name, side: percent}
        case DidLeaf():
            return _did(expression)
        case ThenLeaf(first, second, minutes, absent):
            return {"then": [_did(first), _did(second)], "minutes": minutes, **({"absent": True} if absent else {})}
        case SendLeaf(outcome, sending, account, during):
            named = {"sending": sending, "account": account, "during": _span(during) or None}
            return {
                "outcome": outcome,
                **{key: value for key, value in named.items() if value is not None},
                **_figure(expression.op, expression.value),
            }


def units(amount: int) -> int | float:
    """An amount in cents as currency units."""
    return amount // 100 if amount % 100 == 0 else amount / 100


def _did(leaf: DidLeaf) -> Object:
    amounts = leaf.measure in AMOUNTS
    found: Object = {"did": leaf.event}
    if leaf.during != EVER:
        found["during"] = _span(leaf.during)
    if leaf.measure != "times":
        found["measure"] = leaf.measure
    found |= _figure(leaf.op, _units(leaf.value) if amounts else leaf.value, always=amounts)
    if leaf.where:
        found["where"] = [
            {"property": one.name, **_condition(one.op, _units(one.value) if one.name == _AMOUNT else one.value)}
            for one in leaf.where
        ]
    return found


def _figure(op: str, value: Any, *, always: bool = False) -> Object:
    return _condition(op, value) if always or (op, value) != (">=", 1) else {}


def _condition(op: str, value: Any) -> Object:
    plain = list(value) if isinstance(value, tuple) else value
    return {"op": op, **({} if value is None else {"value": plain})}


def _units(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(units(one) for one in value)
    return None if value is None else units(value)


def _span(span: Span) -> Object:
    ends = {"from": span.first, "to": span.last}
    return {key: day.isoformat() if isinstance(day, date) else day for key, day in ends.items() if day is not None}


KEYS: Mapping[str, tuple[str, ...]] = {
    "all": (),
    "nobody": (),
    "and": (),
    "or": (),
    "not": (),
    "tag": ("account", "exactly"),
    "field": ("op", "value"),
    "date": ("during",),
    "birthday": ("during",),
    "rank": ("top", "bottom"),
    "segment": (),
    "did": ("during", "measure", "op", "value", "where"),
    "then": ("minutes", "absent"),
    "outcome": ("sending", "account", "during", "op", "value"),
}
"""Every kind of object, and what may stand beside it."""


class _Reader:
    """Reads one JSON form; counts nodes and values while it reads, so that a hostile one costs nothing."""

    def __init__(self) -> None:
        self.nodes = 0
        self.values = 0
        self.kinds: Mapping[str, Callable[[Object, str, int], Expression]] = {
            "all": self._constant,
            "nobody": self._constant,
            "and": self._group,
            "or": self._group,
            "not": lambda data, where, depth: Not(self.expression(data["not"], f"{where}.not", depth + 1)),
            "tag": self._tag,
            "field": self._field,
            "date": lambda data, where, _: DateLeaf(_name(data, "date", where), _during(data, where, needed=True)),
            "birthday": lambda data, where, _: BirthdayLeaf(
                _name(data, "birthday", where), _during(data, where, needed=True)
            ),
            "rank": self._rank,
            "segment": lambda data, where, _: SegmentLeaf(_text(data["segment"], f"{where}.segment")),
            "did": lambda data, where, _: self._did(data, where),
            "then": self._then,
            "outcome": self._outcome,
        }

    def expression(self, data: object, where: str, depth: int) -> Expression:
        self._count()
        if depth > limits().depth:
            raise over("depth")
        if not isinstance(data, dict):
            raise wrong(where, "object", data)
        kind = _kind(data, where)
        found = self.kinds[kind](data, where, depth)
        checks.check_leaf(found)
        return found

    def _count(self, more: int = 1) -> None:
        self.nodes += more
        if self.nodes > limits().nodes:
            raise over("nodes")

    @staticmethod
    def _constant(data: Object, where: str, _depth: int) -> Expression:
        kind = "all" if "all" in data else "nobody"
        if data[kind] is not True:
            raise wrong(f"{where}.{kind}", "true", data[kind])
        return All() if kind == "all" else Nobody()

    def _group(self, data: Object, where: str, depth: int) -> Expression:
        kind = "and" if "and" in data else "or"
        content = _array(data[kind], f"{where}.{kind}")
        if len(content) < 2:
            raise Invalid("audiences.group_of_one", group=kind)
        if self.nodes + len(content) > limits().nodes:
            raise over("nodes")
        parts = tuple(self.expression(part, f"{where}.{kind}[{i}]", depth + 1) for i, part in enumerate(content))
        return And(parts) if kind == "and" else Or(parts)

    @staticmethod
    def _tag(data: Object, where: str, _depth: int) -> Expression:
        exactly = _flag(data, "exactly", where)
        return TagLeaf(_text(data["tag"], f"{where}.tag"), _id(data, "account", where), exactly)

    def _field(self, data: Object, where: str, _depth: int) -> Expression:
        op = _one_of(data.get("op"), OPS, where)
        return FieldLeaf(_name(data, "field", where), op, self._value(data, where))

    @staticmethod
    def _rank(data: Object, where: str, _depth: int) -> Expression:
        sides = [side for side in ("top", "bottom") if side in data]
        if len(sides) != 1:
            raise Invalid("audiences.no_kind", where=where, found=", ".join(sides) or "rank", known="top, bottom")
        percent = data[sides[0]]
        if isinstance(percent, bool) or not isinstance(percent, int | float):
            raise wrong(f"{where}.{sides[0]}", "number", percent)
        return RankLeaf(_name(data, "rank", where), sides[0], percent)

    def _did(self, data: Object, where: str) -> DidLeaf:
        event, during = _text(data["did"], f"{where}.did"), _during(data, where)
        measure: Measure = _one_of(data.get("measure", "times"), (*COUNTS, *AMOUNTS), where)
        given = _array(data.get("where", []), f"{where}.where")
        self._count(len(given))
        conditions = tuple(self._where(one, f"{where}.where[{i}]") for i, one in enumerate(given))
        if measure in AMOUNTS and "value" not in data:
            raise Invalid("audiences.bad_value", field=measure, op="value")
        op, value = self._figures(data, where, measure)
        return DidLeaf(event, during, measure, op, value, conditions)

    def _where(self, data: object, where: str) -> Where:
        if not isinstance(data, dict):
            raise wrong(where, "object", data)
        _only(data, where, "property", ("op", "value"))
        name, op = _name(data, "property", where), _one_of(data.get("op"), OPS, where)
        return where_of(name, op, self._value(data, where))

    def _then(self, data: Object, where: str, _depth: int) -> Expression:
        halves = _array(data["then"], f"{where}.then")
        if len(halves) != 2:
            raise wrong(f"{where}.then", "did, did", halves)
        asked = []
        for i, half in enumerate(halves):
            place = f"{where}.then[{i}]"
            if not isinstance(half, dict):
                raise wrong(place, "object", half)
            _only(half, place, "did", KEYS["did"])
            asked.append(self._did(half, place))
        minutes = data.get("minutes")
        if type(minutes) is not int:
            raise wrong(f"{where}.minutes", "whole number", minutes)
        return ThenLeaf(asked[0], asked[1], minutes, _flag(data, "absent", where))

    def _outcome(self, data: Object, where: str, _depth: int) -> Expression:
        outcome = _one_of(data["outcome"], OUTCOMES, where)
        named = data.get("sending")
        sending = _text(named, f"{where}.sending") if isinstance(named, str) else _id(data, "sending", where)
        op, value = self._figures(data, where, "times")
        return SendLeaf(outcome, sending, _id(data, "account", where), _during(data, where), op, value)

    def _figures(self, data: Object, where: str, measure: Measure) -> tuple[Any, Any]:
        op = _one_of(data.get("op", ">="), FIGURE_OPS, where)
        return op, figures(measure, op, self._value(data, where) if "value" in data else 1)

    def _value(self, data: Object, where: str) -> Value:
        value = data.get("value")
        if "value" in data and value is None:
            raise wrong(f"{where}.value", "text / number / true / false / array", value)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        self.values += len(listed)
        if self.values > limits().values:
            raise over("values")
        for one in listed:
            if not isinstance(one, str | int | float):
                raise wrong(f"{where}.value", "text / number / true / false", one)
        return tuple(value) if isinstance(value, list) else cast(Value, value)


def from_json(data: object) -> Expression:
    """The expression of a JSON form. Raises Invalid naming the place, Refused beyond a limit."""
    return _Reader().expression(data, "$", 1)


def where_of(name: str, op: Any, value: Value) -> Where:
    """A condition on a property, an amount being given in currency units. Raises Invalid."""
    if name != _AMOUNT or value is None:
        return Where(name, op, value)
    found = checks.cents(name, value if isinstance(value, tuple) else (value,))
    return Where(name, op, found if isinstance(value, tuple) else found[0])


def figures(measure: Measure, op: str, value: Value) -> int | tuple[int, ...]:
    """The figures that a measure is compared with, amounts being given in currency units. Raises Invalid."""
    if (op == "between") != isinstance(value, tuple):
        raise Invalid("audiences.bad_value", field=measure, op=op)
    read = checks.cents if measure in AMOUNTS else checks.whole
    found = read(measure, value if isinstance(value, tuple) else (value,))
    return found if isinstance(value, tuple) else found[0]


def _kind(data: dict[object, object], where: str) -> str:
    kinds = [key for key in KEYS if key in data]
    if len(kinds) != 1:
        found = ", ".join(str(key)[:40] for key in islice(data, 5)) or "{}"
        raise Invalid("audiences.no_kind", where=where, found=found, known=", ".join(KEYS))
    _only(data, where, kinds[0], KEYS[kinds[0]])
    return kinds[0]


def _only(data: Mapping[Any, object], where: str, kind: str, others: tuple[str, ...]) -> None:
    if kind not in data:
        raise Invalid("audiences.no_kind", where=where, found="{}", known=kind)
    for key in data:
        if key != kind and key not in others:
            raise Invalid("audiences.unknown_key", where=where, key=str(key)[:40], known=", ".join((kind, *others)))


def _during(data: Object, where: str, *, needed: bool = False) -> Span:
    place = f"{where}.during"
    given = data.get("during", {})
    if not isinstance(given, dict) or (needed and not given):
        raise wrong(place, "object", data.get("during"))
    for key in given:
        if key not in ("from", "to"):
            raise Invalid("audiences.unknown_key", where=place, key=str(key)[:40], known="from, to")
    return Span(*(_day(given[key], f"{place}.{key}") if key in given else None for key in ("from", "to")))


def _day(given: object, where: str) -> Day:
    if type(given) is int:
        return given
    day = read_day(given) if isinstance(given, str) else None
    if day is None:
        raise wrong(where, "2026-01-31 / -30", given)
    return day


def _array(given: object, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise wrong(where, "array", given)
    return given


def _flag(data: Object, key: str, where: str) -> bool:
    given = data.get(key, False)
    if not isinstance(given, bool):
        raise wrong(f"{where}.{key}", "true / false", given)
    return given


def _id(data: Object, key: str, where: str) -> int | None:
    given = data.get(key)
    if given is not None and (type(given) is not int or given < 1):
        raise wrong(f"{where}.{key}", f"{key} id", given)
    return given


def _one_of(given: object, known: tuple[Any, ...], where: str) -> Any:
    if given not in known:
        said = given[:40] if isinstance(given, str) else type(given).__name__
        raise Invalid("audiences.unknown_op", where=where, op=said, known=", ".join(known))
    return given


def _name(data: Object, key: str, where: str) -> str:
    """A name that can stand in the text form, between backticks if need be."""
    name = _text(data[key], f"{where}.{key}")
    if "`" in name:
        raise Invalid("audiences.bad_characters", char="U+0060")
    return name


def _text(content: object, where: str) -> str:
    if not isinstance(content, str) or not content.strip():
        raise wrong(where, "text", content)
    checks.check_text(content, "name_length")
    return content
