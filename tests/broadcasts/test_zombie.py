"""A worker that is stopped for longer than its lease wakes up while another has its work: it may tell, not act."""

import fcntl
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.broadcasts.tables import chunks
from tagcast.kit.leases import leases
from tests.broadcasts.conftest import ROUTES, Make, send
from tests.flows.harness import World, until

LEASE = 0.6


def judged(world: World, route: str, broadcast: int) -> tuple[int, int, int, int]:
    found = world.judge(ROUTES[route][0], broadcast)
    return found["lost"], found["duplicated"], found["forbidden"], found["unexpected"]


def put_to_sleep(world: World, pid: int) -> None:
    """SIGSTOP between two transactions: a process that sleeps within one holds its locks, and nobody takes over."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)
        if nobody_writes(world):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.005)


def nobody_writes(world: World) -> bool:
    engine = world.runtime.engine
    if engine.dialect.name == "postgresql":
        busy = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        with engine.connect() as connection:
            return connection.scalar(sa.text(busy + " AND datname = current_database()")) == 0
    with closing(sqlite3.connect(str(engine.url.database), timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    with Path(f"{engine.url.database}-door").open("w") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def wakes_up_late(world: World, route: str, *, slow: float) -> int:
    """Stop a worker in the middle of calls that take `slow` seconds, let another finish, wake the first up."""
    path = "/cgi-bin/tags/members/batchtagging" if route == "tag" else ROUTES[route][3]
    world.sandbox.post("/sandbox/faults", path=path, kind="slow", times=6, seconds=slow)
    broadcast = send(world, route)
    rate = 40.0 if route == "template" else 6.0
    with world.worker_process(rate_per_second=rate) as zombie:
        until(lambda: world.sandbox.calls(path) >= 2)
        assert zombie.pid is not None
        put_to_sleep(world, zombie.pid)
        time.sleep(2 * LEASE)
        with world.working():
            world.wait(broadcast, "settling", "finished")
            os.kill(zombie.pid, signal.SIGCONT)
            time.sleep(4 * LEASE)
            assert zombie.is_alive()
            world.wait(broadcast, "finished")
    return broadcast


@pytest.mark.parametrize(("database", "slow"), [("postgresql", 0.0), ("sqlite", 0.4)])
@pytest.mark.parametrize("route", list(ROUTES))
def test_a_worker_that_wakes_up_late_doubles_nobody(route: str, database: str, slow: float, make: Make) -> None:
    world = make(route, database=database, lease_seconds=LEASE, in_doubt_seconds=1.5)
    broadcast = wakes_up_late(world, route, slow=slow)
    assert judged(world, route, broadcast) == (0, 0, 0, 0)
    states = world.states(broadcast)
    assert states["planned"] == states["retry"] == states["in_doubt"] == 0
    assert sum(states.values()) == len(world.assigned(broadcast))


def test_what_a_late_worker_learnt_is_kept(make: Make) -> None:
    """The key's time is over when another takes the chunk, so all in flight are in doubt; the sleeper knows better."""
    world = make("template", lease_seconds=LEASE)
    path = ROUTES["template"][3]
    broadcast = send(world, "template")
    world.sandbox.post("/sandbox/faults", path=path, kind="slow", times=1000, seconds=0.3)
    with world.worker_process(rate_per_second=500.0) as zombie:
        until(lambda: world.sandbox.calls(path) > 32)
        assert zombie.pid is not None
        put_to_sleep(world, zombie.pid)
        time.sleep(2 * LEASE)
        age(world, 600)
        world.sandbox.call("DELETE", "/sandbox/faults")
        with world.working():
            world.wait(broadcast, "finished")
            doubted = world.states(broadcast)["in_doubt"]
            assert doubted > 0
            os.kill(zombie.pid, signal.SIGCONT)
            until(lambda: world.states(broadcast)["in_doubt"] < doubted)
    verdict = world.judge("service", broadcast)
    assert (verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0)
    assert verdict["lost"] <= world.states(broadcast)["in_doubt"]
    assert world.set(f"broadcast:{broadcast}:in_doubt") & world.set(f"broadcast:{broadcast}:accepted") == BitMap()


def age(world: World, seconds: float) -> None:
    """The calls in flight were made this much earlier."""
    with world.runtime.work(1, "test") as work:
        work.connection.execute(sa.update(chunks).values(tried_at=chunks.c.tried_at - int(seconds * 1000)))


@pytest.mark.parametrize(("route", "seconds"), [("template", 571), ("list", 23.6 * 3600)])
def test_in_flight_longer_than_the_platform_remembers_is_in_doubt(route: str, seconds: float, make: Make) -> None:
    world = make(route, lease_seconds=LEASE)
    path = ROUTES[route][3]
    world.sandbox.post("/sandbox/faults", path=path, kind="slow", times=1000, seconds=5.0)
    broadcast = send(world, route)
    with world.worker_process() as dead:
        until(lambda: world.sandbox.get("/sandbox/faults")["faults"][0]["hit"] > 0)
        assert dead.pid is not None
        os.kill(dead.pid, signal.SIGKILL)
    world.sandbox.call("DELETE", "/sandbox/faults")
    asked_by_then = intents(world)
    age(world, seconds)
    world.work_until(broadcast)
    states = world.states(broadcast)
    assert states["in_doubt"] == len(asked_by_then)
    assert set(world.set(f"broadcast:{broadcast}:in_doubt")) == asked_by_then
    verdict = world.judge("service", broadcast)
    assert (verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0)


def intents(world: World) -> set[int]:
    """Who is in flight: below the watermark without an outcome."""
    found: set[int] = set()
    with world.runtime.engine.connect() as connection:
        for row in connection.execute(sa.select(chunks)):
            numbers = memoryview(row.recipients).cast("I")
            found |= {number for at, number in enumerate(numbers) if at < row.watermark and row.statuses[at] == 0}
    return found


@pytest.mark.parametrize("route", list(ROUTES))
def test_a_worker_told_to_stop_leaves_nothing_in_flight(route: str, make: Make) -> None:
    world = make(route)
    broadcast = send(world, route)
    path = "/cgi-bin/tags/members/batchtagging" if route == "tag" else ROUTES[route][3]
    with world.working(rate_per_second=30.0 if route == "template" else 3.0):
        until(lambda: world.sandbox.calls(path) >= 2)
    assert world.state(broadcast) == "sending"
    assert intents(world) == set() or route == "template"
    with world.runtime.engine.connect() as connection:
        assert set(connection.scalars(sa.select(leases.c.owner).where(leases.c.done_at.is_(None)))) == {None}
    world.work_until(broadcast)
    assert judged(world, route, broadcast) == (0, 0, 0, 0)
