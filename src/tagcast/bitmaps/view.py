"""The sets of one workspace as one transaction sees them, and the verbs that change them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps import store
from tagcast.bitmaps.entries import Entry
from tagcast.bitmaps.memory import Results, taken
from tagcast.bitmaps.planes import Plane
from tagcast.bitmaps.records import AlreadyUndone, Change, Difference, Only, Op, UnknownChange, Wanted
from tagcast.bitmaps.store import Row

if TYPE_CHECKING:
    from tagcast.bitmaps.cache import Bitmaps, Local

_LIGHT_MOST = 1 << 16
"""Bytes of a set up to which to combine it costs less than to plan how."""
_LIGHT_KEYS = 100_000


class View:
    """Bound to a connection: it reads what was committed when its transaction first looked, and its own changes.

    Times are epoch milliseconds (UTC). `why` is free text for people; `who` is whoever the view was made for.
    """

    def __init__(self, owner: "Bitmaps", connection: sa.Connection, workspace: int, *, who: str, at_ms: int) -> None:
        self._owner = owner
        self._connection = connection
        self._workspace = workspace
        self._who = who
        self._at_ms = at_ms
        self._transaction: sa.RootTransaction | None = None
        self._seen: Local | None = None

    def read(self, key: str) -> BitMap:
        """The key's members, empty for an unknown key. Shared with others: never mutate it."""
        entry = self._local().get(key)
        return BitMap() if entry is None else self._members(key, entry)

    def whole(self, key: str) -> BitMap | Plane:
        """The key's members in the form that combines fastest. Shared with others: never mutate it."""
        entry = self._local().get(key)
        if entry is None:
            return BitMap()
        settled = entry.settled
        return self._owner.whole(self._connection, self._workspace, key, entry) if settled is None else settled

    def light(self) -> dict[str, BitMap] | None:
        """The sets that take little memory, as far as `lighten` put them there. None after a change made here."""
        local = self._local()
        return None if local.overlay else local.state.light

    def lighten(self, key: str) -> bool:
        """Put the key's members among the light ones; False if they are not light."""
        state, whole = self._local().state, self.whole(key)
        entry = state.get(key)
        if entry is not None and (entry.settled is None or taken(entry.settled) > _LIGHT_MOST):
            return False
        if len(state.light) >= _LIGHT_KEYS:
            return False
        assert isinstance(whole, BitMap)
        state.light[key] = whole
        return True

    def plane(self, key: str) -> Plane:
        """The key's members as a plane, whatever its form. Shared with others."""
        whole = self.whole(key)
        if isinstance(whole, Plane):
            return whole
        version, results = self.version(key), self.results
        known = results.get(of := (self.workspace, key, version))
        if isinstance(known, Plane):
            return known
        plane = Plane.union([whole])
        if version >= 0:
            results.put(of, plane)
        return plane

    @property
    def workspace(self) -> int:
        """Whose sets these are."""
        return self._workspace

    @property
    def results(self) -> Results:
        """What the process remembers of results, of all workspaces."""
        return self._owner.results

    def count(self, key: str) -> int:
        """How many members the key has; cheaper than reading them."""
        entry = self._local().get(key)
        return 0 if entry is None else entry.count

    def present(self, key: str, members: BitMap) -> BitMap:
        """Those of `members` that the key has; costs what they cost, while a set is being changed again and again."""
        entry = self._local().get(key)
        if entry is None:
            return BitMap()
        self._owner.load(self._connection, self._workspace, key, entry)
        return entry.present(members)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix` and have members, sorted."""
        local = self._local()
        found = local.state.keys(prefix) | {key for key in local.overlay if key.startswith(prefix)}
        return sorted(key for key in found if (entry := local.get(key)) is not None and entry.count)

    def version(self, key: str) -> int:
        """A number that stands for the key's present members: equal numbers of one key mean equal sets.

        It is the seq of the key's last change, or 0. A change of this transaction has a negative number that this
        process never gives again, because its seq may be given again if the transaction fails.
        """
        entry = self._local().get(key)
        return 0 if entry is None else entry.version

    def versions(self, keys: Iterable[str]) -> tuple[int, ...]:
        """The version of each key, as `version` says it."""
        return tuple([self.version(key) for key in keys])

    def moment(self) -> int | None:
        """A number that stands for all sets: while it is the same, none has changed. None after a change made here."""
        local = self._local()
        return None if local.wrote or local.overlay else local.state.seq

    def last_seq(self) -> int:
        """The seq of the newest change that this transaction sees, 0 if there is none."""
        return self._local().seq

    def changes_since(self, seq: int, *, limit: int) -> list[Row]:
        """The changes of all keys after `seq`, oldest first, at most `limit`; members are the caller's own."""
        return list(store.tail(self._connection, self._workspace, seq, self.last_seq(), limit=limit))

    def acting(self, who: str) -> "View":
        """The same sets in the same transaction; what is changed through it is changed by `who`."""
        return View(self._owner, self._connection, self._workspace, who=who, at_ms=self._at_ms)

    def add(self, key: str, members: BitMap, *, why: str, until_ms: int | None = None) -> Change | None:
        """Add those of `members` that are missing; None, and nothing recorded, if none is. `until_ms` is only noted."""
        delta = self._to_write(key).missing(members)
        return self._record(key, "add", delta, why=why, until_ms=until_ms)

    def remove(self, key: str, members: BitMap, *, why: str) -> Change | None:
        """Remove those of `members` that are there; None, and nothing recorded, if none is."""
        delta = self._to_write(key).present(members)
        return self._record(key, "remove", delta, why=why)

    def change_all(self, wanted: Sequence[Wanted]) -> list[Change | None]:
        """As `add` and `remove` one after the other, in a few statements; what became of each."""
        return self._owner.append_all(self._connection, self._workspace, wanted, self._at_ms)

    def replace(self, key: str, members: BitMap, *, why: str) -> tuple[Change, ...] | None:
        """Make the key hold exactly `members`: at most one removal and one addition; None if it already does."""
        self._to_write(key)
        removed = self._record(key, "remove", self.read(key) - members, why=why)
        added = self._record(key, "add", members - self.read(key), why=why)
        return tuple(change for change in (removed, added) if change is not None) or None

    def undo(self, seq: int, *, why: str, but: BitMap | None = None) -> Change | None:
        """Take back what still stands of one change: its members that no later change of the key has touched.

        Members in `but` are left as they are. None if nothing stands any more. Undoing an undo brings the change back.
        Raises UnknownChange, AlreadyUndone.
        """
        local = self._owner.local_to_write(self._connection, self._workspace)
        change = self.change(seq)
        by = store.undone_by(self._connection, self._workspace, seq)
        if by is not None:
            raise AlreadyUndone(f"change {seq} was undone by change {by}")
        standing = self.members(seq)
        for row in store.key_tail(self._connection, self._workspace, change.key, seq, local.seq):
            standing -= row.members
        if but is not None:
            standing -= but
        op: Op = "remove" if change.op == "add" else "add"
        return self._record(change.key, op, standing, why=why, undoes=seq)

    def change(self, seq: int) -> Change:
        """One change by its seq. Raises UnknownChange."""
        found = store.find(self._connection, self._workspace, seq)
        if found is None:
            raise UnknownChange(f"workspace {self._workspace} has no change {seq}")
        return found

    def members(self, seq: int) -> BitMap:
        """The members that one change added or removed, as a set of the caller's own. Raises UnknownChange."""
        last = self._local().last
        if last is not None and last[0] == seq:
            return last[1].copy()
        found = store.members(self._connection, self._workspace, seq)
        if found is None:
            raise UnknownChange(f"workspace {self._workspace} has no change {seq}")
        return found

    def history(
        self, key: str, *, limit: int = 100, before: int | None = None, only: Only | None = None
    ) -> list[Change]:
        """The key's changes, newest first; `before` (a seq) continues an earlier page, `only` chooses among them."""
        return store.history(self._connection, self._workspace, key, limit=limit, before=before, only=only or Only())

    def changes_of(self, key_prefix: str, member: int) -> list[Change]:
        """All changes of keys beginning with `key_prefix` that added or removed `member`, newest first."""
        return store.changes_of(self._connection, self._workspace, key_prefix, member)

    def last_change(self, key: str, member: int, *, below: bool = False) -> Change | None:
        """The newest change of the key, with `below` of any key that begins with it, that touched `member`."""
        return store.last_change(self._connection, self._workspace, key, member, below=below)

    def as_of(self, key: str, at_ms: int) -> BitMap:
        """The members after the key's last change at or before `at_ms`, as a set of the caller's own."""
        return self.as_of_seq(key, store.seq_at(self._connection, self._workspace, key, at_ms))

    def as_of_seq(self, key: str, seq: int) -> BitMap:
        """The members after the change `seq`, as a set of the caller's own."""
        members = self.read(key).copy()
        seen = self._local().seq
        for row in reversed(list(store.key_tail(self._connection, self._workspace, key, seq, seen))):
            if row.op == "add":
                members -= row.members
            else:
                members |= row.members
        return members

    def diff(self, key: str, from_ms: int, to_ms: int) -> Difference:
        """Who came and who left between two moments; who came and left again is in neither."""
        before, after = self.as_of(key, from_ms), self.as_of(key, to_ms)
        return Difference(added=after - before, removed=before - after)

    def _local(self) -> "Local":
        """What the present transaction sees; asked of the owner once a transaction, for each leaf needs it."""
        transaction = self._connection.get_transaction()
        if self._seen is None or transaction is None or transaction is not self._transaction or self._seen.stale:
            self._seen = self._owner.local(self._connection, self._workspace)
            found = self._connection.get_transaction()
            self._transaction = found if isinstance(found, sa.RootTransaction) else None
        return self._seen

    def _members(self, key: str, entry: Entry) -> BitMap:
        return self._owner.members(self._connection, self._workspace, key, entry)

    def _to_write(self, key: str) -> Entry:
        """The key's entry, loaded, after taking the right to append."""
        entry = self._owner.local_to_write(self._connection, self._workspace).get(key) or Entry.empty()
        self._owner.load(self._connection, self._workspace, key, entry)
        return entry

    def _record(
        self, key: str, op: Op, delta: BitMap, *, why: str, until_ms: int | None = None, undoes: int | None = None
    ) -> Change | None:
        """Append an effective change and show it to this transaction."""
        if not delta:
            return None
        fact = Change(0, key, op, len(delta), self._who, why, self._at_ms, until_ms, undoes)
        return self._owner.append(self._connection, self._workspace, fact, delta)
