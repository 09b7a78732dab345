"""Mass sends and quotas of 公众号 and 服务号: nobody can become everybody, keys, speed, deletion, request ids."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.channels.boxed import PNG, Sandbox
from tests.channels.canned import Canned

from tagcast.channels import Article, ChannelError, OfficialClient, Reaction, Text, stable_token
from tagcast.channels.official import reset_all_quotas
from tagcast.kit.http import AiohttpTransport

OK = {"errcode": 0, "errmsg": "ok"}
ACCEPTED = {"errcode": 0, "errmsg": "send job submission success", "msg_id": 1}


@pytest.mark.parametrize("tag", [None, 0, 1, -1, True, "7", 7.0, ""])
def test_a_missing_tag_never_means_everybody(tag: Any) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match="needs the tag's id"):
        canned.official(lambda c: c.mass.send_to_tag(Text("a"), tag, client_id="k"), ACCEPTED)
    assert canned.seen == []


def test_everybody_is_said_on_purpose() -> None:
    canned = Canned()
    canned.official(lambda c: c.mass.send_to_everybody(Text("a"), client_id="k"), ACCEPTED)
    canned.official(lambda c: c.mass.send_to_tag(Text("a"), 2, client_id="k"), ACCEPTED)
    assert [seen.json()["filter"] for seen in canned.seen] == [
        {"is_to_all": True},
        {"is_to_all": False, "tag_id": 2},
    ]


@pytest.mark.parametrize("key", ["", "k" * 33, "键" * 11])
def test_a_key_of_a_wrong_length_never_leaves(key: str) -> None:
    uses: list[Callable[[OfficialClient], Awaitable[object]]] = [
        lambda c: c.mass.send_to_tag(Text("a"), 7, client_id=key),
        lambda c: c.mass.send_to_everybody(Text("a"), client_id=key),
        lambda c: c.mass.send_to_people(Text("a"), ["o1", "o2"], client_id=key),
    ]
    canned = Canned()
    for use in uses:
        with pytest.raises(ValueError, match="key has 1 to 32 bytes"):
            canned.official(use, ACCEPTED)
    assert canned.seen == []


@pytest.mark.parametrize("person", [{}, {"openid": "o", "wechat_name": "w"}])
def test_a_preview_goes_to_one_person(person: dict[str, str]) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match="goes to one person"):
        canned.official(lambda c: c.mass.preview(Text("a"), **person), OK)
    assert canned.seen == []


def test_everybody_is_reached_once_a_day(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        sent = await client.mass.send_to_everybody(Text("大家好"), client_id="all-1")
        assert not sent.adopted
        for _ in range(100):
            if await client.mass.status(sent.msg_id) != "SENDING":
                break
            await asyncio.sleep(0.05)
        assert await client.mass.status(sent.msg_id) == "SEND_SUCCESS"
        with pytest.raises(ChannelError) as full:
            await client.mass.send_to_everybody(Text("再来"), client_id="all-2")
        assert (full.value.errcode, full.value.reaction, full.value.until) == (45028, Reaction.WAIT_UNTIL, "period")
        with pytest.raises(ChannelError) as nothing:
            await client.mass.delete(sent.msg_id)
        assert nothing.value.reason == "bad_message_id"

    sandbox.official("service", use)


def test_a_sent_article_is_taken_away(sandbox: Sandbox) -> None:
    some = sandbox.ids("service")[:5]

    async def use(client: OfficialClient) -> None:
        cover = await client.media.store("image", "a.png", PNG)
        draft = await client.drafts.add([Article("标题", body="<p>正文</p>", cover_media_id=cover.media_id)])
        sent = await client.mass.send_to_people(Article("标题", media_id=draft), some, client_id="art-1")
        assert sent.msg_data_id > 0
        for _ in range(100):
            if await client.mass.status(sent.msg_id) != "SENDING":
                break
            await asyncio.sleep(0.05)
        await client.mass.delete(sent.msg_id, article=1)
        assert await client.mass.status(sent.msg_id) == "DELETE"
        with pytest.raises(ChannelError) as unknown:
            await client.mass.delete_url("http://mp.weixin.qq.com/s?nothing")
        assert unknown.value.reason == "bad_message_id"
        with pytest.raises(ChannelError) as missing:
            await client.mass.status(1)
        assert (missing.value.errcode, missing.value.reason) == (40059, "bad_message_id")

    sandbox.official("service", use)


def test_an_unknown_openid_refuses_the_whole_list(sandbox: Sandbox) -> None:
    some = sandbox.ids("service")[:5]
    with pytest.raises(ChannelError) as wrong:
        sandbox.official("service", lambda c: c.mass.send_to_people(Text("a"), [*some, "oNobody"], client_id="wrong-1"))
    assert (wrong.value.errcode, wrong.value.reason, wrong.value.scope) == (40003, "bad_batch", "job")


def test_a_subscription_account_may_not_send_to_a_list(sandbox: Sandbox) -> None:
    some = sandbox.ids("official")[:5]
    with pytest.raises(ChannelError) as refused:
        sandbox.official("official", lambda c: c.mass.send_to_people(Text("a"), some, client_id="list-1"))
    assert (refused.value.errcode, refused.value.reason) == (48001, "not_permitted")
    assert "接口权限" in refused.value.sentence("zh")


def test_the_speed_is_read_and_set(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        await client.mass.set_speed(3)
        now = await client.mass.speed()
        assert (now.speed, now.realspeed) == (3, 30)
        with pytest.raises(ValueError, match="0 to 4"):
            await client.mass.set_speed(5)  # type: ignore[arg-type]  # the wrong level is the test
        await client.mass.set_speed(0)
        assert (await client.mass.speed()).realspeed == 80

    sandbox.official("service", use)


def test_quotas_are_read_and_set_back(sandbox: Sandbox) -> None:
    path = "/cgi-bin/user/get"

    async def use(client: OfficialClient) -> None:
        await client.quota.reset(path)
        assert (await client.quota.of(path)).used == 0
        async for _ in client.people.followers():
            break
        counted = await client.quota.of(path)
        assert counted.used == 1
        assert counted.remain == counted.daily_limit - 1
        await client.quota.reset_all(sandbox.accounts["service"]["appid"])
        assert (await client.quota.of(path)).used == 0
        assert (await client.quota.of("/cgi-bin/message/mass/send")).rate.call_count == 60
        for wrong, code in (("/cgi-bin/nothing", 76021), ("/sns/auth", 76022)):
            with pytest.raises(ChannelError) as refused:
                await client.quota.of(wrong)
            assert (refused.value.errcode, refused.value.reason) == (code, "bad_lookup")
        with pytest.raises(ValueError, match="leading slash"):
            await client.quota.of("cgi-bin/user/get")

    sandbox.official("service", use)


def test_all_quotas_can_be_set_back_ten_times_a_month(sandbox: Sandbox) -> None:
    account = sandbox.accounts["official"]

    async def use(transport: AiohttpTransport) -> None:
        for _ in range(10):
            await reset_all_quotas(transport, sandbox.url, account["appid"], account["secret"])
        with pytest.raises(ChannelError) as full:
            await reset_all_quotas(transport, sandbox.url, account["appid"], account["secret"])
        assert (full.value.errcode, full.value.reason) == (48006, "quota_reset_limit")
        with pytest.raises(ChannelError) as wrong:
            await reset_all_quotas(transport, sandbox.url, account["appid"], "0" * 32)
        assert wrong.value.reason == "bad_secret"

    sandbox.run(use)


def test_a_refused_call_is_looked_up_by_its_request_id(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        with pytest.raises(ChannelError) as refused:
            await client.mass.status(1)
        found = await client.quota.request(refused.value.request_id)
        assert "/cgi-bin/message/mass/get" in found.request_url
        assert found.request_body == '{"msg_id":1}'
        assert "40059" in found.response_body
        for rid in ("00000000-00000000-00000000", "nonsense"):
            with pytest.raises(ChannelError) as unknown:
                await client.quota.request(rid)
            assert unknown.value.reason == "bad_lookup"

    sandbox.official("service", use)


def test_where_callbacks_come_from_and_calls_go_to(sandbox: Sandbox) -> None:
    assert "127.0.0.1" in sandbox.official("official", lambda c: c.callback_addresses())
    assert sandbox.official("official", lambda c: c.api_addresses()) == ("127.0.0.1",)


def test_a_forced_token_kills_the_old_one(sandbox: Sandbox) -> None:
    account = sandbox.accounts["service"]

    async def use(transport: AiohttpTransport) -> None:
        old = await stable_token(transport, sandbox.url, account["appid"], account["secret"])
        new = await stable_token(transport, sandbox.url, account["appid"], account["secret"], force_refresh=True)
        assert new.value != old.value

        async def token() -> str:
            return old.value

        with pytest.raises(ChannelError) as dead:
            await OfficialClient(transport, sandbox.url, token).tags.all()
        assert (dead.value.errcode, dead.value.reaction) == (40001, Reaction.RENEW_TOKEN)
        with pytest.raises(ChannelError) as soon:
            await stable_token(transport, sandbox.url, account["appid"], account["secret"], force_refresh=True)
        assert (soon.value.errcode, soon.value.reaction) == (45011, Reaction.WAIT_UNTIL)

    sandbox.run(use)
