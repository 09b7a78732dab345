"""标签建群 from end to end: chats read, an invitation made for a tag, people join in the sandbox, we know who."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroaring import BitMap
from tests.flows.harness import Sandbox, World, sandbox, until

from tagcast import accounts, contacts, groups, tags
from tagcast.groups import NewWay, Way
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.uow import Runtime


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        running.post("/sandbox/population", size=400, seed=7)
        yield running


@pytest.fixture
def world(runtime: Runtime, platform: Sandbox) -> World:
    made = World(runtime, platform)
    made.add_account("wecom", groups=3, blocks=0)
    asyncio.run(contacts.sync_account(runtime, 1, made.accounts["wecom"]))
    return made


@pytest.fixture
def account(world: World) -> int:
    return world.accounts["wecom"]


def sync(world: World) -> groups.SyncResult:
    return asyncio.run(groups.sync(world.runtime, 1, world.accounts["wecom"]))


def invite(world: World, **more: object) -> Way:
    with world.runtime.work(1, "test") as work:
        tag = tags.ensure(work, "金卡").id
        tags.assign(work, tag, BitMap(list(contacts.everyone(work))[:50]), why="gold")
    chat = known(world)[0]
    asked = {"account": world.accounts["wecom"], "tag": tag, "name": "入会", "chats": (chat.chat_id,)} | more
    return asyncio.run(groups.invite(world.runtime, 1, "test", NewWay(**asked)))  # type: ignore[arg-type]  # a test's shorthand


def known(world: World) -> list[groups.Chat]:
    with world.runtime.read(1, "test") as work:
        return groups.chats(work, world.accounts["wecom"])


def report(world: World, way: Way) -> groups.WayReport:
    with world.runtime.read(1, "test") as work:
        return groups.report(work, way.id)


def friends(world: World, count: int) -> dict[str, int]:
    """external_userid → contact, of some who are in no chat."""
    inside: BitMap = BitMap()
    for chat in known(world):
        inside |= world.set(f"group:{chat.id}")
    free = world.set(f"following:{world.accounts['wecom']}") - inside
    return {ident: number for number, ident in world.ids("wecom", list(free)[:count]).items()}


@contextmanager
def listening(world: World) -> Iterator[None]:
    """The platform's callbacks arrive at a server of ours, and a worker follows them."""
    settings = world.runtime.settings
    command = [sys.executable, "-m", "tests.inbox.serve", str(settings.home), settings.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with world.runtime.read(1, "test") as work:
            path = accounts.get(work, world.accounts["wecom"]).callback_path
        remote = world.remote["wecom"]["id"]
        address = f"http://127.0.0.1:{port}/callback/{path}"
        world.sandbox.call("PATCH", f"/sandbox/accounts/{remote}", {"callback_url": address})
        with world.working():
            yield
        process.terminate()


def test_the_chats_of_the_platform_are_known_with_their_members(world: World, account: int) -> None:
    assert sync(world) == groups.SyncResult(account, read=3, gone=0)
    platform = world.sandbox.get(f"/sandbox/wecom/groups?account={world.remote['wecom']['id']}")["chats"]
    outside = {chat["chat_id"]: sum(one["type"] == 2 for one in chat["members"]) for chat in platform}
    found = {chat.chat_id: chat.contacts + chat.strangers for chat in known(world)}
    assert found == outside
    assert min(found.values()) > 0
    assert sync(world) == groups.SyncResult(account, read=3, gone=0)


def test_who_joins_by_the_invitation_is_known_at_once(world: World, account: int) -> None:
    sync(world)
    with world.runtime.work(1, "test") as work:
        came = tags.create(work, "已入群").id
    way = invite(world, joined_tag=came)
    assert way.status == "ready"
    assert way.qr_code.startswith("http")
    people = friends(world, 6)
    with listening(world):
        world.sandbox.post(
            "/sandbox/wecom/groups/join",
            account=world.remote["wecom"]["id"],
            config_id=way.config_id,
            people=list(people),
        )
        until(lambda: report(world, way).joined == 6)
        assert world.set(f"tag:{came}") == BitMap(people.values())
        assert report(world, way).staying == 6
        leavers = list(people)[:2]
        world.sandbox.post(
            "/sandbox/wecom/groups/leave",
            account=world.remote["wecom"]["id"],
            chat_id=way.chats[0],
            people=leavers,
        )
        until(lambda: report(world, way).staying == 4)
        assert report(world, way).joined == 6
        world.sandbox.post("/sandbox/wecom/groups/dismiss", account=world.remote["wecom"]["id"], chat_id=way.chats[0])
        until(lambda: known(world)[0].dismissed_at is not None)
    found = report(world, way)
    assert (found.joined, found.staying) == (6, 0)
    assert sync(world).read == 2


def test_lost_callbacks_are_made_up_for_by_reading(world: World) -> None:
    sync(world)
    way = invite(world)
    people = friends(world, 3)
    remote = world.remote["wecom"]["id"]
    world.sandbox.post("/sandbox/wecom/groups/join", account=remote, config_id=way.config_id, people=list(people))
    assert report(world, way).joined == 0
    sync(world)
    assert report(world, way).joined == 3


def test_a_lost_answer_leaves_an_invitation_that_goes_on(world: World) -> None:
    sync(world)
    path = "/cgi-bin/externalcontact/groupchat/add_join_way"
    world.sandbox.post("/sandbox/faults", path=path, kind="cut", times=1)
    with pytest.raises(TagcastError):
        invite(world)
    with world.runtime.read(1, "test") as work:
        [begun] = groups.ways(work)
    assert begun.status == "making"
    made = invite(world)
    assert (made.id, made.status) == (begun.id, "ready")
    assert world.sandbox.calls(path) >= 2


def test_a_revoked_invitation_leads_nowhere_and_its_figures_stay(world: World) -> None:
    sync(world)
    way = invite(world)
    people = list(friends(world, 1))
    remote = world.remote["wecom"]["id"]
    world.sandbox.post("/sandbox/wecom/groups/join", account=remote, config_id=way.config_id, people=people)
    sync(world)
    for _ in range(2):
        closed = asyncio.run(groups.revoke(world.runtime, 1, "test", way.id))
        assert closed.status == "revoked"
    with pytest.raises(Exception, match="404"):
        world.sandbox.post("/sandbox/wecom/groups/join", account=remote, config_id=way.config_id, people=people)
    assert report(world, closed).joined == 1
    assert invite(world).id != way.id


def test_what_the_app_may_not_see_is_said(world: World) -> None:
    remote = world.remote["wecom"]["id"]
    world.sandbox.call("PATCH", f"/sandbox/accounts/{remote}", {"permissions": ["message"]})
    with pytest.raises(TagcastError) as caught:
        sync(world)
    assert "48002" in caught.value.text("zh")


def test_other_kinds_of_account_have_no_chats(world: World) -> None:
    account = world.add_account("official")
    with pytest.raises(Invalid) as caught:
        asyncio.run(groups.sync(world.runtime, 1, account))
    assert caught.value.code == "groups.not_wecom"
