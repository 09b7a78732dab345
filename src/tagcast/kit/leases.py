"""Leases: the one way that work is claimed. A row a piece of work, due at a time, held for a while by one worker.

A worker that dies lets its lease run out; another takes it with a higher epoch. Whoever holds an older epoch can record
facts but can no longer move the work (the fence). Due times and leases are read from one clock: the database's on
PostgreSQL, the machine's on SQLite, which only processes of one machine share.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tagcast.kit import clock, db
from tagcast.kit.uow import Work

leases = sa.Table(
    "lease",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(60), nullable=False),
    sa.Column("key", sa.String(120), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("due_at", db.Ms, nullable=False),
    sa.Column("owner", sa.String(80)),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("until", db.Ms, nullable=False, server_default="0"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("done_at", db.Ms),
    sa.Column("problem", sa.String(200)),
    sa.UniqueConstraint("workspace", "kind", "key"),
    sa.Index(
        "ix_lease_due", "due_at", sqlite_where=sa.text("done_at IS NULL"), postgresql_where=sa.text("done_at IS NULL")
    ),
)


# A holder acts on its own word for this share of the lease, so that it stops before another may take over.
SHARE = 0.7


class Lost(Exception):
    """The lease belongs to somebody else by now: move nothing."""


@dataclass(slots=True)
class Lease:
    """A piece of work that this process holds. Renewing moves `deadline` in place."""

    id: int
    workspace: int
    kind: str
    key: str
    payload: dict[str, Any]
    owner: str
    epoch: int
    attempt: int
    # What was asked for again while it was held is due later than this.
    due: int
    # Local monotonic seconds: a paused process must notice by itself that its time is over.
    deadline: float
    # The holder was told to stop: it ends what it began and gives the rest back.
    draining: bool = False

    @property
    def live(self) -> bool:
        """Whether it may still act on its own word."""
        return time.monotonic() < self.deadline


def clock_ms(connection: Connection) -> int:
    """Now on the leases' clock."""
    if connection.dialect.name == "postgresql":
        return int(connection.scalar(sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")) or 0)
    return clock.to_ms(clock.now())


def enqueue(
    work: Work,
    kind: str,
    key: str,
    payload: dict[str, Any] | None = None,
    *,
    due: datetime | None = None,
    again: bool = False,
) -> None:
    """Ask for work, once per (kind, key): while it waits, again changes nothing; after it is done, it opens anew.

    `again`: if somebody is at it, it is done once more afterwards, because what he has read may be old by now. Waits
    for a holder that is just ending the work, so that no request falls between his end and this look.
    """
    due_ms = clock.to_ms(due) if due is not None else work.now_ms
    row = {"workspace": work.workspace, "kind": kind, "key": key, "payload": payload or {}, "due_at": due_ms}
    db.upsert_ignore(work.connection, leases, [row], ["workspace", "kind", "key"])
    here = sa.and_(leases.c.workspace == work.workspace, leases.c.kind == kind, leases.c.key == key)
    work.connection.execute(sa.select(leases.c.id).where(here).with_for_update())
    work.connection.execute(
        sa.update(leases)
        .where(here, leases.c.done_at.is_not(None))
        .values(done_at=None, due_at=due_ms, payload=payload or {}, attempt=0, problem=None)
    )
    if again:
        later = sa.case((leases.c.due_at < due_ms, due_ms), else_=leases.c.due_at + 1)
        held = (leases.c.done_at.is_(None), leases.c.owner.is_not(None))
        work.connection.execute(sa.update(leases).where(here, *held).values(due_at=later))


def hasten(work: Work, kind: str, key: str) -> None:
    """Work that waits for its time is due now; what is held or done is left alone."""
    work.connection.execute(
        sa.update(leases)
        .where(
            leases.c.workspace == work.workspace,
            leases.c.kind == kind,
            leases.c.key == key,
            leases.c.done_at.is_(None),
            leases.c.owner.is_(None),
            leases.c.due_at > work.now_ms,
        )
        .values(due_at=work.now_ms)
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Open pieces of work: held by a live worker, due and taken by nobody, due later; when the next of these is due."""

    held: int
    due: int
    later: int
    next_due: int | None


def standing(work: Work, kind: str, prefix: str) -> Standing:
    """How the open work of a kind stands whose keys begin so. `next_due` in epoch milliseconds."""
    now = clock_ms(work.connection)
    rows = work.connection.execute(
        sa.select(leases.c.until, leases.c.due_at).where(
            leases.c.workspace == work.workspace,
            leases.c.kind == kind,
            leases.c.key.startswith(prefix, autoescape=True),
            leases.c.done_at.is_(None),
        )
    ).all()
    free = [row.due_at for row in rows if row.until <= now]
    later = [due for due in free if due > now]
    return Standing(len(rows) - len(free), len(free) - len(later), len(later), min(later, default=None))


def enqueue_all(work: Work, kind: str, wanted: Mapping[str, dict[str, Any]]) -> None:
    """As `enqueue` for each key with its payload, due now, in few statements."""
    if not wanted:
        return
    shared = {"workspace": work.workspace, "kind": kind, "due_at": work.now_ms}
    keys = sorted(wanted)
    rows = [{**shared, "key": key, "payload": wanted[key]} for key in keys]
    db.upsert_ignore(work.connection, leases, rows, ["workspace", "kind", "key"])
    for at in range(0, len(keys), _AT_ONCE):
        here = sa.and_(
            leases.c.workspace == work.workspace, leases.c.kind == kind, leases.c.key.in_(keys[at : at + _AT_ONCE])
        )
        found = work.connection.execute(
            sa.select(leases.c.id, leases.c.key, leases.c.done_at).where(here).order_by(leases.c.id).with_for_update()
        )
        # Nobody ends one between this look and the change: the rows are locked.
        for row in [row for row in found if row.done_at is not None]:
            work.connection.execute(
                sa.update(leases)
                .where(leases.c.id == row.id)
                .values(done_at=None, due_at=work.now_ms, payload=wanted[row.key], attempt=0, problem=None)
            )


_AT_ONCE = 500


def claim(connection: Connection, owner: str, kinds: Sequence[str], seconds: float) -> Lease | None:
    """Take the piece of work that has been due longest and that nobody holds, or None."""
    started = time.monotonic()
    now = clock_ms(connection)
    free = (
        sa.select(leases.c.id)
        .where(leases.c.done_at.is_(None), leases.c.due_at <= now, leases.c.until <= now, leases.c.kind.in_(kinds))
        .order_by(leases.c.due_at, leases.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = connection.scalar(free)
    if found is None:
        return None
    row = connection.execute(
        sa.update(leases)
        .where(leases.c.id == found)
        .values(owner=owner, epoch=leases.c.epoch + 1, until=now + int(seconds * 1000), attempt=leases.c.attempt + 1)
        .returning(*leases.c)
    ).one()
    return Lease(
        id=row.id,
        workspace=row.workspace,
        kind=row.kind,
        key=row.key,
        payload=row.payload,
        owner=owner,
        epoch=row.epoch,
        attempt=row.attempt,
        due=row.due_at,
        deadline=started + seconds * SHARE,
    )


def renew(connection: Connection, lease: Lease, seconds: float) -> None:
    """Hold it longer. Raises Lost when another has it."""
    started = time.monotonic()
    _move(connection, lease, until=clock_ms(connection) + int(seconds * 1000))
    lease.deadline = started + seconds * SHARE


def complete(connection: Connection, lease: Lease) -> None:
    """The work is done, unless it was asked for again meanwhile. Raises Lost when another has it."""
    done_at = sa.case((leases.c.due_at == lease.due, clock_ms(connection)), else_=sa.null())
    _move(connection, lease, done_at=done_at, until=0, owner=None)


def defer(connection: Connection, lease: Lease, seconds: float, *, problem: str | None = None) -> None:
    """Give it back, due again after `seconds`. Raises Lost when another has it."""
    due = clock_ms(connection) + int(seconds * 1000)
    _move(connection, lease, due_at=due, until=0, owner=None, problem=problem)


def next_due_ms(connection: Connection, kinds: Sequence[str]) -> int | None:
    """Milliseconds until some open work is due or its lease runs out; None when there is none."""
    due = connection.scalar(
        sa.select(
            sa.func.min(sa.case((leases.c.until > leases.c.due_at, leases.c.until), else_=leases.c.due_at))
        ).where(leases.c.done_at.is_(None), leases.c.kind.in_(kinds))
    )
    return None if due is None else max(0, int(due) - clock_ms(connection))


def _move(connection: Connection, lease: Lease, **values: Any) -> None:
    moved = connection.execute(
        sa.update(leases)
        .where(leases.c.id == lease.id, leases.c.epoch == lease.epoch, leases.c.owner == lease.owner)
        .values(**values)
    )
    if moved.rowcount != 1:
        raise Lost(lease.key)
