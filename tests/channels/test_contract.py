"""The clients against the sandbox, over real HTTP; the two were written independently from the platforms' rules."""

import asyncio
import time
from collections.abc import Callable

import pytest
from tests.channels.boxed import PNG, Sandbox

from tagcast.channels import (
    Article,
    ChannelError,
    Image,
    Message,
    MiniProgram,
    OfficialClient,
    Reaction,
    SendStatus,
    TagFilter,
    TaskStatus,
    TemplateCall,
    TemplateMessage,
    Text,
    WecomClient,
    get_token,
    stable_token,
)
from tagcast.kit.http import AiohttpTransport


def refusal(use: Callable[[], object]) -> ChannelError:
    with pytest.raises(ChannelError) as error:
        use()
    return error.value


def test_tokens(sandbox: Sandbox) -> None:
    async def use(transport: AiohttpTransport) -> list[str]:
        service = sandbox.accounts["service"]
        first = await stable_token(transport, sandbox.url, service["appid"], service["secret"])
        again = await stable_token(transport, sandbox.url, service["appid"], service["secret"])
        assert 0 < again.expires_in <= first.expires_in <= 7200
        reasons = []
        for wrong in (stable_token, get_token):
            name = "appid" if wrong is stable_token else "corpid"
            account = service if wrong is stable_token else sandbox.accounts["wecom"]
            with pytest.raises(ChannelError) as error:
                await wrong(transport, sandbox.url, account[name], "0" * 32)
            assert error.value.reaction is Reaction.PERMANENT
            reasons.append(error.value.reason)
        assert first.value == again.value
        return reasons

    assert sandbox.run(use) == ["bad_secret", "bad_credentials"]


def test_a_dropped_token_asks_for_renewal(sandbox: Sandbox) -> None:
    async def use(transport: AiohttpTransport) -> list[Reaction]:
        service, corp = sandbox.accounts["service"], sandbox.accounts["wecom"]
        one = await stable_token(transport, sandbox.url, service["appid"], service["secret"])
        two = await get_token(transport, sandbox.url, corp["corpid"], corp["secret"])
        await asyncio.to_thread(sandbox.control, "tokens/drop", {})

        async def old_one() -> str:
            return one.value

        async def old_two() -> str:
            return two.value

        with pytest.raises(ChannelError) as first:
            await OfficialClient(transport, sandbox.url, old_one).tags.all()
        with pytest.raises(ChannelError) as second:
            await WecomClient(transport, sandbox.url, old_two).customers.employees()
        return [first.value.reaction, second.value.reaction]

    assert sandbox.run(use) == [Reaction.RENEW_TOKEN, Reaction.RENEW_TOKEN]


def test_followers_and_what_is_known_of_them(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> tuple[list[str], list[str]]:
        openids = [openid async for page in client.people.followers() for openid in page.openids]
        people = await client.people.profiles(openids[:100])
        assert all(person.subscribe == 1 and person.unionid for person in people)
        return openids, [person.openid for person in people]

    openids, known = sandbox.official("service", use)
    assert set(sandbox.ids("service")) <= set(openids)
    assert known == openids[:100]


def test_tags_of_an_official_account(sandbox: Sandbox) -> None:
    some = sandbox.ids("official")[:60]

    async def use(client: OfficialClient) -> None:
        tag = await client.tags.create("高价值")
        with pytest.raises(ChannelError) as twice:
            await client.tags.create("高价值")
        assert twice.value.reason == "bad_tag_name"
        assert await client.tags.put_on(tag.id, some[:50]) == ()
        assert await client.tags.put_on(tag.id, some[50:]) == ()
        assert [openid async for page in client.tags.wearers(tag.id) for openid in page.openids] != []
        assert {openid async for page in client.tags.wearers(tag.id) for openid in page.openids} == set(some)
        assert await client.tags.take_off(tag.id, some[:10]) == ()
        await client.tags.rename(tag.id, "很高价值")
        counts = {each.name: each.count for each in await client.tags.all()}
        assert counts["很高价值"] == 50
        person = (await client.people.profiles([some[20]]))[0]
        assert tag.id in person.tagid_list
        await client.tags.delete(tag.id)
        assert tag.id not in {each.id for each in await client.tags.all()}
        with pytest.raises(ChannelError) as system:
            await client.tags.delete(2)
        assert system.value.reason == "system_tag"

    sandbox.official("official", use)


def test_an_article_goes_to_a_tag_and_its_result_comes_back(sandbox: Sandbox) -> None:
    some = sandbox.ids("official")[:40]

    async def use(client: OfficialClient) -> int:
        tag = await client.tags.create("周末")
        await client.tags.put_on(tag.id, some)
        cover = await client.media.store("image", "封面.png", PNG)
        article = Article("标题", "摘要", body="<p>正文</p>", cover_media_id=cover.media_id)
        draft = await client.drafts.add([article])
        await client.mass.preview(Text("预览"), openid=some[0])
        sent = await client.mass.send_to_tag(Article("标题", media_id=draft), tag.id, client_id="b1-0")
        assert not sent.adopted
        assert await client.mass.status(sent.msg_id) in {"SENDING", "SEND_SUCCESS"}
        await asyncio.sleep(0.3)
        again = await client.mass.send_to_tag(Article("标题", media_id=draft), tag.id, client_id="b1-0")
        assert (again.msg_id, again.adopted) == (sent.msg_id, True)
        with pytest.raises(ChannelError) as full:
            await client.mass.send_to_tag(Text("第二条"), tag.id, client_id="b2-0")
        assert (full.value.reaction, full.value.until) == (Reaction.WAIT_UNTIL, "period")
        return sent.msg_id

    msg_id = sandbox.official("official", use)
    fact = sandbox.facts("official", wanted=1, of="mass_finished")[0]
    assert (fact.data["msg_id"], fact.data["status"], fact.data["total"]) == (msg_id, "success", 40)
    assert fact.data["filtered"] == int(fact.data["sent"]) + int(fact.data["failed"])
    assert sandbox.official("official", lambda client: client.mass.status(msg_id)) == "SEND_SUCCESS"


def test_a_service_account_sends_to_a_list(sandbox: Sandbox) -> None:
    some = sandbox.ids("service")[:30]

    async def use(client: OfficialClient) -> int:
        image = await client.media.upload("image", "a.png", PNG)
        sent = await client.mass.send_to_people(Image(image.media_id), some, client_id="l1-0")
        await client.mass.send_to_people(Text("文字"), some, client_id="l1-1")
        return sent.msg_id

    msg_id = sandbox.official("service", use)
    facts = sandbox.facts("service", wanted=2, of="mass_finished")
    assert msg_id in {fact.data["msg_id"] for fact in facts}
    assert {fact.data["total"] for fact in facts} == {30}


def test_template_messages(sandbox: Sandbox) -> None:
    person = sandbox.ids("service")[0]
    stranger = sandbox.ids("service", follows=False)[0]

    async def use(client: OfficialClient) -> int:
        template = next(each for each in await client.templates.all() if "thing2.DATA" in each.content)
        data = {"character_string1": "", "thing2": "", "amount3": "", "time4": ""}
        call = TemplateCall(TemplateMessage(template.template_id, data))
        values = ["A1", "毛衣", "199元", "2026年10月5日 12:00"]
        msgid = await client.templates.send(call, person, values, client_msg_id="k1", url="http://127.0.0.1/t")
        assert await client.templates.send(call, person, values, client_msg_id="k1", url="http://127.0.0.1/t") == msgid
        for openid, first, reason in (
            (stranger, "A1", "unsubscribed"),
            ("oNobody", "A1", "invalid_openid"),
            (person, "不是字母", "bad_template"),
        ):
            with pytest.raises(ChannelError) as error:
                await client.templates.send(call, openid, [first, *values[1:]], client_msg_id=f"k-{reason}")
            assert (error.value.reaction, error.value.reason) == (Reaction.PERMANENT, reason)
        assert (await client.quota.of("/cgi-bin/message/template/send")).used >= 1
        return msgid

    msgid = sandbox.official("service", use)
    facts = sandbox.facts("service", wanted=1, of="template_finished")
    mine = [fact for fact in facts if fact.data["msgid"] == msgid]
    assert [fact.person for fact in mine] == [person]
    assert mine[0].data["status"] in {"success", "system_failed"}


@pytest.mark.parametrize(
    ("kind", "reaction"),
    [
        ("busy", Reaction.RETRY),
        ("quota", Reaction.WAIT_UNTIL),
        ("cut", Reaction.IN_DOUBT),
        ("cut_before", Reaction.IN_DOUBT),
    ],
)
def test_faults_of_the_platform(sandbox: Sandbox, kind: str, reaction: Reaction) -> None:
    some = sandbox.ids("service")[30:60]
    sandbox.control("faults", {"path": "/cgi-bin/message/mass/send", "kind": kind, "times": 1})
    key = f"fault-{kind}"
    error = refusal(
        lambda: sandbox.official("service", lambda client: client.mass.send_to_people(Text(kind), some, client_id=key))
    )
    assert error.reaction is reaction
    time.sleep(0.2)
    repeated = sandbox.official("service", lambda client: client.mass.send_to_people(Text(kind), some, client_id=key))
    assert repeated.adopted is (kind == "cut")


def test_follow_events(sandbox: Sandbox) -> None:
    person = sandbox.ids("service")[99]
    change = {"account": sandbox.accounts["service"]["id"], "people": [person]}
    sandbox.control("people/change", change | {"follows": False})
    sandbox.control("people/change", change | {"follows": True})
    assert [f.person for f in sandbox.facts("service", wanted=1, of="unfollowed")] == [person]
    assert [f.person for f in sandbox.facts("service", wanted=1, of="followed")] == [person]


def test_customers_of_a_corp(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> set[str]:
        employees = await client.customers.employees()
        assert set(employees) == set(sandbox.accounts["wecom"]["employees"])
        rows = [row async for page in client.customers.of(employees) for row in page]
        one = await client.customers.get(rows[0].external_contact.external_userid)
        assert one.external_contact.unionid == rows[0].external_contact.unionid != ""
        assert rows[0].follow_info.userid in {relation.userid for relation in one.follow_user}
        return {row.external_contact.external_userid for row in rows}

    customers = sandbox.wecom(use)
    assert customers >= set(sandbox.ids("wecom"))
    assert len(customers) > 100


def test_corp_tags(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> None:
        group = await client.tags.add(["高", "中", "高"], group_name="等级")
        assert [tag.name for tag in group.tag] == ["高", "中"]
        more = await client.tags.add(["低"], group_id=group.group_id)
        assert more.group_id == group.group_id
        listed = {each.group_name: {tag.name: tag.id for tag in each.tag} for each in await client.tags.groups()}
        assert set(listed["等级"]) == {"高", "中", "低"}
        high = listed["等级"]["高"]
        await client.tags.rename(high, "顶")
        employee = (await client.customers.employees())[0]
        rows = [row async for page in client.customers.of([employee]) for row in page]
        external = rows[0].external_contact.external_userid
        await client.tags.mark(employee, external, add=[high])
        relation = next(r for r in (await client.customers.get(external)).follow_user if r.userid == employee)
        assert [(tag.tag_id, tag.tag_name) for tag in relation.tags] == [(high, "顶")]
        await client.tags.mark(employee, external, remove=[high])
        with pytest.raises(ChannelError) as error:
            await client.tags.mark(employee, "wmNobody", add=[high])
        assert (error.value.reaction, error.value.scope) == (Reaction.PERMANENT, "recipient")
        await client.tags.delete(group_ids=[group.group_id])
        assert "等级" not in {each.group_name for each in await client.tags.groups()}

    sandbox.wecom(use)


def test_a_picture_is_uploaded_for_articles_and_cards(sandbox: Sandbox) -> None:
    official = sandbox.official("official", lambda client: client.media.upload_for_article("a.png", PNG))
    wecom: list[str] = []

    async def use(client: WecomClient) -> None:
        wecom.append(await client.media.upload_image("a.png", PNG))

    sandbox.wecom(use)
    assert official.startswith("http")
    assert wecom[0].startswith("http")
    with pytest.raises(ChannelError) as refused:
        sandbox.official("official", lambda client: client.media.upload_for_article("a.png", b"GIF89a" + b"0" * 20))
    assert refused.value.errcode == 40005


def test_a_mass_message_is_confirmed_and_polled(sandbox: Sandbox) -> None:
    async def use(client: WecomClient) -> None:
        rows = [row async for page in client.customers.of(await client.customers.employees()) for row in page]
        some = sorted({row.external_contact.external_userid for row in rows})[:50]
        picture = await client.media.upload("image", "a.png", PNG)
        content: list[Message] = [
            Text("周末好"),
            Image(picture),
            Article("图文", "摘要", "https://a.example/1", "https://p.example/1.png"),
            MiniProgram("小程序", "wxapp", "pages/a", picture),
        ]
        begin = int(time.time()) - 60
        created = await client.mass.create(content, external_userids=[*some, "wmNobody"])
        assert created.fail_list == ("wmNobody",)
        with pytest.raises(ChannelError) as early:
            [page async for page in client.mass.list(begin, begin + 3600)]
        assert early.value.reason == "dispatching"
        tasks = await _until_sent(client, created.msgid)
        results = [row for userid in tasks async for page in client.mass.results(created.msgid, userid) for row in page]
        assert {row.external_userid for row in results} == set(some)
        assert {row.status for row in results} <= {SendStatus.SENT, SendStatus.NOT_A_FRIEND, SendStatus.OVER_LIMIT}
        record = [each async for page in client.mass.list(begin, begin + 3600, made_by="app") for each in page]
        mine = next(each for each in record if each.msgid == created.msgid)
        assert mine.text is not None
        assert mine.text.content == "周末好"
        with pytest.raises(ChannelError) as nobody:
            await client.mass.create([Text("a")], external_userids=["wmNobody"])
        assert nobody.value.reaction is Reaction.PERMANENT

    sandbox.wecom(use)


async def _until_sent(client: WecomClient, msgid: str) -> list[str]:
    for _ in range(100):
        tasks = [task async for page in client.mass.tasks(msgid) for task in page]
        if tasks and all(task.status == TaskStatus.SENT for task in tasks):
            return [task.userid for task in tasks]
        await asyncio.sleep(0.1)
    raise AssertionError("the employees did not confirm")


def test_reminders_cancelling_and_testers(sandbox: Sandbox) -> None:
    sandbox.control("settings", {"confirm_share": 0.0})

    async def use(client: WecomClient) -> None:
        group = await client.tags.add(["提醒"], group_name="测试")
        employee = (await client.customers.employees())[0]
        rows = [row async for page in client.customers.of([employee]) for row in page]
        await client.tags.mark(employee, rows[0].external_contact.external_userid, add=[group.tag[0].id])
        chosen = TagFilter(((group.tag[0].id,),))
        created = await client.mass.create([Text("等确认")], tags=chosen)
        for _ in range(3):
            await client.mass.remind(created.msgid)
        with pytest.raises(ChannelError) as often:
            await client.mass.remind(created.msgid)
        assert often.value.reason == "reminder_limit"
        await client.mass.cancel(created.msgid)
        with pytest.raises(ChannelError) as cancelled:
            await client.mass.remind(created.msgid)
        assert cancelled.value.reason == "cancelled"
        agent = sandbox.accounts["wecom"]["agentid"]
        shown = await client.messages.send([employee, "nobody"], Text("预览"), agent_id=agent)
        assert shown.invalid == ("nobody",)

    try:
        sandbox.wecom(use)
    finally:
        sandbox.control("settings", {"confirm_share": 1.0})


def test_a_lost_task_is_found_in_the_record(sandbox: Sandbox) -> None:
    sandbox.control("faults", {"path": "/cgi-bin/externalcontact/add_msg_template", "kind": "cut", "times": 1})

    async def use(client: WecomClient) -> list[str]:
        employee = (await client.customers.employees())[0]
        with pytest.raises(ChannelError) as lost:
            await client.mass.create([Text("唯一的文字")], sender=employee)
        assert lost.value.reaction is Reaction.IN_DOUBT
        await asyncio.sleep(0.6)
        now = int(time.time())
        record = [each async for page in client.mass.list(now - 600, now + 60) for each in page]
        return [each.text.content for each in record if each.text and each.text.content == "唯一的文字"]

    assert sandbox.wecom(use) == ["唯一的文字"]


def test_customer_events(sandbox: Sandbox) -> None:
    first, second = sandbox.ids("wecom")[5:7]
    account = sandbox.accounts["wecom"]
    for person, state in ((first, {"follows": False}), (second, {"blocks": True}), (first, {"follows": True})):
        sandbox.control("people/change", {"account": account["id"], "people": [person], **state})
    removed = sandbox.facts("wecom", wanted=2, of="customer_removed")
    added = sandbox.facts("wecom", wanted=1, of="customer_added")
    assert {(fact.person, fact.data["by"]) for fact in removed} == {(first, "employee"), (second, "customer")}
    assert {fact.person for fact in added} == {first}
    assert {fact.data["employee"] for fact in added} <= set(account["employees"])
