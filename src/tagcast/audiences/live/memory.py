"""What a process remembers between two turns: what each kept set is lowered to, and which changes concern it."""

import hashlib
import time
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import orjson
from pyroaring import BitMap

from tagcast import behaviour, contacts, features, tags
from tagcast.audiences import catalogue, compiler, language
from tagcast.audiences.live import nodes, standing
from tagcast.audiences.live.standing import Mark, Standing
from tagcast.audiences.rules import Expression
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import Node
from tagcast.kit.errors import TagcastError
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Kept:
    """A set that is kept true: `target` is its key. `stamp` is another whenever its expression or its ways are.

    `grow`: whoever was once among its members stays.
    """

    target: str
    stamp: Hashable
    grow: bool = False


class Owner(Protocol):
    """Who has sets kept true, and does what follows."""

    def kept(self, work: Work) -> Mapping[str, Kept]:
        """What is to be kept now, by target; cheap, as it is asked several times a second."""

    def expression(self, work: Work, kept: Kept) -> Expression:
        """What a target is to be. Raises TagcastError, which stops it."""

    def check(self, work: Work, stands_on: Mapping[str, frozenset[str]]) -> Mapping[str, TagcastError]:
        """Which of its targets cannot be kept, given the keys that each depends on."""

    def apply(self, work: Work, kept: Kept, added: BitMap, removed: BitMap, *, first: bool) -> None:
        """Change the set: both are effective; `first`: it is filled. Raises TagcastError, which stops it."""

    def filled(self, work: Work, kept: Kept) -> None:
        """The set is true from now on, having been worked out for everybody."""

    def stop(self, work: Work, kept: Kept, problem: TagcastError) -> None:
        """It cannot be kept, for this reason; asked again as long as it is among `kept`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a process goes about it; the figures stand in `limits.toml`."""

    changes: int
    look_seconds: float
    save_seconds: float
    afresh_seconds: float
    whole_seconds: float
    shared: int


@cache
def pace() -> Pace:
    """The figures that ship."""
    read = read_toml("audiences", "live", "limits.toml")
    return Pace(**{name: value for name, value in read.items() if name not in ("source", "date")})


@dataclass(frozen=True, slots=True)
class Lowered:
    """What a target is lowered to today. `node` is None if it asks questions: they belong to one transaction.

    `stands_on` are the keys that it depends on; `feeds` those whose changes are looked at, the target's own too.
    `types` are those of the events that its questions are about; `whole`: a change of one concerns all; `timed`: time
    alone can change it within a day.
    """

    kept: Kept
    expression: Expression
    node: Node | None
    packed: bytes
    source: str
    stands_on: frozenset[str]
    feeds: frozenset[str]
    types: frozenset[str]
    whole: bool
    timed: bool


@dataclass(slots=True)
class Memory:
    """One process, one workspace.

    `reached` is ahead of what is stored when nothing happened that concerned anyone, or when it is `dirty`: to be
    worked out as a whole when its time comes. `told`: the code of the problem that an owner was told of.
    `own`: the changes of each target that its owner made in the last turn that changed anything. `order`: the targets,
    each after those that it stands on. `cold`: those whose questions nobody asked yet in this process.
    `astray`: the last turn could not work something out.
    """

    pace: Pace = field(default_factory=pace)
    lowered: dict[str, Lowered] = field(default_factory=dict)
    problems: dict[str, tuple[Kept, TagcastError]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    reached: dict[str, Mark] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    own: dict[str, set[int]] = field(default_factory=dict)
    by_key: dict[str, set[str]] = field(default_factory=dict)
    by_type: dict[str, set[str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    cold: set[str] = field(default_factory=set)
    astray: bool = False
    catalogue: str = ""
    lowered_at: float = float("-inf")
    looked_at: float = float("-inf")
    saved_at: float = float("-inf")

    def bring_up(self, work: Work, kept: Mapping[str, Kept], owners: Mapping[str, Owner], *, stale: bool) -> bool:
        """Lower what is new, and all of it when names may stand for something else; whether anything was lowered."""
        stale = stale or self._other_catalogue(work, kept)
        gone = (self.lowered.keys() | self.problems.keys()) - kept.keys()
        wanted = [one for target, one in kept.items() if stale or self._known_as(target) != one]
        for target in gone:
            self._forget(target)
        said: dict[str, Expression] = {}
        for one in wanted:
            self._forget(one.target)
            try:
                said[one.target] = owners[one.target].expression(work, one)
            except TagcastError as problem:
                self.problems[one.target] = one, problem
        lowering = Lowering(work, list(said.values()))
        for one in wanted:
            if one.target in said:
                try:
                    lowered = self.lowered[one.target] = lowering.lower(one, said[one.target])
                    if lowered.node is None:
                        self.cold.add(one.target)
                except TagcastError as problem:
                    self.problems[one.target] = one, problem
        if wanted or gone:
            self._index()
        return bool(wanted or gone)

    def read_standings(self, work: Work) -> None:
        """Read again where all stand if another process moved any."""
        marks = standing.marks(work)
        if marks != {target: one.mark for target, one in self.standings.items()}:
            self.standings = standing.every(work)
            self.reached.clear()

    def mark(self, target: str) -> Mark:
        """How far a target was followed by this process."""
        return self.reached.get(target) or self.standings[target].mark

    def forget(self) -> None:
        """Look everything up again in the next turn."""
        self.lowered.clear()
        self.problems.clear()

    def refuse(self, target: str, problem: TagcastError) -> None:
        """It cannot be kept although it could be lowered."""
        self.problems[target] = self.lowered.pop(target).kept, problem
        self._index()

    def warm(self, work: Work) -> None:
        """Ask one question of one contact, while there is nothing to do: the first event need not wait for reading."""
        target = self.cold.pop()
        if target not in self.lowered or not (everyone := work.bitmaps.read(contacts.EVERYONE)):
            return
        expression = self.lowered[target].expression
        sets = algebra.Evaluation(work.bitmaps, contacts.EVERYONE, within=BitMap([everyone.min()]))
        with suppress(TagcastError):
            sets.members(Lowering(work, [expression]).node(expression))

    def _known_as(self, target: str) -> Kept | None:
        if target in self.problems:
            return self.problems[target][0]
        return self.lowered[target].kept if target in self.lowered else None

    def _forget(self, target: str) -> None:
        self.lowered.pop(target, None)
        self.problems.pop(target, None)

    def _index(self) -> None:
        self.by_key, self.by_type = {}, {}
        for target, lowered in self.lowered.items():
            for key in lowered.feeds:
                self.by_key.setdefault(key, set()).add(target)
            for name in lowered.types:
                self.by_type.setdefault(name, set()).add(target)
        self.order = in_order({target: lowered.stands_on for target, lowered in self.lowered.items()})

    def _other_catalogue(self, work: Work, kept: Mapping[str, Kept]) -> bool:
        now = time.monotonic()
        new = any(target not in self.lowered and target not in self.problems for target in kept)
        if now - self.looked_at < self.pace.look_seconds and not new:
            return False
        self.looked_at = now
        found = catalogue_stamp(work)
        if found == self.catalogue and now - self.lowered_at < self.pace.afresh_seconds:
            return False
        self.catalogue, self.lowered_at = found, now
        return True


class Lowering:
    """Expressions lowered in one transaction: names are looked up for all at once, parts that they share once."""

    def __init__(self, work: Work, expressions: Sequence[Expression]) -> None:
        self._work = work
        self._together: compiler.Evaluation | None = None
        # One that cannot be lowered must not keep the others from it: then each is looked up by itself.
        with suppress(TagcastError):
            self._together = compiler.evaluation(work, *expressions) if expressions else None

    def node(self, expression: Expression) -> Node:
        """The node of one of them. Raises TagcastError."""
        return self.evaluation(expression).node(expression)

    def evaluation(self, expression: Expression) -> compiler.Evaluation:
        """What knows the names of one of them. Raises TagcastError."""
        return self._together or compiler.evaluation(self._work, expression)

    def lower(self, kept: Kept, expression: Expression) -> Lowered:
        """An expression as it is lowered now. Raises TagcastError for what it cannot be."""
        work, evaluation = self._work, self.evaluation(expression)
        node = evaluation.node(expression)
        asked = nodes.questions(node)
        stands_on = frozenset(feeds_of(work, node))
        # Whoever comes or goes at all is concerned, and whoever the set itself gained or lost otherwise.
        feeds = stands_on | {contacts.EVERYONE, kept.target}
        events = {key.split(":")[1] for one in asked for key in one.feeds if key.startswith("event:")}
        return Lowered(
            kept, expression, None if asked else node, nodes.pack(node), _source(evaluation, expression), stands_on,
            feeds, frozenset(events), any(one.whole for one in asked), any(one.due is not None for one in asked),
        )  # fmt: skip


def in_order(stands_on: Mapping[str, frozenset[str]]) -> list[str]:
    """The targets, each after those that it stands on; those in a ring stand last."""
    below = {target: keys & stands_on.keys() - {target} for target, keys in stands_on.items()}
    found: dict[str, None] = {}
    while ready := sorted(target for target, some in below.items() if target not in found and some <= found.keys()):
        found.update(dict.fromkeys(ready))
    return [*found, *sorted(stands_on.keys() - found.keys())]


def lower(work: Work, kept: Kept, expression: Expression) -> Lowered:
    """One expression by itself. Raises TagcastError."""
    return Lowering(work, [expression]).lower(kept, expression)


def due(node: Node, since_ms: int, until_ms: int) -> BitMap:
    """For whom time alone may have changed the node."""
    found = BitMap()
    for one in nodes.questions(node):
        if one.due is not None:
            found |= one.due(since_ms, until_ms)
    return found


def catalogue_stamp(work: Work) -> str:
    """Another text whenever names can stand for something else: another day, tag tree, segment, field or event type."""
    seen: list[Any] = [
        str(work.today),
        work.zone,
        [(tag.id, tag.parent, tag.archived_at) for tag in tags.every(work).values()],
        standing.segment_versions(work),
        [repr(one) for one in contacts.attributes(work).values()],
        [repr(one) for one in behaviour.event_types(work).values()],
        sorted(str(name) for name in features.names(work)),
    ]
    return hashlib.sha256(orjson.dumps(seen)).hexdigest()


def _source(evaluation: compiler.Evaluation, expression: Expression) -> str:
    """What tells an expression, with the segments it stands on, from an edited one."""
    known, used = evaluation.names.segments, set[str]()
    waiting = list(catalogue.used_by(expression))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting += catalogue.used_by(known[name].expression)
    stands_on = sorted((name, known[name].version) for name in used)
    return hashlib.sha256(orjson.dumps([language.to_text(expression), stands_on])).hexdigest()


def feeds_of(work: Work, node: Node) -> set[str]:
    """The keys that a node depends on; one of a question that ends with # stands for all that begin so."""
    found = algebra.feeds(work.bitmaps, node)
    for key in [key for key in found if key.endswith("#")]:
        found.update(work.bitmaps.keys(key))
    return found
