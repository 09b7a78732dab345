"""The client of 企业微信: what goes over the wire, and what each answer means."""

from collections.abc import Awaitable, Callable

import pytest
from tests.channels.canned import CUT, Canned

from tagcast.channels import (
    Article,
    ChannelError,
    Image,
    Reaction,
    SendStatus,
    TagFilter,
    TaskStatus,
    Text,
    WecomClient,
    get_token,
)

OK = {"errcode": 0, "errmsg": "ok"}


def refused(use: Callable[[WecomClient], Awaitable[object]], *answers: object) -> ChannelError:
    with pytest.raises(ChannelError) as error:
        Canned().wecom(use, *answers)
    return error.value


def test_a_token_is_fetched_with_corp_and_secret() -> None:
    canned = Canned()
    token = canned.talk(lambda t, u: get_token(t, u, "ww1", "SEC"), OK | {"access_token": "AT", "expires_in": 7200})
    assert (token.value, token.expires_in) == ("AT", 7200)
    assert (canned.seen[0].method, canned.seen[0].query) == ("GET", {"corpid": "ww1", "corpsecret": "SEC"})


def test_employees_and_the_error_that_looks_like_nobody() -> None:
    assert Canned().wecom(lambda c: c.customers.employees(), OK | {"follow_user": ["zhang", "li"]}) == ("zhang", "li")
    stale = {"errcode": 40014, "errmsg": "invalid access_token", "follow_user": []}
    assert refused(lambda c: c.customers.employees(), stale).reaction is Reaction.RENEW_TOKEN


def test_customers_are_paged_by_cursor() -> None:
    def page(number: int, cursor: str) -> dict[str, object]:
        relation = {
            "userid": "zhang",
            "createtime": 1,
            "tag_id": ["t1"],
            "add_way": 1,
            "wechat_channels": {"source": 1},
        }
        contact = {"external_userid": f"wm{number}", "name": "客户", "type": 1, "unionid": f"u{number}"}
        return OK | {
            "external_contact_list": [{"external_contact": contact, "follow_info": relation}],
            "next_cursor": cursor,
        }

    async def use(client: WecomClient) -> list[tuple[str, tuple[str, ...]]]:
        return [
            (c.external_contact.external_userid, c.follow_info.tag_id)
            async for batch in client.customers.of(["zhang"])
            for c in batch
        ]

    canned = Canned()
    assert canned.wecom(use, page(1, "c1"), page(2, "")) == [("wm1", ("t1",)), ("wm2", ("t1",))]
    assert [seen.json()["cursor"] for seen in canned.seen] == ["", "c1"]
    assert canned.seen[0].path == "/cgi-bin/externalcontact/batch/get_by_user"
    circle = Canned()
    with pytest.raises(ChannelError) as error:
        circle.wecom(use, page(1, "c1"), page(2, "c2"), page(3, "c1"))
    assert (error.value.reaction, error.value.reason, len(circle.seen)) == (Reaction.RETRY, "answer_lost", 3)


def test_one_customer_with_all_relations() -> None:
    def page(userid: str, cursor: str | None) -> dict[str, object]:
        tags = [{"group_name": "g", "tag_name": "t", "tag_id": "t1", "type": 1}, {"tag_name": "private", "type": 2}]
        relation = {"userid": userid, "tags": tags, "remark": "r"}
        return OK | {"external_contact": {"external_userid": "wm1"}, "follow_user": [relation], "next_cursor": cursor}

    customer = Canned().wecom(lambda c: c.customers.get("wm1"), page("zhang", "c"), page("li", None))
    assert [relation.userid for relation in customer.follow_user] == ["zhang", "li"]
    assert [tag.tag_id for tag in customer.follow_user[0].tags] == ["t1", ""]


def test_tags() -> None:
    canned = Canned()
    group = {"group_id": "g1", "group_name": "等级", "create_time": 1, "order": 0, "tag": [{"id": "t1", "name": "高"}]}
    assert canned.wecom(lambda c: c.tags.groups(), OK | {"tag_group": [group]})[0].tag[0].id == "t1"
    made = canned.wecom(lambda c: c.tags.add(["高"], group_name="等级"), OK | {"tag_group": group})
    assert (made.group_id, made.tag[0].name) == ("g1", "高")
    canned.wecom(lambda c: c.tags.add(["低"], group_id="g1"), OK | {"tag_group": group})
    canned.wecom(lambda c: c.tags.rename("t1", "顶"), OK)
    canned.wecom(lambda c: c.tags.delete(["t1"]), OK)
    canned.wecom(lambda c: c.tags.mark("zhang", "wm1", add=["t1"]), OK)
    canned.wecom(lambda c: c.tags.mark("zhang", "wm1", remove=["t2"]), OK)
    assert [seen.json() for seen in canned.seen[1:]] == [
        {"group_name": "等级", "tag": [{"name": "高"}]},
        {"group_id": "g1", "tag": [{"name": "低"}]},
        {"id": "t1", "name": "顶"},
        {"tag_id": ["t1"]},
        {"userid": "zhang", "external_userid": "wm1", "add_tag": ["t1"]},
        {"userid": "zhang", "external_userid": "wm1", "remove_tag": ["t2"]},
    ]
    assert (
        refused(lambda c: c.tags.mark("z", "w", add=["t"]), {"errcode": 84061, "errmsg": ""}).reason == "not_a_friend"
    )


def test_a_mass_message_becomes_a_task() -> None:
    canned = Canned()
    created = canned.wecom(
        lambda c: c.mass.create(
            [Text("你好"), Article("t", url="https://a.example")], external_userids=["wm1", "wm2"], sender="zhang"
        ),
        OK | {"fail_list": ["wm2"], "msgid": "msgG1"},
    )
    assert (created.msgid, created.fail_list) == ("msgG1", ("wm2",))
    assert canned.seen[0].json() == {
        "chat_type": "single",
        "allow_select": False,
        "text": {"content": "你好"},
        "attachments": [{"msgtype": "link", "link": {"title": "t", "url": "https://a.example"}}],
        "external_userid": ["wm1", "wm2"],
        "sender": "zhang",
    }
    both = TagFilter((("t1", "t2"), ("t3",)))
    canned.wecom(lambda c: c.mass.create([Image("M")], tags=both), OK | {"msgid": "m"})
    assert canned.seen[1].json()["tag_filter"] == {"group_list": [{"tag_list": ["t1", "t2"]}, {"tag_list": ["t3"]}]}
    with pytest.raises(ValueError, match="needs customers"):
        canned.wecom(lambda c: c.mass.create([Text("a")]), OK)
    with pytest.raises(ValueError, match="10001 items"):
        canned.wecom(lambda c: c.mass.create([Text("a")], external_userids=["w"] * 10_001), OK)
    assert len(canned.seen) == 2


@pytest.mark.parametrize("answer", [CUT, (500, b""), {"errcode": -1, "errmsg": "busy"}, b"<html>", OK])
def test_a_task_without_a_clear_answer_is_in_doubt(answer: object) -> None:
    error = refused(lambda c: c.mass.create([Text("a")], sender="zhang"), answer)
    assert error.reaction is Reaction.IN_DOUBT


def test_nobody_to_send_to_and_dispatching() -> None:
    nobody = refused(lambda c: c.mass.create([Text("a")], sender="z"), {"errcode": 41048, "errmsg": ""})
    assert (nobody.reaction, nobody.reason) == (Reaction.PERMANENT, "no_recipient")

    async def use(client: WecomClient) -> list[str]:
        return [m.msgid async for page in client.mass.list(1, 2, creator="zhang", made_by="app") for m in page]

    early = refused(use, {"errcode": 41063, "errmsg": ""})
    assert (early.reaction, early.wait_seconds) == (Reaction.WAIT_UNTIL, 60)
    canned = Canned()
    message = {"msgid": "m1", "creator": "zhang", "create_time": 5, "create_type": 0, "text": {"content": "a"}}
    assert canned.wecom(use, OK | {"group_msg_list": [message], "next_cursor": ""}) == ["m1"]
    assert canned.seen[0].json() == {
        "chat_type": "single",
        "start_time": 1,
        "end_time": 2,
        "limit": 100,
        "filter_type": 0,
        "creator": "zhang",
    }


def test_tasks_and_results_are_polled() -> None:
    async def tasks(client: WecomClient) -> list[tuple[str, int]]:
        return [(t.userid, t.status) async for page in client.mass.tasks("m1") for t in page]

    async def results(client: WecomClient) -> list[tuple[str, int, int]]:
        return [
            (r.external_userid, r.status, r.send_time)
            async for page in client.mass.results("m1", "zhang")
            for r in page
        ]

    first = OK | {"task_list": [{"userid": "zhang", "status": 2, "send_time": 9}], "next_cursor": "x"}
    last = OK | {"task_list": [{"userid": "li", "status": 0}, {"userid": "wu", "status": 7}]}
    assert Canned().wecom(tasks, first, last) == [("zhang", TaskStatus.SENT), ("li", TaskStatus.NOT_SENT), ("wu", 7)]
    rows = [{"external_userid": f"wm{n}", "userid": "zhang", "status": n, "send_time": n} for n in range(4)]
    assert Canned().wecom(results, OK | {"send_list": rows, "next_cursor": ""}) == [
        ("wm0", SendStatus.NOT_SENT, 0),
        ("wm1", SendStatus.SENT, 1),
        ("wm2", SendStatus.NOT_A_FRIEND, 2),
        ("wm3", SendStatus.OVER_LIMIT, 3),
    ]


def test_reminders_and_cancelling() -> None:
    canned = Canned()
    canned.wecom(lambda c: c.mass.remind("m1"), OK)
    canned.wecom(lambda c: c.mass.cancel("m1"), OK)
    assert [(s.path.rsplit("/", 1)[1], s.json()) for s in canned.seen] == [
        ("remind_groupmsg_send", {"msgid": "m1"}),
        ("cancel_groupmsg_send", {"msgid": "m1"}),
    ]
    often = refused(lambda c: c.mass.remind("m1"), {"errcode": 41094, "errmsg": ""})
    assert (often.reaction, often.wait_seconds) == (Reaction.WAIT_UNTIL, 86400)


def test_testers_see_a_message_and_some_may_not() -> None:
    canned = Canned()
    shown = canned.wecom(
        lambda c: c.messages.send(["a", "b", "c"], Text("预览"), agent_id=1000002),
        OK | {"invaliduser": "b|c", "invalidparty": "", "msgid": "x"},
    )
    assert shown.invalid == ("b", "c")
    assert canned.seen[0].json() == {
        "touser": "a|b|c",
        "agentid": 1000002,
        "enable_duplicate_check": 1,
        "msgtype": "text",
        "text": {"content": "预览"},
    }


def test_media() -> None:
    canned = Canned()
    assert canned.wecom(lambda c: c.media.upload("image", "a.png", b"123456"), OK | {"media_id": "M"}) == "M"
    assert canned.wecom(lambda c: c.media.upload_image("a.png", b"123456"), OK | {"url": "https://p"}) == "https://p"
    assert canned.seen[0].query == {"type": "image", "access_token": "TOKEN-1"}
