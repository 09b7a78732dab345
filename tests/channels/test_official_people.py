"""Tags, the blacklist and followers of 公众号 and 服务号, against the sandbox and against canned answers."""

from collections.abc import Awaitable, Callable

import pytest
from tests.channels.boxed import Sandbox
from tests.channels.canned import Canned

from tagcast.channels import ChannelError, OfficialClient, Reaction, Scope

OK = {"errcode": 0, "errmsg": "ok"}


def test_what_one_person_bears(sandbox: Sandbox) -> None:
    one, other = sandbox.ids("official")[:2]

    async def use(client: OfficialClient) -> None:
        first = await client.tags.create("甲")
        second = await client.tags.create("乙")
        await client.tags.put_on(first.id, [one, other])
        await client.tags.put_on(second.id, [one])
        assert set(await client.tags.of_person(one)) == {first.id, second.id}
        assert await client.tags.of_person(other) == (first.id,)
        assert await client.tags.take_off(first.id, [one, other]) == ()
        assert await client.tags.of_person(other) == ()
        with pytest.raises(ChannelError) as wrong:
            await client.tags.of_person("oNobody")
        assert (wrong.value.scope, wrong.value.reason) == (Scope.RECIPIENT, "invalid_openid")
        with pytest.raises(ChannelError) as missing:
            await client.tags.put_on(987_654, [one])
        assert missing.value.reason == "no_such_tag"

    sandbox.official("official", use)


def test_a_person_bears_at_most_twenty_tags(sandbox: Sandbox) -> None:
    person = sandbox.ids("service")[0]

    async def use(client: OfficialClient) -> None:
        tags = [await client.tags.create(f"第{number}个") for number in range(21)]
        for tag in tags[:20]:
            assert await client.tags.put_on(tag.id, [person]) == ()
        with pytest.raises(ChannelError) as full:
            await client.tags.put_on(tags[20].id, [person])
        assert (full.value.errcode, full.value.reason, full.value.scope) == (45059, "tag_limit", Scope.RECIPIENT)

    sandbox.official("service", use)


def test_pages_go_on_where_they_are_told(sandbox: Sandbox) -> None:
    async def use(client: OfficialClient) -> None:
        everybody = [openid async for page in client.people.followers() for openid in page.openids]
        rest = [openid async for page in client.people.followers(everybody[9]) for openid in page.openids]
        assert rest == everybody[10:]
        assert [page async for page in client.people.followers(everybody[-1])] == []
        tag = await client.tags.create("一页")
        assert await client.tags.put_on(tag.id, everybody[:30]) == ()
        wearers = [openid async for page in client.tags.wearers(tag.id) for openid in page.openids]
        assert sorted(wearers) == sorted(everybody[:30])
        rest = [openid async for page in client.tags.wearers(tag.id, wearers[19]) for openid in page.openids]
        assert rest == wearers[20:]
        with pytest.raises(ChannelError) as nowhere:
            await anext(client.people.followers("oNobody"))
        assert (nowhere.value.errcode, nowhere.value.reason) == (40003, "bad_cursor")

    sandbox.official("official", use)


def test_the_blacklist_is_filled_read_and_emptied(sandbox: Sandbox) -> None:
    some = sandbox.ids("service")[20:50]

    async def use(client: OfficialClient) -> None:
        assert [page async for page in client.blacklist.all()] == []
        await client.blacklist.put_on(some[:20])
        await client.blacklist.put_on(some[20:])
        listed = [openid async for page in client.blacklist.all() for openid in page.openids]
        assert sorted(listed) == sorted(some)
        rest = [openid async for page in client.blacklist.all(listed[9]) for openid in page.openids]
        assert rest == listed[10:]
        await client.blacklist.take_off(some[:20])
        await client.blacklist.take_off(some[20:])
        assert [page async for page in client.blacklist.all()] == []

    sandbox.official("service", use)


def test_profiles_and_remarks(sandbox: Sandbox) -> None:
    person = sandbox.ids("service")[1]
    stranger = sandbox.ids("service", follows=False)[0]

    async def use(client: OfficialClient) -> None:
        await client.people.set_remark(person, "老客户")
        found = await client.people.profile(person, language="en")
        assert (found.subscribe, found.openid, found.remark) == (1, person, "老客户")
        assert found == (await client.people.profiles([person]))[0]
        gone = await client.people.profile(stranger)
        assert (gone.subscribe, gone.openid, gone.remark, gone.tagid_list) == (0, stranger, "", ())
        with pytest.raises(ChannelError) as wrong:
            await client.people.profiles([person, "oNobody"])
        assert wrong.value.reason == "invalid_openid"

    sandbox.official("service", use)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda c: c.tags.create(""), "1 to 30 bytes"),
        (lambda c: c.tags.create("十一个汉字的标签名太长"), "1 to 30 bytes"),
        (lambda c: c.tags.rename(100, " "), "1 to 30 bytes"),
        (lambda c: c.tags.put_on(100, []), "0 items in one call, at least 1"),
        (lambda c: c.tags.put_on(100, ["o"] * 51), "51 items in one call, at most 50"),
        (lambda c: c.tags.take_off(100, ["o"] * 51), "51 items in one call, at most 50"),
        (lambda c: c.blacklist.put_on(["o"] * 21), "21 items in one call, at most 20"),
        (lambda c: c.blacklist.put_on([]), "0 items in one call, at least 1"),
        (lambda c: c.blacklist.take_off(["o"] * 21), "21 items in one call, at most 20"),
        (lambda c: c.people.profiles([]), "0 items in one call, at least 1"),
        (lambda c: c.people.profiles(["o"] * 101), "101 items in one call, at most 100"),
        (lambda c: c.people.set_remark("o", "十" * 10), "at most 29 bytes"),
    ],
)
def test_what_is_out_of_bounds_never_leaves(use: Callable[[OfficialClient], Awaitable[object]], said: str) -> None:
    canned = Canned()
    with pytest.raises(ValueError, match=said):
        canned.official(use, OK)
    assert canned.seen == []


def test_ten_characters_are_thirty_bytes() -> None:
    canned = Canned()
    assert canned.official(lambda c: c.tags.create("十个汉字的标签名正好"), {"tag": {"id": 9, "name": "x"}}).id == 9


@pytest.mark.parametrize(
    ("use", "answer"),
    [
        (lambda c: c.tags.all(), {"tags": [{"id": "x", "name": "a", "count": 0}]}),
        (lambda c: c.tags.all(), {"errcode": 0}),
        (lambda c: c.tags.of_person("o"), {"tagid_list": ["x"]}),
        (lambda c: c.people.profile("o"), {"openid": "o"}),
        (lambda c: c.people.profiles(["o"]), {"user_info_list": [{"openid": "o"}]}),
        (lambda c: anext(c.people.followers()), {"total": 1, "data": {"openid": ["a"]}}),
        (lambda c: anext(c.blacklist.all()), {"total": 1, "count": 1, "data": {"openid": [1]}}),
    ],
)
def test_an_answer_of_another_shape_is_a_broken_one(
    use: Callable[[OfficialClient], Awaitable[object]], answer: object
) -> None:
    with pytest.raises(ChannelError) as broken:
        Canned().official(use, answer)
    assert (broken.value.reaction, broken.value.reason) == (Reaction.RETRY, "answer_lost")


def test_a_creation_whose_answer_is_lost_is_in_doubt() -> None:
    with pytest.raises(ChannelError) as lost:
        Canned().official(lambda c: c.tags.create("甲"), {"tag": {"name": "甲"}})
    assert lost.value.reaction is Reaction.IN_DOUBT
