"""Expressions over sets: what to combine, told apart from how it is computed.

A node names the sets of a workspace by their keys; nothing is read before an `Evaluation` is asked. An evaluation works
each distinct node out once. It never builds a complement: a set is carried as "these" or "all but these" through and,
or, not (De Morgan), and the universe is touched once, at the end. Given `within`, it answers only for those members,
which costs what they cost, whatever the size of the sets.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast.bitmaps import combining, counting, sliced
from tagcast.bitmaps.combining import Found, Some
from tagcast.bitmaps.planes import Plane
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


class Evaluation:
    """Nodes evaluated against one view, each distinct one once.

    `universe` is the key that holds everyone. With `within`, all answers are cut to its members. With `remember`,
    results of parts that were asked for before are taken from and kept in the memory of the process, under the versions
    of the keys they stand on.
    """

    def __init__(self, view: View, universe: str, *, within: BitMap | None = None, remember: bool = True) -> None:
        self._view = view
        self._universe = universe
        self._everyone = view.read(universe) if within is None else view.present(universe, within)
        self._within = within
        self._remember = remember and within is None
        self._known: dict[Node, Found] = {}

    def count(self, node: Node) -> int:
        """How many members."""
        of = self._standing_on(node)
        if of is not None and isinstance(known := self._view.results.get(("count", of)), int):
            return known
        found = self._set(node)
        sparse = isinstance(found.these, BitMap | Some)
        plane = None if sparse else self._view.plane(self._universe)
        inside = combining.count_within(found.these, self._everyone, plane)
        number = len(self._everyone) - inside if found.inverted else inside
        if of is not None:
            self._view.results.put(("count", of), number)
        return number

    def members(self, node: Node) -> BitMap:
        """The members, as a set of the caller's own."""
        found = self._set(node)
        these = combining.bitmap(found.these)
        return self._everyone - these if found.inverted else self._everyone & these

    def holds(self, node: Node, member: int) -> bool:
        """Whether one is among them."""
        found = self._set(node)
        these = combining.solid(found.these)
        self._known[node] = Found(these, found.inverted)
        if isinstance(these, Plane):
            these = these.present(BitMap([member]))
        return member in self._everyone and (member in these) != found.inverted

    def _set(self, node: Node) -> Found:
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._recalled(node)
        elif not isinstance(found.these, BitMap | Plane):
            # Wanted again: an expression that is left as it is would be worked out again each time.
            found = self._known[node] = Found(combining.solid(found.these), found.inverted)
        return found

    def _recalled(self, node: Node) -> Found:
        of = self._standing_on(node) if _is_group(node) else None
        if of is None:
            return self._evaluate(node)
        results, at = self._view.results, ("inverted", of)
        for key, inverted in ((of, False), (at, True)):
            if isinstance(known := results.get(key), BitMap | Plane):
                return Found(known, inverted)
        found = self._evaluate(node)
        if results.wants(of):
            these = combining.solid(found.these)
            results.put(at if found.inverted else of, these)
            return Found(these, found.inverted)
        return found

    def _standing_on(self, node: Node) -> Hashable | None:
        """What a result may be remembered under; None for what stands on a key changed here, or on something else."""
        if not self._remember or isinstance(node, Key):
            return None
        if any(isinstance(one, Asked) for one in walk(node)):
            return None
        keys = sorted({self._universe, *feeds(self._view, node)})
        versions = tuple([self._view.version(key) for key in keys])
        return None if min(versions) < 0 else (self._view.workspace, node, tuple(keys), versions)

    def _evaluate(self, node: Node) -> Found:
        match node:
            case AllOf(parts):
                return combining.all_of([self._set(part) for part in parts])
            case AnyOf(parts):
                return combining.any_of([self._set(part) for part in parts])
            case Except(part):
                return combining.invert(self._set(part))
            case AtLeast(times, parts):
                if times < 1:
                    raise ValueError("times must be at least 1")
                if times == 1:
                    return self._set(AnyOf(parts))
                return Found(counting.at_least([self.members(part) for part in parts], times))
            case _:
                return Found(self._leaf(node))

    def _leaf(self, leaf: Leaf) -> BitMap | Plane:
        match leaf:
            case Key(name):
                return self._view.whole(name) if self._within is None else self._view.present(name, self._within)
            case Compared(key, op, value):
                return sliced.compare(self._view, key, op, value, within=self._within)
            case Known(key):
                return sliced.known(self._view, key, within=self._within)
            case Asked():
                return leaf.ask(self._within)


def _is_group(node: Node) -> bool:
    """Whether it is leaves that are taken together: what expressions share, and cheap to name."""
    if not isinstance(node, AnyOf | AtLeast) or len(node.parts) < 2:
        return False
    return all(isinstance(part, Key | Compared | Known) for part in node.parts)


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
