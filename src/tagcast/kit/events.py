"""Events: facts that a module publishes in its own transaction; `reactions` says what follows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tagcast.kit import db
from tagcast.kit.uow import Work

events = sa.Table(
    "event",
    db.metadata,
    sa.Column("seq", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("done_at", db.Ms),
    sa.Column("problem", sa.String(80)),
    sa.Index(
        "ix_event_open", "seq", sqlite_where=sa.text("done_at IS NULL"), postgresql_where=sa.text("done_at IS NULL")
    ),
)


@dataclass(frozen=True)
class Event:
    """A fact. Subclasses set `name` (`module.what_happened`) and hold JSON-able fields, never personal data."""

    name: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as stored."""

    seq: int
    workspace: int
    name: str
    payload: dict[str, Any]
    at_ms: int


def publish(work: Work, *facts: Event) -> None:
    """Record facts in the caller's transaction."""
    if work.connection.dialect.name == "sqlite":
        at = work.now_ms
        packed = [(work.workspace, fact.name, db.json(_payload(fact)), at) for fact in facts]
        db.insert_packed(work.connection, "event (workspace, name, payload, at)", packed)
    elif facts:
        names, payloads = [fact.name for fact in facts], [db.json(_payload(fact)) for fact in facts]
        work.connection.exec_driver_sql(_POSTGRESQL, (work.workspace, work.now_ms, names, payloads))


_POSTGRESQL = (
    "INSERT INTO event (workspace, name, payload, at) SELECT %s::int, name, payload::json, %s::bigint"
    " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS fact (name, payload, place) ORDER BY place"
)


_names: dict[type, tuple[str, ...]] = {}


def _payload(fact: Event) -> dict[str, Any]:
    kind = type(fact)
    if kind not in _names:
        _names[kind] = tuple(field.name for field in fields(kind))
    return {name: getattr(fact, name) for name in _names[kind]}


def open_batch(connection: Connection, limit: int) -> list[Recorded]:
    """The oldest open events: one workspace, one name, in order, at most `limit`."""
    first = connection.execute(
        sa.select(events.c.workspace, events.c.name).where(events.c.done_at.is_(None)).order_by(events.c.seq).limit(1)
    ).first()
    if first is None:
        return []
    rows = connection.execute(
        sa.select(events.c.seq, events.c.workspace, events.c.name, events.c.payload, events.c.at)
        .where(events.c.done_at.is_(None), events.c.workspace == first.workspace, events.c.name == first.name)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [Recorded(row.seq, row.workspace, row.name, row.payload, row.at) for row in rows]


def still_open(work: Work, batch: Sequence[Recorded]) -> list[Recorded]:
    """Those of the batch that nobody has followed meanwhile."""
    seqs = [event.seq for event in batch]
    found = set(
        work.connection.scalars(sa.select(events.c.seq).where(events.c.seq.in_(seqs), events.c.done_at.is_(None)))
    )
    return [event for event in batch if event.seq in found]


def set_aside(work: Work, event: Recorded, problem: str) -> None:
    """Close an event that could not be followed, with the problem's name."""
    work.connection.execute(
        sa.update(events).where(events.c.seq == event.seq).values(done_at=work.now_ms, problem=problem)
    )


def close_batch(work: Work, batch: Sequence[Recorded]) -> None:
    """Mark events as done in the transaction that did what follows from them."""
    work.connection.execute(
        sa.update(events)
        .where(events.c.seq.in_([event.seq for event in batch]), events.c.done_at.is_(None))
        .values(done_at=work.now_ms)
    )
