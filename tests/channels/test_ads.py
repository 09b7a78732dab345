"""Custom audiences against the sandbox: made, filled, matched, taken apart."""

import asyncio
import hashlib
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from tests.channels.boxed import Sandbox

from tagcast.channels.ads import AdsClient, AudienceFile, IdKind, hash_file
from tagcast.channels.errors import ChannelError, Reaction
from tagcast.kit.http import AddressPolicy, AiohttpTransport

T = TypeVar("T")


@pytest.fixture
def account(sandbox: Sandbox) -> dict[str, Any]:
    made: dict[str, Any] = sandbox.control("accounts", {"kind": "ads", "name": "广告主"})
    return made


@asynccontextmanager
async def client(sandbox: Sandbox, account: dict[str, Any], **other: Any) -> AsyncIterator[AdsClient]:
    async def token() -> str:
        return str(other.get("token", account["secret"]))

    async with AiohttpTransport(policy=AddressPolicy(allow_private=True)) as transport:
        yield AdsClient(transport, sandbox.url, token, account_id=other.get("account_id", account["advertiser"]))


def run(sandbox: Sandbox, account: dict[str, Any], use: Callable[[AdsClient], Awaitable[T]], **other: Any) -> T:
    async def go() -> T:
        async with client(sandbox, account, **other) as ads:
            return await use(ads)

    return asyncio.run(go())


async def matched(ads: AdsClient, audience: int, file: int) -> AudienceFile:
    for _ in range(200):
        async for page in ads.files(audience):
            for one in page:
                if one.custom_audience_file_id == file and one.process_status in {"SUCCESS", "ERROR"}:
                    return one
        await asyncio.sleep(0.05)
    raise AssertionError("not matched")


def unionids(sandbox: Sandbox, count: int) -> list[str]:
    with urllib.request.urlopen(f"{sandbox.url}/sandbox/people?after=-1&limit={count}") as answer:
        return [json.loads(line)["unionid"] for line in answer.read().splitlines()]


def test_an_audience_is_filled_and_reduced_by_files(sandbox: Sandbox, account: dict[str, Any]) -> None:
    people = unionids(sandbox, 30)

    async def story(ads: AdsClient) -> None:
        audience = await ads.create("高价值客户", description="test", outer_id="segment-1")
        await ads.rename(audience, "高价值")
        added = await ads.upload(audience, IdKind.UNIONID, hash_file(IdKind.UNIONID, [*people, "stranger"]))
        file = await matched(ads, audience, added)
        assert (file.line_count, file.valid_line_count, file.user_count) == (31, 31, 30)
        again = await ads.upload(audience, IdKind.UNIONID, hash_file(IdKind.UNIONID, people[:5]))
        await matched(ads, audience, again)
        assert await ads.estimate(audience) == 30
        less = await ads.upload(audience, IdKind.UNIONID, hash_file(IdKind.UNIONID, people[:5]), operation="REDUCE")
        await matched(ads, audience, less)
        [found] = [one async for page in ads.all() for one in page]
        assert (found.name, found.status, found.user_count) == ("高价值", "SUCCESS", 25)
        await ads.delete(audience)
        assert [one async for page in ads.all() for one in page] == []

    run(sandbox, account, story)


def test_phones_are_matched_by_their_hash(sandbox: Sandbox, account: dict[str, Any]) -> None:
    async def story(ads: AdsClient) -> None:
        audience = await ads.create("电话")
        lines = [hashlib.sha256(b"13800138000").hexdigest()]
        archive = hash_file(IdKind.PHONE_SHA256, ["13800138000"])
        file = await matched(ads, audience, await ads.upload(audience, IdKind.PHONE_SHA256, archive))
        assert (file.line_count, file.valid_line_count, file.user_count) == (len(lines), 1, 0)

    run(sandbox, account, story)


def test_pages_reach_their_end(sandbox: Sandbox, account: dict[str, Any]) -> None:
    async def story(ads: AdsClient) -> None:
        made = [await ads.create(f"人群{number}") for number in range(101)]
        assert [one.audience_id async for page in ads.all() for one in page] == made

    run(sandbox, account, story)


def test_a_broken_file_is_an_error_of_the_file(sandbox: Sandbox, account: dict[str, Any]) -> None:
    async def story(ads: AdsClient) -> None:
        audience = await ads.create("坏文件")
        file = await matched(ads, audience, await ads.upload(audience, IdKind.UNIONID, b"no zip"))
        assert file.process_status == "ERROR"
        assert file.error_message

    run(sandbox, account, story)


@pytest.mark.parametrize("other", [{"token": "wrong"}, {"account_id": 1}])
def test_a_refusal_is_shown_as_it_came(sandbox: Sandbox, account: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(ChannelError) as caught:
        run(sandbox, account, lambda ads: ads.create("x"), **other)
    assert caught.value.reaction is Reaction.PERMANENT
    assert caught.value.reason == "unknown_code"
    assert str(caught.value.errcode) in caught.value.sentence("zh")


def test_openids_need_their_app_and_others_have_none(sandbox: Sandbox, account: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="open_app_id"):
        run(sandbox, account, lambda ads: ads.upload(1, IdKind.OPENID, b""))
    with pytest.raises(ValueError, match="open_app_id"):
        run(sandbox, account, lambda ads: ads.upload(1, IdKind.UNIONID, b"", open_app_id="wx1"))


def test_a_lost_answer_of_a_creation_is_in_doubt(sandbox: Sandbox, account: dict[str, Any]) -> None:
    sandbox.control("faults", {"path": "/v3.0/custom_audiences/add", "kind": "cut", "times": 1})
    with pytest.raises(ChannelError) as caught:
        run(sandbox, account, lambda ads: ads.create("x"))
    assert caught.value.reaction is Reaction.IN_DOUBT
