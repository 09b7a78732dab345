"""Customer service, subscription and template messages: what goes over the wire, and what never leaves."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.channels.boxed import PNG, Sandbox
from tests.channels.canned import CUT, Canned

from tagcast.channels import (
    Article,
    ChannelError,
    File,
    Image,
    MiniProgram,
    MiniProgramClient,
    OfficialClient,
    Reaction,
    Scope,
    TemplateCall,
    TemplateMessage,
    Text,
)
from tagcast.channels.official import Menu

OK = {"errcode": 0, "errmsg": "ok"}
NOTICE = TemplateMessage("T", {"thing1": "a", "time2": "2026年10月7日"}, "https://a.example/1")
DATA = {"thing1": {"value": "a"}, "time2": {"value": "2026年10月7日"}}
ONCE = TemplateMessage("T", {"content": "a"}, "https://a.example/1")

Use = Callable[[OfficialClient], Awaitable[object]]


def mini(use: Callable[[MiniProgramClient], Awaitable[Any]], canned: Canned, answer: object) -> Any:
    async def token() -> str:
        return "TOKEN-1"

    return canned.talk(lambda transport, url: use(MiniProgramClient(transport, url, token)), answer)


def test_a_customer_service_message_can_name_who_speaks() -> None:
    canned = Canned()
    canned.official(lambda c: c.customer_messages.send("o1", Text("你好")), OK)
    canned.official(lambda c: c.customer_messages.send("o1", Image("M"), staff="kf1@shop"), OK)
    assert {seen.path for seen in canned.seen} == {"/cgi-bin/message/custom/send"}
    assert [seen.json() for seen in canned.seen] == [
        {"touser": "o1", "msgtype": "text", "text": {"content": "你好"}},
        {"touser": "o1", "msgtype": "image", "image": {"media_id": "M"}, "customservice": {"kf_account": "kf1@shop"}},
    ]
    with pytest.raises(ValueError, match="file cannot be a customer service message"):
        canned.official(lambda c: c.customer_messages.send("o1", File("F")), OK)
    assert len(canned.seen) == 2


def test_a_menu_asks_with_answers_to_tap() -> None:
    canned = Canned()
    canned.official(lambda c: c.customer_messages.ask("o1", Menu("满意吗", {"101": "满意", "102": "不"}, "谢谢")), OK)
    assert canned.seen[0].json() == {
        "touser": "o1",
        "msgtype": "msgmenu",
        "msgmenu": {
            "head_content": "满意吗",
            "list": [{"id": "101", "content": "满意"}, {"id": "102", "content": "不"}],
            "tail_content": "谢谢",
        },
    }
    with pytest.raises(ValueError, match="needs a choice"):
        canned.official(lambda c: c.customer_messages.ask("o1", Menu("?", {})), OK)


def test_subscription_messages() -> None:
    canned = Canned()
    canned.official(lambda c: c.subscriptions.send("o1", NOTICE, client_msg_id="k1"), OK)
    canned.official(lambda c: c.subscriptions.send_once("o1", ONCE, scene=1000, title="提醒"), OK)
    mini(
        lambda c: c.subscriptions.send_from_mini_program(
            "o1", TemplateMessage("T", {"thing1": "a"}, page="pages/a?x=1"), state="trial"
        ),
        canned,
        OK,
    )
    assert [(seen.path, seen.json()) for seen in canned.seen] == [
        (
            "/cgi-bin/message/subscribe/bizsend",
            {
                "touser": "o1",
                "template_id": "T",
                "data": DATA,
                "page": "https://a.example/1",
                "client_msg_id": "k1",
            },
        ),
        (
            "/cgi-bin/message/template/subscribe",
            {
                "touser": "o1",
                "template_id": "T",
                "data": {"content": {"value": "a"}},
                "scene": "1000",
                "title": "提醒",
                "url": "https://a.example/1",
            },
        ),
        (
            "/cgi-bin/message/subscribe/send",
            {
                "template_id": "T",
                "data": {"thing1": {"value": "a"}},
                "page": "pages/a?x=1",
                "touser": "o1",
                "lang": "zh_CN",
                "miniprogram_state": "trial",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda c: c.subscriptions.send("o", TemplateMessage("T", {"phrase1": "六个汉字的词"})), r"data\.phrase1: 6"),
        (lambda c: c.subscriptions.send("o", TemplateMessage("T", {"thing1": ""})), r"data\.thing1: 0"),
        (lambda c: c.subscriptions.send_once("o", ONCE, scene=10_001, title="a"), "scene is 0 to 10000"),
        (lambda c: c.subscriptions.send_once("o", ONCE, scene=-1, title="a"), "scene is 0 to 10000"),
        (lambda c: c.subscriptions.send_once("o", ONCE, scene=1, title="字" * 16), "title has 1 to 15"),
        (lambda c: c.subscriptions.send_once("o", NOTICE, scene=1, title="a"), "the keyword content"),
        (lambda c: c.subscriptions.add_template("1", [1], scene="x"), "2 to 5 keywords"),
        (lambda c: c.subscriptions.add_template("1", [1] * 6, scene="x"), "2 to 5 keywords"),
        (lambda c: c.subscriptions.library([1], limit=31), "up to 30"),
        (lambda c: c.templates.set_industries(0, 1), "1 to 41"),
        (lambda c: c.templates.set_industries(1, 42), "1 to 41"),
        (lambda c: c.templates.blocked("T", limit=101), "1 to 100"),
    ],
)
def test_what_is_out_of_bounds_never_leaves(use: Use, said: str) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=said):
        canned.official(use, OK)
    assert canned.seen == []


SENDS: list[Use] = [
    lambda c: c.customer_messages.send("o", Text("a")),
    lambda c: c.customer_messages.ask("o", Menu("?", {"1": "a"})),
    lambda c: c.subscriptions.send("o", NOTICE, client_msg_id="k"),
    lambda c: c.subscriptions.send_once("o", ONCE, scene=1, title="a"),
    lambda c: c.subscriptions.send_from_mini_program("o", NOTICE),
    lambda c: c.mass.preview(Text("a"), openid="o"),
    lambda c: c.subscriptions.add_template("1", [1, 2], scene="x"),
    lambda c: c.templates.add("TM1", ["a"]),
    lambda c: c.templates.set_industries(1, 2),
    lambda c: c.publishing.submit("D"),
    lambda c: c.quota.reset("/cgi-bin/user/get"),
    lambda c: c.quota.reset_all("wx1"),
]


@pytest.mark.parametrize("use", SENDS)
@pytest.mark.parametrize("answer", [CUT, (502, b""), {"errcode": -1, "errmsg": "system error"}])
def test_what_cannot_be_taken_back_is_in_doubt_when_the_answer_is_lost(use: Use, answer: object) -> None:
    with pytest.raises(ChannelError) as lost:
        Canned().official(use, answer)
    assert lost.value.reaction is Reaction.IN_DOUBT


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (45015, "window_closed"),
        (45047, "window_closed"),
        (43101, "no_consent"),
        (43004, "unsubscribed"),
        (40003, "invalid_openid"),
        (48002, "refused_messages"),
        (50002, "user_limited"),
    ],
)
def test_a_refusal_that_concerns_one_person(code: int, reason: str) -> None:
    for use in SENDS[:5]:
        with pytest.raises(ChannelError) as refused:
            Canned().official(use, {"errcode": code, "errmsg": "x"})
        found = refused.value
        assert (found.reaction, found.scope, found.reason) == (Reaction.PERMANENT, Scope.RECIPIENT, reason)


def test_templates_of_an_account_are_managed() -> None:
    canned = Canned()
    assert canned.official(lambda c: c.templates.add("TM00015", ["订单号"]), {"template_id": "T9"}) == "T9"
    canned.official(lambda c: c.templates.delete("T9"), OK)
    canned.official(lambda c: c.templates.set_industries(1, 41), OK)
    industry = {
        "primary_industry": {"first_class": "IT科技", "second_class": "互联网|电子商务"},
        "secondary_industry": {"first_class": "餐饮", "second_class": "餐饮"},
    }
    found = canned.official(lambda c: c.templates.industries(), industry)
    assert (found.primary_industry.second_class, found.secondary_industry) != ("", None)
    held = canned.official(lambda c: c.templates.blocked("T9", after=7), {**OK, "msginfo": [1]})
    assert held["msginfo"] == [1]
    assert [(seen.method, seen.path) for seen in canned.seen] == [
        ("POST", "/cgi-bin/template/api_add_template"),
        ("POST", "/cgi-bin/template/del_private_template"),
        ("POST", "/cgi-bin/template/api_set_industry"),
        ("GET", "/cgi-bin/template/get_industry"),
        ("POST", "/wxa/sec/queryblocktmplmsg"),
    ]
    assert canned.seen[2].json() == {"industry_id1": "1", "industry_id2": "41"}
    assert canned.seen[4].json() == {"tmpl_msg_id": "T9", "largest_id": 7, "limit": 100}


def test_subscription_templates_are_managed() -> None:
    canned = Canned()
    template = {"priTmplId": "P1", "title": "报名", "content": "名称:{{thing1.DATA}}", "example": "x", "type": 2}
    (found,) = canned.official(lambda c: c.subscriptions.templates(), {**OK, "data": [template]})
    assert (found.priTmplId, found.type) == ("P1", 2)
    added = canned.official(
        lambda c: c.subscriptions.add_template("401", [1, 2], scene="报名"), {**OK, "priTmplId": "P2"}
    )
    assert added == "P2"
    canned.official(lambda c: c.subscriptions.delete_template("P2"), OK)
    (category,) = canned.official(lambda c: c.subscriptions.categories(), {**OK, "data": [{"id": 616, "name": "公交"}]})
    assert (category.id, category.name) == (616, "公交")
    titles = {**OK, "count": 55, "data": [{"tid": 99, "title": "付款", "type": 2, "categoryId": "616"}]}
    count, (title,) = canned.official(lambda c: c.subscriptions.library([616, 2]), titles)
    assert (count, title.tid) == (55, 99)
    words = {**OK, "count": 1, "data": [{"kid": 1, "name": "物品", "example": "名称", "rule": "thing"}]}
    (keyword,) = canned.official(lambda c: c.subscriptions.library_keywords("99"), words)
    assert (keyword.kid, keyword.rule) == (1, "thing")
    assert [(seen.method, seen.path) for seen in canned.seen] == [
        ("GET", "/wxaapi/newtmpl/gettemplate"),
        ("POST", "/wxaapi/newtmpl/addtemplate"),
        ("POST", "/wxaapi/newtmpl/deltemplate"),
        ("GET", "/wxaapi/newtmpl/getcategory"),
        ("GET", "/wxaapi/newtmpl/getpubtemplatetitles"),
        ("GET", "/wxaapi/newtmpl/getpubtemplatekeywords"),
    ]
    assert canned.seen[1].json() == {"tid": "401", "kidList": [1, 2], "sceneDesc": "报名"}
    assert (canned.seen[4].query["ids"], canned.seen[4].query["limit"]) == ("616,2", "30")


def test_a_person_is_answered_while_the_window_is_open(sandbox: Sandbox) -> None:
    account = sandbox.accounts["service"]["id"]
    person, other = sandbox.ids("service")[:2]

    async def use(client: OfficialClient) -> None:
        with pytest.raises(ChannelError) as closed:
            await client.customer_messages.send(other, Text("在吗"))
        assert (closed.value.errcode, closed.value.reason) == (45015, "window_closed")
        await asyncio.to_thread(sandbox.control, "people/say", {"account": account, "person": person, "text": "你好"})
        cover = await client.media.upload("image", "a.png", PNG)
        card = Article("标题", "摘要", "https://a.example/1", "https://p.example/1.jpg")
        await client.customer_messages.send(person, Text("您好"))
        await client.customer_messages.send(person, Image(cover.media_id), staff="kf1@shop")
        await client.customer_messages.send(person, MiniProgram("小程序", "wxapp1", "pages/a", cover.media_id))
        await client.customer_messages.send(person, card)
        await client.customer_messages.ask(person, Menu("满意吗", {"1": "满意", "2": "不"}, "谢谢"))
        with pytest.raises(ChannelError) as many:
            await client.customer_messages.send(person, Text("再说一句"))
        assert (many.value.errcode, many.value.reason) == (45047, "window_closed")

    sandbox.official("service", use)
    rows = sandbox.control(f"ledger?account={account}")
    mine = [row["outcome"] for row in rows if row["via"] == "custom" and row["person"] == person]
    assert (mine.count("asked"), mine.count("arrived")) == (5, 5)


def test_a_subscription_is_used_up_by_a_message(sandbox: Sandbox) -> None:
    account = sandbox.accounts["official"]["id"]
    person = sandbox.ids("official")[0]

    async def use(client: OfficialClient) -> None:
        (template,) = await client.subscriptions.templates()
        notice = TemplateMessage(
            template.priTmplId,
            {"thing1": "会员日", "time2": "2026年11月23日 10:00", "thing3": "请准时"},
            "https://a.example/1",
        )
        with pytest.raises(ChannelError) as refused:
            await client.subscriptions.send(person, notice)
        assert (refused.value.errcode, refused.value.reason) == (43101, "no_consent")
        consent = {"account": account, "person": person, "template": template.priTmplId}
        await asyncio.to_thread(sandbox.control, "people/accept", consent)
        wrong = TemplateMessage("no-such-template", notice.data)
        with pytest.raises(ChannelError) as unknown:
            await client.subscriptions.send(person, wrong)
        assert (unknown.value.errcode, unknown.value.reason) == (40037, "bad_template")
        await client.subscriptions.send(person, notice, client_msg_id="k1")
        with pytest.raises(ChannelError) as again:
            await client.subscriptions.send(person, notice)
        assert again.value.reason == "no_consent"
        await asyncio.to_thread(sandbox.control, "people/accept", consent)
        once = TemplateMessage(template.priTmplId, {"content": "到货了"}, "https://a.example/1")
        await client.subscriptions.send_once(person, once, scene=1000, title="到货提醒")

    sandbox.official("official", use)
    rows = sandbox.control(f"ledger?account={account}")
    assert [row["via"] for row in rows if row["person"] == person and row["outcome"] == "asked"] == ["subscribe"] * 2


def test_subscription_templates_of_the_sandbox(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        before = await client.subscriptions.templates()
        categories = await client.subscriptions.categories()
        count, titles = await client.subscriptions.library([category.id for category in categories])
        assert count == len(titles) > 1
        words = await client.subscriptions.library_keywords(str(titles[1].tid))
        added = await client.subscriptions.add_template(
            str(titles[1].tid), [word.kid for word in words[:2]], scene="到货"
        )
        after = await client.subscriptions.templates()
        assert {one.priTmplId for one in after} == {added, *(one.priTmplId for one in before)}
        await client.subscriptions.delete_template(added)
        assert await client.subscriptions.templates() == before
        with pytest.raises(ChannelError) as unknown:
            await client.subscriptions.add_template("999999", [1, 2], scene="无")
        assert unknown.value.reason == "bad_template"

    sandbox.official("service", use)


def test_templates_and_industries_of_the_sandbox(sandbox: Sandbox) -> None:
    account = sandbox.accounts["service"]["id"]
    person = sandbox.ids("service")[5]

    async def use(client: OfficialClient) -> None:
        before = await client.templates.all()
        call = TemplateCall(TemplateMessage(before[0].template_id, dict.fromkeys(keywords(before[0].content), "")))
        restricted = {"account": account, "template_id": before[0].template_id}
        await asyncio.to_thread(sandbox.control, "templates/restrict", restricted)
        with pytest.raises(ChannelError) as stopped:
            await client.templates.send(call, person, ["1"] * len(call.keywords), client_msg_id="k1")
        assert (stopped.value.errcode, stopped.value.reason) == (43116, "template_restricted")
        await client.templates.delete(before[0].template_id)
        assert len(await client.templates.all()) == len(before) - 1
        with pytest.raises(ChannelError) as gone:
            await client.templates.delete(before[0].template_id)
        assert (gone.value.errcode, gone.value.reason) == (40037, "bad_template")
        await client.templates.set_industries(2, 5)
        industries = await client.templates.industries()
        assert industries.primary_industry.second_class != industries.secondary_industry.second_class  # type: ignore[union-attr]  # the sandbox gives both
        with pytest.raises(ChannelError) as once:
            await client.templates.set_industries(1, 5)
        assert (once.value.errcode, once.value.reason) == (43100, "industry_limit")
        assert (await client.templates.blocked("T"))["msginfo"] == []
        with pytest.raises(ChannelError) as unknown:
            await client.templates.add("TM99999", [])
        assert unknown.value.reason == "bad_template"

    sandbox.official("service", use)


def keywords(content: str) -> list[str]:
    return re.findall(r"\{\{(\w+)\.DATA\}\}", content)
