"""The rate holds over processes: real processes, one database, every permit's time collected."""

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tagcast import accounts
from tagcast.accounts import NewAccount
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Runtime, open_runtime

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the public example
RATE = 400.0
PROCESSES = 3
SECONDS = 3.0

_SPENDER = """
import asyncio, sys, time
from pathlib import Path
from tagcast import accounts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

async def main():
    home, url, account, rate, seconds = sys.argv[1:]
    runtime = open_runtime(Settings(home=Path(home), database_url=url, rate_per_second=float(rate)))
    times, end = [], time.time() + float(seconds)

    async def spend():
        while time.time() < end:
            await accounts.permit(runtime, 1, int(account), "template")
            times.append(time.time())

    await asyncio.gather(*(spend() for _ in range(16)))
    print(" ".join(f"{moment:.6f}" for moment in times))
    runtime.close()

asyncio.run(main())
"""


def _account(runtime: Runtime, kind: str = "service") -> int:
    new = NewAccount(kind, "旗舰店", "secret", appid="wx0123456789abcdef")
    with runtime.work(1, "test") as work:
        return accounts.add(work, new).id


def busiest_second(times: list[float]) -> int:
    """The most permits within any one second."""
    most, first = 0, 0
    for last, moment in enumerate(times):
        while moment - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_three_processes_share_one_rate(runtime: Runtime) -> None:
    account = _account(runtime)
    arguments = [str(runtime.settings.home), runtime.settings.database_url, str(account), str(RATE), str(SECONDS)]
    spenders = [
        subprocess.Popen([sys.executable, "-c", _SPENDER, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    per_process = [[float(text) for text in spender.communicate(timeout=60)[0].split()] for spender in spenders]
    times = sorted(moment for moments in per_process for moment in moments)
    assert all(per_process)
    assert busiest_second(times) <= RATE * 1.1
    assert len(times) / (times[-1] - times[0]) > RATE * 0.75


def test_unused_permits_are_not_saved_up(runtime_sqlite: Runtime) -> None:
    account = _account(runtime_sqlite)
    runtime = replace(runtime_sqlite, settings=runtime_sqlite.settings.model_copy(update={"rate_per_second": 100.0}))

    async def burst() -> float:
        await accounts.permit(runtime, 1, account, "mass")
        await asyncio.sleep(0.5)
        started = time.monotonic()
        for _ in range(40):
            await accounts.permit(runtime, 1, account, "mass")
        return time.monotonic() - started

    assert 0.3 < asyncio.run(burst()) < 0.6


def test_a_profile_without_a_rate_does_not_wait(runtime_sqlite: Runtime) -> None:
    values = {"value": "unlimited", "source": "our own webhook", "date": "2026-11-01"}
    with runtime_sqlite.work(1, "test") as work:
        accounts.add_profile(work, "own", "article", {"custom": {"send": {"rate_per_minute": values}}})
        new = NewAccount("custom", "钩子", SECRET, base_url="https://hook.example", profile="own")
        account = accounts.add(work, new).id

    async def many() -> float:
        started = time.monotonic()
        for _ in range(2000):
            await accounts.permit(runtime_sqlite, 1, account, "hook")
        return time.monotonic() - started

    assert asyncio.run(many()) < 0.5


def test_an_unknown_account_has_no_permits(runtime_sqlite: Runtime) -> None:
    with pytest.raises(NotFound):
        asyncio.run(accounts.permit(runtime_sqlite, 1, 99, "mass"))


def test_a_killed_process_loses_only_its_block(tmp_path: Path, runtime_sqlite: Runtime) -> None:
    account = _account(runtime_sqlite)
    home = runtime_sqlite.settings.home
    spender = subprocess.Popen([sys.executable, "-c", _SPENDER, str(home), "", str(account), "200", "30"])
    time.sleep(2)
    spender.kill()
    spender.wait()
    settings = runtime_sqlite.settings.model_copy(update={"rate_per_second": 200.0})
    other = open_runtime(settings)

    async def first() -> float:
        started = time.monotonic()
        await accounts.permit(other, 1, account, "template")
        return time.monotonic() - started

    assert asyncio.run(first()) < 0.5
    other.close()


def test_a_slow_disk_slows_permits_and_does_not_stop_them(runtime_sqlite: Runtime) -> None:
    account = _account(runtime_sqlite)
    limited = replace(runtime_sqlite, settings=runtime_sqlite.settings.model_copy(update={"rate_per_second": RATE}))
    sa.event.listen(limited.engine, "commit", lambda _connection: time.sleep(0.3))

    async def use() -> None:
        for _ in range(3):
            await asyncio.wait_for(accounts.permit(limited, 1, account, "template"), 20)

    asyncio.run(use())
