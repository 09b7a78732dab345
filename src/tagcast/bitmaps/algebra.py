"""Expressions over sets: what to combine, told apart from how it is computed.

A node names the sets of a workspace by their keys; nothing is read before an `Evaluation` is asked. An evaluation works
each distinct node out once. It never builds a complement: a set is carried as "these" or "all but these" through and,
or, not (De Morgan), and the universe is touched once, at the end. Given `within`, it answers only for those members,
which costs what they cost, whatever the size of the sets.
"""

import zlib
from collections.abc import Callable, Hashable
from typing import TypeGuard

from pyroaring import BitMap

from tagcast.bitmaps import combining, counting, light, sliced
from tagcast.bitmaps.combining import Found, Some
from tagcast.bitmaps.nodes import (
    EVERYONE,
    NOBODY,
    AllOf,
    AnyOf,
    Ask,
    Asked,
    AtLeast,
    Compared,
    Due,
    Except,
    Group,
    Key,
    Known,
    Leaf,
    Node,
    walk,
)
from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.view import View

__all__ = [
    "EVERYONE",
    "NOBODY",
    "AllOf",
    "AnyOf",
    "Ask",
    "Asked",
    "AtLeast",
    "Compared",
    "Due",
    "Evaluation",
    "Except",
    "Group",
    "Instead",
    "Key",
    "Known",
    "Leaf",
    "Node",
    "feeds",
    "walk",
]

Instead = Callable[[str, BitMap | None], BitMap | None]

_NAMED_GROUPS = 256
"""What is made of more is not remembered: to name all it stands on would take longer the more is shared."""
_LOOKED_FOR_TWICE = 16
_LONG = 24
"""Parts of a group that is remembered at once."""
_RUN = 12
"""Keys of a long row that are taken together, on average."""


class Evaluation:
    """Nodes evaluated against one view, each distinct one once.

    `universe` is the key that holds everyone. With `within`, all answers are cut to its members. With `remember`,
    results of parts that were asked for before are taken from and kept in the memory of the process, under the versions
    of the keys they stand on. `instead(key, within)` gives the members of a key that are to be taken for those it has,
    None for a key that is taken as it is; then nothing is remembered.
    """

    def __init__(
        self,
        view: View,
        universe: str,
        *,
        within: BitMap | None = None,
        remember: bool = True,
        instead: Instead | None = None,
    ) -> None:
        self._view = view
        self._universe = universe
        self._everyone = combining.bitmap(view.whole(universe)) if within is None else view.present(universe, within)
        self._within = within
        self._instead = instead
        self._plain = within is None and instead is None
        self._remember = remember and self._plain
        self._known: dict[Node, Found] = {}
        self._fresh: set[Node] = set()  # of the known ones, those that nobody has taken yet
        self._counts: dict[Node, int] = {}

    def count(self, node: Node) -> int:
        """How many members."""
        if self._plain and (few := light.members(self._view, node)) is not None:
            inside = self._everyone.intersection_cardinality(few[0])
            return len(self._everyone) - inside if few[1] else inside
        found = self._counts.get(node)
        if found is None:
            found = self._counts[node] = self._counted(node) if self._remember else self._count(node)
        return found

    def members(self, node: Node) -> BitMap:
        """The members, as a set of the caller's own."""
        these, inverted = self._set(node)
        found = combining.bitmap(these)
        return self._everyone - found if inverted else self._everyone & found

    def holds(self, node: Node, member: int) -> bool:
        """Whether one is among them."""
        expression, inverted = self._set(node)
        these = combining.solid(expression)
        if not isinstance(node, Key):
            self._known[node] = these, inverted
        if isinstance(these, Plane):
            these = these.present(BitMap([member]))
        return member in self._everyone and (member in these) != inverted

    def _counted(self, node: Node) -> int:
        """The count from memory: at once while nothing at all has changed, else if none of its keys has."""
        results, moment = self._view.results, self._view.moment()
        now = None if moment is None else ("now", self._view.workspace, self._universe, node, moment)
        if now is not None and isinstance(known := results.get(now), int):
            return known
        of = self._standing_on(node)
        if of is None:
            return self._count(node)
        known = results.get(("count", of))
        if not isinstance(known, int):
            known = self._count(node)
            results.put(("count", of), known)
        if now is not None:
            results.put(now, known)
        return known

    def _count(self, node: Node) -> int:
        these, inverted = self._set(node)
        plane = None if isinstance(these, (BitMap, Some)) else self._view.plane(self._universe)
        inside = combining.count_within(these, self._everyone, plane)
        return len(self._everyone) - inside if inverted else inside

    def _set(self, node: Node) -> Found:
        if type(node) is Key:
            # The way of most leaves by far: nothing else is done for them.
            return (self._view.whole(node.name) if self._plain else self._leaf(node)), False
        found = self._known.get(node)
        if found is None:
            self._work_out(node)
            found = self._known[node]
        elif node in self._fresh:
            self._fresh.discard(node)
        elif not isinstance(found[0], (BitMap, Plane)):
            # Wanted again: an expression that is left as it is would be worked out again each time.
            found = self._known[node] = combining.solid(found[0]), found[1]
        return found

    def _work_out(self, node: Node) -> None:
        """A node after those below it, without recursion: segments stand on segments."""
        known, waiting = self._known, [node]
        while waiting:
            one = waiting[-1]
            below = one.parts if isinstance(one, Group) else ()
            if missing := [part for part in below if isinstance(part, Group) and part not in known]:
                waiting += missing
                continue
            waiting.pop()
            if one not in known:
                known[one] = self._recalled(one) if self._remember else self._evaluate(one)
                if one is not node:
                    self._fresh.add(one)

    def _recalled(self, node: Node) -> Found:
        if not _is_shared(node) or (of := self._standing_on(node)) is None:
            return self._evaluate(node)
        results, at = self._view.results, ("inverted", of)
        for key, inverted in ((of, False), (at, True)):
            if isinstance(known := results.get(key), BitMap | Plane):
                return known, inverted
        found, inverted = self._evaluate(node)
        if results.wants(of) or len(node.parts) >= _LONG:
            found = combining.solid(found)
            results.put(at if inverted else of, found)
        return found, inverted

    def _standing_on(self, node: Node) -> Hashable | None:
        """What a result may be remembered under; None for what stands on a key changed here, or on something else."""
        if isinstance(node, Key):
            return None
        groups = 0
        for one in walk(node):
            groups += isinstance(one, Group)
            if groups > _NAMED_GROUPS or isinstance(one, Asked):
                return None
        keys = sorted(feeds(self._view, node))
        versions = self._view.versions([self._universe, *keys])
        return None if min(versions) < 0 else (self._view.workspace, self._universe, node, tuple(keys), versions)

    def _evaluate(self, node: Node) -> Found:
        match node:
            case AllOf(parts):
                return combining.all_of(self._parts(parts))
            case AnyOf(parts):
                return combining.any_of(self._parts(_in_runs(parts) if self._remember else parts))
            case Except(part):
                these, inverted = self._set(part)
                return these, not inverted
            case AtLeast(times, parts):
                if times < 1:
                    raise ValueError("times must be at least 1")
                if times == 1:
                    return self._set(AnyOf(parts))
                return counting.at_least_of([self._solid(part) for part in parts], times), False
            case _:
                return self._leaf(node), False

    def _leaf(self, leaf: Leaf) -> BitMap | Plane:
        match leaf:
            case Key(name) if self._instead is not None and (other := self._instead(name, self._within)) is not None:
                return other
            case Key(name):
                return self._view.whole(name) if self._within is None else self._view.present(name, self._within)
            case Compared(key, op, value):
                return sliced.compare(self._view, key, op, value, within=self._within)
            case Known(key):
                return sliced.known(self._view, key, within=self._within)
            case Asked():
                return leaf.ask(self._within)

    def _solid(self, part: Node) -> BitMap | Plane:
        these, inverted = self._set(part)
        return self.members(part) if inverted else combining.solid(these)

    def _parts(self, parts: tuple[Node, ...]) -> list[Found]:
        return [self._set(part) for part in (parts if len(parts) < _LOOKED_FOR_TWICE else dict.fromkeys(parts))]


def _is_shared(node: Node) -> TypeGuard[AnyOf | AtLeast]:
    """Whether it is leaves that are taken together: what expressions share, and cheap to name."""
    if not isinstance(node, AnyOf | AtLeast) or len(node.parts) < 2:
        return False
    return all(isinstance(part, Key | Compared | Known) for part in node.parts)


def _in_runs(parts: tuple[Node, ...]) -> tuple[Node, ...]:
    """A long row of keys in shorter ones, cut where the keys themselves say so.

    Of a window that moved by a day the runs between its ends are the same, and remembered.
    """
    if len(parts) < _LONG or not all(isinstance(part, Key) for part in parts):
        # Other groups among them are runs already, as whole months are.
        loose = tuple([part for part in parts if isinstance(part, Key)])
        if len(loose) < _LONG:
            return parts
        return (*_in_runs(loose), *(part for part in parts if not isinstance(part, Key)))
    runs, run = list[Node](), list[Node]()
    for part in parts:
        run.append(part)
        if isinstance(part, Key) and zlib.crc32(part.name.encode()) % _RUN == 0:
            runs.append(AnyOf(tuple(run)))
            run = []
    # One run that is all of the row would be cut again, for ever.
    return (*runs, *run) if len(runs) + bool(run) > 1 and runs else parts


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
