"""A broadcast of template messages, one call a person, with its ledger: against the bare HTTP client, and wechatpy.

The platform is `bench.echo` in a process of its own, which counts what came: everybody once, and how many in any
second. `wall` runs from the start of a worker to the commit of the last outcome. Ours and the bare client take turns;
each figure is the median of the quotients, because a busy machine slows the two turns of a pair alike.

On PostgreSQL the platform is 20 ms away and each worker has few calls in flight, so that one worker does not use up a
core: then twice the workers should send twice as fast.
"""

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from bench import senders, stage
from bench.channels import beside
from bench.echo import many_files
from bench.measure import Bar
from bench.senders import Person, people, turn, wechatpy
from bench.stage import Stage
from tagcast.broadcasts.cutting import TEMPLATE_CHUNK
from tagcast.broadcasts.delivery.template import WIDEST
from tagcast.kit import loop
from tagcast.worker import SLOTS

IN_FLIGHT = 64
PAIRS = 5
WALL, CPU = {"aiohttp": 1.10, "fast": 1.15}, {"aiohttp": 10.0, "fast": 20.0}
AWAY_MS, EACH, WORKERS = 20, 6, (1, 2, 4)
LIMIT, LIMIT_SECONDS = 600.0, 10
# Two rounds of the chunks that four workers hold.
LEAST_PEOPLE = 64_000
KILL_RATE = 400.0
LEAST_LEASE = 5.0


def run(size: int) -> Iterator[Bar]:
    """Rows for broadcasts to `size` people. Needs wechatpy, pyreqwest and a PostgreSQL."""
    many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tagcast-send-")))
        near = stack.enter_context(beside("bench.echo", "0")).strip()
        yield from _one_process(stack, folder, f"http://127.0.0.1:{near}", size)
        far = stack.enter_context(beside("bench.echo", str(AWAY_MS), pinned=False)).strip()
        yield from _many_processes(stack, folder, f"http://127.0.0.1:{far}", size)


def _one_process(stack: ExitStack, folder: Path, base: str, size: int) -> Iterator[Bar]:
    runner = stack.enter_context(loop.runner())
    closing = AsyncExitStack()
    bare = runner.run(senders.clients(closing, base, IN_FLIGHT))
    to = people(size)
    slow = wechatpy(base, 64)
    for name, most in WALL.items():
        # A home for each: nobody gets more messages than the ceiling of a month.
        place = stage.make(folder / name, base, size, rate_per_second=senders.RATE, send_concurrency=IN_FLIGHT)
        stack.callback(place.runtime.close)
        walls, cpus, slows, right = [], [], [], True
        for number in range(PAIRS + 1):
            peer = turn(runner, bare[f"bare {name}"], IN_FLIGHT)
            theirs = peer(to) if number % 2 else None
            cpu, wall, good = _ours(place, to[0], name)
            theirs = theirs or peer(to)
            place.report()
            if number == 0:
                continue
            walls.append((wall / size, theirs.seconds))
            cpus.append((cpu / size * 1e6, theirs.cpu_us))
            slows.append(slow(to[: max(64, size // 20)]).cpu_us)
            right = right and good
        quotient = statistics.median(ours / theirs for ours, theirs in walls)
        bound = statistics.median(theirs for _, theirs in walls) * 1e6
        yield Bar.of(
            f"a broadcast on SQLite, wall, {name}", size, ours=bound * quotient, peer=(f"bare {name}", bound),
            unit="us", bar=("<=", most), equal=right,
        )  # fmt: skip
        costs, theirs_cpu = statistics.median(ours for ours, _ in cpus), statistics.median(one for _, one in cpus)
        yield Bar.of(
            f"a broadcast on SQLite, CPU, {name}", size, ours=costs,
            peer=("wechatpy 64 threads", statistics.median(slows)), unit="us CPU",
            bar=(">=", CPU[name]), equal=right, floor=theirs_cpu,
        )  # fmt: skip
    runner.run(closing.aclose())


def _ours(place: Stage, person: Person, transport: str) -> tuple[float, float, bool]:
    """(CPU seconds, wall seconds, whether everybody was called once) of a broadcast."""
    broadcast = place.draft_and_send(person)
    place.report()
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall = place.work_here(broadcast, transport=transport)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seen = place.report()
    return cpu, wall, place.accepted(broadcast) and seen.calls == seen.people == place.people


def _many_processes(stack: ExitStack, folder: Path, base: str, size: int) -> Iterator[Bar]:
    from tests.postgres import start_postgres

    url = stack.enter_context(start_postgres(durable=True))
    size = max(size, LEAST_PEOPLE)
    place = stage.make(folder / "postgres", base, size, database_url=url, rate_per_second=senders.RATE)
    stack.callback(place.runtime.close)
    yield from _scaling(place, size)
    yield from _exact_rate(place)
    few = stage.make(folder / "killed", base, SLOTS * TEMPLATE_CHUNK)
    stack.callback(few.runtime.close)
    yield from _killed(few)


def _scaling(place: Stage, size: int) -> Iterator[Bar]:
    """Calls a second of 1, 2 and 4 workers; ours is the time of each, a peer's share of it the ideal."""
    alone = 0.0
    for count in WORKERS:
        with place.workers(count, send_concurrency=EACH) as running:
            place.report()
            before = stage.cpu_seconds(running)
            started = time.monotonic()
            broadcast = place.draft_and_send(people(1)[0])
            wall = place.wait(broadcast)
            used = (stage.cpu_seconds(running) - before) / (time.monotonic() - started)
            seen = place.report()
        alone = alone or wall
        bound = min(float(count), (os.cpu_count() or 1) / used * count) if used else float(count)
        yield Bar.of(
            f"PostgreSQL, {count} workers, {used:.2f} cores used by them", size, ours=wall, peer=("1 worker", alone),
            unit="s", bar=(">=", min(0.85 * count, bound)),
            equal=place.accepted(broadcast) and seen.calls == seen.people,
        )  # fmt: skip


def _exact_rate(place: Stage) -> Iterator[Bar]:
    """Four processes under one limit: no second above it, and nearly all of it used."""
    calls = int(LIMIT * LIMIT_SECONDS)
    with place.workers(4, send_concurrency=EACH * 4, rate_per_second=LIMIT):
        place.report()
        broadcast = place.draft_and_send(people(1)[0])
        time.sleep(2.0)
        place.report()
        time.sleep(calls / LIMIT)
        seen = place.report()
        place.cancel(broadcast)
    exact = seen.calls == seen.people
    yield Bar.of(
        f"busiest second of 4 processes, {LIMIT:.0f}/s allowed", calls, ours=seen.busiest, peer=("limit", LIMIT),
        unit="calls", bar=("<=", 1.05), equal=exact,
    )  # fmt: skip
    yield Bar.of(
        "the limit's share that they used", calls, ours=LIMIT * seen.seconds, peer=("calls", seen.calls),
        unit="calls", bar=(">=", 0.97), equal=exact,
    )  # fmt: skip


def _killed(place: Stage) -> Iterator[Bar]:
    """The only worker, which holds all chunks, is killed, and another is started at once: the longest time without a
    call, and who was called twice (the platform knows the key).
    """
    limits = {"send_concurrency": EACH, "rate_per_second": KILL_RATE}
    with place.workers(1, **limits) as running:
        place.report()
        broadcast = place.draft_and_send(people(1)[0])
        time.sleep(2.0)
        running[0].kill()
        with place.workers(1, **limits):
            time.sleep(2.5 * LEAST_LEASE)
            seen = place.report()
            place.cancel(broadcast)
    yield Bar.of(
        "longest pause after a kill -9 of the only worker", seen.calls, ours=seen.gap,
        peer=("bar", LEAST_LEASE), unit="s", bar=("<=", 1.0), equal=seen.calls - seen.people <= SLOTS * WIDEST,
    )  # fmt: skip


if __name__ == "__main__":
    for bar in run(int(sys.argv[1])):
        sys.stdout.write(f"{bar}\n")
