"""Nodes that are kept: as bytes, and whose membership can differ between two of them."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from pyroaring import BitMap

from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import AllOf, AnyOf, Asked, AtLeast, Compared, Evaluation, Except, Key, Known, Node

# How nodes are written now, before their bytes. Another form gets another number.
_FORM = b"\x02"


class Unknowable(Exception):
    """The kept form of a question cannot be asked again: only its token and its keys are known."""


def pack(node: Node) -> bytes:
    """A node as bytes; equal nodes give equal bytes. Of a question its token and feeds are kept."""
    return _FORM + zlib.compress(orjson.dumps(_plain(node)), 1)


def unpack(data: bytes) -> Node:
    """The node of such bytes; its questions raise Unknowable when they are asked.

    Raises Unknowable for what another version of the program wrote in another form, and for what is damaged.
    """
    if not data.startswith(_FORM):
        raise Unknowable
    try:
        return _node(orjson.loads(zlib.decompress(data[len(_FORM) :])))
    except (zlib.error, ValueError, LookupError) as error:
        raise Unknowable from error


def moved(old: Node, new: Node, sets: Evaluation, *, same_source: bool) -> BitMap | None:
    """Those for whom `old` and `new` can differ now, maybe more; None: that can only be told by asking everything.

    Windows that moved differ by the buckets that came and went, not by all that is in them. `same_source`: both are
    the same expression, so that a question whose keys moved is the same question about another window.
    """
    try:
        return _Difference(sets, same_source).of(old, new)
    except Unknowable:
        return None


class _Difference:
    def __init__(self, sets: Evaluation, same_source: bool) -> None:
        self._sets = sets
        self._same_source = same_source
        self._known: dict[tuple[Node, Node], BitMap] = {}

    def of(self, old: Node, new: Node) -> BitMap:
        if (old, new) not in self._known:
            self._known[old, new] = self._found(old, new)
        return self._known[old, new]

    def _found(self, old: Node, new: Node) -> BitMap:  # noqa: PLR0911 - one return a kind of node
        if _shown(old) == _shown(new):
            return BitMap()
        match old, new:
            case AnyOf(before), AnyOf(after):
                return self._group(before, after)
            case AtLeast(times, before), AtLeast(again, after) if times == again:
                return self._group(before, after)
            case AllOf(before), AllOf(after) if len(before) == len(after):
                return self._paired(before, after)
            case Except(before), Except(after):
                return self.of(before, after)
            case Asked(), Asked() if self._same_source and set(old.feeds) != set(new.feeds):
                return self._union(Key(name) for name in set(old.feeds) ^ set(new.feeds))
            case _:
                return self._sets.members(old) ^ self._sets.members(new)

    def _group(self, before: tuple[Node, ...], after: tuple[Node, ...]) -> BitMap:
        """Who is in no part that came or went is in as many parts as before."""
        went, came = _difference(before, after), _difference(after, before)
        if len(went) == len(came) and not all(isinstance(part, Key) for part in (*went, *came)):
            return self._paired(went, came)
        return self._union((*went, *came))

    def _paired(self, before: Iterable[Node], after: Iterable[Node]) -> BitMap:
        found = BitMap()
        for old, new in zip(before, after, strict=True):
            found |= self.of(old, new)
        return found

    def _union(self, parts: Iterable[Node]) -> BitMap:
        found = BitMap()
        for part in parts:
            found |= self._sets.members(part)
        return found


def _difference(some: tuple[Node, ...], others: tuple[Node, ...]) -> tuple[Node, ...]:
    """The parts of `some` that `others` does not have as often, in order."""
    left, found = Counter(_shown(part) for part in others), []
    for part in some:
        shown = _shown(part)
        if left[shown]:
            left[shown] -= 1
        else:
            found.append(part)
    return tuple(found)


def _shown(node: Node) -> Node | bytes:
    """What makes two nodes the same: a kept question has its token as text only."""
    if isinstance(node, Key | Compared | Known):
        return node
    return orjson.dumps(_plain(node))


def _plain(node: Node) -> list[list[Any]]:
    """One row for each distinct node, parts before what they are part of; parts are named by their place."""
    places: dict[Node, int] = {}
    rows: list[list[Any]] = []

    def place(one: Node) -> int:
        if one not in places:
            row = _row(one, place)
            places[one] = len(rows)
            rows.append(row)
        return places[one]

    place(node)
    return rows


def _row(node: Node, place: Callable[[Node], int]) -> list[Any]:  # noqa: PLR0911 - one return a kind of node
    match node:
        case Key(name):
            return ["k", name]
        case Compared(key, op, value):
            # A number of JSON readers is too small for some values.
            return ["c", key, op, str(value)]
        case Known(key):
            return ["n", key]
        case Asked():
            token = node.token if isinstance(node.token, str) and node.ask is _unknowable else repr(node.token)
            return ["q", token, list(node.feeds), node.whole, node.due is not None]
        case AtLeast(times, parts):
            return ["t", times, [place(part) for part in parts]]
        case AllOf(parts):
            return ["a", [place(part) for part in parts]]
        case AnyOf(parts):
            return ["o", [place(part) for part in parts]]
        case Except(part):
            return ["e", place(part)]


def _node(rows: list[list[Any]]) -> Node:
    found: list[Node] = []
    for kind, *rest in rows:
        found.append(_made(kind, rest, found))
    return found[-1]


def _made(kind: str, rest: list[Any], found: list[Node]) -> Node:  # noqa: PLR0911 - one return a kind of node
    match kind:
        case "k":
            return Key(rest[0])
        case "c":
            return Compared(rest[0], rest[1], int(rest[2]))
        case "n":
            return Known(rest[0])
        case "q":
            return Asked(rest[0], _unknowable, tuple(rest[1]), rest[2], _never_due if rest[3] else None)
        case "t":
            return AtLeast(rest[0], tuple(found[part] for part in rest[1]))
        case "e":
            return Except(found[rest[0]])
        case _:
            parts = tuple(found[part] for part in rest[0])
            return AllOf(parts) if kind == "a" else AnyOf(parts)


def _unknowable(_within: BitMap | None) -> BitMap:
    raise Unknowable


def _never_due(_since_ms: int, _until_ms: int) -> BitMap:
    raise Unknowable


def questions(node: Node) -> list[Asked]:
    """The questions in a node."""
    return [one for one in algebra.walk(node) if isinstance(one, Asked)]
