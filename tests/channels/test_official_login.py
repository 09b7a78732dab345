"""QR codes with a scene, web OAuth, and the login of a mini program: canned answers, and the sandbox."""

import asyncio
import http.client
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.channels.boxed import Sandbox
from tests.channels.canned import CUT, Canned

from tagcast.channels import (
    ChannelError,
    MiniProgramClient,
    MiniProgramLogin,
    OAuth,
    OfficialClient,
    Reaction,
    Scope,
    TemplateMessage,
    stable_token,
)
from tagcast.channels.official import Grant, QrCode, picture_url
from tagcast.kit.http import AiohttpTransport

CODE = {"ticket": "gQH47j==", "expire_seconds": 60, "url": "http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI"}
GRANT = {
    "access_token": "VISITOR",
    "expires_in": 7200,
    "refresh_token": "REFRESH",
    "openid": "o1",
    "scope": "snsapi_userinfo",
    "unionid": "u1",
}


def oauth(use: Callable[[OAuth], Awaitable[Any]], canned: Canned, answer: object) -> Any:
    return canned.talk(lambda transport, url: use(OAuth(transport, url, "wx1", "SECRET")), answer)


@pytest.mark.parametrize(
    ("use", "body"),
    [
        (
            lambda c: c.qr.temporary(2**32 - 1, seconds=2_592_000),
            {
                "expire_seconds": 2_592_000,
                "action_name": "QR_SCENE",
                "action_info": {"scene": {"scene_id": 4294967295}},
            },
        ),
        (
            lambda c: c.qr.temporary("门店-1", seconds=60),
            {
                "expire_seconds": 60,
                "action_name": "QR_STR_SCENE",
                "action_info": {"scene": {"scene_str": "门店-1"}},
            },
        ),
        (
            lambda c: c.qr.permanent(100_000),
            {"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 100_000}}},
        ),
        (
            lambda c: c.qr.permanent("s" * 64),
            {"action_name": "QR_LIMIT_STR_SCENE", "action_info": {"scene": {"scene_str": "s" * 64}}},
        ),
    ],
)
def test_a_code_carries_its_scene(use: Callable[[OfficialClient], Awaitable[QrCode]], body: object) -> None:
    canned = Canned()
    code = canned.official(use, CODE)
    assert (code.ticket, code.expire_seconds) == ("gQH47j==", 60)
    assert (canned.seen[0].path, canned.seen[0].json()) == ("/cgi-bin/qrcode/create", body)
    assert picture_url(code) == "https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=gQH47j%3D%3D"


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.qr.temporary(1, seconds=2_592_001),
        lambda c: c.qr.temporary(1, seconds=0),
        lambda c: c.qr.temporary(0, seconds=60),
        lambda c: c.qr.temporary(2**32, seconds=60),
        lambda c: c.qr.temporary("", seconds=60),
        lambda c: c.qr.permanent(100_001),
        lambda c: c.qr.permanent(0),
        lambda c: c.qr.permanent("字" * 65),
    ],
)
def test_a_scene_that_is_out_of_bounds_never_leaves(use: Callable[[OfficialClient], Awaitable[QrCode]]) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=r"a scene|a temporary code"):
        canned.official(use, CODE)
    assert canned.seen == []


def test_a_visitor_is_sent_to_authorize() -> None:
    async def use(client: OAuth) -> str:
        with pytest.raises(ValueError, match="128 letters and digits"):
            client.authorize_url("https://a.example/", state="a b")
        with pytest.raises(ValueError, match="128 letters and digits"):
            client.authorize_url("https://a.example/", state="a" * 129)
        return client.authorize_url("https://a.example/back?x=1&y=2", scope="snsapi_userinfo", state="s1")

    url = urlsplit(oauth(use, Canned(), {}))
    assert (url.scheme, url.netloc, url.path) == ("https", "open.weixin.qq.com", "/connect/oauth2/authorize")
    assert url.fragment == "wechat_redirect"
    assert list(parse_qs(url.query)) == ["appid", "redirect_uri", "response_type", "scope", "state"]
    assert parse_qs(url.query)["redirect_uri"] == ["https://a.example/back?x=1&y=2"]


def test_a_code_becomes_a_grant_and_a_visitor() -> None:
    canned = Canned()
    grant: Grant = oauth(lambda c: c.grant("CODE"), canned, GRANT)
    assert (grant.openid, grant.unionid, grant.is_snapshotuser) == ("o1", "u1", 0)
    assert "VISITOR" not in repr(grant)
    assert "REFRESH" not in repr(grant)
    again = oauth(lambda c: c.renew(grant.refresh_token), canned, GRANT)
    assert again == grant
    person = {"openid": "o1", "nickname": "小明", "sex": 1, "headimgurl": "https://thirdwx", "privilege": ["a"]}
    visitor = oauth(lambda c: c.visitor(grant), canned, person)
    assert (visitor.nickname, visitor.privilege) == ("小明", ("a",))
    assert oauth(lambda c: c.is_valid(grant), canned, {"errcode": 0, "errmsg": "ok"}) is True
    assert oauth(lambda c: c.is_valid(grant), canned, {"errcode": 40003, "errmsg": "invalid openid"}) is False
    assert [(seen.path, seen.query) for seen in canned.seen] == [
        (
            "/sns/oauth2/access_token",
            {"appid": "wx1", "secret": "SECRET", "code": "CODE", "grant_type": "authorization_code"},
        ),
        ("/sns/oauth2/refresh_token", {"appid": "wx1", "grant_type": "refresh_token", "refresh_token": "REFRESH"}),
        ("/sns/userinfo", {"access_token": "VISITOR", "openid": "o1", "lang": "zh_CN"}),
        ("/sns/auth", {"access_token": "VISITOR", "openid": "o1"}),
        ("/sns/auth", {"access_token": "VISITOR", "openid": "o1"}),
    ]


@pytest.mark.parametrize(
    ("use", "code", "reason"),
    [
        (lambda c: c.grant("CODE"), 40029, "oauth_code"),
        (lambda c: c.grant("CODE"), 40163, "oauth_code"),
        (lambda c: c.visitor(Grant.model_validate(GRANT)), 42001, "oauth_token"),
        (lambda c: c.visitor(Grant.model_validate(GRANT)), 48001, "oauth_scope"),
        (lambda c: c.renew("REFRESH"), 42002, "oauth_token"),
        (lambda c: c.is_valid(Grant.model_validate(GRANT)), -1, "busy"),
    ],
)
def test_a_visitors_refusal_is_not_the_accounts(use: Callable[[OAuth], Awaitable[Any]], code: int, reason: str) -> None:
    with pytest.raises(ChannelError) as refused:
        oauth(use, Canned(), {"errcode": code, "errmsg": "x"})
    assert (refused.value.scope, refused.value.reason) == (Scope.CALL, reason)
    assert "SECRET" not in repr(refused.value)


def test_a_code_whose_answer_is_lost_may_be_used_up() -> None:
    for answer in (CUT, {"openid": "o1"}):
        with pytest.raises(ChannelError) as lost:
            oauth(lambda c: c.grant("CODE"), Canned(), answer)
        assert lost.value.reaction is Reaction.IN_DOUBT


def test_a_mini_program_knows_its_user_and_his_number() -> None:
    canned = Canned()
    session = canned.talk(
        lambda transport, url: MiniProgramLogin(transport, url, "wx2", "SECRET").session("JS"),
        {"openid": "o1", "session_key": "KEY", "unionid": "u1"},
    )
    assert (session.openid, session.unionid) == ("o1", "u1")
    assert "KEY" not in repr(session)

    async def token() -> str:
        return "TOKEN-1"

    info = {"phoneNumber": "+8613800000000", "purePhoneNumber": "13800000000", "countryCode": "86", "watermark": {}}
    phone = canned.talk(
        lambda transport, url: MiniProgramClient(transport, url, token).phone_number("TAP", openid="o1"),
        {"errcode": 0, "errmsg": "ok", "phone_info": info},
    )
    assert phone.purePhoneNumber == "13800000000"
    assert "1380" not in repr(phone)
    assert canned.seen[0].path == "/sns/jscode2session"
    assert canned.seen[0].query == {
        "appid": "wx2",
        "secret": "SECRET",
        "js_code": "JS",
        "grant_type": "authorization_code",
    }
    assert (canned.seen[1].path, canned.seen[1].json()) == (
        "/wxa/business/getuserphonenumber",
        {"code": "TAP", "openid": "o1"},
    )


def test_who_scans_a_code_is_known_by_its_scene(sandbox: Sandbox) -> None:
    account = sandbox.accounts["service"]["id"]
    stranger = sandbox.ids("service", follows=False)[0]
    follower = sandbox.ids("service")[0]

    async def use(client: OfficialClient) -> tuple[QrCode, QrCode, QrCode]:
        shop, number = await client.qr.permanent("shop-7"), await client.qr.temporary(4_000_000_000, seconds=60)
        return shop, await client.qr.permanent("shop-7"), number

    shop, again, number = sandbox.official("service", use)
    assert (shop.ticket == again.ticket, shop.expire_seconds, number.expire_seconds) == (True, 0, 60)
    with urllib.request.urlopen(picture_url(shop, base_url=sandbox.url), timeout=10) as picture:
        assert picture.read().startswith(b"\x89PNG")
    for ticket, person in ((shop.ticket, stranger), (number.ticket, follower)):
        sandbox.control("people/scan", {"account": account, "person": person, "ticket": ticket})
    followed = sandbox.facts("service", wanted=1, of="followed")
    assert [(fact.person, fact.data["scene"]) for fact in followed] == [(stranger, "shop-7")]
    scanned = sandbox.facts("service", wanted=1, of="scanned")
    assert [(fact.person, fact.data["scene"]) for fact in scanned] == [(follower, "4000000000")]
    profile = sandbox.official("service", lambda client: client.people.profile(stranger))
    assert (profile.subscribe, profile.qr_scene_str) == (1, "shop-7")


def authorized(url: str) -> str:
    """The code that a visitor's browser is sent back with."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    target = connection.getresponse().headers["Location"]
    connection.close()
    assert parse_qs(urlsplit(target).query)["state"] == ["s1"]
    return parse_qs(urlsplit(target).query)["code"][0]


@pytest.mark.parametrize("scope", ["snsapi_base", "snsapi_userinfo"])
def test_a_visitor_of_the_sandbox(sandbox: Sandbox, scope: Any) -> None:
    account = sandbox.accounts["service"]
    person = sandbox.ids("service")[3]

    async def use(transport: AiohttpTransport) -> None:
        client = OAuth(transport, sandbox.url, account["appid"], account["secret"], open_url=sandbox.url)
        url = client.authorize_url("http://127.0.0.1:9/back", scope=scope, state="s1")
        code = await asyncio.to_thread(authorized, url.replace("#wechat_redirect", f"&as={person}"))
        grant = await client.grant(code)
        assert (grant.openid, grant.scope, bool(grant.unionid)) == (person, scope, scope == "snsapi_userinfo")
        with pytest.raises(ChannelError) as used:
            await client.grant(code)
        assert (used.value.errcode, used.value.reason) == (40163, "oauth_code")
        assert await client.is_valid(grant)
        if scope == "snsapi_userinfo":
            visitor = await client.visitor(grant)
            assert (visitor.openid, visitor.unionid, bool(visitor.nickname)) == (person, grant.unionid, True)
        else:
            with pytest.raises(ChannelError) as silent:
                await client.visitor(grant)
            assert (silent.value.errcode, silent.value.reason) == (48001, "oauth_scope")
        newer = await client.renew(grant.refresh_token)
        assert newer.openid == person
        with pytest.raises(ChannelError) as rotated:
            await client.renew(grant.refresh_token)
        assert (rotated.value.errcode, rotated.value.reason) == (40030, "oauth_token")
        assert not await client.is_valid(newer.model_copy(update={"access_token": "other"}))

    sandbox.run(use)


def test_a_user_of_a_mini_program_of_the_sandbox(sandbox: Sandbox) -> None:
    account = sandbox.control("accounts", {"kind": "mini", "name": "小程序"})
    someone = sandbox.control("people?limit=1")["unionid"]
    login = sandbox.control("people/login", {"account": account["id"], "person": someone})
    tap = sandbox.control("people/phone", {"account": account["id"], "person": someone})

    async def use(transport: AiohttpTransport) -> None:
        session = await MiniProgramLogin(transport, sandbox.url, account["appid"], account["secret"]).session(
            login["code"]
        )
        assert (session.openid, session.unionid) == (login["openid"], someone)
        with pytest.raises(ChannelError) as used:
            await MiniProgramLogin(transport, sandbox.url, account["appid"], account["secret"]).session(login["code"])
        assert used.value.reason == "oauth_code"
        with pytest.raises(ChannelError) as wrong:
            await MiniProgramLogin(transport, sandbox.url, account["appid"], "0" * 32).session(login["code"])
        assert wrong.value.reason == "bad_secret"

        async def token() -> str:
            return (await stable_token(transport, sandbox.url, account["appid"], account["secret"])).value

        client = MiniProgramClient(transport, sandbox.url, token)
        phone = await client.phone_number(tap["code"])
        assert (len(phone.purePhoneNumber), phone.countryCode) == (11, "86")
        (template,) = await client.subscriptions.templates()
        values = {"thing1": "会员日", "time2": "2026年11月23日 10:00", "thing3": "请准时"}
        notice = TemplateMessage(template.priTmplId, values, page="pages/a")
        with pytest.raises(ChannelError) as refused:
            await client.subscriptions.send_from_mini_program(session.openid, notice)
        assert (refused.value.errcode, refused.value.reason) == (43101, "no_consent")
        consent = {"account": account["id"], "person": someone, "template": template.priTmplId}
        await asyncio.to_thread(sandbox.control, "people/accept", consent)
        await client.subscriptions.send_from_mini_program(session.openid, notice)
        with pytest.raises(ChannelError) as again:
            await client.subscriptions.send_from_mini_program(session.openid, notice)
        assert again.value.reason == "no_consent"

    sandbox.run(use)
