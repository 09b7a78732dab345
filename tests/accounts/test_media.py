"""Files on the platform: uploaded once, anew before they end, and once more when the platform lost them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.accounts.platform import Platform
from tests.accounts.test_tokens import add

from tagcast import accounts
from tagcast.accounts import File
from tagcast.accounts.media import LIFE
from tagcast.accounts.tables import media
from tagcast.channels import ChannelError
from tagcast.channels.errors import meaning, special
from tagcast.kit import clock
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Runtime

PICTURE = b"\xff\xd8\xff\xe0 not much of a picture"


def run(runtime: Runtime, account: int, use: Callable[[accounts.Connected], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with accounts.connect(runtime, 1, account, backoff=accounts.DURABLE) as connected:
            return await use(connected)

    return asyncio.run(go())


def picture(connected: accounts.Connected, content: bytes = PICTURE, *, lasting: bool = False) -> File:
    async def upload() -> str:
        client = connected.official.media
        store = client.store if lasting else client.upload
        return (await store("image", "picture.jpg", content)).media_id

    return File("image", content, upload, lasting)


def test_a_file_is_uploaded_once_for_each_content_and_use(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")

    async def use(connected: accounts.Connected) -> list[str]:
        other = File("thumb", PICTURE, picture(connected).upload)
        files = [picture(connected), picture(connected), picture(connected, PICTURE + b"2"), other]
        return [await accounts.place_file(connected, file) for file in files]

    ids = run(runtime, account, use)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert run(runtime, account, use) == ids, "also by another process"


def test_a_temporary_file_is_renewed_before_it_ends(runtime: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime, sandbox, "service")

    async def use(connected: accounts.Connected) -> str:
        return await accounts.place_file(connected, picture(connected), margin=timedelta(hours=5))

    first = run(runtime, account, use)
    with runtime.work(1, "test") as work:
        until = work.connection.scalar(sa.select(media.c.until))
        assert abs(until - clock.to_ms(work.now + LIFE)) < 60_000
        work.connection.execute(sa.update(media).values(until=clock.to_ms(work.now + timedelta(hours=5, minutes=1))))
    assert run(runtime, account, use) == first
    with runtime.work(1, "test") as work:
        work.connection.execute(sa.update(media).values(until=clock.to_ms(work.now + timedelta(hours=4, minutes=59))))
    assert run(runtime, account, use) != first


def test_lasting_material_has_no_end(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    run(runtime_sqlite, account, lambda connected: accounts.place_file(connected, picture(connected, lasting=True)))
    with runtime_sqlite.read(1, "test") as work:
        assert work.connection.execute(sa.select(media.c.until)).all() == [(None,)]


def gone() -> ChannelError:
    error = special("official", "draft/add", "not_sent")
    return ChannelError("official", "draft/add", meaning("official", 40007), errcode=40007, errmsg=error.errmsg)


def test_what_the_platform_lost_is_uploaded_once_more(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    used: list[str] = []

    async def use(connected: accounts.Connected) -> str:
        async def call(media_id: str) -> str:
            used.append(media_id)
            if len(used) == 1:
                raise gone()
            return media_id

        return await accounts.use_file(connected, picture(connected), call)

    final = run(runtime_sqlite, account, use)
    assert len(used) == 2
    assert used[0] != used[1] == final


def test_what_stays_lost_is_raised(runtime_sqlite: Runtime, sandbox: Platform) -> None:
    account, _ = add(runtime_sqlite, sandbox, "service")
    calls = 0

    async def use(connected: accounts.Connected) -> None:
        async def call(_media_id: str) -> None:
            nonlocal calls
            calls += 1
            raise gone()

        await accounts.use_file(connected, picture(connected), call)

    with pytest.raises(ChannelError):
        run(runtime_sqlite, account, use)
    assert calls == 2


def test_an_account_that_a_broadcast_needs_is_not_removed(runtime: Runtime, sandbox: Platform) -> None:
    from tagcast import broadcasts
    from tagcast.broadcasts.tables import broadcasts as table

    account, _ = add(runtime, sandbox, "official")
    with runtime.work(1, "test") as work:
        content = {"kind": "text", "text": "你好"}
        made = broadcasts.draft(work, name="新年", account=account, audience="all", content=content)
    for state, kept in (("sending", True), ("paused", True), ("settling", True), ("finished", False)):
        with runtime.work(1, "test") as work:
            work.connection.execute(sa.update(table).values(state=state))
        if kept:
            with pytest.raises(Conflict) as raised, runtime.work(1, "test") as work:
                accounts.remove(work, account)
            assert raised.value.params["names"] == f"新年 ({made.id})"
    with runtime.work(1, "test") as work:
        accounts.remove(work, account)
        assert accounts.all_(work) == []
