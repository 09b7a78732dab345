"""How events are recorded: what was seen before is left out, the rest is one row of the log a type, with its sets.

All that a transaction records goes through `keep`: its sets, its row and the marks of its keys are committed together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyroaring import BitMap

from tagcast import bitmaps, contacts
from tagcast.behaviour import kept, levels, packed, rules, store
from tagcast.behaviour.events import Recorded
from tagcast.behaviour.packed import Events
from tagcast.behaviour.rules import EventIn, EventType
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.events import publish
from tagcast.kit.uow import Work


def find_type(work: Work, name: str) -> EventType:
    """One type. Raises NotFound naming the known ones."""
    known = store.all_types(work)
    if name not in known:
        raise NotFound("behaviour.no_event_type", name=name, known=", ".join(known) or "-")
    return known[name]


def lock(work: Work) -> None:
    """Be the only one that derives state: adding nobody takes the right to write sets until the transaction ends."""
    work.bitmaps.add("event:", BitMap(), why="")


def batch_mark(name: str, batch_key: str) -> bytes:
    """What stands for a batch key; of one type, or of a whole request under the name ""."""
    return _mark("batch", name, batch_key)


def event_mark(event: EventIn) -> bytes:
    """What stands for an event's own id within its type."""
    return id_mark(event.type, event.id)


def id_mark(name: str, text: str) -> bytes:
    """What stands for an event's own id within its type."""
    return _mark("event", name, text)


def columns(events: Sequence[EventIn]) -> Events:
    """Events of one type as columns."""
    held = [dict(event.properties) for event in events]
    return packed.events(
        [event.contact for event in events],
        [event.at_ms for event in events],
        [event.amount_cents for event in events],
        [event.quantity for event in events],
        held if any(held) else None,
    )


def unseen(events: Iterable[EventIn], known: set[bytes]) -> tuple[list[EventIn], set[bytes]]:
    """The events whose id is not `known` and stands for the first time here, and the marks of their ids."""
    found: list[EventIn] = []
    marks: set[bytes] = set()
    for event in events:
        if event.id:
            mark = event_mark(event)
            if mark in known or mark in marks:
                continue
            marks.add(mark)
        found.append(event)
    return found, marks


def check(work: Work, declared: EventType, batch: Events) -> None:
    """Raises Invalid for an undeclared property, a value of another kind, a contact that is not there or a bad time."""
    for one in batch.properties:
        rules.check_values(declared, one)
    for moment in (int(batch.at_ms.min()), int(batch.at_ms.max())):
        rules.check_time(moment)
    rules.check_quantity(int(batch.quantity.min()))
    rules.check_quantity(int(batch.quantity.max()))
    unknown = bitmaps.pack(batch.contact) - contacts.everyone(work)
    if unknown:
        raise Invalid("behaviour.unknown_contact", number=unknown.min())


def keep(work: Work, by_type: Mapping[str, Events], marks: set[bytes], zone: str) -> int:
    """Record checked events whose marks are not known; the lock is held. Returns how many events.

    Raises Conflict when the days of a type are those of another zone.
    """
    types = store.all_types(work)
    store.insert_marks(work, sorted(marks))
    for name, batch in by_type.items():
        if not len(batch):
            continue
        declared = types[name]
        rules.check_zone(declared, zone)
        if not declared.zone:
            store.put_type(work, replace(declared, zone=zone))
        fresh = levels.derive(work, name, batch, zone, why="events")
        seq = store.insert_batch(work, name, batch, kept.fresh_bits(fresh))
        kept.note(work, seq)
        publish(work, Recorded(name, seq, len(batch)))
    return sum(map(len, by_type.values()))


def _mark(kind: str, name: str, text: str) -> bytes:
    return bytes.fromhex(digest(kind, name, text))[:16]
