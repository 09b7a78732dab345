"""All SQL of behaviour."""

import secrets
import threading
import weakref
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from typing import cast

import sqlalchemy as sa

from tagcast.behaviour import packed
from tagcast.behaviour.packed import Events
from tagcast.behaviour.rules import EventType
from tagcast.behaviour.tables import batches, event_types, seen
from tagcast.kit import db
from tagcast.kit.uow import Work

_t = batches.c
_PARAMETERS = 500
_types: weakref.WeakKeyDictionary[sa.RootTransaction, dict[int, dict[str, EventType]]] = weakref.WeakKeyDictionary()
_types_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log of a type; `payload` is None when its events are only in the lake."""

    seq: int
    stamp: int
    payload: bytes | None
    fresh: bytes | None
    gone: int | None

    def events(self) -> Events:
        """The events of the row. For one with a payload."""
        assert self.payload is not None
        return packed.decode(self.payload)


@dataclass(frozen=True, slots=True)
class Line:
    """What a row of the log of a type is about, without its events; `held`: they are here."""

    seq: int
    stamp: int
    rows: int
    gone: int | None
    held: bool


def all_types(work: Work) -> dict[str, EventType]:
    """The declared types by name, sorted."""
    table = event_types.c
    query = sa.select(table.name, table.purpose, table.properties, table.zone, table.epoch)
    rows = work.connection.execute(query.where(table.workspace == work.workspace).order_by(table.name))
    return {row.name: EventType(row.name, row.purpose, dict(row.properties), row.zone, row.epoch) for row in rows}


def types_once(work: Work) -> dict[str, EventType]:
    """As `all_types`, read once a transaction: for whoever asks many questions and records nothing.

    Who records reads them when nobody else may change them any more.
    """
    transaction = work.connection.get_transaction()
    assert isinstance(transaction, sa.RootTransaction)
    with _types_lock:
        known = _types.setdefault(transaction, {})
    if work.workspace not in known:
        known[work.workspace] = all_types(work)
    return known[work.workspace]


def put_type(work: Work, declared: EventType) -> None:
    """Insert a type or overwrite its description."""
    with _types_lock:
        _types.pop(cast(sa.RootTransaction, work.connection.get_transaction()), None)
    row = {
        "workspace": work.workspace,
        "name": declared.name,
        "purpose": declared.purpose,
        "properties": dict(declared.properties),
        "zone": declared.zone,
        "epoch": declared.epoch,
        "created_at": work.now_ms,
    }
    db.upsert(work.connection, event_types, [row], ["workspace", "name"])


def known_marks(work: Work, marks: Collection[bytes]) -> set[bytes]:
    """Those of `marks` that were recorded."""
    found: set[bytes] = set()
    asked = list(marks)
    for at in range(0, len(asked), _PARAMETERS):
        query = sa.select(seen.c.mark).where(
            seen.c.workspace == work.workspace, seen.c.mark.in_(asked[at : at + _PARAMETERS])
        )
        found.update(bytes(mark) for mark in work.connection.scalars(query))
    return found


def insert_marks(work: Work, marks: Collection[bytes]) -> None:
    """Remember marks, none of which is known."""
    db.insert_many(work.connection, seen, [{"workspace": work.workspace, "mark": mark} for mark in marks])


def insert_batch(work: Work, name: str, batch: Events, fresh: bytes) -> int:
    """A new batch's seq."""
    span = (int(batch.at_ms.min()), int(batch.at_ms.max()))
    return _insert(work, name, span, rows=len(batch), payload=packed.encode(batch), fresh=fresh)


def insert_gone(work: Work, name: str, number: int) -> int:
    """The seq of the note that a contact's events were deleted."""
    return _insert(work, name, (work.now_ms, work.now_ms), rows=0, payload=packed.encode(packed.NONE), gone=number)


def _insert(work: Work, name: str, span: tuple[int, int], **values: object) -> int:
    row = {"workspace": work.workspace, "type": name, "first_ms": span[0], "last_ms": span[1], **values}
    made = work.connection.execute(
        sa.insert(batches).values(**row, stamp=secrets.randbits(62), created_at=work.now_ms)
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def read_batch(work: Work, seq: int) -> tuple[str, Events] | None:
    """(type, events) of one batch; None when there is none or its events are only in the lake."""
    query = sa.select(_t.type, _t.payload).where(_t.workspace == work.workspace, _t.seq == seq)
    row = work.connection.execute(query).one_or_none()
    return None if row is None or row.payload is None else (row.type, packed.decode(row.payload))


def read_batches(work: Work, name: str, since_ms: int | None, until_ms: int | None) -> Iterator[tuple[int, Events]]:
    """(seq, events) of the batches here that may hold events in [since, until), oldest first."""
    query = sa.select(_t.seq, _t.payload).where(_t.workspace == work.workspace, _t.type == name)
    if since_ms is not None:
        query = query.where(_t.last_ms >= since_ms)
    if until_ms is not None:
        query = query.where(_t.first_ms < until_ms)
    for row in work.connection.execute(query.where(_t.payload.is_not(None), _t.rows > 0).order_by(_t.seq)):
        yield row.seq, packed.decode(row.payload)


def batches_since(work: Work, seq: int, limit: int) -> list[tuple[int, str, Events | None, int | None]]:
    """(seq, type, events, contact gone) of at most `limit` rows after `seq`; no events when only the lake has them."""
    query = sa.select(_t.seq, _t.type, _t.payload, _t.gone).where(_t.workspace == work.workspace, _t.seq > seq)
    return [
        (row.seq, row.type, None if row.payload is None else packed.decode(row.payload), row.gone)
        for row in work.connection.execute(query.order_by(_t.seq).limit(limit))
    ]


def entries(
    work: Work, name: str, after: int, before: int | None, *, span: tuple[int | None, int | None] = (None, None)
) -> Generator[Entry, None, None]:
    """The log of a type with after < seq < before, oldest first; without batches that have no event of `span`."""
    query = sa.select(_t.seq, _t.stamp, _t.payload, _t.fresh, _t.gone)
    query = query.where(_t.workspace == work.workspace, _t.type == name, _t.seq > after)
    if before is not None:
        query = query.where(_t.seq < before)
    first, last = span
    if first is not None:
        query = query.where(_t.last_ms >= first)
    if last is not None:
        query = query.where(_t.first_ms <= last)
    # A reader may stop before the end; the cursor must not stay open then.
    with work.connection.execute(query.order_by(_t.seq), execution_options={"yield_per": 64}) as found:
        for row in found:
            yield Entry(row.seq, row.stamp, row.payload, row.fresh, row.gone)


def lines(work: Work, name: str, after: int) -> list[Line]:
    """The rows of the log of a type after a seq, oldest first."""
    query = sa.select(_t.seq, _t.stamp, _t.rows, _t.gone, _t.payload.is_not(None).label("held"))
    query = query.where(_t.workspace == work.workspace, _t.type == name, _t.seq > after).order_by(_t.seq)
    return [Line(row.seq, row.stamp, row.rows, row.gone, bool(row.held)) for row in work.connection.execute(query)]


def first_after(work: Work, name: str, seq: int) -> int | None:
    """The first row's seq of a type after one; None without."""
    query = sa.select(sa.func.min(_t.seq)).where(_t.workspace == work.workspace, _t.type == name, _t.seq > seq)
    found = work.connection.scalar(query)
    return None if found is None else int(found)


def count_after(work: Work, name: str, seq: int) -> int:
    """How many rows of a type come after a seq."""
    query = sa.select(sa.func.count()).where(_t.workspace == work.workspace, _t.type == name, _t.seq > seq)
    return int(work.connection.execute(query).scalar_one())


def last_seq(work: Work) -> int:
    """The newest row's seq that is visible here, 0 without one."""
    query = sa.select(sa.func.coalesce(sa.func.max(_t.seq), 0)).where(_t.workspace == work.workspace)
    return int(work.connection.execute(query).scalar_one())


def stamp_of(work: Work, seq: int) -> int | None:
    """The stamp of one row of the log."""
    found = work.connection.scalar(sa.select(_t.stamp).where(_t.workspace == work.workspace, _t.seq == seq))
    return None if found is None else int(found)


def stamps_of(work: Work, seqs: Collection[int]) -> dict[int, int]:
    """The stamps of those rows of the log that there are."""
    found: dict[int, int] = {}
    asked = list(seqs)
    for at in range(0, len(asked), _PARAMETERS):
        query = sa.select(_t.seq, _t.stamp).where(
            _t.workspace == work.workspace, _t.seq.in_(asked[at : at + _PARAMETERS])
        )
        found.update((row.seq, row.stamp) for row in work.connection.execute(query))
    return found


def holds_all(work: Work, name: str, after: int) -> bool:
    """Whether the log still has the events of all rows of a type after a seq."""
    query = sa.select(_t.seq).where(_t.workspace == work.workspace, _t.type == name, _t.seq > after)
    return work.connection.execute(query.where(_t.payload.is_(None)).limit(1)).first() is None


def newest(work: Work, name: str, upto: int | None = None) -> tuple[int, int]:
    """(seq, stamp) of the newest row of a type's log, or of the newest up to a seq; (0, 0) without one."""
    query = sa.select(_t.seq, _t.stamp).where(_t.workspace == work.workspace, _t.type == name)
    if upto is not None:
        query = query.where(_t.seq <= upto)
    row = work.connection.execute(query.order_by(_t.seq.desc()).limit(1)).first()
    return (0, 0) if row is None else (row.seq, row.stamp)


def put_fresh(work: Work, seq: int, fresh: bytes) -> None:
    """Say anew which events of a batch were the first of their contact that day."""
    work.connection.execute(sa.update(batches).where(_t.workspace == work.workspace, _t.seq == seq).values(fresh=fresh))


def rewrite_batch(work: Work, seq: int, batch: Events, fresh: bytes) -> None:
    """Give a batch other contents."""
    work.connection.execute(
        sa.update(batches)
        .where(_t.workspace == work.workspace, _t.seq == seq)
        .values(payload=packed.encode(batch), rows=len(batch), fresh=fresh)
    )


def fresh(work: Work, seq: int) -> bytes | None:
    """Of one batch: a bit an event, whether it was the first of its contact on that day."""
    return work.connection.scalar(sa.select(_t.fresh).where(_t.workspace == work.workspace, _t.seq == seq))


def release(work: Work, upto: int, older_than_ms: int) -> int:
    """Let go of the events of batches up to a seq that were recorded before a moment: the lake has them. How many."""
    gone = work.connection.execute(
        sa.update(batches)
        .where(_t.workspace == work.workspace, _t.seq <= upto, _t.created_at < older_than_ms, _t.payload.is_not(None))
        .values(payload=None, fresh=None)
    )
    return gone.rowcount
