"""Stages and the breaker: exact shares, exact bounds, nobody of a later stage before the earlier one went well."""

import os
import signal
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast import broadcasts, compliance, statistics
from tagcast.broadcasts import breaker, stages, store
from tagcast.broadcasts.breaker import Seen
from tagcast.kit.errors import Conflict, Invalid, Refused
from tests.broadcasts.conftest import NOTICE, TEXT, Make
from tests.broadcasts.test_delivery import CLEAN, fault, verdict
from tests.flows.harness import World, callbacks, until

SEND = "/cgi-bin/message/template/send"
HARMLESS = {"failed": 1, "blocked": 1, "complaints": 1, "least": 1}
ON = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_the_breaker_trips_exactly_when_chance_is_ruled_out(n: int, data: st.DataObject) -> None:
    seen = data.draw(st.integers(0, n))
    limit = data.draw(st.floats(0.01, 0.9))
    by_chance = sum(comb(n, k) * limit**k * (1 - limit) ** (n - k) for k in range(seen, n + 1))
    if abs(by_chance - 0.05) < 1e-6:
        return
    found = breaker.judge(Seen(n, seen), {"failed": limit, "blocked": 1, "complaints": 1, "least": 1})
    assert (found is not None) == (by_chance < 0.05)


def test_a_bound_needs_counts_that_can_be() -> None:
    assert statistics.least_share(0, 10) == 0.0
    assert statistics.least_share(10, 10) == pytest.approx(0.05**0.1)
    for successes, n, level in ((1, 0, 0.95), (3, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError, match=r"proportion|level"):
            statistics.least_share(successes, n, level)


@settings(deadline=None)
@given(st.integers(0, 5000), st.lists(st.integers(1, 99), unique=True, max_size=4), st.sampled_from([1, 2]))
def test_stages_end_where_their_shares_are(size: int, percent: list[float], least: int) -> None:
    shares = [*sorted(percent), 100]
    ends = stages.ends(size, shares, least)
    assert ends[-1] == size
    assert ends == sorted(ends)
    parts = np.diff([0, *ends])
    assert all(part == 0 or part >= min(least, size) for part in parts)
    if least == 1:
        assert ends == [round(size * share / 100) for share in shares]


def staged(percent: list[float], wait: float = 0, **limits: Any) -> dict[str, Any]:
    return {"stages": {"percent": percent, "wait_minutes": wait, "breaker": {**HARMLESS, **limits}}}


def notice(world: World) -> dict[str, Any]:
    return {**NOTICE, "template_id": world.template_id()}


def called(world: World, broadcast: int) -> int:
    states = world.states(broadcast)
    return sum(states.values()) - states["planned"] - states["retry"]


def reason(world: World, broadcast: int) -> str | None:
    return world.get(broadcast).reason


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ({"percent": [20, 2, 100]}, "bad_percent"),
        ({"percent": [2, 20]}, "bad_percent"),
        ({"percent": []}, "bad_percent"),
        ({"percent": "all"}, "bad_percent"),
        ({"percent": [0, 100]}, "bad_percent"),
        ({"percent": [True, 100]}, "bad_percent"),
        ({"wait_minutes": -1}, "bad_wait"),
        ({"wait_minutes": "soon"}, "bad_wait"),
        ({"breaker": {"failed": 0}}, "bad_breaker"),
        ({"breaker": {"failed": 2}}, "bad_breaker"),
        ({"breaker": {"least": 0.5}}, "bad_breaker"),
        ({"breaker": {"sad": 0.5}}, "bad_breaker"),
        ({"share": [100]}, "bad_stages"),
        ([2, 20, 100], "bad_stages"),
    ],
)
def test_a_wrong_section_is_refused(section: Any, code: str, make: Make) -> None:
    world = make("list", size=20)
    with pytest.raises(Invalid) as refused:
        world.send("service", TEXT, settings={"stages": section})
    assert refused.value.code == f"broadcasts.{code}"


def test_stages_that_cost_more_sends_than_there_are_are_refused(make: Make) -> None:
    world = make("tag", size=20)
    with pytest.raises(Refused, match="1 mass sends a day"):
        world.send("official", TEXT, settings=staged([50, 100]))


@ON
@pytest.mark.parametrize("route", ["list", "template", "tasks"])
def test_all_stages_together_reach_everybody_once(route: str, database: str, make: Make) -> None:
    world = make(route, size=200, database=database, settle_seconds=20.0 if route == "tasks" else 1.0)
    kind = "wecom" if route == "tasks" else "service"
    said = notice(world) if route == "template" else TEXT
    broadcast = world.send(kind, said, settings=staged([10, 50, 100]))
    assigned = len(world.assigned(broadcast))
    with world.runtime.read(1, "test") as work:
        tallies = store.tallies(work, broadcast)
    sizes = [sum(sum(one.counts) for one in tallies if one.stage == stage) for stage in range(3)]
    assert np.cumsum(sizes).tolist() == [round(assigned * share) for share in (0.1, 0.5, 1)]
    world.work_until(broadcast)
    assert verdict(world, route, broadcast) == CLEAN


@ON
def test_a_stage_waits_for_its_time_or_a_person(database: str, make: Make) -> None:
    world = make("template", size=200, database=database)
    broadcast = world.send("service", notice(world), settings=staged([10, 50, 100], wait=60))
    assigned = len(world.assigned(broadcast))
    with world.working():
        until(lambda: called(world, broadcast) == round(assigned * 0.1))
        until(lambda: progress(world, broadcast).reason == "stage_waiting")
        now = progress(world, broadcast)
        assert now.state == "sending"
        assert (now.stage, now.stages) == (1, 3)
    world.later(3600)
    with world.working():
        until(lambda: called(world, broadcast) == round(assigned * 0.5))
        until(lambda: between(world, broadcast))
        with world.runtime.work(1, "test") as work:
            broadcasts.proceed(work, broadcast)
        world.wait(broadcast, "finished")
    assert verdict(world, "template", broadcast) == CLEAN
    with world.runtime.work(1, "test") as work, pytest.raises(Conflict):
        broadcasts.proceed(work, broadcast)


def between(world: World, broadcast: int) -> bool:
    from tagcast.broadcasts import running

    with world.runtime.read(1, "test") as work:
        return running.between(work, store.get(work, broadcast))


@ON
def test_too_many_failures_stop_the_roll_out_and_a_person_goes_on(database: str, make: Make) -> None:
    world = make("template", size=300, database=database)
    fault(world, SEND, "error", code=43004, times=8)
    broadcast = world.send("service", notice(world), settings=staged([10, 100], failed=0.05))
    first = round(len(world.assigned(broadcast)) * 0.1)
    with world.working():
        world.wait(broadcast, "paused")
        now = progress(world, broadcast)
        assert now.reason == "breaker:failed"
        assert now.breaker is not None
        assert now.breaker["limit"] == 0.05 < now.breaker["bound"]
        assert now.breaker["seen"] == 8
        assert "失败" in now.reason_zh
        assert called(world, broadcast) <= first
        with world.runtime.work(1, "test") as work:
            broadcasts.proceed(work, broadcast)
        world.wait(broadcast, "finished")
    states = world.states(broadcast)
    assert (states["failed"], states["planned"]) == (8, 0)


def progress(world: World, broadcast: int) -> Any:
    with world.runtime.read(1, "test") as work:
        return broadcasts.progress(work, broadcast)


def test_receipts_between_stages_trip_the_breaker(make: Make) -> None:
    world = make("template", size=300)
    world.sandbox.post("/sandbox/settings", system_failed_share=0.6)
    with callbacks(world):
        broadcast = world.send("service", notice(world), settings=staged([20, 100], wait=0.05, failed=0.1))
        with world.working():
            world.wait(broadcast, "paused")
    assert reason(world, broadcast) == "breaker:failed"
    assert called(world, broadcast) == round(len(world.assigned(broadcast)) * 0.2)


@pytest.mark.parametrize("what", ["blocked", "complaints"])
def test_people_who_leave_or_complain_stop_the_roll_out(what: str, make: Make) -> None:
    world = make("list", size=300)
    broadcast = world.send("service", TEXT, settings=staged([20, 100], wait=60, **{what: 0.01}))
    first = round(len(world.assigned(broadcast)) * 0.2)
    with world.working():
        until(lambda: called(world, broadcast) == first)
    reached = BitMap(list(world.set(f"broadcast:{broadcast}:accepted"))[:6])
    with world.runtime.work(1, "test") as work:
        if what == "blocked":
            work.bitmaps.remove(f"following:{world.accounts['service']}", reached, why="test")
        else:
            compliance.suppress(work, reached, "complaint")
    world.later(3600)
    with world.working():
        world.wait(broadcast, "paused")
    assert reason(world, broadcast) == f"breaker:{what}"
    assert called(world, broadcast) == first
    with world.runtime.work(1, "test") as work:
        broadcasts.cancel(work, broadcast)
    world.work_until(broadcast)
    states = world.states(broadcast)
    assert states["cancelled"] == sum(states.values()) - first


def test_a_broadcast_without_stages_stops_when_most_fail(make: Make) -> None:
    world = make("template", size=1200)
    fault(world, SEND, "error", code=43004, times=5000)
    broadcast = world.send("service", notice(world))
    with world.working():
        world.wait(broadcast, "paused")
    assert reason(world, broadcast) == "breaker:failed"
    states = world.states(broadcast)
    assert 500 <= states["failed"] < sum(states.values())
    world.sandbox.call("DELETE", "/sandbox/faults")
    with world.runtime.work(1, "test") as work:
        broadcasts.resume(work, broadcast)
    world.work_until(broadcast)
    assert world.states(broadcast)["planned"] == 0


@ON
def test_a_kill_between_two_stages_loses_nobody(database: str, make: Make) -> None:
    world = make("list", size=300, database=database, lease_seconds=0.4)
    broadcast = world.send("service", TEXT, settings=staged([10, 30, 100], wait=0.01))
    assigned = len(world.assigned(broadcast))
    for share in (0.1, 0.3):
        with world.worker_process() as process:
            until(lambda share=share: called(world, broadcast) >= round(assigned * share))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
    world.work_until(broadcast, lease_seconds=5.0)
    assert verdict(world, "list", broadcast) == CLEAN
    assert world.states(broadcast)["accepted"] == assigned
