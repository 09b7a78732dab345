"""Group chats and invitations in the database: who is in, who joined by what."""

import asyncio

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, contacts, groups, tags
from tagcast.contacts import Identity, PersonIn
from tagcast.groups import ChatSeen, NewWay, actions
from tagcast.groups.rules import Joined
from tagcast.kit import leases
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Runtime, Work


@pytest.fixture
def account(work: Work) -> int:
    new = accounts.NewAccount(
        kind="wecom", name="门店", appid="", corpid="ww0123456789abcdef", agentid=1, secret="s" * 32
    )
    return accounts.add(work, new).id


@pytest.fixture
def people(work: Work, account: int) -> list[int]:
    told = [PersonIn({Identity("external_userid", account): f"wm{index}"}) for index in range(4)]
    return [one.number for one in contacts.find_or_make(work, told)]


@pytest.fixture
def tag(work: Work) -> int:
    return tags.create(work, "金卡").id


def see(work: Work, account: int, *members: Joined, chat_id: str = "wr1", name: str = "一群") -> None:
    actions.keep(work, account, ChatSeen(chat_id, name, "employee001", 1_000, members))


def make(work: Work, account: int, tag: int, /, **more: object) -> groups.Way:
    asked = {"account": account, "tag": tag, "name": "入会", "chats": ("一群",)} | more
    begun = actions.begin(work, NewWay(**asked))  # type: ignore[arg-type]  # a test's shorthand
    return actions.finish(work, begun.id, "config", "https://p.example/qr")


def test_who_is_in_a_chat_is_a_set_and_strangers_are_only_counted(work: Work, account: int, people: list[int]) -> None:
    see(work, account, Joined("wm0"), Joined("wm1"), Joined("stranger"))
    [chat] = groups.chats(work, account)
    assert (chat.name, chat.contacts, chat.strangers, chat.dismissed_at) == ("一群", 2, 1, None)
    assert work.bitmaps.read(f"group:{chat.id}") == BitMap(people[:2])
    see(work, account, Joined("wm1"), Joined("wm2"), name="改名")
    [again] = groups.chats(work, account)
    assert (again.id, again.name, again.contacts, again.strangers) == (chat.id, "改名", 2, 0)
    assert contacts.everyone(work) == BitMap(people)


def test_who_joined_by_an_invitation_stays_known_and_gets_the_tag(
    work: Work, account: int, people: list[int], tag: int
) -> None:
    tags.assign(work, tag, BitMap(people[:3]), why="gold")
    came = tags.create(work, "入群").id
    see(work, account, Joined("wm0"))
    way = make(work, account, tag, joined_tag=came)
    see(work, account, Joined("wm0"), Joined("wm1", way.state), Joined("wm3", way.state), Joined("x", way.state))
    found = groups.report(work, way.id)
    assert (found.holders, found.joined, found.staying, found.holders_joined, found.strangers) == (3, 2, 2, 1, 1)
    assert tags.holders(work, came) == BitMap([people[1], people[3]])
    see(work, account, Joined("wm0"), Joined("wm3", way.state))
    found = groups.report(work, way.id)
    assert (found.joined, found.staying, found.strangers) == (2, 1, 0)
    # Somebody who was in the chat before, or came by another way, did not join by this one.
    assert work.bitmaps.read(f"join-way:{way.id}") == BitMap([people[1], people[3]])


def test_a_chat_that_is_gone_has_nobody_and_leads_nowhere(
    work: Work, account: int, people: list[int], tag: int
) -> None:
    see(work, account, Joined("wm0"))
    assert actions.lose(work, account, ["wr1", "unknown"]) == 1
    assert actions.lose(work, account, ["wr1"]) == 0
    [chat] = groups.chats(work, account)
    assert chat.dismissed_at is not None
    assert chat.contacts == 0
    with pytest.raises(Conflict, match="was dismissed"):
        make(work, account, tag, chats=("wr1",))
    with pytest.raises(NotFound, match="no group chat"):
        groups.find_chat(work, account, "一群")
    see(work, account, Joined("wm0"))
    assert groups.find_chat(work, account, "一群").contacts == 1


def test_an_interrupted_invitation_goes_on_and_a_finished_one_is_there(work: Work, account: int, tag: int) -> None:
    see(work, account)
    asked = NewWay(account, tag, "入会", ("一群",))
    begun = actions.begin(work, asked)
    assert begun.status == "making"
    assert actions.begin(work, asked) == begun
    with pytest.raises(Conflict, match="already, number"):
        actions.begin(work, NewWay(account, tag, "入会", ("wr1",)))
    ready = actions.finish(work, begun.id, "config", "https://p.example/qr")
    assert (ready.status, ready.qr_code) == ("ready", "https://p.example/qr")
    with pytest.raises(Conflict, match="already, number"):
        actions.begin(work, asked)
    revoked = actions.close(work, ready.id)
    assert actions.close(work, ready.id) == revoked
    assert actions.begin(work, asked).id != ready.id


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": " "}, "groups.bad_name"),
        ({"name": "长" * 31}, "groups.bad_name"),
        ({"base_name": "长" * 31}, "groups.bad_name"),
        ({"chats": ()}, "groups.bad_chats"),
        ({"chats": ("1", "2", "3", "4", "5", "6")}, "groups.bad_chats"),
        ({"chats": ("一群", "一群")}, "groups.bad_chats"),
        ({"chats": ("没有",)}, "groups.no_chat"),
        ({"tag": 99}, "tags.no_tag"),
        ({"joined_tag": 99}, "tags.no_tag"),
        ({"account": 99}, "accounts.no_account"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_noted(
    work: Work, account: int, tag: int, change: dict[str, object], code: str
) -> None:
    see(work, account)
    with pytest.raises((Invalid, NotFound)) as caught:
        make(work, account, tag, **change)
    assert caught.value.code == code
    assert groups.ways(work) == []


def test_two_chats_of_one_name_need_an_id(work: Work, account: int) -> None:
    see(work, account)
    see(work, account, chat_id="wr2")
    with pytest.raises(Invalid) as caught:
        groups.find_chat(work, account, "一群")
    assert caught.value.params["ids"] == "wr1, wr2"
    assert groups.find_chat(work, account, "wr2").chat_id == "wr2"


def test_another_workspace_s_chats_are_not_seen(work: Work, account: int) -> None:
    see(work, account)
    assert groups.chats(work, account + 1) == []
    with pytest.raises(NotFound):
        groups.report(work, 1)


def test_a_change_is_read_once_however_often_it_is_told(work: Work, account: int) -> None:
    groups.note_changed(work, account, ["wr1", "wr1"])
    groups.note_changed(work, account, ["wr1"])
    rows = work.connection.exec_driver_sql("SELECT key FROM lease WHERE kind = 'groups.refresh'").all()
    assert [row.key for row in rows] == [f"{account}:wr1"]


def test_a_tag_that_cannot_be_given_does_not_keep_a_chat_from_being_read(
    work: Work, account: int, people: list[int], tag: int
) -> None:
    came = tags.create(work, "入群").id
    see(work, account)
    way = make(work, account, tag, joined_tag=came)
    tags.archive(work, came)
    see(work, account, Joined("wm1", way.state))
    assert groups.report(work, way.id).joined == 1
    assert groups.chats(work, account)[0].contacts == 1


def test_a_revoked_invitation_finds_a_name_beside_another_s(work: Work, account: int, tag: int) -> None:
    see(work, account)
    first = make(work, account, tag)
    make(work, account, tag, name=f"入会~{first.id}")
    assert actions.close(work, first.id).name == f"入会~{first.id}~"


def test_a_change_of_a_removed_account_s_chat_is_no_work_for_ever(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        actions.note_changed(work, 99, ["wr1"])
    for expected in (groups.REFRESH, None):
        with runtime_sqlite.system() as connection:
            connection.execute(sa.update(leases.leases).values(due_at=0))
            lease = leases.claim(connection, "test", [groups.REFRESH], 30)
        assert (lease.kind if lease else None) == expected
        if lease is not None:
            asyncio.run(groups.refresh(runtime_sqlite, lease))
