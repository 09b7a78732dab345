"""A broadcast on its way: failed ones tried again, what stands still and why, progress that can be waited for."""

import csv
import io
import os
import signal
import sqlite3
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import broadcasts, compliance
from tagcast.broadcasts import ledger, store, views, watching
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.tables import broadcasts as table
from tagcast.broadcasts.tables import chunks
from tagcast.kit.errors import Conflict, Invalid, Refused
from tests.broadcasts.conftest import ROUTES, Make, content, send
from tests.broadcasts.test_delivery import CLEAN, fault, verdict
from tests.flows.harness import World, until

SEND = "/cgi-bin/message/template/send"
BLOCKED = "official:43116"
ON = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


def progress(world: World, broadcast: int) -> broadcasts.Progress:
    with world.runtime.read(1, "test") as work:
        return broadcasts.progress(work, broadcast)


def failures(world: World, broadcast: int) -> dict[str, int]:
    with world.runtime.read(1, "test") as work:
        return {one.reason: one.count for one in broadcasts.failures(work, broadcast)}


def retry(world: World, broadcast: int, *reasons: str) -> int:
    with world.runtime.work(1, "test") as work:
        return broadcasts.retry(work, broadcast, reasons)


def failed_some(world: World, count: int = 40) -> int:
    """A finished broadcast in which some were refused for a reason of their own, and 5 for another."""
    fault(world, SEND, "error", code=43004, times=count)
    fault(world, SEND, "error", code=40003, times=5)
    broadcast = send(world, "template")
    world.work_until(broadcast)
    world.sandbox.call("DELETE", "/sandbox/faults")
    return broadcast


@ON
def test_who_failed_for_a_reason_is_tried_again_and_the_sums_stay(database: str, make: Make) -> None:
    world = make("template", database=database)
    broadcast = failed_some(world)
    assert failures(world, broadcast) == {"official:43004": 40, "official:40003": 5}
    before, failed = len(world.assigned(broadcast)), world.set(f"broadcast:{broadcast}:failed")
    assert retry(world, broadcast, "official:43004") == 40
    states = world.states(broadcast)
    assert (states["planned"], states["failed"], sum(states.values())) == (40, 5, before)
    assert world.state(broadcast) == "sending"
    world.work_until(broadcast)
    assert world.states(broadcast)["accepted"] == before - 5
    assert failures(world, broadcast) == {"official:40003": 5}
    left = world.set(f"broadcast:{broadcast}:failed")
    assert len(left) == 5
    assert verdict(world, "template", broadcast, but=left) == CLEAN
    again = failed - left
    assert set(world.statuses(broadcast, again).values()) == {"accepted"}
    with world.runtime.read(1, "test") as work:
        assert views.why(work, broadcast, again[0])[0] == "accepted"


def test_a_retry_asks_for_consent_and_slots_anew(make: Make) -> None:
    world = make("template")
    broadcast = failed_some(world)
    failed = list(world.set(f"broadcast:{broadcast}:failed"))
    gone = BitMap(failed[:4])
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "service", BitMap(), gone, source="test")
    tried = retry(world, broadcast, "official:43004", "official:40003")
    world.work_until(broadcast)
    assert tried == 45
    assert set(world.statuses(broadcast, gone).values()) == {"held"}
    assert verdict(world, "template", broadcast, but=gone) == CLEAN


def test_a_retry_needs_a_reason_that_somebody_has(make: Make) -> None:
    world = make("template", size=60)
    broadcast = send(world, "template")
    world.work_until(broadcast)
    with pytest.raises(Invalid, match="Nobody failed"):
        retry(world, broadcast, "official:43004")
    said = content(world, "template")
    with world.runtime.work(1, "test") as work:
        draft = broadcasts.draft(work, name="x", account=1, audience="all", content=said, purpose="service")
    with pytest.raises(Conflict):
        retry(world, draft.id, "official:43004")


@ON
def test_a_kill_in_a_retry_loses_and_doubles_nobody(database: str, make: Make) -> None:
    world = make("template", size=600, database=database, lease_seconds=0.4)
    fault(world, SEND, "error", code=43004, times=200)
    broadcast = send(world, "template")
    world.work_until(broadcast)
    world.sandbox.call("DELETE", "/sandbox/faults")
    assert retry(world, broadcast, "official:43004") == 200
    for _ in range(3):
        before = world.sandbox.calls(SEND)
        with world.worker_process(rate_per_second=150.0) as process:
            until(lambda before=before: world.sandbox.calls(SEND) > before or world.state(broadcast) != "sending")
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
    world.work_until(broadcast, lease_seconds=5.0)
    assert verdict(world, "template", broadcast) == CLEAN
    assert world.states(broadcast)["accepted"] == len(world.assigned(broadcast))


def test_a_list_is_tried_again_as_a_list(make: Make) -> None:
    world = make("list", size=200)
    broadcast = send(world, "list")
    with world.runtime.work(1, "test") as work:
        for chunk in store.chunks_of(work, broadcast):
            reasons = dict.fromkeys(range(3) if chunk.no == 0 else (), "mass:err(20001)")
            statuses = chunk.statuses.copy()
            statuses[list(reasons)] = Status.FAILED
            ledger.put(work, store.get(work, broadcast), chunk, statuses, reasons)
            store.save_chunk(work, chunk)
    assert retry(world, broadcast, "mass:err(20001)") == 3
    world.work_until(broadcast)
    assert verdict(world, "list", broadcast) == CLEAN
    with pytest.raises(Invalid):
        retry(world, broadcast, "mass:err(20001)")


def age(world: World, seconds: float) -> None:
    """Nothing has moved for so long."""
    ms = int(seconds * 1000)
    with world.runtime.engine.begin() as connection:
        connection.execute(sa.update(chunks).values(moved_at=chunks.c.moved_at - ms))
        for row in connection.execute(sa.select(table.c.id, table.c.running)).all():
            running = {**row.running, "since": row.running["since"] - ms}
            connection.execute(sa.update(table).where(table.c.id == row.id).values(running=running))


def stuck(world: World, broadcast: int) -> str | None:
    found = progress(world, broadcast).stuck
    return None if found is None else found.word


@ON
def test_what_stands_still_says_why(database: str, make: Make) -> None:
    world = make("template", database=database)
    broadcast = send(world, "template")
    assert stuck(world, broadcast) is None
    age(world, 400)
    assert stuck(world, broadcast) == "stuck_no_worker"
    now = progress(world, broadcast).stuck
    assert now is not None
    assert "tagcast worker" in now.en
    assert "tagcast worker" in now.zh
    with world.runtime.read(1, "test") as work:
        assert [found.id for found, _ in broadcasts.stuck_ones(work)] == [broadcast]
    world.sandbox.stop()
    with world.working():
        until(lambda: progress(world, broadcast).reason is not None)
    age(world, 400)
    until(lambda: stuck(world, broadcast) is not None)
    assert stuck(world, broadcast) in (progress(world, broadcast).reason, "stuck_no_worker")
    world.sandbox.start()
    world.later(60)
    world.work_until(broadcast)
    assert stuck(world, broadcast) is None
    with world.runtime.read(1, "test") as work:
        assert broadcasts.stuck_ones(work) == []


def stop(world: World, pid: int) -> None:
    """Stop a worker outside of its transactions: inside one it would keep the database locked."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with sqlite3.connect(world.runtime.settings.home / "tagcast.db", timeout=0) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.01)
            else:
                connection.rollback()
                return


def test_a_stopped_worker_is_shown_then_fenced(make: Make) -> None:
    world = make("template", size=400, lease_seconds=1.0)
    broadcast = send(world, "template")
    with world.worker_process(rate_per_second=60.0) as process:
        until(lambda: world.sandbox.calls(SEND) > 20)
        assert process.pid is not None
        stop(world, process.pid)
        age(world, 400)
        assert stuck(world, broadcast) in ("stuck_held", "stuck_no_worker")
        until(lambda: stuck(world, broadcast) == "stuck_no_worker")
        with world.working(lease_seconds=5.0):
            until(lambda: world.sandbox.calls(SEND) > 60)
            os.kill(process.pid, signal.SIGCONT)
            world.wait(broadcast, "finished")
    assert verdict(world, "template", broadcast) == CLEAN


def test_progress_is_waited_for_and_tells_the_speed(make: Make) -> None:
    world = make("template")
    broadcast = send(world, "template")
    first = progress(world, broadcast)
    assert (first.rate, first.seconds_left) == (None, None)

    def read() -> Any:
        return world.runtime.read(1, "test")

    began = time.monotonic()
    assert watching.wait_for_change(read, broadcast, first.version, 1.0).version == first.version
    assert time.monotonic() - began >= 1.0
    seen: list[broadcasts.Progress] = []
    asking = threading.Thread(
        target=lambda: seen.append(watching.wait_for_change(read, broadcast, first.version, 25.0))
    )
    asking.start()
    with world.working(rate_per_second=60.0):
        asking.join(30)
        assert seen
        assert seen[0].version != first.version
        until(lambda: progress(world, broadcast).rate is not None)
        now = progress(world, broadcast)
        assert now.rate is not None
        assert now.rate > 0
        world.wait(broadcast, "finished")
    over = progress(world, broadcast)
    assert over.seconds_left is None
    assert watching.wait_for_change(read, broadcast, over.version, 25.0).version == over.version


@pytest.mark.parametrize("route", list(ROUTES))
def test_the_chunks_sum_to_the_audience(route: str, make: Make) -> None:
    world = make(route, size=160)
    broadcast = send(world, route)
    world.work_until(broadcast)
    with world.runtime.read(1, "test") as work:
        parts = broadcasts.parts(work, broadcast)
        whole = [chunk.statuses.tolist() for chunk in store.chunks_of(work, broadcast)]
    assert sum(sum(part.states.values()) for part in parts) == len(world.assigned(broadcast))
    for part, statuses in zip(parts, whole, strict=True):
        assert sum(part.states.values()) == len(statuses)
        assert part.states.get("accepted", 0) == statuses.count(6)


def test_every_status_has_its_why_and_its_list(make: Make) -> None:
    world = make("template", size=200)
    broadcast = failed_some(world, 10)
    failed = world.set(f"broadcast:{broadcast}:failed")
    with world.runtime.read(1, "test") as work:
        word, zh, en = broadcasts.why(work, broadcast, failed[0])
        rows = list(csv.reader(io.StringIO("".join(broadcasts.members_csv(work, broadcast, "failed")))))
    assert (word, bool(zh), bool(en)) == ("failed", True, True)
    assert len(rows) == len(failed) + 1
    assert {int(row[0]) for row in rows[1:]} == set(failed)
    assert all(row[2] and row[3] and row[2] != row[3] for row in rows[1:])
    retry(world, broadcast, "official:43004")
    waiting = BitMap(set(failed) - set(world.set(f"broadcast:{broadcast}:failed")))
    with world.runtime.work(1, "test") as work:
        assert views.members(work, broadcast, "planned") == waiting
        broadcasts.pause(work, broadcast)
    with world.runtime.read(1, "test") as work:
        assert broadcasts.why(work, broadcast, waiting[0])[0] == "planned"
        assert "paused" in broadcasts.why(work, broadcast, waiting[0])[2]
    with world.runtime.work(1, "test") as work:
        broadcasts.cancel(work, broadcast)
    world.work_until(broadcast)
    with world.runtime.read(1, "test") as work:
        assert broadcasts.why(work, broadcast, waiting[0])[0] == "cancelled"
    with pytest.raises(Conflict):
        retry(world, broadcast, "official:40003")


def test_who_has_no_slot_left_is_not_tried_again(make: Make) -> None:
    world = make("template", size=100)
    broadcast = failed_some(world, 10)
    failed = world.set(f"broadcast:{broadcast}:failed")
    with world.runtime.work(1, "test") as work:
        compliance.set_cap(work, "all", "day", 1)
        compliance.record_sent(work, world.accounts["service"], "elsewhere", failed, work.now)
    with pytest.raises(Refused):
        retry(world, broadcast, "official:43004")
    assert world.states(broadcast)["failed"] == len(failed)
