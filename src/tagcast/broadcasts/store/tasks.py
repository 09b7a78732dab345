"""Tasks of employees over several broadcasts, and the reminders that they were sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tagcast.broadcasts.tables import broadcasts, chunks, reminders
from tagcast.kit import db
from tagcast.kit.uow import Work

# In a chunk's progress: when its employee confirmed (ms), and why he could not be asked at all.
CONFIRMED, REFUSED = "confirmed", "sender_refused"
# When the platform's task was cancelled (ms), and when its results were read after that: the proof of who was reached.
CANCELLED, PROVEN = "cancelled", "proven"


@dataclass(frozen=True, slots=True)
class LastTask:
    """An employee's newest task: when it was made, when he confirmed it (ms), whether it was refused because of him."""

    at: int
    confirmed_at: int | None
    refused: bool


@dataclass(frozen=True, slots=True)
class Reminder:
    """A reminder of one task. `state`: asked, calling, sent, lost, or `refused:<reason>`; times in ms."""

    id: int
    chunk: int
    msgid: str
    state: str
    asked_at: int
    asked_by: str
    at: int | None


def last_tasks(work: Work, account: int, since_ms: int) -> dict[str, LastTask]:
    """Employee → his newest task of this account's broadcasts that was tried since a time, and not cancelled."""
    rows = work.connection.execute(
        sa.select(chunks.c.sender, chunks.c.tried_at, chunks.c.progress)
        .join(broadcasts, sa.and_(broadcasts.c.workspace == chunks.c.workspace, broadcasts.c.id == chunks.c.broadcast))
        .where(
            chunks.c.workspace == work.workspace,
            broadcasts.c.account == account,
            broadcasts.c.started_at >= since_ms,
            chunks.c.sender != "",
            chunks.c.tried_at.is_not(None),
            sa.or_(chunks.c.msgid.is_not(None), chunks.c.call == ""),
        )
        .order_by(chunks.c.tried_at)
    )
    kept = [row for row in rows if CANCELLED not in row.progress]
    return {row.sender: LastTask(row.tried_at, row.progress.get(CONFIRMED), REFUSED in row.progress) for row in kept}


def add_reminders(work: Work, broadcast: int, tasks: Mapping[int, str]) -> None:
    """Ask for reminders: chunk → the platform's task."""
    shared = {"workspace": work.workspace, "broadcast": broadcast, "asked_at": work.now_ms, "asked_by": work.actor}
    rows = [{**shared, "chunk": no, "msgid": msgid, "state": "asked"} for no, msgid in tasks.items()]
    if rows:
        db.insert_many(work.connection, reminders, rows)


def reminders_of(work: Work, broadcast: int, states: Sequence[str] = ()) -> list[Reminder]:
    """The reminders of a broadcast in their order; only those in some states, if asked."""
    query = sa.select(reminders).where(reminders.c.workspace == work.workspace, reminders.c.broadcast == broadcast)
    if states:
        query = query.where(reminders.c.state.in_(list(states)))
    return [_reminder(row) for row in work.connection.execute(query.order_by(reminders.c.id))]


def move_reminder(work: Work, reminder: int, state: str) -> None:
    """What became of a reminder."""
    work.connection.execute(
        sa.update(reminders)
        .where(reminders.c.workspace == work.workspace, reminders.c.id == reminder)
        .values(state=state, at=work.now_ms)
    )


def _reminder(row: sa.Row[Any]) -> Reminder:
    return Reminder(row.id, row.chunk, row.msgid, row.state, row.asked_at, row.asked_by, row.at)
