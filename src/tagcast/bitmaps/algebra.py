"""Expressions over sets: what to combine, told apart from how it is computed.

A node names the sets of a workspace by their keys; nothing is read before an `Evaluation` is asked. An evaluation works
each distinct node out once. It never builds a complement: a set is carried as "these" or "all but these" through and,
or, not (De Morgan), and the universe is touched once, at the end. Given `within`, it answers only for those members,
which costs what they cost, whatever the size of the sets.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast.bitmaps import counting, sliced
from tagcast.bitmaps.sliced import Comparison
from tagcast.bitmaps.view import View

Ask = Callable[[BitMap | None], BitMap]
Due = Callable[[int, int], BitMap]


@dataclass(frozen=True, slots=True)
class Key:
    """The members of a key."""

    name: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The members whose number under `key` (see `sliced`) stands in the relation `op` to `value`."""

    key: str
    op: Comparison
    value: int


@dataclass(frozen=True, slots=True)
class Known:
    """The members who have a number under `key` (see `sliced`)."""

    key: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A set that something else computes when it is needed: `ask(within)` gives all members, or those of `within`.

    Equal tokens stand for equal sets. `feeds` are the keys whose change can change the answer; an empty tuple says that
    only time can. `whole`: a change of one member can change the answer for any other, as among the highest tenth.
    `due(since_ms, until_ms)`, where time alone can change an answer within one day: those for whom it may have changed
    from one moment to another (epoch milliseconds). The token must then not hold the moment of asking.
    """

    token: Hashable
    ask: Ask = field(compare=False)
    feeds: tuple[str, ...] = ()
    whole: bool = False
    due: Due | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The members of at least `times` of the parts; `times` is 1 or more."""

    times: int
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """The members of every part; without parts everyone."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The members of any part; without parts nobody."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Except:
    """Everyone but the members of `part`."""

    part: "Node"


Leaf = Key | Compared | Known | Asked
Node = Leaf | AtLeast | AllOf | AnyOf | Except

EVERYONE = AllOf(())
NOBODY = AnyOf(())


@dataclass(frozen=True, slots=True)
class _Set:
    """`these`, or everyone but these."""

    these: BitMap
    inverted: bool = False


class Evaluation:
    """Nodes evaluated against one view, each distinct one once.

    `universe` is the key that holds everyone. With `within`, all answers are cut to its members.
    """

    def __init__(self, view: View, universe: str, *, within: BitMap | None = None) -> None:
        self._view = view
        everyone = view.read(universe)
        self._everyone = everyone if within is None else everyone & within
        self._within = within
        self._known: dict[Node, _Set] = {}

    def count(self, node: Node) -> int:
        """How many members."""
        found = self._set(node)
        inside = self._everyone.intersection_cardinality(found.these)
        return len(self._everyone) - inside if found.inverted else inside

    def members(self, node: Node) -> BitMap:
        """The members, as a set of the caller's own."""
        found = self._set(node)
        return self._everyone - found.these if found.inverted else self._everyone & found.these

    def holds(self, node: Node, member: int) -> bool:
        """Whether one is among them."""
        found = self._set(node)
        return member in self._everyone and (member in found.these) != found.inverted

    def _set(self, node: Node) -> _Set:
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._evaluate(node)
        return found

    def _evaluate(self, node: Node) -> _Set:
        match node:
            case AllOf(parts):
                return _all_of([self._set(part) for part in parts])
            case AnyOf(parts):
                # a or b = not (not a and not b)
                return _not(_all_of([_not(self._set(part)) for part in parts]))
            case Except(part):
                return _not(self._set(part))
            case AtLeast(times, parts):
                if times < 1:
                    raise ValueError("times must be at least 1")
                return _Set(counting.at_least([self.members(part) for part in parts], times))
            case _:
                return _Set(self._leaf(node))

    def _leaf(self, leaf: Leaf) -> BitMap:
        match leaf:
            case Key(name):
                return self._cut(self._view.read(name))
            case Compared(key, op, value):
                return self._cut(sliced.compare(self._view, key, op, value))
            case Known(key):
                return self._cut(sliced.known(self._view, key))
            case Asked():
                return leaf.ask(self._within)

    def _cut(self, members: BitMap) -> BitMap:
        return members if self._within is None else members & self._within


def walk(node: Node) -> Iterator[Node]:
    """The node and every node below it."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        match one:
            case AllOf(parts) | AnyOf(parts) | AtLeast(_, parts):
                waiting.extend(parts)
            case Except(part):
                waiting.append(part)
            case _:
                pass


def feeds(view: View, node: Node) -> set[str]:
    """The keys whose change can change the node's members. Bit planes are named one by one, as they are now."""
    found: set[str] = set()
    for one in walk(node):
        match one:
            case Key(name):
                found.add(name)
            case Compared(key) | Known(key):
                found.update(view.keys(f"{key}#"))
                found.add(f"{key}#known")
            case Asked(feeds=some):
                found.update(some)
            case _:
                pass
    return found


def _not(found: _Set) -> _Set:
    return _Set(found.these, not found.inverted)


def _all_of(sets: list[_Set]) -> _Set:
    if not sets:
        return _Set(BitMap(), inverted=True)
    inside = sorted((found.these for found in sets if not found.inverted), key=len)
    outside = [found.these for found in sets if found.inverted]
    if not inside:
        return _Set(BitMap.union(*outside), inverted=True)
    left = inside[0]
    for these in inside[1:]:
        left = left & these
    for these in outside:
        left = left - these
    return _Set(left)
