"""The segment expression: its tree, limits and JSON form. The text form is `language`, the meaning `compiler`.

JSON form, every object with exactly these keys:

    {"all": true}   {"nobody": true}   {"and": [e, e, …]}   {"or": [e, e, …]}   {"not": e}
    {"tag": "会员/金卡", "account": 3, "exactly": true}      account and exactly may be left out
    {"field": "rfm.m", "op": ">=", "value": 4}              value is left out for known and unknown
    {"segment": "沉睡"}
"""

import math
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.shipped import read_toml

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | None
Op = Literal["is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown"]

_MOST_ACCOUNT = 2**31
OPS: tuple[Op, ...] = ("is", "is_not", "in", "<", "<=", ">", ">=", "between", "known", "unknown")


@dataclass(frozen=True, slots=True)
class All:
    """Every contact."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """No contact."""


@dataclass(frozen=True, slots=True)
class TagLeaf:
    """Who holds the tag at `path`, or one below it unless `exactly`. Without `account` the tag is the workspace's."""

    path: str
    account: int | None = None
    exactly: bool = False


@dataclass(frozen=True, slots=True)
class FieldLeaf:
    """Whose attribute or feature `name` meets `op` and `value`.

    `value` is None for known and unknown, (low, high) for between, values for in, one value for every other op.
    """

    name: str
    op: Op
    value: Value = None


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """The members of another segment."""

    name: str


@dataclass(frozen=True, slots=True)
class And:
    """Those in every part; at least two parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Those in any part; at least two parts."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Every contact but those in `part`."""

    part: "Expression"


Leaf = All | Nobody | TagLeaf | FieldLeaf | SegmentLeaf
Expression = Leaf | And | Or | Not


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


@cache
def limits() -> Limits:
    """The limits that ship."""
    read = read_toml("audiences", "limits.toml")
    return Limits(**{name: value for name, value in read.items() if name not in ("source", "date")})


def over(limit: str) -> Refused:
    """The refusal of an expression beyond a limit, naming it."""
    return Refused("audiences.too_large", limit=limit, most=getattr(limits(), limit))


def parts_of(expression: Expression) -> tuple[Expression, ...]:
    """What stands directly below a node."""
    match expression:
        case And(parts) | Or(parts):
            return parts
        case Not(part):
            return (part,)
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Every node with its depth, the root's being 1; without recursion, so that any depth can be measured."""
    waiting = [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((part, depth + 1) for part in reversed(parts_of(node)))


def check(expression: Expression) -> None:
    """Raise Refused for an expression beyond the limits, Invalid for a value that its operation cannot have."""
    most, values = limits(), 0
    for nodes, (node, depth) in enumerate(walk(expression), 1):
        if depth > most.depth:
            raise over("depth")
        if nodes + len(parts_of(node)) > most.nodes:
            raise over("nodes")
        if isinstance(node, FieldLeaf):
            values += len(node.value) if isinstance(node.value, tuple) else 1
            if values > most.values:
                raise over("values")
            check_value(node)
        elif isinstance(node, And | Or) and len(node.parts) < 2:
            raise Invalid("audiences.group_of_one", group=type(node).__name__.lower())
        if isinstance(node, TagLeaf) and node.account is not None and not 0 < node.account < _MOST_ACCOUNT:
            raise _wrong("account", "account id", node.account)
        if isinstance(node, TagLeaf | FieldLeaf | SegmentLeaf):
            check_text(node.path if isinstance(node, TagLeaf) else node.name, "name_length")


def check_text(text: str, limit: Literal["name_length", "value_length"]) -> None:
    """Raise Invalid for control characters and halves of a character pair, Refused for a text that is too long."""
    if len(text) > getattr(limits(), limit):
        raise over(limit)
    if hidden := [char for char in text if unicodedata.category(char) in ("Cc", "Cs")]:
        raise Invalid("audiences.bad_characters", char=f"U+{ord(hidden[0]):04X}")


def check_value(leaf: FieldLeaf) -> None:
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


def ring(uses: Mapping[str, Collection[str]], name: str) -> list[str]:
    """The way from a segment over those it uses back to itself, or nothing."""
    ways, seen = [[name]], set[str]()
    while ways:
        way = ways.pop()
        for used in sorted(uses.get(way[-1], ())):
            if used == name:
                return [*way, name]
            if used not in seen:
                seen.add(used)
                ways.append([*way, used])
    return []


def height(uses: Mapping[str, Collection[str]]) -> int:
    """How many segments stand on each other at most; there must be no ring."""
    heights: dict[str, int] = {}
    waiting = list(uses)
    while waiting:
        below = uses.get(waiting[-1], ())
        if missing := [used for used in below if used not in heights]:
            waiting += missing
        else:
            heights[waiting.pop()] = 1 + max((heights[used] for used in below), default=0)
    return max(heights.values(), default=0)


def substitute(expression: Expression, change: Callable[[Leaf], Leaf]) -> Expression:
    """The expression with every leaf replaced by what `change` makes of it."""
    match expression:
        case And(parts):
            return And(tuple(substitute(part, change) for part in parts))
        case Or(parts):
            return Or(tuple(substitute(part, change) for part in parts))
        case Not(part):
            return Not(substitute(part, change))
        case leaf:
            return change(leaf)


def to_json(expression: Expression) -> dict[str, Any]:  # noqa: PLR0911 - one return a kind of node
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
        case FieldLeaf(name, op, value):
            plain = list(value) if isinstance(value, tuple) else value
            return {"field": name, "op": op, **({} if value is None else {"value": plain})}


_KEYS: Mapping[str, frozenset[str]] = {
    "all": frozenset(),
    "nobody": frozenset(),
    "and": frozenset(),
    "or": frozenset(),
    "not": frozenset(),
    "segment": frozenset(),
    "tag": frozenset({"account", "exactly"}),
    "field": frozenset({"op", "value"}),
}


class _Reader:
    """Reads one JSON form; counts nodes and values while it reads, so that a hostile one costs nothing."""

    def __init__(self) -> None:
        self.nodes = 0
        self.values = 0

    def expression(self, data: object, where: str, depth: int) -> Expression:
        self.nodes += 1
        if depth > limits().depth:
            raise over("depth")
        if self.nodes > limits().nodes:
            raise over("nodes")
        if not isinstance(data, dict):
            raise _wrong(where, "object", data)
        kind = self._kind(data, where)
        content = data[kind]
        if kind in ("all", "nobody"):
            if content is not True:
                raise _wrong(f"{where}.{kind}", "true", content)
            return All() if kind == "all" else Nobody()
        if kind in ("and", "or"):
            return self._group(kind, content, f"{where}.{kind}", depth)
        if kind == "not":
            return Not(self.expression(content, f"{where}.not", depth + 1))
        name = _text(content, f"{where}.{kind}")
        if kind == "segment":
            return SegmentLeaf(name)
        return self._tag(name, data, where) if kind == "tag" else self._field(name, data, where)

    def _kind(self, data: dict[object, object], where: str) -> str:
        kinds = [key for key in _KEYS if key in data]
        if len(kinds) != 1:
            found = ", ".join(sorted(str(key)[:40] for key in data)[:5]) or "{}"
            raise Invalid("audiences.no_kind", where=where, found=found, known=", ".join(_KEYS))
        if unknown := [str(key)[:40] for key in data if key != kinds[0] and key not in _KEYS[kinds[0]]]:
            known = ", ".join([kinds[0], *sorted(_KEYS[kinds[0]])])
            raise Invalid("audiences.unknown_key", where=where, key=unknown[0], known=known)
        return kinds[0]

    def _group(self, kind: str, content: object, where: str, depth: int) -> Expression:
        if not isinstance(content, list):
            raise _wrong(where, "array", content)
        if len(content) < 2:
            raise Invalid("audiences.group_of_one", group=kind)
        if self.nodes + len(content) > limits().nodes:
            raise over("nodes")
        parts = tuple(self.expression(part, f"{where}[{i}]", depth + 1) for i, part in enumerate(content))
        return And(parts) if kind == "and" else Or(parts)

    @staticmethod
    def _tag(path: str, data: dict[object, object], where: str) -> Expression:
        account, exactly = data.get("account"), data.get("exactly", False)
        if account is not None and (type(account) is not int or not 0 < account < _MOST_ACCOUNT):
            raise _wrong(f"{where}.account", "account id", account)
        if not isinstance(exactly, bool):
            raise _wrong(f"{where}.exactly", "true / false", exactly)
        return TagLeaf(path, account, exactly)

    def _field(self, name: str, data: dict[object, object], where: str) -> Expression:
        op = data.get("op")
        if op not in OPS:
            raise Invalid("audiences.unknown_op", where=where, op=str(op)[:40], known=", ".join(OPS))
        value = data.get("value")
        if "value" in data and value is None:
            raise _wrong(f"{where}.value", "text / number / true / false / array", value)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        self.values += len(listed)
        if self.values > limits().values:
            raise over("values")
        for one in listed:
            if not isinstance(one, str | int | float):
                raise _wrong(f"{where}.value", "text / number / true / false", one)
        if "`" in name:
            raise Invalid("audiences.bad_characters", char="U+0060")
        leaf = FieldLeaf(name, op, tuple(value) if isinstance(value, list) else cast(Value, value))
        check_value(leaf)
        return leaf


def from_json(data: object) -> Expression:
    """The expression of a JSON form. Raises Invalid naming the place, Refused beyond a limit."""
    return _Reader().expression(data, "$", 1)


def _text(content: object, where: str) -> str:
    if not isinstance(content, str) or not content.strip():
        raise _wrong(where, "text", content)
    check_text(content, "name_length")
    return content


def _wrong(where: str, expected: str, found: object) -> Invalid:
    kind = {dict: "object", list: "array", str: "text", bool: "true / false", type(None): "null"}.get(
        type(found), "number"
    )
    return Invalid("audiences.wrong_type", where=where, expected=expected, found=kind)
