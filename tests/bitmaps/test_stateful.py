"""A view against plain Python sets: changes, undos, savepoints, rollbacks, restarts, checkpoints in any order."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, clear

from tagcast.bitmaps import AlreadyUndone, Bitmaps, Change, View

KEYS = st.sampled_from(["a", "a:1", "b"])
SETS = st.frozensets(st.integers(0, 9) | st.sampled_from([70_000, 2**32 - 1]), max_size=6)


@dataclass
class Recorded:
    """One change as the model knows it."""

    change: Change
    members: frozenset[int]


@dataclass
class Model:
    """Sets by key, and all changes in order."""

    sets: dict[str, frozenset[int]] = field(default_factory=dict)
    changes: list[Recorded] = field(default_factory=list)

    def copy(self) -> "Model":
        return Model(dict(self.sets), list(self.changes))

    def at(self, key: str, count: int) -> frozenset[int]:
        """The key's set after the first `count` changes."""
        members: frozenset[int] = frozenset()
        for recorded in self.changes[:count]:
            if recorded.change.key == key:
                members = members | recorded.members if recorded.change.op == "add" else members - recorded.members
        return members


class Machine(RuleBasedStateMachine):
    def __init__(self, log: Log) -> None:
        super().__init__()
        clear(log.engine)
        self.log = log
        self.folder: Path = log.folder
        self.bitmaps = Bitmaps(log.engine, self.folder)
        self.committed = Model()
        self.now = 0

    @initialize()
    def start(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.now += 10
        self.connection = self.log.engine.connect()
        self.transaction = self.connection.begin()
        self.savepoint: tuple[sa.NestedTransaction, Model] | None = None
        self.model = self.committed.copy()
        self.view: View = self.bitmaps.view(self.connection, 1, who="w", at_ms=self.now)

    def end(self) -> None:
        self.connection.close()
        self.begin()

    def teardown(self) -> None:
        self.connection.close()

    def expect(self, change: Change | None, key: str, op: str, members: frozenset[int]) -> None:
        if not members:
            assert change is None
            return
        assert change is not None
        assert (change.key, change.op, change.size, change.at_ms) == (key, op, len(members), self.now)
        assert frozenset(self.view.members(change.seq)) == members
        before = self.model.sets.get(key, frozenset())
        self.model.sets[key] = before | members if op == "add" else before - members
        self.model.changes.append(Recorded(change, members))

    @rule(key=KEYS, members=SETS)
    def add(self, key: str, members: frozenset[int]) -> None:
        change = self.view.add(key, BitMap(members), why="")
        self.expect(change, key, "add", members - self.model.sets.get(key, frozenset()))

    @rule(key=KEYS, members=SETS)
    def remove(self, key: str, members: frozenset[int]) -> None:
        change = self.view.remove(key, BitMap(members), why="")
        self.expect(change, key, "remove", members & self.model.sets.get(key, frozenset()))

    @rule(key=KEYS, members=SETS)
    def replace(self, key: str, members: frozenset[int]) -> None:
        before = self.model.sets.get(key, frozenset())
        changes = {change.op: change for change in self.view.replace(key, BitMap(members), why="") or ()}
        self.expect(changes.get("remove"), key, "remove", before - members)
        self.expect(changes.get("add"), key, "add", members - before)

    @precondition(lambda self: self.model.changes)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.model.changes) - 1))
        target = self.model.changes[index]
        if any(other.change.undoes == target.change.seq for other in self.model.changes):
            with pytest.raises(AlreadyUndone):
                self.view.undo(target.change.seq, why="")
            return
        standing = target.members
        for later in self.model.changes[index + 1 :]:
            if later.change.key == target.change.key:
                standing -= later.members
        change = self.view.undo(target.change.seq, why="")
        self.expect(change, target.change.key, "remove" if target.change.op == "add" else "add", standing)
        assert change is None or change.undoes == target.change.seq

    @precondition(lambda self: self.savepoint is None)
    @rule()
    def set_savepoint(self) -> None:
        self.savepoint = (self.connection.begin_nested(), self.model.copy())

    @precondition(lambda self: self.savepoint is not None)
    @rule(keep=st.booleans())
    def leave_savepoint(self, keep: bool) -> None:
        assert self.savepoint is not None
        nested, model = self.savepoint
        if keep:
            nested.commit()
        else:
            nested.rollback()
            self.model = model
        self.savepoint = None

    @rule()
    def commit(self) -> None:
        self.transaction.commit()
        self.committed = self.model
        self.end()

    @rule()
    def rollback(self) -> None:
        self.transaction.rollback()
        self.end()

    @rule()
    def restart(self) -> None:
        """A new process starts; what was open is lost."""
        self.transaction.rollback()
        self.bitmaps = Bitmaps(self.log.engine, self.folder)
        self.end()

    @rule()
    def checkpoint(self) -> None:
        self.transaction.rollback()
        with self.log.engine.begin() as connection:
            self.bitmaps.checkpoint(connection, 1)
        self.end()

    @invariant()
    def the_sets_agree(self) -> None:
        for key in ("a", "a:1", "b", "never"):
            members = self.model.sets.get(key, frozenset())
            assert self.view.count(key) == len(members)
            assert frozenset(self.view.read(key)) == members
        for prefix in ("", "a", "a:"):
            assert self.view.keys(prefix) == sorted(k for k, m in self.model.sets.items() if m and k.startswith(prefix))

    @rule(key=KEYS, member=st.integers(0, 9), data=st.data())
    def the_past_agrees(self, key: str, member: int, data: st.DataObject) -> None:
        changes = self.model.changes
        of_key = [recorded.change for recorded in changes if recorded.change.key == key]
        assert self.view.history(key) == of_key[::-1]
        assert self.view.version(key) <= (of_key[-1].seq if of_key else 0)
        touching = [r.change for r in changes if r.change.key.startswith(key) and member in r.members]
        assert self.view.changes_of(key, member) == touching[::-1]
        count = data.draw(st.integers(0, len(changes)))
        seq = changes[count - 1].change.seq if count else 0
        assert frozenset(self.view.as_of_seq(key, seq)) == self.model.at(key, count)
        at_ms = data.draw(st.integers(0, self.now // 10)) * 10 + 5
        count = sum(recorded.change.at_ms <= at_ms for recorded in changes)
        assert frozenset(self.view.as_of(key, at_ms)) == self.model.at(key, count)


def _run(log: Log, examples: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(log),
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_sqlite_agrees_with_plain_sets(sqlite_log: Log) -> None:
    _run(sqlite_log, 60)


def test_postgresql_agrees_with_plain_sets(postgres_log: Log) -> None:
    _run(postgres_log, 12)
