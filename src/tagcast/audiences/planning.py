"""How an expression is worked out: its parts in their order, expected and exact sizes, and what goes to the lake."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from tagcast import contacts
from tagcast.audiences import compiler, language
from tagcast.audiences.compiler import Evaluation
from tagcast.audiences.rules import And, Expression, Not, Or, SegmentLeaf, parts_of
from tagcast.bitmaps import View, algebra
from tagcast.bitmaps.algebra import AllOf, AnyOf, Asked, AtLeast, Compared, Except, Key, Known, Node
from tagcast.kit.uow import Work

Kind = Literal["group", "segment", "sets", "planes", "asked"]


@dataclass(frozen=True, slots=True)
class Planned:
    """One part. `kind` says what a leaf reads: sets, bit planes, or something that must be asked (events, ranks).

    `keys`: sets read below it. `estimate`: the most it can be, from the sizes of its sets alone (None: unknown before).
    `ms`: what it took in this process, its parts being known; `times`: how often it stands in the whole.
    `parts` of an `and` are in the order of working: those that leave least first, what is taken away last.
    """

    text: str
    kind: Kind
    keys: int
    estimate: int | None
    size: int
    ms: float
    times: int
    parts: tuple["Planned", ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The tree, and of it all: distinct parts, sets read, the leaves that were asked, the exact size."""

    root: Planned
    distinct: int
    keys: int
    asked: tuple[str, ...]
    size: int


def plan(work: Work, expression: Expression) -> Plan:
    """Work an expression out part by part and tell how. Raises Invalid for an unknown name or a wrong value."""
    known = compiler.evaluation(work, expression)
    planning = _Planning(work, known, expression)
    root = planning.part(expression)
    keys = {one.name for one in algebra.walk(known.node(expression)) if isinstance(one, Key)}
    return Plan(root, len(planning.times), len(keys), tuple(sorted(planning.asked)), root.size)


class _Planning:
    """One expression on its way."""

    def __init__(self, work: Work, known: Evaluation, expression: Expression) -> None:
        self._view = work.bitmaps
        self._known = known
        self.times = Counter[Expression]()
        self._tally(expression)
        self.asked: set[str] = set()
        self._shown: set[Expression] = set()
        self._estimates: dict[Node, int | None] = {}

    def part(self, node: Expression) -> Planned:
        """The node after its parts."""
        # What stands in several places is opened where it is met first.
        parts = [] if node in self._shown else [self.part(one) for one in self._below(node)]
        self._shown.add(node)
        started = time.perf_counter()
        size = self._known.count(node)
        took = (time.perf_counter() - started) * 1000
        lowered = self._known.node(node)
        kind = self._kind(node, lowered)
        text = language.to_text(node)
        if kind == "asked":
            self.asked.add(text)
        if isinstance(node, And):
            parts.sort(key=lambda one: (one.text.startswith("not "), one.size))
        keys = len({one.name for one in algebra.walk(lowered) if isinstance(one, Key)})
        estimate = self._estimate(lowered)
        return Planned(text, kind, keys, estimate, size, round(took, 3), self.times[node], tuple(parts))

    def _tally(self, node: Expression) -> None:
        self.times[node] += 1
        if self.times[node] == 1:
            for one in self._below(node):
                self._tally(one)

    def _below(self, node: Expression) -> tuple[Expression, ...]:
        if isinstance(node, SegmentLeaf):
            return (self._known.names.segments[node.name].expression,)
        return parts_of(node)

    @staticmethod
    def _kind(node: Expression, lowered: Node) -> Kind:
        if isinstance(node, And | Or | Not):
            return "group"
        if isinstance(node, SegmentLeaf):
            return "segment"
        below = list(algebra.walk(lowered))
        if any(isinstance(one, Asked) for one in below):
            return "asked"
        return "planes" if any(isinstance(one, Compared | Known) for one in below) else "sets"

    def _estimate(self, node: Node) -> int | None:
        """The most members a node can have, from sizes alone; None if nothing bounds it."""
        if node not in self._estimates:
            self._estimates[node] = self._bound(node)
        return self._estimates[node]

    def _bound(self, node: Node) -> int | None:
        view = self._view
        match node:
            case Key(name):
                return view.count(name)
            case Compared(key) | Known(key):
                return view.count(f"{key}#known")
            case Except(part):
                inside = _exactly(view, part)
                return view.count(contacts.EVERYONE) - (inside or 0)
            case AllOf(parts):
                known = [one for part in parts if (one := self._estimate(part)) is not None]
                return min(known, default=view.count(contacts.EVERYONE))
            case AnyOf(parts) | AtLeast(_, parts):
                each = [self._estimate(part) for part in parts]
                known = [one for one in each if one is not None]
                return min(sum(known), view.count(contacts.EVERYONE)) if len(known) == len(each) else None
            case _:
                return None


def _exactly(view: View, node: Node) -> int | None:
    """How many members, where the sizes tell it."""
    match node:
        case Key(name):
            return view.count(name)
        case Known(key):
            return view.count(f"{key}#known")
        case _:
            return None
