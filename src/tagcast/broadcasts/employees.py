"""企业微信: what employees still have to confirm, who is reminded, and what each task came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from tagcast.broadcasts import confirming, ledger, rules, store
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.delivery import following_up
from tagcast.broadcasts.rules import State, Status
from tagcast.broadcasts.senders import figures
from tagcast.broadcasts.store import tasks
from tagcast.broadcasts.store.tasks import Reminder
from tagcast.kit import clock
from tagcast.kit.errors import Conflict, Refused
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class EmployeeTask:
    """One task of one employee. Times in ms.

    `cancelled_at`: it was cancelled on the platform; `proven_at`: its results were read after that. `states`:
    recipients by status.
    """

    chunk: int
    employee: str
    msgid: str | None
    made_at: int | None
    confirmed_at: int | None
    cancelled_at: int | None
    proven_at: int | None
    states: Mapping[str, int]
    reminders: tuple[Reminder, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """For whom a broadcast waits: employees who have not confirmed, and the recipients of their tasks."""

    employees: int
    recipients: int


@dataclass(frozen=True, slots=True)
class Reminded:
    """How many tasks are reminded of, and how many had all the reminders of 24 hours."""

    tasks: int
    enough: int


def planned_senders(work: Work, broadcast_id: int) -> dict[str, int]:
    """Employee → customers, by the newest plan, the most first; empty without one and on other kinds of account."""
    plan = store.plan_of(work, broadcast_id)
    found: dict[str, int] = plan.facts.get("senders", {}) if plan else {}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def employee_tasks(work: Work, broadcast_id: int) -> list[EmployeeTask]:
    """The tasks of a broadcast that was sent, in the order of their chunks."""
    broadcast = store.get(work, broadcast_id)
    if broadcast.route not in CONFIRMED_ROUTES:
        return []
    told = tasks.reminders_of(work, broadcast_id)
    return [
        EmployeeTask(
            chunk.no,
            chunk.sender,
            chunk.msgid,
            chunk.tried_at if chunk.msgid else None,
            chunk.progress.get(tasks.CONFIRMED),
            chunk.progress.get(tasks.CANCELLED),
            chunk.progress.get(tasks.PROVEN),
            rules.count([np.bincount(chunk.statuses, minlength=len(Status)).tolist()]),
            tuple(one for one in told if one.chunk == chunk.no),
        )
        for chunk in store.chunks_of(work, broadcast_id)
        if (chunk.statuses != Status.CARRIED).any()
    ]


def waiting(work: Work, broadcast_id: int) -> Waiting | None:
    """For whom a broadcast waits; None where it waits for no employee."""
    broadcast = store.get(work, broadcast_id)
    if broadcast.route not in CONFIRMED_ROUTES or broadcast.state in (State.FINISHED, State.CANCELLED):
        return None
    chunks = following_up.waiting(store.chunks_of(work, broadcast_id))
    if not chunks:
        return None
    recipients = sum(int((chunk.statuses == Status.ACCEPTED).sum()) for chunk in chunks)
    return Waiting(len({chunk.sender for chunk in chunks}), recipients)


def remind(work: Work, broadcast_id: int) -> Reminded:
    """Remind every employee who has not confirmed. Raises Conflict when nobody waits or the broadcast is cancelled.

    Raises Refused when each of the tasks had the reminders that the platform allows in 24 hours.
    """
    broadcast = store.get(work, broadcast_id, lock=True)
    chunks = following_up.waiting(store.chunks_of(work, broadcast_id))
    over = broadcast.state in (State.FINISHED, State.CANCELLED) or broadcast.reason == ledger.CANCELLED
    if not chunks or over or broadcast.route not in CONFIRMED_ROUTES:
        raise Conflict("broadcasts.nobody_waits", broadcast=broadcast.name)
    told = tasks.reminders_of(work, broadcast_id)
    by_task = {chunk.no: [one for one in told if one.chunk == chunk.no] for chunk in chunks}
    wanted = {
        chunk.no: chunk.msgid for chunk in chunks if chunk.msgid and confirming.room(by_task[chunk.no], work.now_ms)
    }
    if not wanted:
        first = min(
            one.at or one.asked_at for one in told if work.now_ms - (one.at or one.asked_at) < confirming.DAY_MS
        )
        until = (clock.from_ms(first) + timedelta(days=1)).isoformat(timespec="minutes")
        raise Refused(
            "broadcasts.reminded_enough", broadcast=broadcast.name, limit=figures()["reminders_per_day"], until=until
        )
    following_up.ask_for(work, broadcast, wanted)
    return Reminded(len(wanted), len(chunks) - len(wanted))
