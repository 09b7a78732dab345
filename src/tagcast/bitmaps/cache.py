"""What a process remembers: per workspace the committed sets, brought up to date by seq before anyone reads them.

Only committed changes enter the shared memory. What a transaction changed itself lives in that transaction's `Local`
state and dies with it; the next transaction reads it back from the log if it was committed.
"""

import itertools
import logging
import threading
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from pathlib import Path

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps import checkpoints, store
from tagcast.bitmaps.entries import DamagedBlock, Entry
from tagcast.bitmaps.memory import Memory, Planes, Results, default
from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.records import Change, Wanted
from tagcast.bitmaps.view import View

_log = logging.getLogger(__name__)
_KEPT_STATES = 4
_uncommitted = itertools.count(-1, -1)


@dataclass(frozen=True)
class State:
    """All sets of a workspace as they were after the change `seq`. Never changes; the next state shares most of it."""

    seq: int
    base: dict[str, Entry]
    recent: dict[str, Entry]
    order: list[str] = field(default_factory=list)  # the keys of `base`, sorted
    light: dict[str, BitMap] = field(default_factory=dict)  # the members of small sets that were asked for

    def get(self, key: str) -> Entry | None:
        """The key's entry, None for a key without any change."""
        return self.recent.get(key) or self.base.get(key)

    def after(self, seq: int, changed: dict[str, Entry]) -> "State":
        """The state after more changes up to `seq`."""
        recent = {**self.recent, **changed}
        if len(recent) <= 64 + 4 * isqrt(len(self.base)):
            return State(seq, self.base, recent, self.order)
        base = {**self.base, **recent}
        return State(seq, base, {}, sorted(base))

    def keys(self, prefix: str) -> set[str]:
        """The keys that begin with `prefix`, also those whose set is empty."""
        found = {key for key in self.recent if key.startswith(prefix)}
        for index in range(bisect_left(self.order, prefix), len(self.order)):
            if not self.order[index].startswith(prefix):
                break
            found.add(self.order[index])
        return found


@dataclass
class Local:
    """What one transaction sees of one workspace: a committed state and, on top, its own changes."""

    state: State
    overlay: dict[str, Entry] = field(default_factory=dict)
    seq: int = 0
    locked: bool = False
    wrote: bool = False
    stale: bool = False
    last: tuple[int, BitMap] | None = None  # the change made last, and its members

    def get(self, key: str) -> Entry | None:
        """The key's entry as this transaction sees it."""
        return self.overlay.get(key) or self.state.get(key)


_locals: weakref.WeakKeyDictionary[sa.RootTransaction, dict[int, Local]] = weakref.WeakKeyDictionary()
_locals_lock = threading.Lock()


def _savepoint_rolled_back(connection: sa.Connection, name: str, context: object) -> None:
    """A savepoint takes rows, and on PostgreSQL the lock, with it: read the transaction's own changes again."""
    transaction = connection.get_transaction()
    with _locals_lock:
        found = list(_locals.get(transaction, {}).values()) if transaction is not None else []
    for local in found:
        if local.wrote or local.locked:
            local.stale, local.locked = True, False


class Bitmaps:
    """The sets of all workspaces of one database, for one process. Safe to share between threads.

    `folder` keeps checkpoints of this machine; without it a process starts from the log alone. PostgreSQL
    transactions must use READ COMMITTED, its default: under a frozen snapshot a writer could not see what was
    committed before it got the lock. `memory` says what sets and results may take.
    """

    def __init__(self, engine: sa.Engine, folder: Path | None = None, *, memory: Memory | None = None) -> None:
        self._folder = folder
        most = memory or default()
        self.results = Results(most.results)
        self._planes = Planes(most, self._counts)
        self._caches: dict[int, Cache] = {}
        self._lock = threading.Lock()
        if not sa.event.contains(engine, "rollback_savepoint", _savepoint_rolled_back):
            sa.event.listen(engine, "rollback_savepoint", _savepoint_rolled_back)

    def view(self, connection: sa.Connection, workspace: int, *, who: str, at_ms: int) -> View:
        """The workspace's sets as `connection`'s transaction sees them; changes are made as `who` at `at_ms`."""
        return View(self, connection, workspace, who=who, at_ms=at_ms)

    def write_checkpoint(self, connection: sa.Connection, workspace: int) -> checkpoints.Checkpoint | None:
        """Write a checkpoint file of the committed sets; it counts only once recorded.

        For a transaction that has changed nothing in the workspace. None without a folder or if nothing is new.
        """
        if self._folder is None:
            return None
        local = self.local(connection, workspace)
        if local.wrote:
            raise RuntimeError("a checkpoint holds committed sets only; write it before the first change")
        state = local.state
        entries = {key: entry for key in state.keys("") if (entry := state.get(key)) is not None}
        for key, entry in entries.items():
            self.load(connection, workspace, key, entry)
        return checkpoints.write(connection, self._folder, workspace, state.seq, entries)

    def record_checkpoint(self, connection: sa.Connection, checkpoint: checkpoints.Checkpoint) -> bool:
        """Make a written checkpoint the one from which the next process starts; False if another was recorded first."""
        return checkpoints.record(connection, checkpoint)

    def checkpoint(self, connection: sa.Connection, workspace: int) -> bool:
        """Write and record in one transaction; True if a new checkpoint stands (once the transaction commits)."""
        written = self.write_checkpoint(connection, workspace)
        return written is not None and self.record_checkpoint(connection, written)

    def local(self, connection: sa.Connection, workspace: int) -> Local:
        """What `connection`'s present transaction sees, brought up to date at its first use."""
        transaction = connection.get_transaction()
        known = None if transaction is None else _locals.get(transaction, {}).get(workspace)
        if known is None:
            state = self._cache(workspace).at(connection, store.last_seq(connection, workspace))
            known = Local(state, seq=state.seq)
            transaction = connection.get_transaction()
            assert isinstance(transaction, sa.RootTransaction)
            with _locals_lock:
                _locals.setdefault(transaction, {})[workspace] = known
        if known.stale:
            self._read_own(connection, workspace, known)
        return known

    def local_to_write(self, connection: sa.Connection, workspace: int) -> Local:
        """As `local`, after making sure that nobody else appends to the log until this transaction ends."""
        local = self.local(connection, workspace)
        if not local.locked:
            others = store.lock(connection, workspace)
            if local.wrote:
                self._read_own(connection, workspace, local)
            elif others:
                local.state = self._cache(workspace).at(connection, store.last_seq(connection, workspace))
                local.seq = local.state.seq
            local.locked = True
        return local

    def append(self, connection: sa.Connection, workspace: int, fact: Change, delta: BitMap) -> Change:
        """Write an effective change to the log and show it to this transaction only; return it with its seq."""
        local = self.local_to_write(connection, workspace)
        local.wrote = True
        local.seq = store.append(connection, workspace, fact, delta)
        local.last = local.seq, delta
        entry = local.get(fact.key) or Entry.empty()
        local.overlay[fact.key] = entry.changed(fact.op, delta, next_uncommitted())
        return replace(fact, seq=local.seq)

    def append_all(
        self, connection: sa.Connection, workspace: int, wanted: Sequence[Wanted], at_ms: int
    ) -> list[Change | None]:
        """As `append` for those of many that change something, in their order; None for the others."""
        local = self.local_to_write(connection, workspace)
        # Entries of our own, which grow in place: nobody sees them before the rows are written.
        drafts: dict[str, Entry] = {}
        made: list[tuple[int, BitMap]] = []
        for place, (key, op, members, *_) in enumerate(wanted):
            entry = drafts.get(key)
            if entry is None:
                before = local.get(key) or Entry.empty()
                self.load(connection, workspace, key, before)
                entry = drafts[key] = before.changed("add", BitMap(), before.version)
            if delta := entry.missing(members) if op == "add" else entry.present(members):
                entry.extend(op, delta, next_uncommitted())
                made.append((place, delta))
        found: list[Change | None] = [None] * len(wanted)
        if not made:
            return found
        local.wrote = True
        rows = [(wanted[place], delta) for place, delta in made]
        seqs = store.append_all(connection, workspace, rows, at_ms)
        for seq, (place, delta) in zip(seqs, made, strict=True):
            one = wanted[place]
            found[place] = Change(seq, one.key, one.op, len(delta), one.who, one.why, at_ms, one.until_ms)
        local.seq, local.last = seqs[-1], (seqs[-1], made[-1][1])
        local.overlay.update((key, entry) for key, entry in drafts.items() if entry.version < 0)
        return found

    def members(self, connection: sa.Connection, workspace: int, key: str, entry: Entry) -> BitMap:
        """The entry's members; a damaged block of the checkpoint is rebuilt from the log."""
        self.load(connection, workspace, key, entry)
        return entry.bitmap()

    def whole(self, connection: sa.Connection, workspace: int, key: str, entry: Entry) -> BitMap | Plane:
        """The entry's members in the form that combines fastest; as `members` otherwise."""
        self.load(connection, workspace, key, entry)
        return self._planes.use((workspace, key), entry) if entry.version >= 0 else entry.whole()

    def load(self, connection: sa.Connection, workspace: int, key: str, entry: Entry) -> None:
        """Have the entry's members in memory; a damaged block of the checkpoint is rebuilt from the log."""
        if entry.loaded:
            return
        try:
            entry.load()
        except DamagedBlock as damage:
            _log.warning("checkpoint block of %s in workspace %s rebuilt from the log: %s", key, workspace, damage)
        else:
            return
        base = Entry.empty()
        for row in store.key_tail(connection, workspace, key, 0, entry.base_version):
            base = base.changed(row.op, row.members, row.seq)
        entry.mend(base.bitmap())

    def _counts(self) -> list[int]:
        with self._lock:
            return [count for cache in self._caches.values() for count in cache.counts()]

    def _cache(self, workspace: int) -> "Cache":
        with self._lock:
            return self._caches.setdefault(workspace, Cache(workspace, self._folder))

    def _read_own(self, connection: sa.Connection, workspace: int, local: Local) -> None:
        top = store.last_seq(connection, workspace)
        local.overlay = applied(local.state, store.tail(connection, workspace, local.state.seq, top))
        for entry in local.overlay.values():
            entry.version = next_uncommitted()
        local.last = None
        local.seq, local.stale = max(top, local.state.seq), False


class Cache:
    """The committed states of one workspace that this process remembers; the newest and a few before it."""

    def __init__(self, workspace: int, folder: Path | None) -> None:
        self._workspace = workspace
        self._folder = folder
        self._states: deque[State] = deque(maxlen=_KEPT_STATES)
        self._lock = threading.Lock()

    def counts(self) -> list[int]:
        """The size of each set."""
        state = self._states[-1] if self._states else State(0, {}, {})
        return [entry.count for entry in (state.base | state.recent).values()]

    def at(self, connection: sa.Connection, top: int) -> State:
        """The state after the change `top`, the newest that `connection` sees; all up to it are committed."""
        states = self._states
        if states and states[-1].seq == top:
            return states[-1]
        with self._lock:
            # A read transaction may be older than what another thread has brought in: it gets its own, older state.
            start = next((state for state in reversed(states) if state.seq <= top), None)
            newest = states[-1].seq if states else -1
            if start is None:
                seq, entries = checkpoints.load(connection, self._folder, self._workspace, top)
                start = State(seq, entries, {}, sorted(entries))
            if start.seq < top:
                tail = store.tail(connection, self._workspace, start.seq, top)
                start = start.after(top, applied(start, tail))
            if start.seq > newest:
                states.append(start)
            return start


def applied(state: State, rows: Iterable[store.Row]) -> dict[str, Entry]:
    """The entries that `rows` change, on top of `state`."""
    changed: dict[str, Entry] = {}
    for row in rows:
        entry = changed.get(row.key)
        if entry is None:
            changed[row.key] = (state.get(row.key) or Entry.empty()).changed(row.op, row.members, row.seq)
        else:
            entry.extend(row.op, row.members, row.seq)
    return changed


def next_uncommitted() -> int:
    """A version that no committed change and no other transaction of this process ever has."""
    return next(_uncommitted)
