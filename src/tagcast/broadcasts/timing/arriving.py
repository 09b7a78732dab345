"""What a worker does when a broadcast is due: the plan is made anew, and it is sent, or a person is asked."""

import asyncio
from datetime import timedelta
from typing import Any

from tagcast.broadcasts import actions, approving, planning, store
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast, SavedPlan
from tagcast.broadcasts.timing import comparing, scheduling, sections
from tagcast.kit import clock, leases
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.leases import Lease
from tagcast.kit.schedules import Verdict
from tagcast.kit.uow import Runtime, Work

NAME = 200
ASKED, MOVED, REFUSED = scheduling.MISSED, "schedule_moved", "schedule_refused"


async def arrive(runtime: Runtime, lease: Lease) -> None:
    """Send what is due, or pause it with what moved. What is refused is told, and nothing of it stands."""
    await asyncio.to_thread(_arrive, runtime, lease)


def _arrive(runtime: Runtime, lease: Lease) -> None:
    refused: TagcastError | None = None
    for _ in range(2):
        try:
            with runtime.work(lease.workspace, "schedule") as work:
                _come(work, lease.payload, refused)
                leases.complete(work.connection, lease)
                return
        except Unavailable:
            raise
        except TagcastError as error:
            if refused is not None:
                raise
            refused = error


def _come(work: Work, asked: dict[str, Any], refused: TagcastError | None) -> None:
    broadcast, due = store.get(work, int(asked["broadcast"]), lock=True), clock.from_ms(int(asked["due"]))
    if broadcast.state is not State.SCHEDULED:
        return
    section = broadcast.settings["schedule"]
    again = sections.is_recurring(broadcast.settings)
    if work.now > due + timedelta(minutes=section["deadline_minutes"]):
        scheduling.note(work, broadcast, due, Verdict.EXPIRED)
        if not again:
            store.move(work, broadcast.id, [State.SCHEDULED], State.EXPIRED, reason=scheduling.EXPIRED)
    else:
        target = _copy(work, broadcast, clock.to_ms(due)) if again else broadcast
        reason, said = _send(work, broadcast, target, ask=bool(asked["ask"]), refused=refused)
        if reason is not None:
            store.move(work, target.id, [State.DRAFT, State.SCHEDULED], State.PAUSED, reason=reason)
        verdict = Verdict.SEND if reason is None else Verdict.ASK
        made = target.id if again else None
        scheduling.note(
            work, broadcast, due, verdict, made=made, **({} if reason is None else {"reason": reason, **said})
        )
    if again and broadcast.due_at is None:
        scheduling.end(work, broadcast)


def _send(
    work: Work, definition: Broadcast, target: Broadcast, *, ask: bool, refused: TagcastError | None
) -> tuple[str | None, dict[str, Any]]:
    """Plan and send; else (reason, what moved or what was refused) for a person."""
    if refused is not None:
        return REFUSED, {"code": refused.code, "params": {name: str(value) for name, value in refused.params.items()}}
    approved = store.plan_of(work, definition.id)
    made = planning.make(work, target)
    if target is not definition:
        planning.keep(work, target, made)
    changes = _changes(definition, approved, made.saved)
    if approved is not None and not changes and not ask:
        approving.check(work, definition, approved.hash, len(made.sets["assigned"]))
    if ask or changes:
        return (MOVED if changes else ASKED), {"moved": changes}
    planning.keep(work, target, made)
    actions.start(work, target, made)
    return None, {}


def _changes(definition: Broadcast, approved: SavedPlan | None, made: SavedPlan) -> list[str]:
    """What moved further than the schedule allows since the plan that was approved."""
    section, again = definition.settings["schedule"], sections.is_recurring(definition.settings)
    if approved is None:
        return ["-"]
    if not again and made.hash == approved.hash:
        return []
    percent = section["tolerance_percent"]
    if not again and not percent:
        return comparing.moved(approved, made)
    found = comparing.facts_moved(approved.facts, made.facts)
    # The crowd of what comes again is another each time, unless the user says how much of another.
    if percent:
        found += comparing.beyond(approved.steps, made.steps, percent)
    count = next(step.count for step in made.steps if step.name == "assigned")
    if count < section["least"]:
        found.append(f"assigned {count} < {section['least']}")
    if section["most"] is not None and count > section["most"]:
        found.append(f"assigned {count} > {section['most']}")
    return found


def _copy(work: Work, definition: Broadcast, due_ms: int) -> Broadcast:
    """The next of a series: a draft with the definition's message and settings, numbered."""
    number = 1 + sum(found.made is not None for found in store.occurrences(work, definition.id, limit=1_000_000))
    suffix = f" #{number}"
    settings = {name: value for name, value in definition.settings.items() if name != "schedule"}
    made = store.insert(
        work,
        account=definition.account,
        name=definition.name[: NAME - len(suffix)] + suffix,
        purpose=definition.purpose,
        content=definition.content,
        audience=definition.audience,
        holdout_percent=definition.holdout_percent,
        route=str(definition.route),
        settings={**settings, "series": {"of": definition.id, "no": number, "due": due_ms}},
    )
    return store.get(work, made, lock=True)
