"""Calls at a time over all processes: real processes on one database, every call's begin and end collected."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from tagcast import accounts
from tagcast.accounts import NewAccount
from tagcast.accounts.pacing import lanes, sharing, store
from tagcast.accounts.pacing.sharing import Share
from tagcast.accounts.pacing.tables import ceilings, slots
from tagcast.kit.uow import Runtime, open_runtime

API = "externalcontact_mark_tag"
LIMIT = 5
PROCESSES = 3

_CALLER = """
import asyncio, sys, time
from pathlib import Path
from tagcast import accounts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

async def main():
    home, url, account, seconds, width = sys.argv[1:]
    runtime = open_runtime(Settings(home=Path(home), database_url=url))
    spans, end = [], time.time() + float(seconds)

    async def spend():
        while time.time() < end:
            async with accounts.slot(runtime, 1, int(account), "externalcontact_mark_tag"):
                begun = time.time()
                await asyncio.sleep(0.02)
                spans.append((begun, time.time()))

    print("begun", flush=True)
    await asyncio.gather(*(spend() for _ in range(int(width))))
    print(" ".join(f"{begun:.6f}:{ended:.6f}" for begun, ended in spans))

asyncio.run(main())
"""


def add(runtime: Runtime) -> int:
    with runtime.work(1, "test") as work:
        return accounts.add(work, NewAccount("wecom", "企业", "secret", corpid="ww0123456789abcdef")).id


def start(runtime: Runtime, account: int, seconds: float, width: int) -> subprocess.Popen[str]:
    settings = runtime.settings
    arguments = [str(settings.home), settings.database_url, str(account), str(seconds), str(width)]
    process = subprocess.Popen([sys.executable, "-c", _CALLER, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def spans_of(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    texts = process.communicate(timeout=60)[0].split()
    return [(float(begun), float(ended)) for begun, ended in (text.split(":") for text in texts)]


def most_at_once(spans: list[tuple[float, float]]) -> int:
    moves = sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, move in moves:
        now += move
        most = max(most, now)
    return most


def test_three_processes_share_the_slots_fairly(runtime: Runtime) -> None:
    account = add(runtime)
    processes = [start(runtime, account, 4.0, 4) for _ in range(PROCESSES)]
    each = [spans_of(process) for process in processes]
    assert most_at_once([span for spans in each for span in spans]) in (LIMIT - 1, LIMIT)
    assert min(map(len, each)) > 0.4 * max(map(len, each))
    assert sum(map(len, each)) > 0.6 * 4.0 / 0.022 * LIMIT


def test_more_processes_than_slots_take_turns(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    one = {"value": 1, "source": "ours", "date": "2026-11-01"}
    with runtime_sqlite.work(1, "test") as work:
        accounts.add_profile(work, "one", "article", {"wecom": {"at_once": {API: one}}})
        accounts.set_profile(work, account, "one")
    processes = [start(runtime_sqlite, account, 6.0, 2) for _ in range(2)]
    each = [spans_of(process) for process in processes]
    assert most_at_once([span for spans in each for span in spans]) == 1
    assert min(map(len, each)) > 0.2 * max(map(len, each))


def test_a_killed_process_frees_its_slots_after_its_lease(runtime: Runtime) -> None:
    account = add(runtime)
    process = start(runtime, account, 60.0, LIMIT)
    time.sleep(1.0)
    process.kill()
    process.communicate(timeout=10)

    async def first() -> float:
        began = time.monotonic()
        async with accounts.slot(runtime, 1, account, API):
            return time.monotonic() - began

    waited = asyncio.run(first())
    assert 2.0 < waited < 6.5


def test_slots_are_used_again_without_the_database(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    async def many() -> float:
        async with accounts.slot(runtime_sqlite, 1, account, API):
            pass
        sa.event.listen(runtime_sqlite.engine, "before_cursor_execute", count)
        began = time.perf_counter()
        for _ in range(5000):
            async with accounts.slot(runtime_sqlite, 1, account, API):
                pass
        return (time.perf_counter() - began) / 5000

    per_call = asyncio.run(many())
    assert statements < 20
    assert per_call < 50e-6


def test_an_api_without_a_limit_has_no_slots(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)

    async def use() -> None:
        async with accounts.slot(runtime_sqlite, 1, account, "externalcontact_add_msg_template"):
            pass

    asyncio.run(use())
    with runtime_sqlite.read(1, "test") as work:
        assert work.connection.scalar(sa.select(sa.func.count()).select_from(slots)) == 0


def test_a_cancelled_wait_takes_no_slot(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    inside = 0

    async def hold(seconds: float) -> None:
        nonlocal inside
        async with accounts.slot(runtime_sqlite, 1, account, API):
            inside += 1
            await asyncio.sleep(seconds)

    async def use() -> None:
        holders = [asyncio.create_task(hold(0.5)) for _ in range(LIMIT)]
        await asyncio.sleep(0.2)
        waiter = asyncio.create_task(hold(0))
        await asyncio.sleep(0.1)
        assert (inside, waiter.done()) == (LIMIT, False)
        waiter.cancel()
        await asyncio.gather(*holders)
        await asyncio.wait_for(asyncio.gather(*(hold(0) for _ in range(LIMIT * 3))), 2)

    asyncio.run(use())
    assert inside == LIMIT * 4


def test_calls_that_begin_while_slots_are_renewed_are_counted(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    other = open_runtime(runtime_sqlite.settings)
    inside = most = 0
    slow, renewing = threading.Event(), threading.Event()

    def commit(_connection: object) -> None:
        if slow.is_set():
            renewing.set()
            time.sleep(0.1)

    async def hold(of: Runtime, seconds: float) -> None:
        nonlocal inside, most
        async with accounts.slot(of, 1, account, API):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(seconds)
            inside -= 1

    async def once() -> None:
        renewing.clear()
        await asyncio.gather(*(hold(runtime_sqlite, 0.05) for _ in range(LIMIT)))
        slow.set()
        # One call after another keeps the slots until they are renewed; then all begin together.
        while not renewing.is_set():
            async with accounts.slot(runtime_sqlite, 1, account, API):
                pass
            await asyncio.sleep(0.005)
        slow.clear()
        await asyncio.gather(*(hold(of, 0.4) for of in (runtime_sqlite, other) for _ in range(LIMIT)))

    async def use() -> None:
        for _ in range(4):
            await once()

    sa.event.listen(runtime_sqlite.engine, "commit", commit)
    asyncio.run(use())
    other.close()
    assert most == LIMIT


def test_a_wait_that_was_given_up_asks_for_nothing(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    other = open_runtime(runtime_sqlite.settings)
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    async def hold(of: Runtime, seconds: float) -> None:
        async with accounts.slot(of, 1, account, API):
            await asyncio.sleep(seconds)

    async def use() -> None:
        holders = [asyncio.create_task(hold(runtime_sqlite, 2.0)) for _ in range(LIMIT)]
        await asyncio.sleep(0.3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hold(other, 0), 0.3)
        await asyncio.sleep(0.5)
        sa.event.listen(other.engine, "before_cursor_execute", count)
        await asyncio.sleep(0.8)
        await asyncio.gather(*holders)

    asyncio.run(use())
    other.close()
    assert statements == 0


def test_too_many_at_once_halves_and_grows_back(runtime: Runtime) -> None:
    account = add(runtime)
    with runtime.work(1, "test") as work:
        store.cut_ceiling(work, account, API, 8)
        assert store.ceiling(work, account, API, 8) == 4
        store.cut_ceiling(work, account, API, 8)
        assert store.ceiling(work, account, API, 8) == 4, "one moment counts once"
        work.connection.execute(sa.update(ceilings).values(cut_at=ceilings.c.cut_at - 2000))
        store.cut_ceiling(work, account, API, 8)
        assert store.ceiling(work, account, API, 8) == 2
        work.connection.execute(sa.update(ceilings).values(cut_at=ceilings.c.cut_at - 3 * sharing.GROW_MS))
        assert store.ceiling(work, account, API, 8) == 5
        work.connection.execute(sa.update(ceilings).values(cut_at=ceilings.c.cut_at - 9 * sharing.GROW_MS))
        assert store.ceiling(work, account, API, 8) == 8


def test_an_api_that_was_refused_as_too_many_gets_slots(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)
    with runtime_sqlite.work(1, "test") as work:
        store.cut_ceiling(work, account, "externalcontact_list", 10)
        store.cut_ceiling(work, account, "user_get", 32)
    for api, at_once in (("user_get", 32), ("externalcontact_list", 10), ("user_list", None)):
        lane = lanes.Lane((1, account, api))
        lanes.look(runtime_sqlite, lane)
        assert lane.at_once == at_once


NOW = 1_000_000


@pytest.mark.parametrize(
    ("limit", "me", "others", "rank", "expected"),
    [
        pytest.param(5, Share(0, 3, NOW), [], 0, 3, id="alone: what it wants"),
        pytest.param(5, Share(0, 9, NOW), [], 0, 5, id="alone: all"),
        pytest.param(5, Share(5, 9, 0), [Share(0, 9, NOW)], 0, 3, id="a share and the remainder"),
        pytest.param(5, Share(5, 9, 0), [Share(0, 9, NOW)], 1, 2, id="a share without the remainder"),
        pytest.param(5, Share(0, 9, NOW), [Share(5, 9, 0)], 1, 0, id="nothing free"),
        pytest.param(5, Share(0, 9, NOW), [Share(1, 1, 0)], 1, 4, id="the other wants no more"),
        pytest.param(1, Share(1, 2, NOW - 1000), [Share(0, 2, NOW)], 0, 0, id="its turn is over"),
        pytest.param(1, Share(1, 2, NOW - 999), [Share(0, 2, NOW)], 0, 1, id="its turn is not over"),
        pytest.param(1, Share(0, 2, NOW), [Share(0, 2, NOW - 1)], 0, 0, id="who waits longer comes first"),
        pytest.param(2, Share(0, 2, NOW), [Share(0, 2, NOW + 1)], 0, 1, id="who waits less comes later"),
    ],
)
def test_sharing(limit: int, me: Share, others: list[Share], rank: int, expected: int) -> None:
    assert sharing.grant(limit, me, others, rank=rank, now=NOW) == expected


def test_alone_lets_one_call_of_a_subject_run() -> None:
    order: list[str] = []

    async def change(subject: str, name: str) -> None:
        async with accounts.alone(1, subject):
            order.append(f"{name} begins")
            await asyncio.sleep(0.01)
            order.append(f"{name} ends")

    async def use() -> None:
        await asyncio.gather(change("甲", "a"), change("甲", "b"), change("乙", "c"))

    asyncio.run(use())
    assert order.index("b begins") > order.index("a ends")
    assert order.index("c begins") < order.index("a ends")


def test_who_asks_while_the_slots_are_given_back_gets_one(runtime_sqlite: Runtime) -> None:
    account = add(runtime_sqlite)

    async def call() -> None:
        async with accounts.slot(runtime_sqlite, 1, account, API):
            pass

    def hold_the_database() -> None:
        with runtime_sqlite.work(1, "test"):
            time.sleep(1.0)

    async def use() -> None:
        await call()
        await asyncio.sleep(0.1)
        holding = asyncio.create_task(asyncio.to_thread(hold_the_database))
        await asyncio.sleep(0.5)
        await asyncio.wait_for(call(), 10)
        await holding

    asyncio.run(use())
