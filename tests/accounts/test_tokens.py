"""Tokens against the sandbox over HTTP: one request for many processes, one repetition for a dead one, clear errors."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from tests.accounts.platform import Platform
from tests.channels.canned import HANG, Canned

from tagcast import accounts
from tagcast.accounts import NewAccount, store
from tagcast.accounts.tables import accounts as account_table
from tagcast.accounts.tables import tokens
from tagcast.channels import ChannelError
from tagcast.kit.errors import Invalid, NotFound, Refused, TagcastError, Unavailable
from tagcast.kit.leases import clock_ms
from tagcast.kit.uow import Runtime

PROCESSES = 4


def add(runtime: Runtime, sandbox: Platform, kind: str, **changes: Any) -> tuple[int, int]:
    """(our account, the sandbox's account)."""
    made = sandbox.call("POST", "/sandbox/accounts", {"kind": kind, "name": kind, "employees": 3})
    given = {"appid": made["appid"] or "", "corpid": made["corpid"] or "", "agentid": made["agentid"]}
    given |= {"secret": made["secret"], "base_url": sandbox.url, **changes}
    with runtime.work(1, "test") as work:
        return accounts.add(work, NewAccount(kind, f"{kind} {made['id']}", **given)).id, made["id"]


def expire(runtime: Runtime) -> None:
    """Make the shared tokens old, as two hours would."""
    with runtime.system() as connection:
        connection.execute(sa.update(tokens).values(fresh_until=0))


async def read_tags(connected: accounts.Connected) -> int:
    if connected.account.kind == "wecom":
        return len(await connected.call(connected.wecom.tags.groups))
    return len(await connected.call(connected.official.tags.all))


_CALLER = """
import asyncio, sys
from pathlib import Path
from tagcast import accounts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

async def main():
    home, url, account = sys.argv[1:]
    runtime = open_runtime(Settings(home=Path(home), database_url=url, allow_private=True))
    async with accounts.connect(runtime, 1, int(account)) as connected:
        print("ready", flush=True)
        sys.stdin.readline()
        await asyncio.gather(*(connected.tokens.current() for _ in range(4)))
        await connected.call(connected.official.tags.all)
    print("done", flush=True)
    runtime.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_many_processes_ask_for_one_token(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")
    arguments = [str(runtime.settings.home), runtime.settings.database_url, str(account)]
    callers = [
        subprocess.Popen(
            [sys.executable, "-c", _CALLER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(PROCESSES)
    ]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    before = sandbox.requests
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("go\n")
        caller.stdin.flush()
    assert [caller.communicate(timeout=60)[0] for caller in callers] == ["done\n"] * PROCESSES
    assert sandbox.requests - before == PROCESSES + 1


@pytest.mark.parametrize("kind", ["service", "wecom"])
def test_eight_threads_ask_once_at_each_expiry(runtime: Runtime, sandbox: Platform, kind: str) -> None:
    account, _ = add(runtime, sandbox, kind)
    gate = threading.Barrier(8)
    problems: list[BaseException] = []

    async def use() -> None:
        async with accounts.connect(runtime, 1, account) as connected:
            await asyncio.to_thread(gate.wait)
            await read_tags(connected)

    def run() -> None:
        try:
            asyncio.run(use())
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            problems.append(error)

    for _ in range(2):
        expire(runtime)
        before = sandbox.requests
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert sandbox.requests - before == 8 + 1


@pytest.mark.parametrize("kind", ["official", "wecom"])
def test_a_dropped_token_is_renewed_once_for_all_and_the_calls_repeated(
    runtime: Runtime, sandbox: Platform, kind: str
) -> None:
    account, theirs = add(runtime, sandbox, kind)

    async def use() -> int:
        async with accounts.connect(runtime, 1, account) as connected:
            await read_tags(connected)
            sandbox.call("POST", "/sandbox/tokens/drop", {"account": theirs})
            before = sandbox.requests
            await asyncio.gather(*(read_tags(connected) for _ in range(6)))
            return sandbox.requests - before

    assert asyncio.run(use()) == 6 + 1 + 6


def test_a_token_is_shared_and_lies_sealed(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")

    async def token() -> str:
        async with accounts.connect(runtime, 1, account) as connected:
            return await connected.tokens.current()

    first = asyncio.run(token())
    before = sandbox.requests
    assert asyncio.run(token()) == first
    assert sandbox.requests == before
    with runtime.engine.connect() as connection:
        value = connection.scalar(sa.select(tokens.c.value).where(tokens.c.account == account))
    assert value is not None
    assert first.encode() not in value


@pytest.mark.parametrize("kind", ["service", "wecom"])
def test_a_wrong_secret_is_explained_and_not_tried_in_a_storm(runtime: Runtime, sandbox: Platform, kind: str) -> None:
    account, _ = add(runtime, sandbox, kind, secret="wrong" * 6)
    before = sandbox.requests
    for _ in range(5):
        health = asyncio.run(accounts.check(runtime, 1, account))
        assert not health.ok
        assert health.problem is not None
        assert health.problem.code == "accounts.wrong_secret"
        assert isinstance(health.problem, Refused)
        assert health.account.name in health.problem.text("zh")
        assert "secret" in health.problem.remedy("en")
    assert sandbox.requests - before == 1


def test_a_corrected_secret_works_at_once(runtime: Runtime, sandbox: Platform) -> None:
    account, theirs = add(runtime, sandbox, "service", secret="wrong" * 6)
    assert not asyncio.run(accounts.check(runtime, 1, account)).ok
    secret = sandbox.call("GET", f"/sandbox/accounts/{theirs}")["secret"]
    with runtime.work(1, "test") as work:
        accounts.set_secret(work, account, secret)
    assert asyncio.run(accounts.check(runtime, 1, account)).ok


@pytest.mark.parametrize("errcode", [40243, 45009, 99999])
def test_what_the_platform_refuses_is_not_asked_in_a_storm_nor_are_its_words_kept(
    runtime_sqlite: Runtime, sandbox: Platform, errcode: int
) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    canned = Canned()

    async def ask(_transport: object, url: str) -> list[str]:
        with runtime_sqlite.system() as connection:
            connection.execute(sa.update(account_table).values(base_url=url))
        found = []
        for _ in range(5):
            async with accounts.connect(runtime_sqlite, 1, account, backoff=accounts.DURABLE) as connected:
                with pytest.raises(TagcastError) as error:
                    await connected.call(connected.official.tags.all)
                found.append(error.value.code)
        return found

    assert canned.talk(ask, {"errcode": errcode, "errmsg": "of oSomebody"}) == ["accounts.platform_refused"] * 5
    assert len(canned.seen) == 1
    with runtime_sqlite.read(1, "test") as work:
        problem = work.connection.scalar(sa.select(tokens.c.problem))
    assert problem["params"]["errcode"] == errcode
    assert "oSomebody" not in str(problem)


def test_who_asks_with_the_former_secret_decides_nothing(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")
    with runtime.work(1, "test") as work:
        row, _ = store.token(work, account)
        assert store.claim_token(work, account, row.epoch, "former", 60)
        accounts.set_secret(work, account, "0" * 32)
        assert not store.token_failed(work, account, "former", {"code": "accounts.wrong_secret", "params": {}})
        row, _ = store.token(work, account)
        assert store.claim_token(work, account, row.epoch, "next", 60)


def test_who_is_cancelled_while_asking_lets_others_ask(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")

    async def ask(_transport: object, url: str) -> float:
        with runtime_sqlite.system() as connection:
            connection.execute(sa.update(account_table).values(base_url=url))
        async with accounts.connect(runtime_sqlite, 1, account) as connected:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connected.tokens.current(), 0.5)
        began = time.monotonic()
        async with accounts.connect(runtime_sqlite, 1, account) as connected:
            assert await connected.tokens.current() == "second"
        return time.monotonic() - began

    assert Canned().talk(ask, HANG, {"access_token": "second", "expires_in": 7200}) < 2


def test_a_closed_port_is_told_as_unreachable(runtime: Runtime, sandbox: Platform) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    account, _ = add(runtime, sandbox, "official", base_url=f"http://127.0.0.1:{port}")
    problem = asyncio.run(accounts.check(runtime, 1, account)).problem
    assert isinstance(problem, Unavailable)
    assert problem.code == "accounts.unreachable"
    assert f"127.0.0.1:{port}" in problem.text("zh")


def test_check_counts_tags_and_employees(runtime: Runtime, sandbox: Platform) -> None:
    official, _ = add(runtime, sandbox, "official")
    wecom, _ = add(runtime, sandbox, "wecom")

    async def make() -> None:
        async with accounts.connect(runtime, 1, official) as connected:
            await connected.call(lambda: connected.official.tags.create("高价值"))
        async with accounts.connect(runtime, 1, wecom) as connected:
            await connected.call(lambda: connected.wecom.tags.add(["甲", "乙"], group_name="层级"))
            with pytest.raises(TypeError):
                _ = connected.official

    asyncio.run(make())
    health = asyncio.run(accounts.check(runtime, 1, wecom))
    assert (health.ok, health.tags, health.employees) == (True, 2, 3)
    health = asyncio.run(accounts.check(runtime, 1, official))
    assert health.ok
    assert health.employees is None
    assert health.tags >= 1


def test_other_refusals_reach_the_caller_unrepeated(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "official")

    async def use() -> int:
        async with accounts.connect(runtime, 1, account) as connected:
            await read_tags(connected)
            before = sandbox.requests
            with pytest.raises(ChannelError):
                await connected.call(lambda: connected.official.tags.delete(987_654))
            return sandbox.requests - before

    assert asyncio.run(use()) == 1


def test_a_dead_holder_of_the_claim_is_waited_out(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")
    with runtime.system() as connection:
        held = {"owner": "dead", "lease_until": clock_ms(connection) + 700}
        connection.execute(sa.update(tokens).where(tokens.c.account == account).values(**held))

    async def token() -> str:
        async with accounts.connect(runtime, 1, account) as connected:
            return await connected.tokens.current()

    assert asyncio.run(asyncio.wait_for(token(), 5))


def test_what_cannot_be_connected_is_refused(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        plain = accounts.add(
            work, NewAccount("official", "号", "s", appid="wx0123456789", base_url="http://api.example")
        ).id
    with pytest.raises(NotFound):
        asyncio.run(accounts.check(runtime_sqlite, 1, 999))
    runtime_sqlite.settings = runtime_sqlite.settings.model_copy(update={"allow_private": False})
    with pytest.raises(Invalid) as refused:
        asyncio.run(accounts.check(runtime_sqlite, 1, plain))
    assert refused.value.code == "accounts.insecure_url"
