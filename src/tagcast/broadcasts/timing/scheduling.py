"""Use cases of scheduling: schedule what was planned, take it back, set another time, and what follows when it is due.

The moment itself is a row of `kit.schedules`. Locks are taken in the order schedule, broadcast, lease.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tagcast import accounts
from tagcast.broadcasts import actions, approving, options, planning, store
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast, Occurrence, SavedPlan
from tagcast.broadcasts.timing import comparing, sections
from tagcast.kit import clock, leases, schedules
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.schedules import Fire, Kind, Policy, Verdict
from tagcast.kit.uow import Work

# The kind of the schedule, and of the work that a fire asks for.
KIND = "broadcasts"
DUE = "broadcasts.due"

# Reasons of a broadcast, each with its words.
MISSED, SKIPPED, EXPIRED, OVER = "schedule_missed", "schedule_skipped", "schedule_expired", "series_over"


def schedule(work: Work, plan_hash: str) -> Broadcast:
    """Send what was planned when its time comes; of a calendar rule, a copy at each of its moments.

    Raises NotFound for the plan, Conflict when it holds no more, Invalid without a time, or for one that has passed.
    """
    broadcast_id = store.broadcast_of_plan(work, plan_hash)
    if broadcast_id is None:
        raise NotFound("broadcasts.no_plan", plan=plan_hash)
    if store.get(work, broadcast_id).state is not State.SCHEDULED:
        schedules.drop(work, KIND, str(broadcast_id))
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.state is State.SCHEDULED:
        return broadcast
    _drafted_only(broadcast)
    _first(work, broadcast)
    made = planning.make(work, broadcast)
    actions.check_plan(work, broadcast, plan_hash, made)
    return _set(work, broadcast)


def unschedule(work: Work, broadcast_id: int) -> Broadcast:
    """Back to a draft: nothing is sent by itself any more. Raises Conflict for what is neither scheduled nor waits."""
    schedules.drop(work, KIND, str(broadcast_id))
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.state is not State.SCHEDULED and not broadcast.waits:
        raise _wrong(broadcast, State.SCHEDULED)
    unsent = [State.SCHEDULED, State.PAUSED]
    store.move(work, broadcast_id, unsent, State.DRAFT, due_at=None, deadline_at=None, reason=None)
    return store.get(work, broadcast_id)


def reschedule(work: Work, broadcast_id: int, section: Mapping[str, Any]) -> tuple[Broadcast, SavedPlan, list[str]]:
    """Set another time and plan for it. What was scheduled stays so when the same people get the same; else it is a
    draft again, with its new plan and what moved.

    Raises Invalid, and Conflict for what was sent already.
    """
    schedules.drop(work, KIND, str(broadcast_id))
    broadcast = store.get(work, broadcast_id, lock=True)
    was_scheduled = broadcast.state is State.SCHEDULED
    if not was_scheduled:
        _drafted_only(broadcast)
    account = accounts.get(work, broadcast.account)
    settings = {**broadcast.settings, "schedule": options.SECTIONS["schedule"](work, account, section)}
    before = store.plan_of(work, broadcast_id)
    store.insert_edit(work, broadcast_id, {"settings": broadcast.settings})
    store.update(
        work, broadcast_id, settings=settings, state=str(State.DRAFT), due_at=None, deadline_at=None, reason=None
    )
    broadcast = store.get(work, broadcast_id)
    _first(work, broadcast)
    made = planning.make(work, broadcast)
    planning.keep(work, broadcast, made)
    if not was_scheduled or before is None:
        return broadcast, made.saved, []
    changes = comparing.moved(before, made.saved)
    size = len(made.sets["assigned"])
    if not changes and approving.approval_reasons(work, broadcast, size):
        changes = ["approval"]
    if changes:
        return broadcast, made.saved, changes
    return _set(work, broadcast), made.saved, []


def coming(work: Work, broadcast_id: int, count: int = 10) -> list[datetime]:
    """When a broadcast is due next, as its settings have it, the nearest first. Raises NotFound."""
    section = store.get(work, broadcast_id).settings.get("schedule")
    return [] if section is None else _coming(section, work.now, count)


def preview(
    work: Work, account: int | str, given: Mapping[str, Any], count: int = 10
) -> tuple[dict[str, Any], list[datetime]]:
    """The normal form of a schedule and its next moments. Raises Invalid, NotFound for the account."""
    section = sections.schedule(work, accounts.get(work, account), given)
    return section, _coming(section, work.now, count)


def _coming(section: Mapping[str, Any], now: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    at = sections.first_after(section, now)
    while at is not None and len(found) < count:
        found.append(at)
        at = sections.first_after(section, at)
    return found


def _set(work: Work, broadcast: Broadcast) -> Broadcast:
    section = broadcast.settings["schedule"]
    first = _first(work, broadcast)
    policy = Policy(Verdict(section["misfire"]), _minutes(section, "grace"), _minutes(section, "deadline"))
    payload = {"broadcast": broadcast.id, "schedule": section}
    schedules.put(work, KIND, str(broadcast.id), first, payload=payload, policy=policy)
    store.update(work, broadcast.id, state=str(State.SCHEDULED), reason=None, **due_columns(section, first))
    return store.get(work, broadcast.id)


def due_columns(section: Mapping[str, Any], due: datetime | None) -> dict[str, int | None]:
    """The columns that say when a broadcast is due."""
    if due is None:
        return {"due_at": None, "deadline_at": None}
    return {"due_at": clock.to_ms(due), "deadline_at": clock.to_ms(due + _minutes(section, "deadline"))}


def _minutes(section: Mapping[str, Any], name: str) -> timedelta:
    return timedelta(minutes=section[f"{name}_minutes"])


def _first(work: Work, broadcast: Broadcast) -> datetime:
    """When it is due first. Raises Invalid without a schedule, or for one that is over or too far away."""
    section = broadcast.settings.get("schedule")
    if section is None:
        raise Invalid("broadcasts.no_schedule", broadcast=broadcast.name)
    first = sections.first_after(section, work.now)
    furthest = sections.limits()["furthest_days"]
    if first is None or first - work.now > timedelta(days=furthest):
        raise Invalid("broadcasts.schedule_past", broadcast=broadcast.name, days=furthest)
    return first


def _drafted_only(broadcast: Broadcast) -> None:
    """Raises Conflict for what is neither a draft nor stopped before it was sent."""
    if broadcast.state is not State.DRAFT and not broadcast.waits:
        raise _wrong(broadcast, State.DRAFT)


def _wrong(broadcast: Broadcast, needed: State) -> Conflict:
    return Conflict("broadcasts.wrong_state", broadcast=broadcast.name, state=broadcast.state, needed=needed)


def _after(payload: Mapping[str, Any], moment: datetime) -> datetime | None:
    return sections.first_after(payload["schedule"], moment)


def _fired(work: Work, fire: Fire) -> None:
    """A moment has come: ask for the plan and the sending, or note why not."""
    broadcast = store.get(work, int(fire.payload["broadcast"]), lock=True)
    if broadcast.state is not State.SCHEDULED:
        schedules.drop(work, KIND, fire.key)
        return
    section = fire.payload["schedule"]
    if fire.verdict in (Verdict.SEND, Verdict.ASK):
        due = clock.to_ms(fire.fire_at)
        asked = {"broadcast": broadcast.id, "due": due, "ask": fire.verdict is Verdict.ASK}
        leases.enqueue(work, DUE, f"{broadcast.id}:{due}", asked)
    else:
        note(work, broadcast, fire.fire_at, fire.verdict, missed=fire.missed)
    if sections.is_recurring(broadcast.settings):
        following = _after(fire.payload, work.now)
        store.update(work, broadcast.id, **due_columns(section, following))
        if following is None and fire.verdict in (Verdict.SKIP, Verdict.EXPIRED):
            end(work, broadcast)
    elif fire.verdict in (Verdict.SKIP, Verdict.EXPIRED):
        reason = EXPIRED if fire.verdict is Verdict.EXPIRED else SKIPPED
        store.move(work, broadcast.id, [State.SCHEDULED], State.EXPIRED, reason=reason)


def note(
    work: Work, broadcast: Broadcast, due: datetime, verdict: str, *, made: int | None = None, **said: Any
) -> None:
    """Keep what became of a moment: `made` is the broadcast that came of it."""
    store.insert_occurrence(work, broadcast.id, Occurrence(due, str(verdict), made, said, work.now))


def end(work: Work, broadcast: Broadcast) -> None:
    """The calendar has no more moments."""
    store.move(work, broadcast.id, [State.SCHEDULED], State.FINISHED, reason=OVER, finished_at=work.now_ms)


SCHEDULES = {KIND: Kind(_after, _fired)}
