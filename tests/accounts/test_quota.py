"""Quotas: read from the platform, counted by us, an API that is used up closed for all processes."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from tests.accounts.platform import Platform
from tests.accounts.test_backoff import fault
from tests.accounts.test_tokens import add, read_tags

from tagcast import accounts
from tagcast.accounts import pacing
from tagcast.accounts.pacing import quota
from tagcast.accounts.pacing.tables import quotas
from tagcast.channels import ChannelError, Effect
from tagcast.channels.errors import refusal
from tagcast.kit import clock
from tagcast.kit.errors import Refused, Unavailable
from tagcast.kit.uow import Runtime


def seen(runtime: Runtime, account: int) -> dict[str, accounts.Quota]:
    with runtime.read(1, "test") as work:
        return {one.api: one for one in accounts.quotas(work, account)}


async def read(runtime: Runtime, account: int, times: int = 1) -> None:
    async with accounts.connect(runtime, 1, account, backoff=accounts.DURABLE) as connected:
        for _ in range(times):
            await read_tags(connected)


def test_the_platform_tells_what_is_left(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")

    async def use() -> None:
        async with accounts.connect(runtime, 1, account) as connected:
            with pytest.raises(ChannelError):
                await connected.call(lambda: connected.official.people.profiles(["o-nobody"]))

    asyncio.run(use())
    found = {one.api: one for one in asyncio.run(accounts.read_quota(runtime, 1, account))}
    template = found["message_template_send"]
    assert (template.source, template.used, template.closed_until) == ("platform", 0, None)
    assert template.limit == template.left
    assert template.limit is not None
    assert template.limit >= 1000
    assert found["user_info_batchget"].used == 1


def test_calls_after_the_reading_are_added(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    before = {one.api: one for one in asyncio.run(accounts.read_quota(runtime_sqlite, 1, account))}

    async def use() -> None:
        async with accounts.connect(runtime_sqlite, 1, account) as connected:
            for _ in range(3):
                await connected.call(lambda: anext(connected.official.people.followers(""), None))

    asyncio.run(use())
    after = seen(runtime_sqlite, account)
    assert after["user_get"].used == before["user_get"].used + 3
    left = before["user_get"].left
    assert left is not None
    assert after["user_get"].left == left - 3


def test_wecom_calls_are_counted_by_us(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "wecom")
    asyncio.run(read(runtime, account, 4))
    found = seen(runtime, account)["externalcontact_get_corp_tag_list"]
    assert (found.source, found.used, found.limit, found.left) == ("counted", 4, None, None)


_READER = """
import asyncio, sys
from pathlib import Path
from tagcast import accounts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

async def main():
    home, url, account = sys.argv[1:]
    runtime = open_runtime(Settings(home=Path(home), database_url=url, allow_private=True))
    async with accounts.connect(runtime, 1, int(account)) as connected:
        for _ in range(5):
            await connected.call(connected.wecom.tags.groups)

asyncio.run(main())
"""


def test_the_counts_of_processes_add_up(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "wecom")
    arguments = [str(runtime.settings.home), runtime.settings.database_url, str(account)]
    readers = [subprocess.Popen([sys.executable, "-c", _READER, *arguments]) for _ in range(3)]
    assert [reader.wait(60) for reader in readers] == [0, 0, 0]
    assert seen(runtime, account)["externalcontact_get_corp_tag_list"].used == 15


def used_up(runtime: Runtime, account: int, api: str) -> None:
    """The platform says that nothing is left, and refuses."""
    error = refusal("official", "message/template/send", 45009, effect=Effect.KEYED)
    asyncio.run(pacing.learn(runtime, 1, account, api, error))


def test_a_used_up_quota_closes_the_api_until_midnight(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")
    used_up(runtime, account, "tags_get")
    asked = sandbox.requests
    with pytest.raises(Refused) as raised:
        asyncio.run(read(runtime, account))
    assert raised.value.code == "accounts.quota_used"
    assert raised.value.params["errcode"] == 45009
    until = datetime.fromisoformat(str(raised.value.params["until"])).astimezone(quota.ZONE)
    assert (until.hour, until.minute, until > clock.now()) == (0, 0, True)
    assert sandbox.requests - asked <= 1, "no more than the token"
    with pytest.raises(Refused):
        asyncio.run(accounts.permit(runtime, 1, account, "tags_get"))


def test_a_refusal_that_the_platform_contradicts_closes_nothing(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    fault(sandbox, "quota", "/cgi-bin/user/get", times=1)

    async def use() -> None:
        async with accounts.connect(runtime_sqlite, 1, account, backoff=accounts.DURABLE) as connected:
            with pytest.raises(ChannelError):
                await connected.call(lambda: anext(connected.official.people.followers(""), None))
            await connected.call(lambda: anext(connected.official.people.followers(""), None))

    asyncio.run(use())
    assert seen(runtime_sqlite, account)["user_get"].closed_until is None


def test_reading_the_quota_opens_an_api_that_has_something_left(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    used_up(runtime_sqlite, account, "user_get")
    assert seen(runtime_sqlite, account)["user_get"].closed_until is not None
    asyncio.run(accounts.read_quota(runtime_sqlite, 1, account))
    assert seen(runtime_sqlite, account)["user_get"].closed_until is None
    asyncio.run(accounts.permit(runtime_sqlite, 1, account, "user_get"))


def test_another_process_learns_of_the_closing(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "wecom")
    error = refusal("wecom", "externalcontact/get_corp_tag_list", 45009, effect=Effect.READ)
    asyncio.run(pacing.learn(runtime, 1, account, "externalcontact_get_corp_tag_list", error))
    arguments = [str(runtime.settings.home), runtime.settings.database_url, str(account)]
    code = _READER.replace("int(account))", "int(account), backoff=accounts.DURABLE)")
    reader = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "accounts.api_closed" in reader.stderr


def test_wecom_closes_longer_each_time(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "wecom")
    api = "externalcontact_list"
    error = refusal("wecom", "externalcontact/list", 45009, effect=Effect.READ)

    def closed_for() -> float:
        asyncio.run(pacing.learn(runtime, 1, account, api, error))
        asyncio.run(pacing.learn(runtime, 1, account, api, error))  # the same moment: no further step
        until = seen(runtime, account)[api].closed_until
        assert until is not None
        seconds = until / 1000 - time.time()
        with runtime.system() as connection:
            connection.execute(sa.update(quotas).values(closed_until=clock.to_ms(clock.now()) - 1000))
        return seconds

    assert 55 < closed_for() <= 60
    assert 3590 < closed_for() <= 3600
    assert closed_for() <= 3600 * 24
    with runtime.system() as connection:
        connection.execute(sa.update(quotas).values(closed_until=clock.to_ms(clock.now()) - 601_000))
    assert 55 < closed_for() <= 60, "after ten quiet minutes it begins anew"


@pytest.mark.parametrize(
    ("platform", "closings", "expected"),
    [
        ("official", 1, datetime(2026, 11, 23, 16, tzinfo=UTC)),
        ("wecom", 1, datetime(2026, 11, 23, 10, 1, tzinfo=UTC)),
        ("wecom", 2, datetime(2026, 11, 23, 11, 0, tzinfo=UTC)),
        ("wecom", 3, datetime(2026, 11, 23, 16, tzinfo=UTC)),
    ],
)
def test_until_when(platform: Any, closings: int, expected: datetime) -> None:
    now = clock.to_ms(datetime(2026, 11, 23, 10, tzinfo=UTC))
    error = refusal(platform, "x", 45009, effect=Effect.READ)
    assert clock.from_ms(quota.closed_until(error, closings, now)) == expected


def test_a_short_closing_is_unavailable_with_its_seconds(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "wecom")
    error = refusal("wecom", "externalcontact/list", 45009, effect=Effect.READ)
    asyncio.run(pacing.learn(runtime_sqlite, 1, account, "externalcontact_list", error))
    with pytest.raises(Unavailable) as raised:
        asyncio.run(accounts.permit(runtime_sqlite, 1, account, "externalcontact_list"))
    assert raised.value.code == "accounts.api_closed"
    assert 55 < int(str(raised.value.params["seconds"])) <= 60


def test_a_permit_ahead_is_not_counted_twice(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "wecom")
    slow = {"value": 60, "source": "ours", "date": "2026-11-01"}
    with runtime_sqlite.work(1, "test") as work:
        api = "externalcontact_get_corp_tag_list"
        accounts.add_profile(work, "slow", "article", {"wecom": {"rate": {api: slow}}})
        accounts.set_profile(work, account, "slow")

    async def use() -> float:
        async with accounts.connect(runtime_sqlite, 1, account) as connected:
            await connected.tokens.current()
            began = time.monotonic()
            for _ in range(2):
                await accounts.permit(runtime_sqlite, 1, account, api)
                await connected.call(connected.wecom.tags.groups)
            return time.monotonic() - began

    assert 0.9 < asyncio.run(use()) < 1.9


def test_who_waits_for_the_time_of_a_call_is_told_of_a_closing(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")
    api, slow = "user_get", {"value": 60, "source": "a test", "date": "2026-11-23"}
    with runtime.work(1, "test") as work:
        accounts.add_profile(work, "slow", "article", {"service": {"send": {"rate_per_minute": slow}}})
        accounts.set_profile(work, account, "slow")

    async def use() -> list[object]:
        waiting = [asyncio.create_task(pacing.permit(runtime, 1, account, api)) for _ in range(3)]
        await asyncio.sleep(0.5)
        await pacing.learn(runtime, 1, account, api, refusal("official", "user/get", 45009, effect=Effect.READ))
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(one) for one in asyncio.run(use())] == [type(None), Refused, Refused]


def test_a_refusal_that_cannot_be_kept_is_told_all_the_same(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    fault(sandbox, "error", "/cgi-bin/tags/get", code=45009, times=1)
    with runtime_sqlite.system() as connection:
        connection.execute(sa.text("ALTER TABLE account_quota RENAME TO elsewhere"))
        connection.execute(sa.text("CREATE VIEW account_quota AS SELECT * FROM elsewhere"))
    with pytest.raises(ChannelError) as error:
        asyncio.run(read(runtime_sqlite, account))
    assert error.value.errcode == 45009
