"""Use cases of behaviour: declare, record, ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.behaviour import packed, rules, store
from tagcast.behaviour.events import Recorded
from tagcast.behaviour.packed import BLOCK, Events, PerDay
from tagcast.behaviour.rules import EventIn, EventType, Kind
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.events import publish
from tagcast.kit.uow import Work

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Aggregates:
    """One row a contact that ever did it, ascending. Days since 1970-01-01, amounts in cents."""

    contact: NDArray[np.uint32]
    first_day: NDArray[np.int32]
    last_day: NDArray[np.int32]
    count: NDArray[np.uint32]
    days: NDArray[np.uint32]
    sum: NDArray[np.int64]
    first_sum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.contact)


def declare_event(
    work: Work, name: str, purpose: str, properties: Mapping[str, Kind] | Sequence[str] = ()
) -> EventType:
    """Make a type of event, or describe it anew; properties are only ever added and keep their kind.

    Properties are name → kind, or texts `name` (a text) and `name:kind`. Raises Invalid; Conflict for another kind.
    """
    before = store.all_types(work).get(name)
    known = dict(before.properties) if before is not None else {}
    wanted = dict(properties) if isinstance(properties, Mapping) else rules.parse_properties(properties)
    for one, kind in wanted.items():
        if known.get(one, kind) != kind:
            raise Conflict("behaviour.other_kind", type=name, name=one, kind=known[one])
    declared = EventType(name, purpose, known | wanted, before.zone if before is not None else "")
    rules.check_type(declared)
    if declared != before:
        store.put_type(work, declared)
    return declared


def event_types(work: Work) -> dict[str, EventType]:
    """The declared types by name."""
    return store.all_types(work)


def find_type(work: Work, name: str) -> EventType:
    """One type. Raises NotFound naming the known ones."""
    known = store.all_types(work)
    if name not in known:
        raise NotFound("behaviour.no_event_type", name=name, known=", ".join(known) or "-")
    return known[name]


def record(work: Work, events: Sequence[EventIn], *, batch_key: str, zone: str) -> int:
    """Record events of any types; returns how many, 0 for a batch_key that was recorded before.

    Days are those of `zone`, the workspace's. Raises NotFound for an undeclared type, Invalid for an undeclared
    property, an unknown contact, or a time, amount or quantity out of range; then nothing is recorded.
    """
    by_type: dict[str, list[EventIn]] = {}
    for event in events:
        rules.check_time(event.at_ms)
        rules.check_quantity(event.quantity)
        by_type.setdefault(event.type, []).append(event)
    recorded = 0
    for name, some in by_type.items():
        held = [dict(event.properties) for event in some]
        batch = packed.events(
            [event.contact for event in some],
            [event.at_ms for event in some],
            [event.amount_cents for event in some],
            [event.quantity for event in some],
            held if any(held) else None,
        )
        recorded += record_packed(work, name, batch, batch_key=batch_key, zone=zone)
    return recorded


def record_packed(work: Work, name: str, batch: Events, *, batch_key: str, zone: str) -> int:
    """Record events of one type given as columns (`events(...)` makes them); else as `record`."""
    declared = find_type(work, name)
    for one in batch.properties:
        rules.check_values(declared, one)
    _lock(work, name)
    if not len(batch) or store.has_batch(work, name, batch_key):
        return 0
    unknown = bitmaps.pack(batch.contact) - contacts.everyone(work)
    if unknown:
        raise Invalid("behaviour.unknown_contact", number=unknown.min())
    seq = store.insert_batch(work, name, batch_key, batch)
    _derive(work, name, packed.per_day(batch, zone), why=f"batch {seq}")
    publish(work, Recorded(name, seq, len(batch)))
    return len(batch)


def rebuild(work: Work, name: str, *, zone: str) -> int:
    """Derive day sets and aggregates anew from the batches, e.g. for another zone; returns the number of events."""
    find_type(work, name)
    _lock(work, name)
    whole = packed.join([batch for _, batch in store.read_batches(work, name, None, None)])
    store.drop_blocks(work, name)
    days = packed.per_day(whole, zone)
    wanted = _by_day(days)
    for key in work.bitmaps.keys(f"event:{name}:day:"):
        if key not in {day_key(name, day) for day in wanted}:
            work.bitmaps.replace(key, BitMap(), why="rebuilt")
    for day, members in wanted.items():
        work.bitmaps.replace(day_key(name, day), members, why="rebuilt")
    _fold(work, name, days, np.ones(len(days.contact), dtype=np.bool_))
    return len(whole)


def forget(work: Work, number: int, *, zone: str) -> int:
    """Delete all events of a contact; returns how many."""
    gone = 0
    for name in store.all_types(work):
        before = gone
        for seq, batch in store.read_batches(work, name, None, None):
            keep = batch.contact != number
            if not keep.all():
                store.rewrite_batch(work, seq, batch.where(keep))
                gone += int((~keep).sum())
        if gone > before:
            rebuild(work, name, zone=zone)
    return gone


@dataclass(frozen=True, slots=True)
class Batch:
    """Who did something in one recorded batch of events of one type."""

    seq: int
    type: str
    contacts: BitMap


def recorded_since(work: Work, seq: int, limit: int = 1000) -> list[Batch]:
    """At most `limit` batches that were recorded after the batch `seq`, oldest first; also what changed no set."""
    return [
        Batch(found, name, bitmaps.pack(events.contact))
        for found, name, events in store.batches_since(work, seq, limit)
    ]


def last_seq(work: Work) -> int:
    """The seq of the newest recorded batch, 0 before the first: where `recorded_since` will go on."""
    return store.last_seq(work)


def between(work: Work, name: str, start: date, end: date) -> BitMap:
    """The contacts that did it on any day from `start` to `end`, both included. Raises NotFound for the type."""
    find_type(work, name)
    keys = [day_key(name, start + timedelta(days=n)) for n in range((end - start).days + 1)]
    sets = [work.bitmaps.read(key) for key in keys]
    return BitMap.union(*sets) if sets else BitMap()


def at_least(work: Work, name: str, times: int, window: tuple[date, date], *, zone: str) -> BitMap:
    """The contacts with at least `times` events on the days of `window`, both ends included."""
    start, end = window
    if times <= 1:
        return between(work, name, start, end)
    find_type(work, name)
    # A day begins at most 14 hours before and ends at most 14 hours after the UTC day of the same name.
    near = events_of(work, name, _utc_ms(start) - 86_400_000, _utc_ms(end) + 2 * 86_400_000)
    day = packed.local_days(near.at_ms, zone)
    inside = (day >= (start - _EPOCH).days) & (day <= (end - _EPOCH).days)
    who, count = np.unique(near.contact[inside], return_counts=True)
    return bitmaps.pack(who[count >= times])


def events_of(work: Work, name: str, since_ms: int | None = None, until_ms: int | None = None) -> Events:
    """The events with since ≤ at < until (epoch milliseconds) as columns, ordered by time. Raises NotFound."""
    find_type(work, name)
    parts = []
    for _, batch in store.read_batches(work, name, since_ms, until_ms):
        mask = np.ones(len(batch), dtype=np.bool_)
        if since_ms is not None:
            mask &= batch.at_ms >= since_ms
        if until_ms is not None:
            mask &= batch.at_ms < until_ms
        parts.append(batch.where(mask))
    found = packed.join([part for part in parts if len(part)])
    order = np.argsort(found.at_ms, kind="stable")
    held = [found.properties[index] for index in order.tolist()] if found.properties else []
    return Events(found.contact[order], found.at_ms[order], found.amount[order], found.quantity[order], held)


def batch(work: Work, seq: int) -> tuple[str, Events]:
    """(type, events) of one recorded batch. Raises NotFound."""
    found = store.read_batch(work, seq)
    if found is None:
        raise NotFound("behaviour.no_batch", seq=seq)
    return found


def aggregates(work: Work, name: str, *, until: date | None = None, zone: str = "UTC") -> Aggregates:
    """Per contact: first and last day, events, distinct days, cents. `until` leaves out later days (of `zone`).

    Without `until`, or when nothing is later, the kept aggregates answer; else the batches are read. Raises NotFound.
    """
    find_type(work, name)
    found = _kept(work, name)
    if until is None or not len(found) or int(found.last_day.max()) <= (until - _EPOCH).days:
        return found
    whole = packed.join([one for _, one in store.read_batches(work, name, None, None)])
    early = whole.where(packed.local_days(whole.at_ms, zone) <= (until - _EPOCH).days)
    days = packed.per_day(early, zone)
    return _shown(*packed.summarise(days, np.ones(len(days.contact), dtype=np.bool_)))


def day_key(name: str, day: date) -> str:
    """The key of the contacts who did it on a day."""
    return f"event:{name}:day:{day:%Y%m%d}"


def _lock(work: Work, name: str) -> None:
    """Be the only one that derives state: adding nobody takes the right to write sets until the transaction ends."""
    work.bitmaps.add(f"event:{name}", BitMap(), why="")


def _kept(work: Work, name: str) -> Aggregates:
    numbers, rows = [], []
    for block, state in store.read_blocks(work, name):
        there = np.flatnonzero(state["count"])
        numbers.append((there + block * BLOCK).astype(np.uint32))
        rows.append(state[there])
    if not rows:
        return _shown(np.empty(0, np.uint32), np.empty(0, packed.AGGREGATE))
    return _shown(np.concatenate(numbers), np.concatenate(rows))


def _shown(contact: NDArray[np.uint32], rows: NDArray[np.void]) -> Aggregates:
    return Aggregates(contact, *(np.ascontiguousarray(rows[name]) for name in packed.AGGREGATE.names or ()))


def _by_day(days: PerDay) -> dict[date, BitMap]:
    order = np.argsort(days.day, kind="stable")
    found, starts = np.unique(days.day[order], return_index=True)
    parts = np.split(days.contact[order], starts[1:])
    return {_EPOCH + timedelta(days=day): bitmaps.pack(part) for day, part in zip(found.tolist(), parts, strict=False)}


def _derive(work: Work, name: str, days: PerDay, *, why: str) -> None:
    new = np.ones(len(days.contact), dtype=np.bool_)
    for day, members in _by_day(days).items():
        key = day_key(name, day)
        seen = members & work.bitmaps.read(key)
        if seen:
            here = days.day == (day - _EPOCH).days
            new[np.flatnonzero(here)] = ~np.isin(days.contact[here], bitmaps.unpack(seen))
        work.bitmaps.add(key, members, why=why)
    _fold(work, name, days, new)


def _fold(work: Work, name: str, days: PerDay, new: NDArray[np.bool_]) -> None:
    who, more = packed.summarise(days, new)
    concerned = who // BLOCK
    wanted = np.unique(concerned).tolist()
    before = dict(store.read_blocks(work, name, wanted))
    after: dict[int, NDArray[np.void]] = {}
    for block in wanted:
        state = before.get(block, store.empty_block()).copy()
        here = slice(*np.searchsorted(concerned, [block, block + 1]))
        at = who[here] % BLOCK
        state[at] = packed.fold(state[at], more[here])
        after[block] = state
    store.write_blocks(work, name, after)


def _utc_ms(day: date) -> int:
    return (day - _EPOCH).days * 86_400_000
