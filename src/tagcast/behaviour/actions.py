"""Use cases of behaviour: declare, record, read, derive anew, forget."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.behaviour import history, kept, levels, packed, recording, rules, store
from tagcast.behaviour.packed import Events
from tagcast.behaviour.recording import find_type
from tagcast.behaviour.rules import EventIn, EventType, Kind
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.uow import Work

Progress = Callable[[int, int | None], None]


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
    declared = replace(before or EventType(name, purpose), purpose=purpose, properties=known | wanted)
    rules.check_type(declared)
    if declared != before:
        store.put_type(work, declared)
    return declared


def event_types(work: Work) -> dict[str, EventType]:
    """The declared types by name."""
    return store.all_types(work)


def record(work: Work, events: Sequence[EventIn], *, batch_key: str, zone: str) -> int:
    """Record events of any types; returns how many, 0 for a batch_key that was recorded before.

    An event whose own id was recorded before, or stands twice in the batch, counts once. Days are those of `zone`, the
    workspace's. Raises NotFound for an undeclared type, Invalid for an undeclared property or a value of another kind,
    an unknown contact, or a time, amount or quantity out of range, Conflict for days of another zone; then nothing is
    recorded.
    """
    by_type: dict[str, list[EventIn]] = {}
    for event in events:
        rules.check_time(event.at_ms)
        rules.check_quantity(event.quantity)
        rules.check_key(event.id)
        by_type.setdefault(event.type, []).append(event)
    declared = {name: find_type(work, name) for name in by_type}
    recording.lock(work)
    mark = recording.batch_mark("", rules.check_key(batch_key))
    own = {recording.event_mark(event) for event in events if event.id}
    known = store.known_marks(work, {mark, *own})
    if not events or mark in known:
        return 0
    packed_by_type: dict[str, Events] = {}
    marks = {mark}
    for name, some in by_type.items():
        new, theirs = recording.unseen(some, known)
        marks |= theirs
        if new:
            packed_by_type[name] = recording.columns(new)
            recording.check(work, declared[name], packed_by_type[name])
    return recording.keep(work, packed_by_type, marks, zone)


def record_packed(work: Work, name: str, batch: Events, *, batch_key: str, zone: str, ids: Sequence[str] = ()) -> int:
    """As `record`, of one type given as columns (`events(...)` makes them); the key is the type's.

    `ids`, if given, are as many as the events; "" is none.
    """
    declared = find_type(work, name)
    recording.lock(work)
    marks = {recording.batch_mark(name, batch_key)}
    if not len(batch) or store.known_marks(work, marks):
        return 0
    recording.check(work, declared, batch)
    if any(ids):
        own = [recording.id_mark(name, one) if one else b"" for one in ids]
        seen = store.known_marks(work, {mark for mark in own if mark})
        fresh = np.zeros(len(batch), dtype=np.bool_)
        for place, mark in enumerate(own):
            fresh[place] = not mark or (mark not in seen and mark not in marks)
            if mark and fresh[place]:
                marks.add(mark)
        batch = batch.where(fresh)
    return recording.keep(work, {name: batch}, marks, zone)


def rebuild(work: Work, name: str, *, zone: str, progress: Progress | None = None) -> int:
    """Derive day sets and records anew from all events, e.g. for another zone; returns the number of events.

    `progress` is told the sets written and how many there are, after the events were read.
    """
    declared = find_type(work, name)
    recording.lock(work)
    # The log if it has all: what it says of each batch is then right wherever the lake stands one day. Else what the
    # lake holds comes first, as when records are made from nothing, and the log goes on.
    stored, upto = (packed.NONE, 0) if store.holds_all(work, name, 0) else history.base(work, name)
    tail = [(entry.seq, entry.events()) for entry in store.entries(work, name, upto, None) if entry.gone is None]
    whole = packed.join([stored, *(batch for _, batch in tail)])
    fresh = np.zeros(len(whole), dtype=np.bool_)
    fresh[levels.grouped(whole, zone)[2]] = True
    at = len(stored)
    for seq, batch in tail:
        store.put_fresh(work, seq, kept.fresh_bits(fresh[at : at + len(batch)]))
        at += len(batch)
    wanted = {levels.key(name, *one): members for one, members in levels.whole(whole, zone).items()}
    found = wanted | {key: BitMap() for key in levels.keys(work, name) if key not in wanted}
    for done, (key, members) in enumerate(found.items(), start=1):
        work.bitmaps.replace(key, members, why="rebuilt")
        if progress is not None:
            progress(done, len(found))
    store.put_type(work, replace(declared, zone=zone, epoch=secrets.randbits(31)))
    return len(whole)


def forget(work: Work, number: int) -> int:
    """Delete all events of a contact; returns how many. The lake leaves them out at once and is rewritten later."""
    recording.lock(work)
    gone, one = 0, BitMap([number])
    for name in store.all_types(work):
        found = history.events(work, name, within=one).at_ms
        if not len(found):
            continue
        gone += len(found)
        for seq, batch in store.read_batches(work, name, int(found.min()), int(found.max()) + 1):
            keep = batch.contact != number
            if not keep.all():
                fresh = kept.fresh_of(store.fresh(work, seq), len(batch))[keep]
                store.rewrite_batch(work, seq, batch.where(keep), kept.fresh_bits(fresh))
        for key in levels.keys(work, name):
            work.bitmaps.remove(key, one, why="erased")
        kept.note(work, store.insert_gone(work, name, number))
    return gone


def checkpoint(work: Work, *, least: int = 1) -> int:
    """Write what is kept of contacts to files, for each type of which so many events came in; returns how many types.

    For a transaction that has recorded nothing. Without it a process begins with the whole log.
    """
    return sum(kept.checkpoint(work, declared, least=least) for declared in store.all_types(work).values())


@dataclass(frozen=True, slots=True)
class Batch:
    """Who did something in one recorded batch of events of one type."""

    seq: int
    type: str
    contacts: BitMap


def recorded_since(work: Work, seq: int, limit: int = 1000) -> list[Batch]:
    """At most `limit` batches that were recorded after the batch `seq`, oldest first; also what changed no set.

    `contacts` may be more than those who did something when the events are only in the lake any more.
    """
    return [
        Batch(found, name, _concerned(work, name, events, gone))
        for found, name, events, gone in store.batches_since(work, seq, limit)
    ]


def _concerned(work: Work, name: str, events: Events | None, gone: int | None) -> BitMap:
    if gone is not None:
        return BitMap([gone])
    if events is not None:
        return bitmaps.pack(events.contact)
    return BitMap.union(BitMap(), *(work.bitmaps.read(key) for key in levels.keys(work, name) if key.count(":") == 3))


def last_seq(work: Work) -> int:
    """The seq of the newest recorded batch, 0 before the first: where `recorded_since` will go on."""
    return store.last_seq(work)


def between(work: Work, name: str, start: date, end: date) -> BitMap:
    """The contacts that did it on any day from `start` to `end`, both included. Raises NotFound for the type."""
    find_type(work, name)
    keys = [levels.key(name, start + timedelta(days=n)) for n in range((end - start).days + 1)]
    sets = [work.bitmaps.read(key) for key in keys]
    return BitMap.union(*sets) if sets else BitMap()


def events_of(work: Work, name: str, since_ms: int | None = None, until_ms: int | None = None) -> Events:
    """The events with since ≤ at < until (epoch milliseconds) as columns, ordered by time. Raises NotFound."""
    return history.events(work, name, since_ms, until_ms)


def batch(work: Work, seq: int) -> tuple[str, Events]:
    """(type, events) of one recorded batch, as long as the log holds its events. Raises NotFound."""
    found = store.read_batch(work, seq)
    if found is None:
        raise NotFound("behaviour.no_batch", seq=seq)
    return found
