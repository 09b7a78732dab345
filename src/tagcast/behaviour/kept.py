"""What is kept of each contact and type: first and last day, events, distinct days, sums.

The records follow the log of batches: before anyone reads them, the rows after their mark are replayed. What this
transaction recorded itself is not in the shared records before it is committed; it sees it on a copy.
"""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from tagcast.behaviour import history, levels, packed, store
from tagcast.behaviour.packed import Events
from tagcast.behaviour.rules import EventType
from tagcast.behaviour.store import Entry
from tagcast.columns import Damaged, Mark, Records
from tagcast.kit.uow import Work

FIELDS = {"first": "<u4", "last": "<u4", "count": "<u4", "days": "<u4", "sum": "<i8", "first_sum": "<i8"}
"""Days are kept so that 0 stands for none and more wins: `last` = day + 1, `first` = 2^20 - day."""

FAR = 1 << 20
_TOGETHER = 400_000
_AT_ONCE = 1 << 40
_own: weakref.WeakKeyDictionary[sa.RootTransaction, dict[int, int]] = weakref.WeakKeyDictionary()
_own_lock = threading.Lock()

_RANGE = 1 << 21


def note(work: Work, seq: int) -> None:
    """Remember that this transaction wrote rows of the log from `seq` on, which are nobody else's before it commits."""
    transaction = work.connection.get_transaction()
    assert isinstance(transaction, sa.RootTransaction)
    with _own_lock:
        mine = _own.setdefault(transaction, {})
        mine[work.workspace] = min(seq, mine.get(work.workspace, seq))


@contextmanager
def records(work: Work, declared: EventType) -> Iterator[Records]:
    """The records of a type as this transaction sees them, for the caller alone while the block lasts."""
    transaction = work.connection.get_transaction()
    own = None if transaction is None else _own.get(transaction, {}).get(work.workspace)
    with work.columns.records(work.workspace, f"events-{declared.name}", FIELDS) as shared:
        _mended(work, declared, shared, own)
        if own is None:
            yield shared
            return
        seen = shared.copy()
    _replay(work, declared, seen, (own - 1, None))
    yield seen


def _mended(work: Work, declared: EventType, shared: Records, own: int | None) -> None:
    """Bring the shared records up to date; a damaged checkpoint is replaced by a replay of the whole log."""
    try:
        _catch_up(work, declared, shared, own)
        for name in FIELDS:
            shared.column(name)
    except Damaged:
        shared.reset(declared.epoch)
        _refill(work, declared, shared)
        _catch_up(work, declared, shared, own)


def _catch_up(work: Work, declared: EventType, shared: Records, own: int | None) -> None:
    # A rebuild names its epoch at random: that of one that was rolled back is never met again.
    if shared.mark.epoch != declared.epoch:

        def known(mark: Mark) -> bool:
            return (own is None or mark.seq < own) and store.stamp_of(work, mark.seq) == mark.stamp

        shared.load(declared.epoch, known)
        if not shared.mark.seq:
            _refill(work, declared, shared)
    _replay(work, declared, shared, (shared.mark.seq, own))


def _refill(work: Work, declared: EventType, into: Records) -> None:
    """Begin with what the lake holds: of that the log may have let go. The columns stay in memory meanwhile."""
    found, upto = history.base(work, declared.name)
    if not upto:
        return
    top = int(found.contact.max()) if len(found) else 0
    for low in range(0, top + 1, _RANGE):
        part = found.where((found.contact >= low) & (found.contact < low + _RANGE)) if top >= _RANGE else found
        fresh = np.zeros(len(part), dtype=np.bool_)
        fresh[levels.grouped(part, declared.zone)[2]] = True
        apply(into, part, fresh, declared.zone)
    seq, stamp = store.newest(work, declared.name, upto)
    into.mark = Mark(declared.epoch, seq, stamp)
    into.entries += len(found)


def _replay(work: Work, declared: EventType, into: Records, span: tuple[int, int | None]) -> None:
    """Bring the rows with after < seq < before into the records, many at a time."""
    after, before = span
    waiting: list[Entry] = []
    rows = 0
    for entry in store.entries(work, declared.name, after, before):
        if entry.payload is None:
            # The log let go of it since the checkpoint was written.
            into.reset(declared.epoch)
            _refill(work, declared, into)
            _replay(work, declared, into, (into.mark.seq, before))
            return
        waiting.append(entry)
        rows += len(entry.fresh or b"") * 8
        if entry.gone is not None or rows > _TOGETHER:
            _apply_entries(declared, into, waiting)
            waiting, rows = [], 0
    _apply_entries(declared, into, waiting)


def _apply_entries(declared: EventType, into: Records, waiting: list[Entry]) -> None:
    if not waiting:
        return
    parts = [entry.events() for entry in waiting if entry.gone is None]
    marks = [fresh_of(entry.fresh, len(part)) for entry, part in zip(waiting, parts, strict=False)]
    if parts:
        apply(into, packed.join(parts), np.concatenate(marks), declared.zone)
    last = waiting[-1]
    if last.gone is not None and last.gone < into.size:
        for name in FIELDS:
            into.column(name)[last.gone] = 0
    into.mark = Mark(declared.epoch, last.seq, last.stamp)
    # The checkpoint still has who was erased, so it is to be replaced soon.
    into.entries += sum(map(len, parts)) if last.gone is None else _AT_ONCE


def apply(into: Records, batch: Events, fresh: NDArray[np.bool_], zone: str) -> None:
    """Count events in; `fresh`: the first of its contact on that day. In any order of time."""
    if not len(batch):
        return
    into.reserve(int(batch.contact.max()) + 1)
    first, last, first_sum = into.column("first"), into.column("last"), into.column("first_sum")
    who = batch.contact.astype(np.intp)
    day = packed.local_days(batch.at_ms, zone).astype(np.uint32)
    early = FAR - day
    before = first[who]
    np.maximum.at(first, who, early)
    after = first[who]
    # Whose first day moved begins its sum anew.
    first_sum[who[after > before]] = 0
    here = early == after
    np.add.at(first_sum, who[here], batch.amount[here])
    np.maximum.at(last, who, day + 1)
    np.add.at(into.column("count"), who, np.uint32(1))
    np.add.at(into.column("days"), who[fresh], np.uint32(1))
    np.add.at(into.column("sum"), who, batch.amount)


def checkpoint(work: Work, declared: EventType, *, least: int = 1) -> bool:
    """Write a checkpoint if so many events came in since the last one. For a transaction that recorded nothing."""
    with records(work, declared) as found:
        if found.entries < least:
            return False
        found.write()
        return True


def fresh_bits(fresh: NDArray[np.bool_]) -> bytes:
    """A bit an event."""
    return np.packbits(fresh).tobytes()


def fresh_of(data: bytes | None, rows: int) -> NDArray[np.bool_]:
    """What `fresh_bits` wrote."""
    return np.unpackbits(np.frombuffer(data or b"", dtype=np.uint8), count=rows).astype(np.bool_)
