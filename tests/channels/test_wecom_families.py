"""Families of 企业微信 beyond customers, tags and mass messages: paths, bodies, answers, what is refused early."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.channels.canned import Canned

from tagcast.channels import (
    Article,
    ChannelError,
    File,
    Image,
    Message,
    MiniProgram,
    Reaction,
    Text,
    Video,
    WecomClient,
)
from tagcast.channels.wecom import Markdown, TagFilter, TextCard
from tagcast.channels.wecom.acquisition import NewLink, with_channel
from tagcast.channels.wecom.groups import JoinWay
from tagcast.channels.wecom.ways import ContactWay

OK = {"errcode": 0, "errmsg": "ok"}
EXTERNAL = "/cgi-bin/externalcontact/"
Use = Callable[[WecomClient], Any]


def asked(use: Use, *answers: dict[str, Any]) -> tuple[str, Any, Any]:
    """Path, body (or query) of the last request, and the result; pages are joined."""
    canned = Canned()

    async def run(client: WecomClient) -> Any:
        made = use(client)
        if inspect.isawaitable(made):
            return await made
        return [item async for page in made for item in page]

    result = canned.wecom(run, *[OK | answer for answer in answers or ({},)])
    last = canned.seen[-1]
    query = {name: value for name, value in last.query.items() if name != "access_token"}
    return last.path, query if last.method == "GET" else last.json(), result


def refused(use: Use, match: str) -> None:
    """Not one request is made."""
    canned = Canned()

    async def run(client: WecomClient) -> None:
        made: Awaitable[object] | AsyncIterator[object] = use(client)
        if inspect.isawaitable(made):
            await made
        else:
            [page async for page in made]

    with pytest.raises(ValueError, match=match):
        canned.wecom(run, OK)
    assert canned.seen == []


# customers


def test_ids_of_an_employee_without_customers_are_none() -> None:
    path, query, ids = asked(lambda c: c.customers.ids("zhang"), {"external_userid": ["wm1"]})
    assert (path, query, ids) == (f"{EXTERNAL}list", {"userid": "zhang"}, ("wm1",))
    assert asked(lambda c: c.customers.ids("zhang"), {"errcode": 84061, "external_userid": []})[2] == ()


@pytest.mark.parametrize(
    ("use", "answer"),
    [
        (lambda c: c.customers.employees(), {"errcode": 40014, "follow_user": []}),
        (lambda c: c.customers.ids("z"), {"errcode": 60011, "external_userid": []}),
        (lambda c: c.customers.of(["z"]), {"errcode": 45033, "external_contact_list": []}),
        (lambda c: c.tags.groups(), {"errcode": -1, "tag_group": []}),
        (lambda c: c.groups.list(), {"errcode": 45009, "group_chat_list": []}),
        (lambda c: c.mass.results("m", "z"), {"errcode": 41063, "send_list": []}),
    ],
)
def test_an_empty_list_beside_an_error_is_the_error(use: Use, answer: dict[str, Any]) -> None:
    with pytest.raises(ChannelError) as error:
        asked(use, answer)
    assert error.value.errcode == answer["errcode"]


@pytest.mark.parametrize(
    "use",
    [
        lambda c: c.customers.employees(),
        lambda c: c.customers.ids("z"),
        lambda c: c.customers.of(["z"]),
        lambda c: c.tags.groups(),
        lambda c: c.groups.list(),
    ],
)
def test_a_missing_list_is_no_empty_list(use: Use) -> None:
    with pytest.raises(ChannelError) as error:
        asked(use, {})
    assert (error.value.reaction, error.value.reason) == (Reaction.RETRY, "answer_lost")


def test_employees_left_out_make_the_list_incomplete() -> None:
    with pytest.raises(ChannelError) as error:
        asked(
            lambda c: c.customers.of(["zhang", "li"]),
            {"external_contact_list": [], "fail_info": {"unlicensed_userid_list": ["li"]}},
        )
    assert error.value.reason == "no_licence"


def test_a_customer_whose_pages_go_in_a_circle() -> None:
    page = {"external_contact": {"external_userid": "wm1"}, "follow_user": [{"userid": "z"}], "next_cursor": "c"}
    with pytest.raises(ChannelError) as error:
        asked(lambda c: c.customers.get("wm1"), page)
    assert error.value.reason == "answer_lost"


def test_remarks() -> None:
    path, body, _ = asked(lambda c: c.customers.remark("z", "wm1", remark="老客户", mobiles=["13800000000"]))
    assert path == f"{EXTERNAL}remark"
    assert body == {
        "userid": "z",
        "external_userid": "wm1",
        "remark": "老客户",
        "remark_mobiles": ["13800000000"],
    }
    assert asked(lambda c: c.customers.remark("z", "w", description=""))[1]["description"] == ""
    refused(lambda c: c.customers.remark("z", "w"), "something to write")
    refused(lambda c: c.customers.remark("z", "w", remark="字" * 21), "remark: 21 chars, at most 20")
    refused(lambda c: c.customers.remark("z", "w", description="字" * 151), "at most 150")
    refused(lambda c: c.customers.of(["z"] * 101), "employees_asked: 101 items, at most 100")
    refused(lambda c: c.customers.of([]), "at least 1")


# tags


def test_tags_are_asked_for_by_id_and_told_when_deleted() -> None:
    group = {"group_id": "g", "group_name": "G", "tag": [{"id": "t", "name": "T", "deleted": True}]}
    path, body, groups = asked(lambda c: c.tags.groups(["t"], ["g"]), {"tag_group": [group]})
    assert (path, body) == (f"{EXTERNAL}get_corp_tag_list", {"tag_id": ["t"], "group_id": ["g"]})
    assert groups[0].tag[0].deleted


def test_duplicate_names_are_sent_once() -> None:
    made = {"tag_group": {"group_id": "g", "group_name": "G", "tag": []}}
    body = asked(lambda c: c.tags.add(["高", "低", "高"], group_name="G"), made)[1]
    assert body == {"group_name": "G", "tag": [{"name": "高"}, {"name": "低"}]}


def test_strategy_tags_have_their_own_paths() -> None:
    group = {"group_id": "g", "group_name": "G", "strategy_id": 3, "tag": [{"id": "t", "name": "T"}]}
    path, body, groups = asked(lambda c: c.tags.strategy_groups(3), {"tag_group": [group]})
    assert (path, body, groups[0].strategy_id) == (f"{EXTERNAL}get_strategy_tag_list", {"strategy_id": 3}, 3)
    path, body, _ = asked(lambda c: c.tags.add_strategy(3, ["T"], group_name="G"), {"tag_group": group})
    assert (path, body["strategy_id"]) == (f"{EXTERNAL}add_strategy_tag", 3)
    assert asked(lambda c: c.tags.rename_strategy("t", "U"))[:2] == (
        f"{EXTERNAL}edit_strategy_tag",
        {"id": "t", "name": "U"},
    )
    assert asked(lambda c: c.tags.delete_strategy(["t"]))[:2] == (f"{EXTERNAL}del_strategy_tag", {"tag_id": ["t"]})


def test_tags_that_cannot_be() -> None:
    refused(lambda c: c.tags.add([], group_name="G"), "tags_added: 0 items")
    refused(lambda c: c.tags.add(["字" * 31], group_name="G"), "tag_name: 31 chars, at most 30")
    refused(lambda c: c.tags.add([""], group_id="g"), "at least 1")
    refused(lambda c: c.tags.add(["a"], group_name="字" * 31), "at most 30")
    refused(lambda c: c.tags.add(["a"]), "to a group")
    refused(lambda c: c.tags.add(["a"], group_name="G", group_id="g"), "to a group")
    refused(lambda c: c.tags.rename("t", ""), "at least 1")
    refused(lambda c: c.tags.delete(), "a tag or a group")
    refused(lambda c: c.tags.mark("z", "w"), "tags to add or to remove")
    refused(lambda c: c.tags.mark("z", "w", add=["t"], remove=["t"]), "none in both")


# mass messages


def test_a_mass_message_to_group_chats() -> None:
    content = [Text("周末"), Image(url="https://wework.example/p.png"), Video("V"), File("F")]
    path, body, created = asked(
        lambda c: c.mass.create_for_groups(content, sender="zhang", chat_ids=["wr1", "wr2"]),
        {"msgid": "m", "fail_list": ["wr2"]},
    )
    assert (path, created.msgid, created.fail_list) == (f"{EXTERNAL}add_msg_template", "m", ("wr2",))
    assert body == {
        "chat_type": "group",
        "sender": "zhang",
        "chat_id_list": ["wr1", "wr2"],
        "text": {"content": "周末"},
        "attachments": [
            {"msgtype": "image", "image": {"pic_url": "https://wework.example/p.png"}},
            {"msgtype": "video", "video": {"media_id": "V"}},
            {"msgtype": "file", "file": {"media_id": "F"}},
        ],
    }
    both = asked(lambda c: c.mass.create([Image("M", "https://p")], sender="z"), {"msgid": "m"})[1]
    assert both["attachments"] == [{"msgtype": "image", "image": {"media_id": "M"}}]


def test_the_record_of_group_messages() -> None:
    body = asked(lambda c: c.mass.list(10, 20, chat_type="group"), {"group_msg_list": []})[1]
    assert (body["chat_type"], body["filter_type"]) == ("group", 2)
    refused(lambda c: c.mass.list(0, 31 * 86400 + 1), "mass_record_span: 2678401 seconds, at most 2678400")
    refused(lambda c: c.mass.list(20, 10), "at least 0")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([], "messages: 0 items"),
        ([Text("字" * 1334)], "text.content: 4002 bytes, the limit is 4000"),
        ([Text("a"), Text("b")], "text: 2 items"),
        ([Image("M")] * 10, "attachments: 10 items, the limit is 9"),
        ([Image()], "image.media_id: 0 chars"),
        ([Article("字" * 43, url="https://a")], "article.title: 129 bytes"),
        ([Article("t", "d" * 513, url="https://a")], "article.description: 513 bytes"),
        ([MiniProgram("字" * 22, "wx", "p", "M")], "mini_program.title: 66 bytes"),
        ([Video("")], "video.media_id: 0 chars"),
    ],
)
def test_content_that_the_platform_would_refuse_is_not_sent(content: Sequence[Message], match: str) -> None:
    refused(lambda c: c.mass.create(content, sender="z"), match)
    refused(lambda c: c.mass.create_for_groups(content, sender="z", chat_ids=["wr"]), match)
    refused(lambda c: c.welcome.send("code", content), match)


def test_a_missing_choice_is_nobody_never_everybody() -> None:
    text = [Text("a")]
    refused(lambda c: c.mass.create(text), "needs customers")
    refused(lambda c: c.mass.create(text, tags=TagFilter(()), sender="z"), "there must be some")
    refused(lambda c: c.mass.create(text, tags=TagFilter(((),)), sender="z"), "filter_tags: 0 items, at least 1")
    refused(lambda c: c.mass.create(text, tags=TagFilter((("t",) * 101,))), "at most 100")
    refused(lambda c: c.mass.create(text, tags=TagFilter((("t",),)), external_userids=["w"]), "without ids")
    refused(lambda c: c.mass.create_for_groups(text, sender="", chat_ids=["wr"]), "needs a sender")
    refused(lambda c: c.mass.create_for_groups(text, sender="z", chat_ids=[]), "and the chats")
    refused(lambda c: c.mass.create_for_groups(text, sender="z", chat_ids=["w"] * 2001), "at most 2000")
    refused(lambda c: c.moments.create(text), "with tags, or for everybody")
    refused(lambda c: c.moments.create(text, tags=["t"], everybody=True), "with tags, or for everybody")


# group chats


def test_group_chats() -> None:
    path, body, chats = asked(
        lambda c: c.groups.list(["zhang"], status=1), {"group_chat_list": [{"chat_id": "wr1", "status": 0}]}
    )
    assert (path, chats[0].chat_id) == (f"{EXTERNAL}groupchat/list", "wr1")
    assert body == {
        "status_filter": 1,
        "limit": 1000,
        "cursor": "",
        "owner_filter": {"userid_list": ["zhang"]},
    }
    member = {
        "userid": "wm1",
        "type": 2,
        "unionid": "u1",
        "join_scene": 3,
        "invitor": {"userid": "zhang"},
        "state": "s",
    }
    detail = {
        "chat_id": "wr1",
        "name": "群",
        "owner": "zhang",
        "member_list": [member],
        "admin_list": [{"userid": "li"}],
    }
    path, body, chat = asked(lambda c: c.groups.get("wr1"), {"group_chat": detail})
    assert (path, body) == (f"{EXTERNAL}groupchat/get", {"chat_id": "wr1", "need_name": 1})
    assert (chat.member_list[0].state, chat.member_list[0].invitor.userid) == ("s", "zhang")
    assert asked(lambda c: c.groups.chat_id("og"), {"chat_id": "wr1"}) == (
        f"{EXTERNAL}opengid_to_chatid",
        {"opengid": "og"},
        "wr1",
    )


def test_join_ways() -> None:
    way = JoinWay(("wr1", "wr2"), base_name="福利群", base_id=10, state="tag:7", remark="春季")
    wire = {
        "scene": 2,
        "chat_id_list": ["wr1", "wr2"],
        "auto_create_room": 1,
        "room_base_name": "福利群",
        "room_base_id": 10,
        "remark": "春季",
        "state": "tag:7",
    }
    assert asked(lambda c: c.groups.add_join_way(way), {"config_id": "k"}) == (
        f"{EXTERNAL}groupchat/add_join_way",
        wire,
        "k",
    )
    path, body, _ = asked(lambda c: c.groups.update_join_way("k", way))
    assert (path, body) == (f"{EXTERNAL}groupchat/update_join_way", {"config_id": "k"} | wire)
    shown = {"join_way": {"config_id": "k", "qr_code": "https://q", "chat_id_list": ["wr1"]}}
    path, body, kept = asked(lambda c: c.groups.get_join_way("k"), shown)
    assert (path, kept.qr_code, kept.chat_id_list) == (f"{EXTERNAL}groupchat/get_join_way", "https://q", ("wr1",))
    assert asked(lambda c: c.groups.delete_join_way("k"))[0] == f"{EXTERNAL}groupchat/del_join_way"
    refused(lambda c: c.groups.add_join_way(JoinWay(("w",) * 6)), "join_way_chats: 6 items, at most 5")
    refused(lambda c: c.groups.add_join_way(JoinWay(())), "at least 1")
    refused(lambda c: c.groups.add_join_way(JoinWay(("w",), state="s" * 31)), "way_state: 31 chars, at most 30")


def test_figures_of_group_chats_are_paged_by_offset() -> None:
    def page(total: int, offset: int, *owners: str) -> dict[str, Any]:
        items = [{"owner": owner, "data": {"chat_total": 2}} for owner in owners]
        return {"total": total, "next_offset": offset, "items": items}

    path, body, rows = asked(lambda c: c.groups.statistics(["a", "b"], 0, 86400), page(2, 1, "a"), page(2, 2, "b"))
    assert (path, [row.owner for row in rows]) == (f"{EXTERNAL}groupchat/statistic", ["a", "b"])
    assert body == {
        "day_begin_time": 0,
        "day_end_time": 86400,
        "owner_filter": {"userid_list": ["a", "b"]},
        "order_by": 1,
        "order_asc": 0,
        "offset": 1,
        "limit": 1000,
    }
    with pytest.raises(ChannelError):
        asked(lambda c: c.groups.statistics(["a"], 0, 1), page(3, 1, "a"), page(3, 1, "b"))
    path, _, days = asked(
        lambda c: c.groups.statistics_by_day(["a"], 0, 86400), {"items": [{"stat_time": 5, "data": {"msg_total": 9}}]}
    )
    assert (path, days[0].stat_time, days[0].data.msg_total) == (f"{EXTERNAL}groupchat/statistic_group_by_day", 5, 9)
    refused(lambda c: c.groups.statistics([], 0, 1), "statistics_owners")
    refused(lambda c: c.groups.statistics(["a"], 0, 31 * 86400), "statistics_span")


# Moments


def test_a_moment_is_a_job() -> None:
    link = Article("字" * 21, url="https://a.example", cover_media_id="M")
    path, body, job = asked(
        lambda c: c.moments.create([Text("春天"), link], employees=["zhang"], departments=[2], tags=["t1", "t1"]),
        {"jobid": "j"},
    )
    assert (path, job) == (f"{EXTERNAL}add_moment_task", "j")
    assert body == {
        "text": {"content": "春天"},
        "attachments": [{"msgtype": "link", "link": {"title": "字" * 21, "url": "https://a.example", "media_id": "M"}}],
        "visible_range": {
            "sender_list": {"user_list": ["zhang"], "department_list": [2]},
            "external_contact_list": {"tag_list": ["t1"]},
        },
    }
    everybody = asked(lambda c: c.moments.create([Image("A"), Image("B")], everybody=True), {"jobid": "j"})[1]
    assert everybody == {"attachments": [{"msgtype": "image", "image": {"media_id": name}} for name in "AB"]}
    ended = {"status": 3, "type": "add_moment_task", "result": {"errcode": 0, "moment_id": "mo1"}}
    path, query, done = asked(lambda c: c.moments.result("j"), ended)
    assert (path, query) == (f"{EXTERNAL}get_moment_task_result", {"jobid": "j"})
    assert (done.done, done.result.moment_id) == (True, "mo1")
    assert not asked(lambda c: c.moments.result("j"), {"status": 2})[2].done


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([Image("A"), Video("V")], "images, or one video, or one link"),
        ([Video("V"), Video("W")], "images, or one video, or one link"),
        ([Image("A")] * 10, "moment_images: 10 items, at most 9"),
        ([File("F")], "file cannot be used here"),
        ([Article("t", url="https://a")], "article.cover_media_id is empty"),
        ([Article("字" * 22, url="https://a", cover_media_id="M")], "article.title: 66 bytes, at most 64"),
        ([Text("a" * 2001)], "text.content: 2001 chars, at most 2000"),
        ([Text("字" * 1334)], "text.content: 4002 bytes, at most 4000"),
        ([Text("a"), Text("b")], "one text or none"),
        ([], "not empty"),
    ],
)
def test_what_a_moment_cannot_show(content: Sequence[Message], match: str) -> None:
    refused(lambda c: c.moments.create(content, everybody=True), match)


def test_what_became_of_a_moment() -> None:
    who = {"customer_list": [{"external_userid": "wm1", "userid": "zhang"}]}
    for use, name, answer, expected in (
        (
            lambda c: c.moments.list(0, 9),
            "get_moment_list",
            {"moment_list": [{"moment_id": "mo", "create_time": 1}]},
            20,
        ),
        (
            lambda c: c.moments.tasks("mo"),
            "get_moment_task",
            {"task_list": [{"userid": "z", "publish_status": 1}]},
            1000,
        ),
        (lambda c: c.moments.customers("mo", "z"), "get_moment_customer_list", who, 1000),
        (lambda c: c.moments.delivered("mo", "z"), "get_moment_send_result", who, 5000),
    ):
        path, body, rows = asked(use, answer)
        assert (path, body["limit"], len(rows)) == (EXTERNAL + name, expected, 1)
    likes = {"comment_list": [{"userid": "li", "create_time": 1}], "like_list": [{"external_userid": "wm1"}]}
    path, body, reactions = asked(lambda c: c.moments.comments("mo", "z"), likes)
    assert (path, body) == (f"{EXTERNAL}get_moment_comments", {"moment_id": "mo", "userid": "z"})
    assert (reactions.comment_list[0].userid, reactions.like_list[0].external_userid) == ("li", "wm1")
    assert asked(lambda c: c.moments.cancel("mo"))[:2] == (f"{EXTERNAL}cancel_moment_task", {"moment_id": "mo"})
    refused(lambda c: c.moments.list(0, 30 * 86400 + 1), "moment_record_span")


# contact ways, welcomes, links


def test_contact_ways() -> None:
    one = ContactWay(("zhang",), state="shop7", remark="门店")
    path, body, made = asked(lambda c: c.ways.add(one), {"config_id": "k", "qr_code": "https://q"})
    assert (path, made.qr_code) == (f"{EXTERNAL}add_contact_way", "https://q")
    assert body == {
        "type": 1,
        "scene": 2,
        "skip_verify": True,
        "style": 1,
        "remark": "门店",
        "user": ["zhang"],
        "state": "shop7",
    }
    farewell = (Text("再见"), Image("M"))
    temporary = ContactWay(("a", "b"), (3,), temporary=True, expires_seconds=3600, farewell=farewell, one_employee=True)
    body = asked(lambda c: c.ways.add(temporary), {"config_id": "k"})[1]
    assert (body["type"], body["party"], body["is_temp"], body["is_exclusive"]) == (2, [3], True, True)
    assert body["conclusions"] == {"text": {"content": "再见"}, "image": {"media_id": "M"}}
    path, body, _ = asked(lambda c: c.ways.update("k", one))
    assert (path, body["config_id"], "type" in body) == (f"{EXTERNAL}update_contact_way", "k", False)
    shown = {"contact_way": {"config_id": "k", "type": 1, "user": ["zhang"], "state": "shop7"}}
    assert asked(lambda c: c.ways.get("k"), shown)[2].user == ("zhang",)
    path, _, ids = asked(lambda c: c.ways.list(0, 9), {"contact_way": [{"config_id": "k"}]})
    assert (path, ids) == (f"{EXTERNAL}list_contact_way", ["k"])
    assert asked(lambda c: c.ways.delete("k"))[0] == f"{EXTERNAL}del_contact_way"
    assert asked(lambda c: c.ways.close_chat("z", "wm1"))[:2] == (
        f"{EXTERNAL}close_temp_chat",
        {"userid": "z", "external_userid": "wm1"},
    )


def test_contact_ways_that_cannot_be() -> None:
    refused(lambda c: c.ways.add(ContactWay()), "needs employees or departments")
    refused(lambda c: c.ways.add(ContactWay(("z",) * 101)), "way_employees: 101 items, at most 100")
    refused(lambda c: c.ways.add(ContactWay(("z",), state="s" * 31)), "way_state")
    refused(lambda c: c.ways.add(ContactWay(("z",), remark="字" * 31)), "way_remark")
    refused(lambda c: c.ways.add(ContactWay(("z",), expires_seconds=60)), "only a temporary way")
    refused(lambda c: c.ways.add(ContactWay(("z",), temporary=True, expires_seconds=15 * 86400)), "way_life")
    refused(lambda c: c.ways.add(ContactWay(("z",), temporary=True, farewell=(Video("V"),))), "a farewell shows one")
    refused(lambda c: c.ways.list(0, 91 * 86400), "way_record_span")


def test_a_welcome_is_sent_once_and_in_time() -> None:
    path, body, _ = asked(lambda c: c.welcome.send("CODE", [Text("你好")]))
    assert (path, body) == (f"{EXTERNAL}send_welcome_msg", {"welcome_code": "CODE", "text": {"content": "你好"}})
    refused(lambda c: c.welcome.send("", [Text("a")]), "no welcome code")
    for code, reaction, reason in (
        (41049, Reaction.PERMANENT, "welcome_expired"),
        (41050, Reaction.PERMANENT, "welcome_expired"),
        (41051, Reaction.DUPLICATE, "already_welcomed"),
        (41096, Reaction.RETRY, "welcome_busy"),
        (-1, Reaction.IN_DOUBT, "answer_lost"),
    ):
        with pytest.raises(ChannelError) as error:
            asked(lambda c: c.welcome.send("CODE", [Text("a")]), {"errcode": code})
        assert (error.value.reaction, error.value.reason) == (reaction, reason)
        assert "CODE" not in str(error.value)


def test_welcomes_of_group_chats() -> None:
    content = [Text("欢迎"), File("F")]
    path, body, made = asked(lambda c: c.welcome.add_template(content, notify=False), {"template_id": "T"})
    assert (path, made) == (f"{EXTERNAL}group_welcome_template/add", "T")
    assert body == {"text": {"content": "欢迎"}, "file": {"media_id": "F"}, "notify": 0}
    path, body, _ = asked(lambda c: c.welcome.edit_template("T", [Text("a")]))
    assert (path, body) == (f"{EXTERNAL}group_welcome_template/edit", {"template_id": "T", "text": {"content": "a"}})
    shown = asked(lambda c: c.welcome.get_template("T"), {"text": {"content": "a"}})
    assert (shown[0], shown[2].text) == (f"{EXTERNAL}group_welcome_template/get", {"content": "a"})
    assert asked(lambda c: c.welcome.delete_template("T"))[0] == f"{EXTERNAL}group_welcome_template/del"
    refused(lambda c: c.welcome.add_template([Image("A"), Image("B")]), "one attachment at most")


def test_acquisition_links() -> None:
    base = f"{EXTERNAL}customer_acquisition/"
    link = {"link_id": "L", "link_name": "春", "url": "https://l", "create_time": 1}
    new = NewLink("春", ("zhang",), (2,))
    path, body, made = asked(lambda c: c.acquisition.create(new), {"link": link})
    assert (path, made.url) == (f"{base}create_link", "https://l")
    wire = {"link_name": "春", "range": {"user_list": ["zhang"], "department_list": [2]}, "skip_verify": True}
    assert body == wire
    assert asked(lambda c: c.acquisition.update("L", new))[:2] == (f"{base}update_link", {"link_id": "L"} | wire)
    path, _, detail = asked(lambda c: c.acquisition.get("L"), {"link": link, "range": {"user_list": ["zhang"]}})
    assert (path, detail.range.user_list) == (f"{base}get", ("zhang",))
    assert asked(lambda c: c.acquisition.list(), {"link_id_list": ["L"]})[::2] == (f"{base}list_link", ["L"])
    assert asked(lambda c: c.acquisition.delete("L"))[0] == f"{base}delete_link"
    came = {"customer_list": [{"external_userid": "wm1", "userid": "zhang", "chat_status": 1, "state": "s"}]}
    path, body, rows = asked(lambda c: c.acquisition.customers("L"), came)
    assert (path, body, rows[0].state) == (f"{base}customer", {"link_id": "L", "limit": 1000}, "s")
    path, _, figures = asked(
        lambda c: c.acquisition.figures("L", 0, 9), {"click_link_customer_cnt": 5, "new_customer_cnt": 2}
    )
    assert (path, figures.click_link_customer_cnt, figures.new_customer_cnt) == (f"{base}statistic", 5, 2)
    path, _, quota = asked(lambda c: c.acquisition.quota(), {"total": 9, "balance": 4})
    assert (path, quota.balance) == (f"{EXTERNAL}customer_acquisition_quota", 4)
    talk = {"userid": "zhang", "external_userid": "wm1", "chat_info": {"recv_msg_cnt": 1, "link_id": "L"}}
    path, body, chat = asked(lambda c: c.acquisition.chat("key"), talk)
    assert (path, body, chat.chat_info.link_id) == (f"{base}get_chat_info", {"chat_key": "key"}, "L")
    assert with_channel("https://l/x", "门 店") == "https://l/x?customer_channel=%E9%97%A8%20%E5%BA%97"
    assert with_channel("https://l/x?a=1", "s").endswith("?a=1&customer_channel=s")
    with pytest.raises(ValueError, match="link_channel: 66 bytes, at most 64"):
        with_channel("https://l", "字" * 22)
    refused(lambda c: c.acquisition.create(NewLink("春")), "needs a name")
    refused(lambda c: c.acquisition.create(NewLink("春", ("z",) * 501)), "link_people")


# statistics, members, media, ids, hand-over


def test_statistics_of_talk() -> None:
    day = {"stat_time": 5, "chat_cnt": 3, "reply_percentage": 99.5, "negative_feedback_cnt": 1}
    path, body, days = asked(
        lambda c: c.statistics.behaviour(0, 86400, userids=["zhang"], departments=[1]), {"behavior_data": [day]}
    )
    assert (path, days[0].reply_percentage, days[0].negative_feedback_cnt) == (
        f"{EXTERNAL}get_user_behavior_data",
        99.5,
        1,
    )
    assert body == {"start_time": 0, "end_time": 86400, "userid": ["zhang"], "partyid": [1]}
    refused(lambda c: c.statistics.behaviour(0, 1), "statistics_asked")
    refused(lambda c: c.statistics.behaviour(0, 31 * 86400, userids=["z"]), "statistics_span")


@pytest.mark.parametrize(
    ("message", "word", "body"),
    [
        (Text("a"), "text", {"content": "a"}),
        (Markdown("**a**"), "markdown", {"content": "**a**"}),
        (Image("M"), "image", {"media_id": "M"}),
        (Video("V", "t"), "video", {"media_id": "V", "title": "t"}),
        (File("F"), "file", {"media_id": "F"}),
        (
            TextCard("t", "d", "https://a", "看"),
            "textcard",
            {"title": "t", "description": "d", "url": "https://a", "btntxt": "看"},
        ),
        (Article("t", url="https://a"), "news", {"articles": [{"title": "t", "url": "https://a"}]}),
    ],
)
def test_messages_to_members(message: Message, word: str, body: dict[str, Any]) -> None:
    path, sent, shown = asked(
        lambda c: c.messages.send(["a", "b"], message, agent_id=7),
        {"msgid": "x", "invaliduser": "b", "unlicenseduser": "a"},
    )
    assert (path, shown.invalid, shown.unlicensed) == ("/cgi-bin/message/send", ("b",), ("a",))
    assert sent == {"touser": "a|b", "agentid": 7, "enable_duplicate_check": 1, "msgtype": word, word: body}


def test_messages_to_members_that_cannot_be() -> None:
    assert asked(lambda c: c.messages.recall("x"))[:2] == ("/cgi-bin/message/recall", {"msgid": "x"})
    refused(lambda c: c.messages.send(["@all"], Text("a"), agent_id=7), "one by one")
    refused(lambda c: c.messages.send(["a|b"], Text("a"), agent_id=7), "one by one")
    refused(lambda c: c.messages.send([], Text("a"), agent_id=7), "members: 0 items")
    refused(lambda c: c.messages.send(["a"] * 1001, Text("a"), agent_id=7), "at most 1000")
    refused(lambda c: c.messages.send(["a"], Text("字" * 683), agent_id=7), "text.content: 2049 bytes, at most 2048")
    refused(lambda c: c.messages.send(["a"], Image(url="https://p"), agent_id=7), "image.media_id is empty")


def test_files_keep_their_sizes() -> None:
    canned = Canned()
    media = canned.wecom(lambda c: c.media.upload_attachment("video", "a.mp4", b"123456"), OK | {"media_id": "M"})
    assert (media, canned.seen[0].path) == ("M", "/cgi-bin/media/upload_attachment")
    assert (canned.seen[0].query["media_type"], canned.seen[0].query["attachment_type"]) == ("video", "1")
    refused(lambda c: c.media.upload("image", "a", b"12345"), "file_least: 5 bytes, at least 6")
    refused(lambda c: c.media.upload("voice", "a", bytes(2 * 1024 * 1024 + 1)), "file_voice")
    refused(lambda c: c.media.upload("file", "a", bytes(20 * 1024 * 1024 + 1)), "file_file")
    refused(lambda c: c.media.upload_image("a", bytes(10 * 1024 * 1024 + 1)), "file_image")


def test_ids() -> None:
    assert asked(lambda c: c.ids.openid_of_member("z"), {"openid": "o"}) == (
        "/cgi-bin/user/convert_to_openid",
        {"userid": "z"},
        "o",
    )
    assert asked(lambda c: c.ids.openid_of_customer("wm"), {"openid": "o"})[0] == f"{EXTERNAL}convert_to_openid"
    path, body, found = asked(lambda c: c.ids.customer_of("u", "o"), {"external_userid": "wm1"})
    assert (path, body, found) == (f"{EXTERNAL}unionid_to_external_userid", {"unionid": "u", "openid": "o"}, "wm1")
    path, body, known = asked(lambda c: c.ids.known("u", "o", subject="provider"), {"pending_id": "p"})
    assert (path, body["subject_type"]) == ("/cgi-bin/idconvert/unionid_to_external_userid", 1)
    assert (known.external_userid, known.pending_id) == ("", "p")
    path, body, rows = asked(
        lambda c: c.ids.pending(["wm1"], chat_id="wr"), {"result": [{"external_userid": "wm1", "pending_id": "p"}]}
    )
    assert (path, body) == (
        "/cgi-bin/idconvert/batch/external_userid_to_pending_id",
        {"external_userid": ["wm1"], "chat_id": "wr"},
    )
    assert rows[0].pending_id == "p"
    refused(lambda c: c.ids.pending([]), "needs customers")


def test_customers_are_handed_over() -> None:
    wire = {"handover_userid": "a", "takeover_userid": "b", "external_userid": ["wm1"]}
    answer = {"customer": [{"external_userid": "wm1", "errcode": 40128}]}
    path, body, handed = asked(lambda c: c.handover.transfer("a", "b", ["wm1"], words="再见"), answer)
    assert (path, body) == (f"{EXTERNAL}transfer_customer", wire | {"transfer_success_msg": "再见"})
    assert handed[0].errcode == 40128
    assert asked(lambda c: c.handover.transfer_resigned("a", "b", ["wm1"]), answer)[:2] == (
        f"{EXTERNAL}resigned/transfer_customer",
        wire,
    )
    result = {"customer": [{"external_userid": "wm1", "status": 3}]}
    path, _, rows = asked(lambda c: c.handover.results("a", "b"), result)
    assert (path, rows[0].status) == (f"{EXTERNAL}transfer_result", 3)
    assert asked(lambda c: c.handover.results_resigned("a", "b"), result)[0] == f"{EXTERNAL}resigned/transfer_result"
    failed = {"failed_chat_list": [{"chat_id": "wr2", "errcode": 90501, "errmsg": "x"}]}
    path, body, chats = asked(lambda c: c.handover.transfer_chats(["wr1", "wr2"], "b"), failed)
    assert (path, body) == (
        f"{EXTERNAL}groupchat/onjob_transfer",
        {"chat_id_list": ["wr1", "wr2"], "new_owner": "b"},
    )
    assert [(one.chat_id, one.errcode) for one in chats] == [("wr2", 90501)]
    left = asked(lambda c: c.handover.transfer_chats_resigned(["wr1"], "b"), {"failed_chat_list": []})
    assert (left[0], left[2]) == (f"{EXTERNAL}groupchat/transfer", ())
    refused(lambda c: c.handover.transfer("a", "b", ["w"] * 101), "handover_customers")
    refused(lambda c: c.handover.transfer("a", "b", []), "at least 1")


def test_what_would_happen_twice_is_in_doubt_when_its_answer_is_lost() -> None:
    sends: list[Use] = [
        lambda c: c.mass.create([Text("a")], sender="z"),
        lambda c: c.mass.create_for_groups([Text("a")], sender="z", chat_ids=["wr"]),
        lambda c: c.mass.remind("m"),
        lambda c: c.moments.create([Text("a")], everybody=True),
        lambda c: c.welcome.send("C", [Text("a")]),
        lambda c: c.welcome.add_template([Text("a")]),
        lambda c: c.ways.add(ContactWay(("z",))),
        lambda c: c.groups.add_join_way(JoinWay(("wr",))),
        lambda c: c.acquisition.create(NewLink("n", ("z",))),
        lambda c: c.handover.transfer("a", "b", ["w"]),
    ]
    again: list[Use] = [
        lambda c: c.tags.mark("z", "w", add=["t"]),
        lambda c: c.tags.add(["t"], group_name="G"),
        lambda c: c.mass.cancel("m"),
        lambda c: c.moments.cancel("m"),
        lambda c: c.groups.update_join_way("k", JoinWay(("wr",))),
        lambda c: c.messages.recall("m"),
    ]
    for uses, reaction in ((sends, Reaction.IN_DOUBT), (again, Reaction.RETRY)):
        for use in uses:
            with pytest.raises(ChannelError) as error:
                asked(use, {"errcode": -1})
            assert error.value.reaction is reaction
