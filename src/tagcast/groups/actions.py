"""Use cases of group chats."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from pyroaring import BitMap

from tagcast import accounts, contacts, tags
from tagcast.groups import rules, store
from tagcast.groups.rules import Chat, ChatSeen, NewWay, Way, WayReport
from tagcast.kit import leases, logs
from tagcast.kit.errors import Conflict, Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work

REFRESH = "groups.refresh"
_WHY = "group chat sync"

log = logs.get("groups")


def chats(work: Work, account: int | None = None) -> list[Chat]:
    """Group chats of one account or of all, dismissed ones too, each with how many contacts are in it."""
    return [replace(chat, contacts=work.bitmaps.count(_members(chat.id))) for chat in store.all_chats(work, account)]


def find_chat(work: Work, account: int, named: str) -> Chat:
    """The chat of an account by its platform id or its name. Raises NotFound; Invalid when several bear the name."""
    known = chats(work, account)
    found = [chat for chat in known if chat.chat_id == named]
    found = found or [chat for chat in known if chat.name == named and chat.dismissed_at is None]
    if not found:
        raise NotFound("groups.no_chat", chat=named)
    if len(found) > 1:
        raise Invalid("groups.same_name", chat=named, ids=", ".join(chat.chat_id for chat in found))
    return found[0]


def ways(work: Work, account: int | None = None) -> list[Way]:
    """Invitations, revoked ones too."""
    return store.all_ways(work, account)


def way(work: Work, number: int) -> Way:
    """One invitation. Raises NotFound."""
    found = store.way(work, number)
    if found is None:
        raise NotFound("groups.no_way", way=number)
    return found


def report(work: Work, number: int) -> WayReport:
    """What an invitation did. Raises NotFound."""
    found = way(work, number)
    holders, joined = tags.holders(work, found.tag), work.bitmaps.read(_joined(found.id))
    inside = BitMap()
    for chat in store.all_chats(work, found.account):
        inside |= work.bitmaps.read(_members(chat.id))
    strangers = store.strangers_by_state(work, found.account).get(found.state, 0)
    return WayReport(
        found,
        holders=len(holders),
        joined=len(joined),
        staying=len(joined & inside),
        holders_joined=len(joined & holders),
        strangers=strangers,
    )


def note_changed(work: Work, account: int, chat_ids: Iterable[str]) -> None:
    """Ask for chats to be read again, because the platform said that they changed."""
    for chat_id in set(chat_ids):
        leases.enqueue(work, REFRESH, f"{account}:{chat_id}", {"account": account, "chat_id": chat_id}, again=True)


def keep(work: Work, account: int, seen: ChatSeen) -> None:
    """Bring a chat's row, its members and the invitations' figures up to date."""
    outside = seen.members
    numbers = contacts.numbers_of(work, "external_userid", [one.external_userid for one in outside], account)
    strangers: Counter[str] = Counter()
    came: defaultdict[str, list[int]] = defaultdict(list)
    for one, number in zip(outside, numbers, strict=True):
        if number is None:
            strangers[one.state] += 1
        else:
            came[one.state].append(number)
    chat = store.put_chat(work, account, seen, dict(strangers))
    members = BitMap([number for found in came.values() for number in found])
    work.bitmaps.replace(_members(chat), members, why=_WHY)
    for one_way in store.all_ways(work, account):
        if found := came.get(one_way.state):
            _note_joined(work, one_way, BitMap(found))


def _note_joined(work: Work, joined_by: Way, members: BitMap) -> None:
    """A tag that is archived or full is no reason not to know who is in a chat."""
    change = work.bitmaps.add(_joined(joined_by.id), members, why=_WHY)
    if change is None or joined_by.joined_tag is None:
        return
    try:
        with work.connection.begin_nested():
            tags.assign(work, joined_by.joined_tag, members, why=f"joined by {joined_by.name}")
    except TagcastError as error:
        log.warning("joined tag refused", code=error.code, account=joined_by.account, count=len(members))


def lose(work: Work, account: int, chat_ids: Iterable[str]) -> int:
    """Note that chats are no more; returns how many were there before."""
    wanted = set(chat_ids)
    gone = [one for one in store.all_chats(work, account) if one.chat_id in wanted and one.dismissed_at is None]
    for chat in gone:
        store.dismiss(work, chat.id)
        work.bitmaps.replace(_members(chat.id), BitMap(), why=_WHY)
    return len(gone)


def begin(work: Work, asked: NewWay) -> Way:
    """Note an invitation before it is made on the platform; one whose making was interrupted goes on.

    Raises NotFound (account, tag, chat), Invalid, Conflict for a name in use or a dismissed chat.
    """
    asked = rules.check_new(asked)
    account = accounts.get(work, asked.account)
    if account.kind != "wecom":
        raise Invalid("groups.not_wecom", account=account.name, kind=account.kind)
    tags.get(work, asked.tag)
    if asked.joined_tag is not None:
        tags.get(work, asked.joined_tag)
    rules.check_alive([find_chat(work, account.id, chat) for chat in asked.chats])
    store.add_way(work, asked, f"tagcast-{secrets.token_hex(8)}")
    known = store.way_of_name(work, account.id, asked.name)
    assert known is not None
    if known.status != "making" or not rules.same(known, asked):
        raise Conflict("groups.way_exists", name=asked.name, way=known.id)
    return known


def finish(work: Work, number: int, config_id: str, qr_code: str) -> Way:
    """Note that the platform made an invitation. Raises NotFound."""
    way(work, number)
    store.change_way(work, number, config_id=config_id, qr_code=qr_code, status="ready")
    return way(work, number)


def close(work: Work, number: int) -> Way:
    """Note that an invitation works no more; its figures stay. Its name is free again. Raises NotFound."""
    found = way(work, number)
    if found.status != "revoked":
        name = f"{found.name}~{found.id}"
        while store.way_of_name(work, found.account, name) is not None:
            name += "~"
        store.change_way(work, number, status="revoked", name=name)
    return way(work, number)


def _members(chat: int) -> str:
    return f"group:{chat}"


def _joined(number: int) -> str:
    return f"join-way:{number}"
