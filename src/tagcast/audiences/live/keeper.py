"""One turn: what changed since the last, whom it concerns, and the sets made true for them.

Everything is worked out in a read transaction, which nobody waits for, and applied in a short write transaction. A set
is true at its mark but for those whom later changes concern; they are looked at in the next turn. So a result that is a
little old is no mistake as long as it is stored under the mark that it belongs to, in one commit with what it changed.
Sets that stand on each other settle together: each is worked out upon what those below it are about to become.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyroaring import BitMap

from tagcast import behaviour, contacts
from tagcast.audiences.live import alone, nodes, standing, tail
from tagcast.audiences.live import memory as remembered
from tagcast.audiences.live.memory import Kept, Lowered, Memory, Owner
from tagcast.audiences.live.standing import Mark, Standing
from tagcast.audiences.live.tail import Tail
from tagcast.bitmaps.algebra import Evaluation, Node
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Runtime, Work


@dataclass(slots=True)
class Case:
    """One target in one turn. `concerned` None: everybody. `want`: those of them who are to be members.

    `change`: who would enter or leave. `rests_on` are the sets that change in this turn and that this one stands on: it
    was worked out as if they had changed already.
    """

    kept: Kept
    lowered: Lowered
    mark: Mark
    concerned: BitMap | None
    whole: bool
    same_node: bool
    want: BitMap = field(default_factory=BitMap)
    change: BitMap = field(default_factory=BitMap)
    rests_on: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """What a turn found: the cases to settle, who stands further without any change, and what cannot be kept.

    A case comes after those that it rests on.
    `waiting` was followed, but is stored as standing where it stood until it is worked out as a whole.
    """

    cases: list[Case]
    reached: dict[str, Mark]
    waiting: dict[str, Mark]
    problems: dict[str, TagcastError]
    more: bool


def turn(runtime: Runtime, workspace: int, memory: Memory, owners: Sequence[Owner]) -> bool:
    """Make every kept set true again; whether there was anything to do, so that the next turn should come at once."""
    with alone.alone(runtime, workspace) as free, runtime.read(workspace, "worker") as work:
        if not free or not alone.mine(work):
            return False
        owned = {target: (owner, one) for owner in owners for target, one in owner.kept(work).items()}
        memory.read_standings(work)
        if not owned and not memory.standings:
            return False
        try:
            plan = _Planning(work, memory, owned).plan()
        except TagcastError:
            # A name went after it was looked up: look all up again, which tells whose it is. Else it is no name.
            if memory.astray:
                raise
            memory.forget()
            memory.astray = True
            return True
        memory.astray = False
        due = [case for case in plan.cases if case.change or not case.same_node or case.whole]
        gone = memory.standings.keys() - owned.keys()
        codes = {target: problem.code for target, problem in plan.problems.items()}
        if due or codes != memory.told or gone or _unsaved(memory, plan):
            # The read transaction stays open: the lock of the one keeper is its.
            with runtime.work(workspace, "worker") as writing:
                settling = _Settling(writing, memory, owners)
                settling.settle(plan, owned)
            memory.standings = settling.stored
            memory.reached = plan.waiting
            memory.own = settling.own
            memory.saved_at = time.monotonic()
        else:
            memory.reached = plan.reached | plan.waiting | {case.kept.target: case.mark for case in plan.cases}
        memory.dirty, memory.told = set(plan.waiting), codes
        if not due and not plan.more and memory.cold:
            memory.warm(work)
        return plan.more or bool(due)


def _unsaved(memory: Memory, plan: Plan) -> bool:
    """Whether what is stored should be brought up to what was followed, so that a new process has little to read."""
    if time.monotonic() - memory.saved_at < memory.pace.save_seconds:
        return False
    reached = plan.reached | {case.kept.target: case.mark for case in plan.cases}
    stored = {target: one.mark for target, one in memory.standings.items()}
    return any(replace(mark, at_ms=0) != replace(stored[target], at_ms=0) for target, mark in reached.items())


class _Planning:
    """The reading half of a turn."""

    def __init__(self, work: Work, memory: Memory, owned: Mapping[str, tuple[Owner, Kept]]) -> None:
        self._work = work
        self._memory = memory
        self._owned = owned
        self._kept = {target: one for target, (_, one) in owned.items()}
        self._last_batch = behaviour.last_seq(work)
        self._nodes: dict[str, Node] = {}
        self._now = Mark(work.bitmaps.last_seq(), self._last_batch, tail.moment(work))

    def plan(self) -> Plan:
        """What there is to do."""
        memory, work = self._memory, self._work
        owners = {target: owner for target, (owner, _) in self._owned.items()}
        tails = self._tails()
        stale = any(one.appeared for one in tails.values())
        if memory.bring_up(work, self._kept, owners, stale=stale):
            self._check()
        problems = {target: problem for target, (_, problem) in memory.problems.items()}
        plan = Plan([], {}, {}, problems, any(one.more for one in tails.values()))
        concerned = {mark: self._concerned(found) for mark, found in tails.items()}
        for target in sorted(memory.lowered):
            self._consider(target, plan, tails, concerned)
        self._evaluate(plan)
        return plan

    def _tails(self) -> dict[Mark, Tail]:
        """What changed since each mark at which something stands; mostly there is one."""
        memory = self._memory
        marks = {memory.mark(target) for target in self._kept if target in memory.standings}
        return {
            mark: tail.read(self._work, mark, batches=mark.batch < self._last_batch, limit=self._memory.pace.changes)
            for mark in marks
        }

    def _check(self) -> None:
        stands_on = {target: lowered.stands_on for target, lowered in self._memory.lowered.items()}
        for owner in {id(owner): owner for owner, _ in self._owned.values()}.values():
            for target, problem in owner.check(self._work, stands_on).items():
                self._memory.refuse(target, problem)

    def _concerned(self, found: Tail) -> dict[str, BitMap]:
        """Whom the changes of a tail concern, by target."""
        concerned: dict[str, BitMap] = {}
        own = self._memory.own
        for changes, index in ((found.changed, self._memory.by_key), (found.did, self._memory.by_type)):
            for name, members in changes.items():
                for target in index.get(name, ()):
                    # What its owner did itself is no news to a target.
                    if name == target and found.seqs[name] <= own.get(name, set()):
                        continue
                    concerned[target] = concerned[target] | members if target in concerned else members
        return concerned

    def _consider(
        self, target: str, plan: Plan, tails: Mapping[Mark, Tail], concerned: Mapping[Mark, dict[str, BitMap]]
    ) -> None:
        memory, lowered = self._memory, self._memory.lowered[target]
        stood = memory.standings.get(target)
        if stood is None:
            plan.cases.append(self._case(lowered, self._now, None, whole=True, same_node=False))
            return
        before = memory.mark(target)
        found, to = tails[before], tails[before].to
        members = concerned[before].get(target, BitMap())
        same = stood.node == lowered.packed
        if not same:
            moved = self._moved(stood, lowered, found)
            if moved is None:
                plan.cases.append(self._case(lowered, self._now, None, whole=True, same_node=False))
                return
            members = members | moved
        if lowered.timed and before.at_ms < to.at_ms:
            members = members | remembered.due(self._node(lowered), before.at_ms, to.at_ms)
        if lowered.whole and (members or target in memory.dirty):
            if self._work.now_ms - stood.whole_ms >= self._memory.pace.whole_seconds * 1000:
                plan.cases.append(self._case(lowered, self._now, None, whole=True, same_node=same))
            else:
                plan.waiting[target] = to
            return
        if members or not same:
            plan.cases.append(self._case(lowered, to, members, whole=False, same_node=same))
        else:
            plan.reached[target] = to

    def _moved(self, stood: Standing, lowered: Lowered, found: Tail) -> BitMap | None:
        """Whom it concerns that the node is another: also those whom the old one's keys gained or lost."""
        try:
            old = nodes.unpack(stood.node)
        except nodes.Unknowable:
            return None
        sets = Evaluation(self._work.bitmaps, contacts.EVERYONE)
        node = self._node(lowered)
        moved = nodes.moved(old, node, sets, same_source=stood.source == lowered.source)
        if moved is not None:
            for key in remembered.feeds_of(self._work, old):
                moved |= found.changed.get(key, BitMap())
        return moved

    def _case(self, lowered: Lowered, mark: Mark, concerned: BitMap | None, *, whole: bool, same_node: bool) -> Case:
        return Case(lowered.kept, lowered, mark, concerned, whole, same_node)

    def _node(self, lowered: Lowered) -> Node:
        """The node for this transaction: questions are lowered anew, all that are needed together."""
        if lowered.node is not None:
            return lowered.node
        if not self._nodes:
            asking = [one for one in self._memory.lowered.values() if one.node is None]
            lowering = remembered.Lowering(self._work, [one.expression for one in asking])
            self._nodes = {one.kept.target: lowering.node(one.expression) for one in asking}
        return self._nodes[lowered.kept.target]

    def _evaluate(self, plan: Plan) -> None:
        """The members of all, each set after those that it stands on, as if these had changed already.

        So a chain of sets settles in one turn, and none that only grows takes somebody in for what a set below it was.
        Those that concern few are worked out together, apart from those that ask of events.
        """
        cases = {case.kept.target: case for case in plan.cases}
        plan.cases.clear()
        changing: dict[str, Case] = {}
        together = {asking: self._together(cases.values(), changing, asking=asking) for asking in (False, True)}
        for target in self._memory.order:
            lowered = self._memory.lowered[target]
            below = lowered.stands_on & changing.keys() - {target}
            case = cases.get(target)
            if case is None and below and target in plan.reached and not lowered.whole:
                case = self._case(lowered, plan.reached.pop(target), BitMap(), whole=False, same_node=True)
            if case is None:
                continue
            case.rests_on = below
            if case.concerned is not None:
                case.concerned = BitMap.union(case.concerned, *[changing[one].change for one in below])
            few, sets = together[lowered.node is None]
            alone = case.concerned is None or not case.concerned.issubset(few)
            self._weigh(case, self._sets(case.concerned, changing) if alone else sets)
            plan.cases.append(case)
            if case.change:
                changing[target] = case

    def _together(
        self, cases: Iterable[Case], changing: Mapping[str, Case], *, asking: bool
    ) -> tuple[BitMap, Evaluation]:
        """Whom the cases that concern few concern, and what works out sets for them."""
        some = [
            case.concerned
            for case in cases
            if case.concerned is not None
            and len(case.concerned) <= self._memory.pace.shared
            and (case.lowered.node is None) == asking
        ]
        few = BitMap.union(BitMap(), *some)
        return few, self._sets(few, changing)

    def _sets(self, within: BitMap | None, changing: Mapping[str, Case]) -> Evaluation:
        view = self._work.bitmaps

        def instead(key: str, within: BitMap | None) -> BitMap | None:
            if key not in changing:
                return None
            have, change = view.read(key) if within is None else view.present(key, within), changing[key].change
            return have ^ (change if within is None else change & within)

        return Evaluation(view, contacts.EVERYONE, within=within, instead=instead if changing or within else None)

    def _weigh(self, case: Case, sets: Evaluation) -> None:
        case.want = sets.members(self._node(case.lowered))
        if case.concerned is None:
            have = self._work.bitmaps.read(case.kept.target)
        else:
            case.want &= case.concerned
            have = self._work.bitmaps.present(case.kept.target, case.concerned)
        case.change = case.want - have if case.kept.grow else case.want ^ have


class _Settling:
    """The writing half of a turn."""

    def __init__(self, work: Work, memory: Memory, owners: Sequence[Owner]) -> None:
        self._work = work
        self._memory = memory
        # Nobody else changes sets, and no owner what is kept, until the transaction ends.
        work.bitmaps.add(contacts.EVERYONE, BitMap(), why="")
        self._owned = {target: (owner, one) for owner in owners for target, one in owner.kept(work).items()}
        self._marks = standing.marks(work)
        self.own: dict[str, set[int]] = {}
        self.stored = {target: one for target, one in memory.standings.items() if target in self._marks}

    def settle(self, plan: Plan, planned: Mapping[str, tuple[Owner, Kept]]) -> None:
        """Apply what still stands as it was when it was worked out."""
        steps: dict[Mark, list[str]] = {}
        for target, mark in plan.reached.items():
            if self._unmoved(target, planned[target][1]):
                steps.setdefault(mark, []).append(target)
        failed: set[str] = set()
        for case in plan.cases:
            # What a set below did not become was no ground to change this one: it is looked at again.
            if case.rests_on & failed or not self._unmoved(case.kept.target, case.kept) or not self._apply(case):
                failed.add(case.kept.target)
            elif case.same_node and not case.whole:
                steps.setdefault(case.mark, []).append(case.kept.target)
            else:
                self._put(case)
        for mark, targets in steps.items():
            standing.advance(self._work, targets, mark)
            for target in targets:
                self.stored[target] = replace(self.stored[target], mark=mark)
        for target, problem in plan.problems.items():
            if self._owned.get(target, (None, None))[1] == planned[target][1]:
                self._stop(target, problem)
        self._drop(self._marks.keys() - self._owned.keys())

    def _unmoved(self, target: str, kept: Kept) -> bool:
        stood = self._memory.standings.get(target)
        return (
            target in self._owned
            and self._owned[target][1] == kept
            and (self._marks.get(target) == (stood.mark if stood is not None else None))
        )

    def _apply(self, case: Case) -> bool:
        """Whether the target is kept further."""
        work, target = self._work, case.kept.target
        view = work.bitmaps
        have = view.read(target) if case.concerned is None else view.present(target, case.concerned)
        # Who was erased since must not come back.
        added = (case.want - have) & work.bitmaps.read(contacts.EVERYONE)
        removed = BitMap() if case.kept.grow else have - case.want
        if not added and not removed:
            return True
        before = work.bitmaps.last_seq()
        try:
            with work.connection.begin_nested():
                first = target not in self._marks
                self._owned[target][0].apply(work, case.kept, added, removed, first=first)
        except TagcastError as problem:
            self._stop(target, problem)
            return False
        self.own[target] = set(range(before + 1, work.bitmaps.last_seq() + 1))
        return True

    def _put(self, case: Case) -> None:
        stood = self._memory.standings.get(case.kept.target)
        whole_ms = self._work.now_ms if case.whole or stood is None else stood.whole_ms
        lowered = case.lowered
        found = Standing(case.mark, lowered.packed, lowered.source, whole_ms)
        standing.put(self._work, case.kept.target, found)
        if case.whole:
            self._owned[case.kept.target][0].filled(self._work, case.kept)
        self.stored[case.kept.target] = found

    def _stop(self, target: str, problem: TagcastError) -> None:
        owner, kept = self._owned[target]
        owner.stop(self._work, kept, problem)
        self._drop([target])

    def _drop(self, targets: Iterable[str]) -> None:
        standing.drop(self._work, targets)
        for target in targets:
            self.stored.pop(target, None)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a target is behind: changes of the log that it was not followed through, and the first one's age."""

    changes: int
    seconds: float


def lag(work: Work, targets: Iterable[str]) -> dict[str, Lag | None]:
    """How far each target is behind; None: it is not filled yet."""
    marks, top = standing.marks(work), work.bitmaps.last_seq()
    ages = {seq: _age(work, seq) if seq < top else 0.0 for seq in {mark.seq for mark in marks.values()}}
    return {
        target: Lag(top - marks[target].seq, ages[marks[target].seq]) if target in marks else None for target in targets
    }


def _age(work: Work, seq: int) -> float:
    """How many seconds ago the first change after one was made."""
    found = work.bitmaps.changes_since(seq, limit=1)
    return max(0.0, (work.now_ms - work.bitmaps.change(found[0].seq).at_ms) / 1000) if found else 0.0
