"""The client of 公众号 and 服务号: what goes over the wire, and what each answer means."""

import json
import traceback
from collections.abc import Awaitable, Callable

import pytest
from tests.channels.canned import CUT, Canned

from tagcast.channels import (
    Accepted,
    Article,
    ChannelError,
    Image,
    OfficialClient,
    Reaction,
    TemplateCall,
    TemplateMessage,
    Text,
    each_page,
    stable_token,
)
from tagcast.channels.official import Page
from tagcast.kit.http import AiohttpTransport

OK = {"errcode": 0, "errmsg": "ok"}
CALL = TemplateCall(TemplateMessage("TPL", {"thing1": "", "time2": ""}))


def refused(use: Callable[[OfficialClient], Awaitable[object]], *answers: object) -> ChannelError:
    with pytest.raises(ChannelError) as error:
        Canned().official(use, *answers)
    return error.value


def test_a_token_is_fetched_without_a_token() -> None:
    canned = Canned()
    token = canned.talk(
        lambda transport, url: stable_token(transport, url, "wx1", "SECRET"), {"access_token": "AT", "expires_in": 7200}
    )
    assert (token.value, token.expires_in) == ("AT", 7200)
    assert "AT" not in repr(token)
    assert (canned.seen[0].path, canned.seen[0].query) == ("/cgi-bin/stable_token", {})
    assert canned.seen[0].json() == {
        "grant_type": "client_credential",
        "appid": "wx1",
        "secret": "SECRET",
        "force_refresh": False,
    }


def test_a_wrong_secret_is_not_a_stale_token() -> None:
    with pytest.raises(ChannelError) as error:
        Canned().talk(
            lambda t, u: stable_token(t, u, "wx1", "SECRET"), {"errcode": 40001, "errmsg": "invalid credential"}
        )
    assert (error.value.reaction, error.value.reason) == (Reaction.PERMANENT, "bad_secret")
    assert "SECRET" not in repr(error.value)


def test_every_call_carries_the_token_in_the_query() -> None:
    canned = Canned()
    tag = canned.official(lambda c: c.tags.create("高价值"), {"tag": {"id": 134, "name": "高价值"}})
    seen = canned.seen[0]
    assert (tag.id, tag.name, tag.count) == (134, "高价值", 0)
    assert (seen.method, seen.path, seen.query) == ("POST", "/cgi-bin/tags/create", {"access_token": "TOKEN-1"})
    assert seen.body == '{"tag":{"name":"高价值"}}'.encode()


def test_tags_are_listed_renamed_and_deleted() -> None:
    canned = Canned()

    async def use(client: OfficialClient) -> list[tuple[int, str, int]]:
        tags = await client.tags.all()
        await client.tags.rename(100, "新")
        await client.tags.delete(100)
        return [(tag.id, tag.name, tag.count) for tag in tags]

    tags = canned.official(
        use, {"tags": [{"id": 2, "name": "星标组", "count": 0}, {"id": 100, "name": "a", "count": 7}]}, OK
    )
    assert tags == [(2, "星标组", 0), (100, "a", 7)]
    assert [seen.json() for seen in canned.seen[1:]] == [{"tag": {"id": 100, "name": "新"}}, {"tag": {"id": 100}}]


def test_tagging_gives_those_on_whom_it_failed() -> None:
    canned = Canned()
    assert canned.official(lambda c: c.tags.put_on(9, ["o1", "o2"]), OK) == ()
    assert canned.seen[0].json() == {"openid_list": ["o1", "o2"], "tagid": 9}
    partly = {"errcode": 45171, "errmsg": "partly", "fail_openid_list": ["o3", "o1", "stranger"]}
    assert canned.official(lambda c: c.tags.take_off(9, ["o1", "o2", "o3"]), partly) == ("o1", "o3")
    assert refused(lambda c: c.tags.put_on(9, ["o1"]), {"errcode": 45171, "errmsg": ""}).reaction is Reaction.RETRY
    assert refused(lambda c: c.tags.put_on(9, ["o1"]), {"errcode": 45059, "errmsg": ""}).reason == "tag_limit"
    with pytest.raises(ValueError, match="51 items"):
        Canned().official(lambda c: c.tags.put_on(9, ["o"] * 51), OK)


async def pages(client: OfficialClient, start: str = "") -> list[tuple[str, ...]]:
    return [page.openids async for page in client.people.followers(start)]


def test_followers_are_paged_to_the_end() -> None:
    first = {"total": 3, "count": 2, "data": {"openid": ["a", "b"]}, "next_openid": "b"}
    second = {"total": 3, "count": 1, "data": {"openid": ["c"]}, "next_openid": "c"}
    end = {"total": 3, "count": 0, "next_openid": ""}
    canned = Canned()
    assert canned.official(pages, first, second, end) == [("a", "b"), ("c",)]
    assert [seen.query.get("next_openid") for seen in canned.seen] == [None, "b", "c"]
    again = Canned()
    assert again.official(lambda c: pages(c, "b"), second, end) == [("c",)]
    assert again.seen[0].query["next_openid"] == "b"


def test_paging_that_goes_in_a_circle_is_a_broken_answer() -> None:
    def page(openid: str) -> dict[str, object]:
        return {"total": 9, "count": 1, "data": {"openid": [openid]}, "next_openid": openid}

    for answers in ([page("a")], [page("a"), page("b"), page("a")]):
        canned = Canned()
        with pytest.raises(ChannelError) as error:
            canned.official(pages, *answers)
        assert (error.value.reaction, error.value.reason) == (Reaction.RETRY, "answer_lost")
        assert len(canned.seen) == len(answers) + (len(answers) == 1)
    assert Canned().official(pages, {"total": 0, "count": 0, "data": None, "next_openid": None}) == []
    last = {"total": 1, "count": 1, "data": {"openid": ["a"]}, "next_openid": ""}
    assert Canned().official(pages, last) == [("a",)]


def test_a_list_that_is_not_all_of_it_is_a_broken_answer() -> None:
    async def each(client: OfficialClient) -> list[str]:
        async def call(ask: Callable[[], Awaitable[Page | None]]) -> Page | None:
            return await ask()

        return [openid async for page in each_page(call, client.people.followers) for openid in page.openids]

    def page(*openids: str, total: int = 3) -> dict[str, object]:
        return {"total": total, "count": len(openids), "data": {"openid": openids}, "next_openid": (*openids, "")[0]}

    end = {"total": 3, "count": 0, "next_openid": ""}
    assert Canned().official(each, page("a", "x"), page("b"), end) == ["a", "x", "b"]
    assert Canned().official(each, page("a"), end) == ["a"]  # somebody left while it was read
    for answers in (
        [page("a"), page("b"), page("c"), page("b"), page("c")],
        [end],
        [page("a") | {"count": 2}],
        [page("a", total=30), end],
    ):
        with pytest.raises(ChannelError) as error:
            Canned().official(each, *answers)
        assert error.value.reason == "answer_lost"


def test_followers_of_a_tag() -> None:
    async def use(client: OfficialClient) -> list[str]:
        return [openid async for page in client.tags.wearers(7) for openid in page.openids]

    canned = Canned()
    page = {"count": 1, "data": {"openid": ["a"]}, "next_openid": "a"}
    assert canned.official(use, page, {"count": 0, "next_openid": ""}) == ["a"]
    assert [seen.json() for seen in canned.seen] == [{"tagid": 7, "next_openid": ""}, {"tagid": 7, "next_openid": "a"}]


def test_people_may_follow_or_not() -> None:
    answer = {
        "user_info_list": [
            {
                "subscribe": 1,
                "openid": "a",
                "unionid": "u",
                "subscribe_time": 1700000000,
                "tagid_list": [2, 9],
                "remark": "",
            },
            {"subscribe": 0, "openid": "b", "unionid": None},
        ]
    }
    canned = Canned()
    people = canned.official(lambda c: c.people.profiles(["a", "b"]), answer)
    assert [(p.openid, p.subscribe, p.unionid, p.tagid_list) for p in people] == [
        ("a", 1, "u", (2, 9)),
        ("b", 0, "", ()),
    ]
    assert canned.seen[0].json()["user_list"][1] == {"openid": "b", "lang": "zh_CN"}
    with pytest.raises(ValueError, match="101 items"):
        Canned().official(lambda c: c.people.profiles(["o"] * 101), OK)


def test_uploads_are_multipart() -> None:
    canned = Canned()
    picture = b"\x89PNG\r\n--x\r\n\x00"
    material = canned.official(
        lambda c: c.media.store("image", 'a"\r\nb.png', picture), {"media_id": "M", "url": "https://x"}
    )
    seen = canned.seen[0]
    assert (material.media_id, material.url) == ("M", "https://x")
    assert (seen.path, seen.query["type"]) == ("/cgi-bin/material/add_material", "image")
    kind, _, border = seen.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    head, _, rest = seen.body.partition(b"\r\n\r\n")
    assert head.count(b"\r\n") == 2
    assert b'name="media"; filename="a%22%0D%0Ab.png"' in head
    assert rest == picture + f"\r\n--{border}--\r\n".encode()
    assert canned.official(lambda c: c.media.upload("image", "a.png", b"x"), {"media_id": "N"}).media_id == "N"
    assert canned.official(lambda c: c.media.upload_for_article("a.png", b"x"), {"url": "https://mm"}) == "https://mm"


def test_a_draft_gives_its_media_id() -> None:
    canned = Canned()
    assert (
        canned.official(lambda c: c.drafts.add([Article("t", body="b", cover_media_id="C")]), {"media_id": "D"}) == "D"
    )
    assert canned.seen[0].json()["articles"][0]["thumb_media_id"] == "C"


def test_a_mass_send_is_keyed_and_accepted() -> None:
    canned = Canned()
    ok = {"errcode": 0, "errmsg": "send job submission success", "msg_id": 34182, "msg_data_id": 206227730}
    assert canned.official(lambda c: c.mass.send_to_tag(Text("a"), 7, client_id="b1-0"), ok) == Accepted(
        34182, 206227730
    )
    assert canned.official(lambda c: c.mass.send_to_everybody(Image("M"), client_id="b1-0"), ok).adopted is False
    assert (
        canned.official(lambda c: c.mass.send_to_people(Text("a"), ["o1", "o2"], client_id="b1-1"), ok).msg_id == 34182
    )
    assert [seen.json() for seen in canned.seen] == [
        {
            "filter": {"is_to_all": False, "tag_id": 7},
            "msgtype": "text",
            "text": {"content": "a"},
            "clientmsgid": "b1-0",
        },
        {"filter": {"is_to_all": True}, "msgtype": "image", "images": {"media_ids": ["M"]}, "clientmsgid": "b1-0"},
        {"touser": ["o1", "o2"], "msgtype": "text", "text": {"content": "a"}, "clientmsgid": "b1-1"},
    ]


@pytest.mark.parametrize("count", [0, 1, 10_001])
def test_a_list_of_a_wrong_length_never_leaves(count: int) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=r"(0|1|10001) items in one call"):
        canned.official(lambda c: c.mass.send_to_people(Text("a"), ["o"] * count, client_id="x"), OK)
    assert canned.seen == []


def test_a_repeated_mass_send_adopts_the_first() -> None:
    taken = {"errcode": 45065, "errmsg": "clientmsgid exist", "msg_id": 77}
    assert Canned().official(lambda c: c.mass.send_to_tag(Text("a"), 7, client_id="k"), taken) == Accepted(
        77, adopted=True
    )
    unnamed = refused(lambda c: c.mass.send_to_tag(Text("a"), 7, client_id="k"), {"errcode": 45065, "errmsg": ""})
    assert unnamed.reaction is Reaction.DUPLICATE
    soon = refused(lambda c: c.mass.send_to_tag(Text("a"), 7, client_id="k"), {"errcode": 45066, "errmsg": ""})
    assert (soon.reaction, soon.wait_seconds) == (Reaction.WAIT_UNTIL, 60)


def test_status_preview_templates_and_quota() -> None:
    canned = Canned()
    assert canned.official(lambda c: c.mass.status(5), {"msg_id": 5, "msg_status": "SENDING"}) == "SENDING"
    canned.official(lambda c: c.mass.preview(Text("a"), openid="o1"), OK)
    canned.official(lambda c: c.mass.preview(Image("M"), wechat_name="wx"), OK)
    assert canned.seen[1].json() == {"touser": "o1", "msgtype": "text", "text": {"content": "a"}}
    assert canned.seen[2].json() == {"towxname": "wx", "msgtype": "image", "image": {"media_id": "M"}}
    template = {"template_id": "T", "title": "订单", "content": "{{thing1.DATA}}", "example": "x"}
    templates = canned.official(lambda c: c.templates.all(), {"template_list": [template]})
    assert (templates[0].template_id, templates[0].content) == ("T", "{{thing1.DATA}}")
    quota = {"errcode": 0, "errmsg": "ok", "quota": {"daily_limit": 10, "used": 4, "remain": 6}}
    assert canned.official(lambda c: c.quota.of("/cgi-bin/user/get"), quota).remain == 6


@pytest.mark.parametrize(
    ("values", "url"),
    [(["a", "b"], ""), (['引"号\\', "换\n行\t"], "https://a.example/?a=1&b=2"), (["\u2028😀", "</script>"], "x")],
)
def test_a_joined_template_body_is_the_same_json(values: list[str], url: str) -> None:
    message = TemplateMessage("TPL", {"thing1": "", "time2": ""}, app_id="wxm", page="p?a=1")
    expected = {
        "touser": 'o"1',
        "template_id": "TPL",
        "miniprogram": {"appid": "wxm", "pagepath": "p?a=1"},
        "data": {"thing1": {"value": values[0]}, "time2": {"value": values[1]}},
        "client_msg_id": "b7-3",
    } | ({"url": url} if url else {})
    assert json.loads(TemplateCall(message).body('o"1', values, client_msg_id="b7-3", url=url)) == expected


def test_a_template_body_needs_every_value_and_may_have_none() -> None:
    with pytest.raises(ValueError, match="shorter"):
        CALL.body("o", ["only one"], client_msg_id="k")
    bare = TemplateCall(TemplateMessage("T")).body("o", [], client_msg_id="k")
    assert json.loads(bare) == {"template_id": "T", "touser": "o", "data": {}, "client_msg_id": "k"}


async def send(client: OfficialClient) -> int:
    return await client.templates.send(CALL, "oSomebody", ["a", "b"], client_msg_id="k")


def test_a_template_message_gives_its_msgid() -> None:
    canned = Canned()
    assert canned.official(send, {"errcode": 0, "errmsg": "ok", "msgid": 200228332}) == 200228332
    assert canned.seen[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("code", "reaction", "reason"),
    [
        (43004, Reaction.PERMANENT, "unsubscribed"),
        (45009, Reaction.WAIT_UNTIL, "daily_quota"),
        (42001, Reaction.RENEW_TOKEN, "token_expired"),
        (-1, Reaction.RETRY, "busy"),
    ],
)
def test_a_refused_template_message(code: int, reaction: Reaction, reason: str) -> None:
    error = refused(send, {"errcode": code, "errmsg": "for oSomebody with TOKEN-1"})
    assert (error.reaction, error.reason, error.errcode) == (reaction, reason, code)
    assert "oSomebody" not in repr(error)


BROKEN = [
    b"",
    b"<html>502</html>",
    b'{"errcode":0,"errm',
    b"[]",
    b"null",
    b'{"errcode":"0","msgid":1}',
    b'{"errcode":true,"msgid":1}',
    b'{"errcode":0,"errmsg":"ok"}',
    b'{"errcode":0,"msgid":"x"}',
    b"\xff\xfe",
    b'{"errcode":0,"msgid":1,"pad":"' + b"x" * 1_000_001 + b'"}',
    (500, b'{"errcode":0,"msgid":1}'),
    (502, b""),
    (408, b""),
    CUT,
]


@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_leaves_a_send_in_doubt(answer: object) -> None:
    error = refused(send, answer)
    assert (error.reaction, error.reason) == (Reaction.IN_DOUBT, "answer_lost")


@pytest.mark.parametrize("answer", [a for a in BROKEN if a is not CUT])
def test_a_broken_answer_to_a_read_is_read_again(answer: object) -> None:
    error = refused(lambda c: c.mass.status(1), answer)
    assert (error.reaction, error.reason) == (Reaction.RETRY, "answer_lost")


@pytest.mark.parametrize(
    ("status", "reaction", "reason"),
    [
        (404, Reaction.PERMANENT, "http_refused"),
        (301, Reaction.PERMANENT, "http_refused"),
        (403, Reaction.PERMANENT, "http_refused"),
        (429, Reaction.WAIT_UNTIL, "rate_limited"),
    ],
)
def test_other_http_answers_are_refusals(status: int, reaction: Reaction, reason: str) -> None:
    error = refused(send, (status, b"nope"))
    assert (error.reaction, error.reason) == (reaction, reason)


def test_a_platform_that_cannot_be_reached_got_nothing() -> None:
    async def use(transport: object, url: str) -> int:
        assert isinstance(transport, AiohttpTransport)

        async def token() -> str:
            return "TOKEN-1"

        return await send(OfficialClient(transport, "http://127.0.0.1:1", token))

    with pytest.raises(ChannelError) as error:
        Canned().talk(use, OK)
    assert (error.value.reaction, error.value.reason) == (Reaction.RETRY, "not_sent")
    assert "TOKEN" not in "".join(traceback.format_exception(error.value))
