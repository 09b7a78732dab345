"""The families of the WeCom client against the sandbox, over real HTTP; the two were written independently."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.channels.boxed import PNG, Sandbox

from tagcast.channels import (
    Article,
    ChannelError,
    File,
    GroupDetail,
    Image,
    JoinWay,
    Markdown,
    Reaction,
    SendStatus,
    TaskStatus,
    Text,
    TextCard,
    WecomClient,
)
from tagcast.channels.wecom import HandoverStatus, MomentJob
from tagcast.channels.wecom.acquisition import NewLink
from tagcast.channels.wecom.ways import ContactWay

T = TypeVar("T")


async def all_of(pages: AsyncIterator[tuple[T, ...]]) -> list[T]:
    return [item async for page in pages for item in page]


async def until(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    for _ in range(100):
        found = await ask()
        if good(found):
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen")


async def first_customers(client: WecomClient, many: int) -> tuple[str, list[str]]:
    employee = (await client.customers.employees())[0]
    return employee, list((await client.customers.ids(employee))[:many])


def account(sandbox: Sandbox) -> dict[str, Any]:
    return {"account": sandbox.accounts["wecom"]["id"]}


def test_ids_remarks_and_what_they_lead_to(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> None:
        employee, some = await first_customers(client, 3)
        batch = {row.external_contact.external_userid for row in await all_of(client.customers.of([employee]))}
        assert set(await client.customers.ids(employee)) == batch
        await client.customers.remark(employee, some[0], remark="老客户", description="三次", mobiles=["13800000000"])
        relations = (await client.customers.get(some[0])).follow_user
        mine = next(relation for relation in relations if relation.userid == employee)
        assert (mine.remark, mine.description, mine.remark_mobiles) == ("老客户", "三次", ("13800000000",))
        unionid = (await client.customers.get(some[0])).external_contact.unionid
        assert await client.ids.customer_of(unionid) == some[0]
        assert await client.ids.openid_of_customer(some[0]) != await client.ids.openid_of_member(employee)
        assert [one.external_userid for one in await client.ids.pending(some)] == some
        with pytest.raises(ChannelError) as unknown:
            await client.ids.customer_of("no such")
        assert unknown.value.reason == "no_unionid"
        with pytest.raises(ChannelError) as nobody:
            await client.customers.ids("nobody")
        assert (nobody.value.reaction, nobody.value.scope) == (Reaction.PERMANENT, "sender")

    sandbox.wecom(use)


def test_a_full_group_of_tags_is_read_again_and_a_deleted_one_is_told(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> None:
        group = await client.tags.add(["甲", "乙", "甲"], group_name="合同")
        again = await client.tags.add(["乙", "丙"], group_name="合同")
        assert again.group_id == group.group_id
        ids = {tag.name: tag.id for one in await client.tags.groups(group_ids=[group.group_id]) for tag in one.tag}
        assert list(ids) == ["甲", "乙", "丙"]
        await client.tags.delete([ids["甲"]])
        gone = (await client.tags.groups([ids["甲"]]))[0].tag
        assert [(tag.name, tag.deleted) for tag in gone] == [("甲", True)]
        with pytest.raises(ChannelError) as twice:
            await client.tags.rename(ids["乙"], "丙")
        assert twice.value.reason == "bad_tag_name"
        await client.tags.delete(group_ids=[group.group_id])

    sandbox.wecom(use)
    made = sandbox.control(
        "wecom/console/tags", account(sandbox) | {"action": "create", "group_name": "手工", "tags": ["丁"]}
    )

    async def foreign(client: WecomClient) -> str:
        with pytest.raises(ChannelError) as error:
            await client.tags.rename(made["tags"]["丁"], "戊")
        return error.value.reason

    assert sandbox.wecom(foreign) == "foreign_tag"
    facts = sandbox.facts("wecom", wanted=2, of="tag_changed")
    told = {(fact.data["change"], fact.data["type"], fact.data["id"]) for fact in facts}
    assert {("created", "group", made["group_id"]), ("created", "tag", made["tags"]["丁"])} <= told


def test_group_chats_their_members_and_a_mass_message_to_them(sandbox: Sandbox) -> None:
    employee = sandbox.accounts["wecom"]["employees"][0]
    people = sandbox.ids("wecom")[10:14]
    made = sandbox.control(
        "wecom/groups", account(sandbox) | {"owner": employee, "name": "福利群", "people": people[:2]}
    )
    chat = made["chat_id"]

    async def use(client: WecomClient) -> GroupDetail:
        assert chat in {one.chat_id for one in await all_of(client.groups.list([employee]))}
        assert await client.groups.chat_id(made["opengid"]) == chat
        way = JoinWay((chat,), state="tag:7", remark="春季", base_name="福利群", base_id=2)
        config = await client.groups.add_join_way(way)
        shown = await client.groups.get_join_way(config)
        assert (shown.state, shown.chat_id_list, shown.room_base_id) == ("tag:7", (chat,), 2)
        assert shown.qr_code.startswith("https://")
        body = account(sandbox) | {"config_id": config, "people": people[2:]}
        await asyncio.to_thread(sandbox.control, "wecom/groups/join", body)
        await client.groups.update_join_way(config, JoinWay((chat,), state="tag:8"))
        assert (await client.groups.get_join_way(config)).state == "tag:8"
        detail = await client.groups.get(chat)
        await client.groups.delete_join_way(config)
        with pytest.raises(ChannelError) as deleted:
            await client.groups.get_join_way(config)
        with pytest.raises(ChannelError) as unknown:
            await client.groups.get("wrNone")
        assert (deleted.value.reason, unknown.value.reason) == ("contact_way", "no_group_chat")
        created = await client.mass.create_for_groups([Text("群里好")], sender=employee, chat_ids=[chat])
        tasks = await until(
            lambda: all_of(client.mass.tasks(created.msgid)),
            lambda rows: bool(rows) and all(row.status == TaskStatus.SENT for row in rows),
        )
        assert [task.userid for task in tasks] == [employee]
        results = await all_of(client.mass.results(created.msgid, employee))
        assert [(row.chat_id, row.status) for row in results] == [(chat, SendStatus.SENT)]
        now = int(time.time())
        record = await all_of(client.mass.list(now - 600, now + 60, chat_type="group"))
        assert created.msgid in {one.msgid for one in record}
        figures = await client.groups.statistics([employee], now - 86400, now)
        assert (figures[0].owner, figures[0].data.chat_total >= 1) == (employee, True)
        assert len(await client.groups.statistics_by_day([employee], now - 86400, now)) == 2
        return detail

    detail = sandbox.wecom(use)
    assert (detail.name, detail.owner) == ("福利群", employee)
    outside = {member.userid: (member.join_scene, member.state) for member in detail.member_list if member.type == 2}
    assert outside == {
        people[0]: (1, ""),
        people[1]: (1, ""),
        people[2]: (3, "tag:7"),
        people[3]: (3, "tag:7"),
    }
    sandbox.control("wecom/groups/change", account(sandbox) | {"chat_id": chat, "name": "新名"})
    sandbox.control("wecom/groups/dismiss", account(sandbox) | {"chat_id": chat})
    assert [fact.data["chat"] for fact in sandbox.facts("wecom", wanted=1, of="group_created")] == [chat]
    assert [fact.data["chat"] for fact in sandbox.facts("wecom", wanted=1, of="group_dismissed")] == [chat]
    changes = sandbox.facts("wecom", wanted=3, of="group_changed")
    assert sorted(str(fact.data["change"]) for fact in changes) == ["joined", "joined", "name"]
    joined = [fact.data for fact in changes if fact.data["change"] == "joined"]
    assert {one for data in joined for one in data["people"]} == set(people[2:])
    assert {(data["members"], data["join_scene"]) for data in joined} == {(1, 3)}
    assert len({fact.message_key for fact in changes}) == 3


def test_a_contact_way_its_customer_and_the_welcome(sandbox: Sandbox) -> None:
    stranger = sandbox.ids("wecom", follows=False)[0]

    async def make(client: WecomClient) -> tuple[str, str]:
        employee = (await client.customers.employees())[0]
        way = await client.ways.add(ContactWay((employee,), state="shop7", remark="门店"))
        shown = await client.ways.get(way.config_id)
        assert (shown.type, shown.user, shown.state) == (1, (employee,), "shop7")
        await client.ways.update(way.config_id, ContactWay((employee,), state="shop8"))
        now = int(time.time())
        assert way.config_id in await all_of(client.ways.list(now - 600, now + 60))
        return employee, way.config_id

    employee, config = sandbox.wecom(make)
    sandbox.control("wecom/contact_ways/scan", account(sandbox) | {"config_id": config, "people": [stranger]})
    added = [fact for fact in sandbox.facts("wecom", wanted=1, of="customer_added") if fact.person == stranger]
    assert (added[0].data["employee"], added[0].data["state"]) == (employee, "shop8")
    code = str(added[0].data["welcome_code"])

    async def greet(client: WecomClient) -> list[str]:
        await client.welcome.send(code, [Text("欢迎"), Article("看看", url="https://a.example/1")])
        reasons = []
        for again in (code, "no such code"):
            with pytest.raises(ChannelError) as error:
                await client.welcome.send(again, [Text("欢迎")])
            reasons.append(error.value.reason)
        await client.ways.close_chat(employee, stranger)
        await client.ways.delete(config)
        picture = await client.media.upload("image", "a.png", PNG)
        template = await client.welcome.add_template([Text("入群好"), Image(picture)])
        await client.welcome.edit_template(template, [Text("入群好呀")])
        assert (await client.welcome.get_template(template)).text == {"content": "入群好呀"}
        await client.welcome.delete_template(template)
        return reasons

    assert sandbox.wecom(greet) == ["already_welcomed", "welcome_expired"]


def test_a_moment_is_made_published_and_seen(sandbox: Sandbox) -> None:
    async def make(client: WecomClient) -> tuple[str, str]:
        employee, some = await first_customers(client, 4)
        group = await client.tags.add(["朋友圈"], group_name="朋友圈")
        for customer in some:
            await client.tags.mark(employee, customer, add=[group.tag[0].id])
        picture = await client.media.upload_attachment("image", "a.png", PNG)
        job = await client.moments.create([Text("春天"), Image(picture)], employees=[employee], tags=[group.tag[0].id])
        ended = await until(lambda: client.moments.result(job), lambda one: one.done)
        assert ended.result.errcode == 0
        return employee, ended.result.moment_id

    employee, moment = sandbox.wecom(make)
    sandbox.control("wecom/moments/confirm", account(sandbox) | {"moment_id": moment})

    async def look(client: WecomClient) -> None:
        async def asked() -> list[Any]:
            try:
                return await all_of(client.moments.tasks(moment))
            except ChannelError as error:
                if error.reason != "dispatching":
                    raise
                return []

        tasks = await until(asked, lambda rows: bool(rows) and all(row.publish_status == 1 for row in rows))
        assert [task.userid for task in tasks] == [employee]
        meant = {row.external_userid for row in await all_of(client.moments.customers(moment, employee))}
        seen = {row.external_userid for row in await all_of(client.moments.delivered(moment, employee))}
        assert len(meant) == 4
        assert seen <= meant
        assert set(meant) >= {
            one.external_userid for one in (await client.moments.comments(moment, employee)).like_list
        }
        now = int(time.time())
        record = await all_of(client.moments.list(now - 600, now + 60, made_by="app"))
        assert moment in {one.moment_id for one in record}

    sandbox.wecom(look)

    async def nobody(client: WecomClient) -> MomentJob:
        job = await client.moments.create([Text("给谁")], tags=["no such tag"])
        return await until(lambda: client.moments.result(job), lambda one: one.done)

    ended = sandbox.wecom(nobody)
    assert (ended.result.errcode, ended.result.invalid_external_contact_list.tag_list) == (41085, ("no such tag",))


def test_acquisition_links(sandbox: Sandbox) -> None:
    stranger = sandbox.ids("wecom", follows=False)[1]

    async def make(client: WecomClient) -> str:
        employee = (await client.customers.employees())[0]
        link = await client.acquisition.create(NewLink("春季", (employee,)))
        await client.acquisition.update(link.link_id, NewLink("夏季", (employee,)))
        detail = await client.acquisition.get(link.link_id)
        assert (detail.link.link_name, detail.range.user_list) == ("夏季", (employee,))
        assert link.link_id in await all_of(client.acquisition.list())
        return link.link_id

    link = sandbox.wecom(make)
    visit = account(sandbox) | {"link_id": link, "people": [stranger], "channel": "海报"}
    came = sandbox.control("wecom/acquisition/visit", visit)["visits"][0]

    async def look(client: WecomClient) -> None:
        rows = await all_of(client.acquisition.customers(link))
        assert [(row.external_userid, row.state) for row in rows] == [(stranger, "海报")]
        now = int(time.time())
        figures = await client.acquisition.figures(link, now - 86400, now)
        assert (figures.click_link_customer_cnt, figures.new_customer_cnt) == (1, 1)
        quota = await client.acquisition.quota()
        assert quota.balance < quota.total
        assert (await client.acquisition.chat(came["chat_key"])).chat_info.link_id == link
        await client.acquisition.delete(link)

    sandbox.wecom(look)


def test_customers_and_chats_are_handed_over(sandbox: Sandbox) -> None:
    async def begin(client: WecomClient) -> tuple[str, str, list[str]]:
        giver, taker, *_ = await client.customers.employees()
        theirs = set(await client.customers.ids(taker))
        some = [one for one in await client.customers.ids(giver) if one not in theirs][:3]
        handed = await client.handover.transfer(giver, taker, [*some, "wmNobody"], words="以后由我服务")
        assert [one.errcode for one in handed[:3]] == [0, 0, 0]
        assert handed[3].errcode != 0
        rows = await all_of(client.handover.results(giver, taker))
        assert {row.status for row in rows} == {HandoverStatus.WAITING}
        return giver, taker, some

    giver, taker, some = sandbox.wecom(begin)
    sandbox.control("wecom/transfers/settle", account(sandbox) | {"refuse": some[:1]})

    async def look(client: WecomClient) -> None:
        status = {row.external_userid: row.status for row in await all_of(client.handover.results(giver, taker))}
        assert status == {
            some[0]: HandoverStatus.REFUSED,
            some[1]: HandoverStatus.DONE,
            some[2]: HandoverStatus.DONE,
        }
        assert set(some[1:]) <= set(await client.customers.ids(taker))
        assert not set(some[1:]) & set(await client.customers.ids(giver))
        with pytest.raises(ChannelError) as serving:
            await client.handover.transfer_resigned(giver, taker, some[:1])
        assert serving.value.reason == "transfer_refused"

    sandbox.wecom(look)
    failed = [fact for fact in sandbox.facts("wecom", wanted=1, of="transfer_failed") if fact.person == some[0]]
    assert failed[0].data["why"] == "refused"
    assert failed[0].data["employee"] in {giver, taker}


def test_members_see_every_kind_and_a_message_is_taken_back(sandbox: Sandbox) -> None:
    agent = sandbox.accounts["wecom"]["agentid"]

    async def use(client: WecomClient) -> None:
        employee = (await client.customers.employees())[0]
        picture = await client.media.upload("image", "a.png", PNG)
        paper = await client.media.upload("file", "价目.pdf", b"%PDF-1.7 " + bytes(20))
        for message in (
            Text("预览"),
            Markdown("**预览**"),
            TextCard("标题", "说明", "https://a.example/1", "查看"),
            Image(picture),
            File(paper),
            Article("标题", url="https://a.example/1"),
        ):
            shown = await client.messages.send([employee], message, agent_id=agent)
            assert (shown.invalid, shown.msgid != "") == ((), True)
        await client.messages.recall(shown.msgid)
        with pytest.raises(ChannelError) as nobody:
            await client.messages.send(["nobody"], Text("a"), agent_id=agent)
        assert nobody.value.reason == "out_of_scope"
        with pytest.raises(ChannelError) as other:
            await client.messages.send([employee], Text("a"), agent_id=agent + 1)
        assert other.value.reason == "wrong_agent"
        now = int(time.time())
        days = await client.statistics.behaviour(now - 2 * 86400, now - 86400, userids=[employee])
        assert len(days) == 2
        assert 0 <= days[0].reply_percentage <= 100

    sandbox.wecom(use)


def test_tags_of_a_rule_group_live_apart(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> None:
        group = await client.tags.add_strategy(1, ["金", "银", "金"], group_name="规则")
        ids = {tag.name: tag.id for tag in group.tag}
        assert list(ids) == ["金", "银"]
        await client.tags.rename_strategy(ids["金"], "白金")
        await client.tags.delete_strategy([ids["银"]])
        shown = [one for one in await client.tags.strategy_groups(1) if one.group_id == group.group_id]
        assert [(one.strategy_id, [tag.name for tag in one.tag]) for one in shown] == [(1, ["白金"])]
        assert group.group_id not in {one.group_id for one in await client.tags.groups()}
        await client.tags.delete_strategy(group_ids=[group.group_id])

    sandbox.wecom(use)


def test_a_file_comes_back_as_it_was_and_an_unknown_one_is_gone(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> str:
        picture = await client.media.upload("image", "a.png", PNG)
        assert (await client.media.get(picture)).content == PNG
        with pytest.raises(ChannelError) as error:
            await client.media.get("no such media")
        return error.value.reason

    assert sandbox.wecom(use) == "media_gone"


def test_every_send_with_a_lost_answer_is_in_doubt(sandbox: Sandbox) -> None:
    employee = sandbox.accounts["wecom"]["employees"][0]
    uses: dict[str, Callable[[WecomClient], Awaitable[Any]]] = {
        "add_msg_template": lambda c: c.mass.create([Text("丢失")], sender=employee),
        "add_moment_task": lambda c: c.moments.create([Text("丢失")], everybody=True),
        "add_contact_way": lambda c: c.ways.add(ContactWay((employee,))),
        "send_welcome_msg": lambda c: c.welcome.send("code", [Text("丢失")]),
        "get_corp_tag_list": lambda c: c.tags.groups(),
    }
    found = {}
    for name, use in uses.items():
        sandbox.control("faults", {"path": f"/cgi-bin/externalcontact/{name}", "kind": "cut", "times": 1})
        with pytest.raises(ChannelError) as error:
            sandbox.wecom(use)
        found[name] = error.value.reaction
    assert found == dict.fromkeys(uses, Reaction.IN_DOUBT) | {"get_corp_tag_list": Reaction.RETRY}
