"""企业微信 tasks over real HTTP: late employees, reminders, cancellation with proof, bad customers."""

import os
import random
import signal
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import broadcasts, compliance
from tagcast.broadcasts import store
from tagcast.kit.errors import Conflict, Refused
from tests.broadcasts.conftest import ROUTES, TEXT, Make
from tests.flows.harness import World, until

CLEAN = {"lost": 0, "duplicated": 0, "forbidden": 0, "unexpected": 0}
TASK = ROUTES["tasks"][3]
DATABASES = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


def start(world: World, **settings: Any) -> int:
    """Send the text to everybody with these settings."""
    with world.runtime.work(1, "test") as work:
        made = broadcasts.draft(
            work, name="day", account=world.accounts["wecom"], audience="all", content=TEXT, settings=settings
        )
        plan = broadcasts.plan(work, made.id)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    return made.id


def judge(world: World, broadcast: int) -> dict[str, int]:
    found = world.judge("wecom", broadcast)
    return {name: found[name] for name in CLEAN}


def tasks(world: World, broadcast: int) -> list[broadcasts.EmployeeTask]:
    with world.runtime.read(1, "test") as work:
        return broadcasts.employee_tasks(work, broadcast)


def waiting(world: World, broadcast: int) -> broadcasts.Waiting | None:
    with world.runtime.read(1, "test") as work:
        return broadcasts.waiting(work, broadcast)


def nobody_confirms(world: World) -> None:
    world.sandbox.post("/sandbox/settings", confirm_share=0.0)


def confirm(world: World, **whom: str) -> None:
    world.sandbox.post("/sandbox/employees/confirm", account=world.sandbox_id["wecom"], **whom)


def told(world: World, broadcast: int) -> Counter[tuple[str, str]]:
    """(our word, the platform's word) of each recipient."""
    assigned = world.assigned(broadcast)
    ids, outcomes = world.ids("wecom", assigned), world.outcomes("wecom")
    ours = world.statuses(broadcast, assigned)
    return Counter((ours[number], outcomes[ids[number]]) for number in assigned)


@pytest.fixture
def late(make: Make) -> World:
    """A world in which nobody confirms by himself."""
    world = make("tasks", size=160, in_doubt_seconds=0.3)
    nobody_confirms(world)
    return world


@DATABASES
def test_employees_who_confirm_late_are_waited_for(database: str, make: Make) -> None:
    world = make("tasks", size=160, database=database, settle_seconds=0.2)
    nobody_confirms(world)
    broadcast = start(world)
    with world.working():
        world.wait(broadcast, "settling")
        found = waiting(world, broadcast)
        assert found is not None
        assert found.recipients == len(world.assigned(broadcast))
        assert found.employees == len({task.employee for task in tasks(world, broadcast)})
        confirm(world)
        world.wait(broadcast, "finished")
    assert judge(world, broadcast) == CLEAN
    assert {pair[0] for pair in told(world, broadcast)} <= {"delivered", "failed"}
    assert all(task.confirmed_at for task in tasks(world, broadcast))
    assert waiting(world, broadcast) is None


def test_employees_are_followed_while_a_later_stage_waits(late: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagcast.broadcasts.ledger.WATCH_SECONDS", 0.5)
    stages = {"percent": [20, 100], "wait_minutes": 60}
    broadcast = start(late, stages=stages, remind={"after_hours": 1 / 3600, "times": 1})
    with late.working():
        until(lambda: any(one.state == "sent" for task in tasks(late, broadcast) for one in task.reminders))
        confirm(late)
        until(lambda: late.states(broadcast)["delivered"] > 0)
        assert late.state(broadcast) == "sending"
        found = waiting(late, broadcast)
        assert found is None
        with late.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        late.wait(broadcast, "cancelled")
    assert {"delivered", "cancelled"} <= {ours for ours, count in late.states(broadcast).items() if count}


def test_the_broadcasts_own_deadline_ends_the_waiting(late: World) -> None:
    broadcast = start(late, confirm={"within_hours": 2 / 3600})
    late.work_until(broadcast)
    states = late.states(broadcast)
    assert states["accepted"] == len(late.assigned(broadcast))


@DATABASES
def test_at_the_deadline_the_rest_is_cancelled_with_proof(database: str, make: Make) -> None:
    world = make("tasks", size=160, database=database, settle_seconds=2.5, in_doubt_seconds=0.3)
    nobody_confirms(world)
    broadcast = start(world, confirm={"within_hours": 1 / 3600, "then": "cancel"})
    world.work_until(broadcast)
    assert set(told(world, broadcast)) == {("cancelled", "failed:not_confirmed")}
    assert all(task.proven_at for task in tasks(world, broadcast))


@DATABASES
def test_a_cancelled_broadcast_proves_who_had_been_reached(database: str, make: Make) -> None:
    world = make("tasks", size=160, database=database, in_doubt_seconds=0.3)
    nobody_confirms(world)
    broadcast = start(world)
    with world.working():
        world.wait(broadcast, "settling")
        confirm(world, userid=tasks(world, broadcast)[0].employee)
        with world.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        world.wait(broadcast, "cancelled")
    pairs = told(world, broadcast)
    assert {ours for ours, theirs in pairs if theirs == "arrived"} == {"delivered"}
    assert {ours for ours, theirs in pairs if theirs == "failed:not_confirmed"} == {"cancelled"}
    assert {"delivered", "cancelled"} <= {ours for ours, _ in pairs} <= {"delivered", "cancelled", "failed"}
    for task in tasks(world, broadcast):
        if task.states["cancelled"]:
            assert task.cancelled_at is not None
            assert task.proven_at is not None
            assert task.proven_at > task.cancelled_at
    with world.runtime.read(1, "test") as work:
        cancelled = work.bitmaps.read(f"broadcast:{broadcast}:cancelled")
        assert not cancelled & work.bitmaps.read(f"broadcast:{broadcast}:accepted")
        # Their slots are free again, those of the others are not.
        account, reached = world.accounts["wecom"], world.set(f"broadcast:{broadcast}:delivered")
        assert compliance.used(work, account, cancelled.min(), work.now)[0].used == 0
        assert compliance.used(work, account, reached.min(), work.now)[0].used == 1


def test_a_task_whose_answer_was_lost_is_found_cancelled_and_proven(late: World) -> None:
    late.sandbox.post("/sandbox/faults", path=TASK, kind="timeout_after", times=1, seconds=3.0)
    broadcast = start(late)
    with late.working():
        until(lambda: late.sandbox.calls(TASK) >= 2)
        with late.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        late.wait(broadcast, "cancelled")
    states = late.states(broadcast)
    assert states["in_doubt"] == 0
    assert states["cancelled"] == len(late.assigned(broadcast))
    outcomes = Counter(late.outcomes("wecom").values())
    assert set(outcomes) == {"failed:not_confirmed"}


@pytest.mark.parametrize("kind", ["busy", "cut", "timeout_after"])
def test_a_fault_on_the_way_to_the_proof_leaves_nobody_in_doubt(kind: str, late: World) -> None:
    path = "/cgi-bin/externalcontact/"
    broadcast = start(late)
    with late.working():
        late.wait(broadcast, "settling")
        for name in ("cancel_groupmsg_send", "get_groupmsg_send_result"):
            late.sandbox.post("/sandbox/faults", path=path + name, kind=kind, times=2, seconds=2.0)
        with late.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        late.wait(broadcast, "cancelled")
    assert late.states(broadcast)["cancelled"] == len(late.assigned(broadcast))


def test_reminders_by_hand_end_at_the_platforms_limit(late: World) -> None:
    broadcast = start(late)
    with late.working():
        late.wait(broadcast, "settling")
        for turn in range(3):
            with late.runtime.work(1, "test") as work:
                assert broadcasts.remind(work, broadcast).enough == 0
            until(partial(reminded, late, broadcast, turn + 1))
        with late.runtime.work(1, "test") as work, pytest.raises(Refused) as refused:
            broadcasts.remind(work, broadcast)
        assert refused.value.code == "broadcasts.reminded_enough"
        confirm(late)
        late.wait(broadcast, "finished")
    assert {told.asked_by for task in tasks(late, broadcast) for told in task.reminders} == {"test"}
    with late.runtime.work(1, "test") as work, pytest.raises(Conflict) as refused_late:
        broadcasts.remind(work, broadcast)
    assert refused_late.value.code == "broadcasts.nobody_waits"


def reminded(world: World, broadcast: int, times: int) -> bool:
    return sent(world, broadcast) == {times}


def sent(world: World, broadcast: int) -> set[int]:
    """How many reminders each task was sent."""
    return {sum(one.state == "sent" for one in task.reminders) for task in tasks(world, broadcast)}


@DATABASES
def test_reminders_by_themselves_wake_the_employees(database: str, make: Make) -> None:
    world = make("tasks", size=160, database=database)
    nobody_confirms(world)
    broadcast = start(world, remind={"after_hours": 1 / 3600, "times": 2})
    with world.working():
        until(lambda: sent(world, broadcast) == {1})
        world.sandbox.post("/sandbox/settings", confirm_share=1.0, confirm_seconds=0.1)
        world.wait(broadcast, "finished")
    assert judge(world, broadcast) == CLEAN
    assert sent(world, broadcast) <= {1, 2}


def test_a_reminder_whose_answer_is_lost_is_not_repeated(late: World) -> None:
    path = "/cgi-bin/externalcontact/remind_groupmsg_send"
    broadcast = start(late)
    with late.working():
        late.wait(broadcast, "settling")
        late.sandbox.post("/sandbox/faults", path=path, kind="timeout_after", times=1, seconds=3.0)
        with late.runtime.work(1, "test") as work:
            asked = broadcasts.remind(work, broadcast).tasks
        until(lambda: states(late, broadcast) == Counter({"sent": asked - 1, "lost": 1}), 30)
        confirm(late)
        late.wait(broadcast, "finished")
    assert late.sandbox.calls(path) == asked


def states(world: World, broadcast: int) -> Counter[str]:
    return Counter(one.state for task in tasks(world, broadcast) for one in task.reminders)


@DATABASES
def test_a_customer_who_is_lost_stops_nobody_elses_message(database: str, make: Make) -> None:
    """The employee's own list of customers tells who it is, and the others are one task still."""
    world = make("tasks", size=160, database=database)
    world.profile("wecom", batch=10_000)
    with world.runtime.work(1, "test") as work:
        held = work.bitmaps.read(f"following:{world.accounts['wecom']}")
        keys = work.bitmaps.keys(f"employee:{world.accounts['wecom']}:")
        first = work.bitmaps.read(keys[0])
        strange = BitMap(list(held - first)[:2])
        work.bitmaps.add(keys[0], strange, why="stale")
        for key in keys[1:]:
            work.bitmaps.remove(key, strange, why="stale")
    world.sandbox.post("/sandbox/faults", path=TASK, kind="error", code=84061, times=1)
    broadcast = start(world)
    before = world.sandbox.calls(TASK)
    world.work_until(broadcast)
    with world.runtime.read(1, "test") as work:
        reasons = {failure.reason: failure.count for failure in broadcasts.failures(work, broadcast)}
        assert work.bitmaps.read(f"broadcast:{broadcast}:failed") >= strange
    assert reasons.get("wecom:84061", 0) + reasons.get("unreachable", 0) >= 2
    assert world.sandbox.calls(TASK) - before == len(tasks(world, broadcast)) + 1
    assert {ours for ours, theirs in told_of(world, broadcast, strange) if theirs == "arrived"} <= {"delivered"}


def told_of(world: World, broadcast: int, but: BitMap) -> Counter[tuple[str, str]]:
    assigned = world.assigned(broadcast) - but
    ids, outcomes = world.ids("wecom", assigned), world.outcomes("wecom")
    ours = world.statuses(broadcast, assigned)
    return Counter((ours[number], outcomes[ids[number]]) for number in assigned)


def test_a_refusal_for_somebody_unknown_halves_the_task_until_he_is_alone(make: Make) -> None:
    world = make("tasks", size=160)
    world.profile("wecom", batch=10_000)
    world.sandbox.post("/sandbox/faults", path=TASK, kind="error", code=84061, times=6)
    broadcast = start(world)
    world.work_until(broadcast)
    counts = world.states(broadcast)
    assert sum(counts.values()) == len(world.assigned(broadcast))
    assert counts["planned"] == counts["retry"] == counts["in_doubt"] == 0
    assert counts["delivered"] > 40
    found = world.judge("wecom", broadcast, but=world.set(f"broadcast:{broadcast}:failed"))
    assert (found["lost"], found["duplicated"]) == (0, 0)


@DATABASES
def test_customers_of_an_employee_who_cannot_send_go_to_others_who_hold_them(database: str, make: Make) -> None:
    world = make("tasks", size=160, database=database)
    account = world.accounts["wecom"]
    with world.runtime.read(1, "test") as work:
        keys = work.bitmaps.keys(f"employee:{account}:")
        held = {key: work.bitmaps.read(key).copy() for key in keys}
    shared = {key: BitMap.union(BitMap(), *(held[one] for one in keys if one != key)) & held[key] for key in keys}
    world.sandbox.post("/sandbox/faults", path=TASK, kind="error", code=60111, times=1)
    broadcast = start(world)
    world.work_until(broadcast)
    # The first task was refused: whom nobody else holds has failed, everybody else got it from another.
    failed = world.set(f"broadcast:{broadcast}:failed")
    with world.runtime.read(1, "test") as work:
        reasons = {failure.reason: failure.count for failure in broadcasts.failures(work, broadcast)}
    gone = BitMap(number for number in failed if reason_of(world, broadcast, number) == "wecom:60111")
    assert reasons["wecom:60111"] == len(gone) > 0
    assert not any(gone & one for one in shared.values())
    counts = world.states(broadcast)
    assert sum(counts.values()) == len(world.assigned(broadcast))
    found = world.judge("wecom", broadcast, but=gone)
    assert {name: found[name] for name in CLEAN} == CLEAN


def reason_of(world: World, broadcast: int, contact: int) -> str | None:
    with world.runtime.read(1, "test") as work:
        return store.failure_of(work, broadcast, contact)


def test_an_employee_who_did_not_confirm_lately_is_avoided_where_another_holds_the_customer(late: World) -> None:
    account = late.accounts["wecom"]
    with late.runtime.work(1, "test") as work:
        keys = work.bitmaps.keys(f"employee:{account}:")
        first, second = (key.rpartition(":")[2] for key in keys[:2])
        both = work.bitmaps.read(keys[0]) | work.bitmaps.read(keys[1])
        work.bitmaps.add(keys[0], both, why="test")
        work.bitmaps.add(keys[1], both, why="test")
        for key in keys[2:]:
            work.bitmaps.remove(key, both, why="test")
    broadcast = start(late, confirm={"within_hours": 2 / 3600})
    with late.working():
        late.wait(broadcast, "settling")
        confirm(late, userid=second)
        late.wait(broadcast, "finished")
    late.later(25 * 3600)
    with late.runtime.work(1, "test") as work:
        made = broadcasts.draft(work, name="next", account=account, audience="all", content=TEXT)
        broadcasts.plan(work, made.id)
        found = broadcasts.planned_senders(work, made.id)
    assert first not in found
    assert found[second] == len(both & late.set(f"following:{account}"))


@pytest.mark.slow
@DATABASES
def test_workers_that_are_killed_while_they_cancel_leave_nobody_in_doubt(database: str, make: Make) -> None:
    """Calls under way, results half read, reminders: whatever was cut short is looked up, cancelled and proven."""
    world = make("tasks", size=400, database=database, lease_seconds=0.5, in_doubt_seconds=0.5, settle_seconds=30.0)
    nobody_confirms(world)
    world.profile("wecom", batch=5)
    broadcast = start(world)
    seed = random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for turn in range(10):
        with world.worker_process(rate_per_second=30.0) as process:
            time.sleep(moments.uniform(0.5, 1.2))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        if turn == 3:
            with world.runtime.work(1, "test") as work:
                broadcasts.remind(work, broadcast)
        if turn == 4:
            with world.runtime.work(1, "test") as work:
                broadcasts.cancel(work, broadcast)
    world.work_until(broadcast)
    counts = world.states(broadcast)
    assert {name for name, count in counts.items() if count} <= {"cancelled", "failed"}, counts
    assert sum(counts.values()) == len(world.assigned(broadcast))
    told_by_platform = Counter(world.outcomes("wecom").values())
    assert told_by_platform["failed:not_confirmed"] > 0
    assert "asked" not in told_by_platform
    assert {one.state for task in tasks(world, broadcast) for one in task.reminders} <= {
        "sent", "lost", "refused:wecom:41093",
    }  # fmt: skip
