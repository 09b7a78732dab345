"""客户群: group chats with customers, the ways to join them, and their statistics."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect, lost
from tagcast.channels.wecom.limits import within
from tagcast.channels.wecom.pages import MOST_PAGES, Page, pages

Order = Literal["new_chats", "chats", "new_members", "members"]
_ORDER: dict[Order, int] = {"new_chats": 1, "chats": 2, "new_members": 3, "members": 4}
_STATISTICS_PAGE = 1000


class GroupChat(Answer):
    """A group chat in the list. `status` 0: normal, 1: awaiting inheritance, 2: inheriting, 3: inherited."""

    chat_id: str
    status: int = 0


class Invitor(Answer):
    """Who invited a member."""

    userid: str = ""


class GroupMember(Answer):
    """Somebody in a group chat. `type` 1: an employee, 2: a customer; `join_scene` 1: invited, 2: link, 3: QR code."""

    userid: str
    type: int = 0
    unionid: str = ""
    join_time: int = 0
    join_scene: int = 0
    invitor: Invitor | None = None
    group_nickname: str = ""
    name: str = ""
    state: str = ""


class Admin(Answer):
    """An employee who manages a group chat."""

    userid: str


class GroupDetail(Answer):
    """A group chat. What it says can lag behind the event that told of a change."""

    chat_id: str
    name: str = ""
    owner: str = ""
    create_time: int = 0
    notice: str = ""
    member_list: tuple[GroupMember, ...] = ()
    admin_list: tuple[Admin, ...] = ()
    member_version: str = ""


class GroupFigures(Answer):
    """Figures of one owner's group chats, or of one day."""

    new_chat_cnt: int = 0
    chat_total: int = 0
    chat_has_msg: int = 0
    new_member_cnt: int = 0
    member_total: int = 0
    member_has_msg: int = 0
    msg_total: int = 0
    migrate_trainee_chat_cnt: int = 0


class OwnerFigures(Answer):
    """An owner's figures."""

    owner: str
    data: GroupFigures


class DayFigures(Answer):
    """A day's figures; `stat_time` is the Unix second at which the day began."""

    stat_time: int
    data: GroupFigures


@dataclass(frozen=True, slots=True)
class JoinWay:
    """入群方式: one QR code (or mini-program plugin) for 1 to 5 group chats.

    When all are full a further group is made (`auto_create`), named `base_name` and a number from `base_id` on. `state`
    (at most 30 characters) comes back with each member who joined this way.
    """

    chat_ids: tuple[str, ...]
    qr_code: bool = True
    auto_create: bool = True
    base_name: str = ""
    base_id: int = 0
    remark: str = ""
    state: str = ""


class JoinWayShown(Answer):
    """A join way as the platform keeps it; `qr_code` is the address of its picture."""

    config_id: str
    scene: int = 2
    qr_code: str = ""
    chat_id_list: tuple[str, ...] = ()
    auto_create_room: int = 1
    room_base_name: str = ""
    room_base_id: int = 0
    remark: str = ""
    state: str = ""


class _Chats(Page):
    group_chat_list: tuple[GroupChat, ...]


class _Chat(Answer):
    group_chat: GroupDetail


class _Config(Answer):
    config_id: str


class _JoinWay(Answer):
    join_way: JoinWayShown


class _OwnerItems(Answer):
    total: int = 0
    next_offset: int = 0
    items: tuple[OwnerFigures, ...]


class _DayItems(Answer):
    items: tuple[DayFigures, ...]


class _ChatId(Answer):
    chat_id: str


class Groups:
    """Group chats (客户群) and join ways (加入群聊)."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(
        self, owners: Sequence[str] = (), *, status: int = 0, cursor: str = ""
    ) -> AsyncIterator[tuple[GroupChat, ...]]:
        """Pages of the group chats of at most 100 owners, or of all that the app sees.

        `status` 0: all, 1: awaiting inheritance, 2: inheriting, 3: inherited. Without owners a corp of more than 1,000
        visible members is answered 81017 (`bad_batch`).
        """
        within("group_owners", owners)
        body: dict[str, Any] = {"status_filter": status, "limit": 1000, "cursor": cursor}
        body |= {"owner_filter": {"userid_list": list(owners)}} if owners else {}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/groupchat/list", body, _Chats):
            yield page.group_chat_list

    async def get(self, chat_id: str, *, names: bool = True) -> GroupDetail:
        """One group chat with its members; with `names` their names too."""
        body = {"chat_id": chat_id, "need_name": int(names)}
        return (await self._caller.post("/cgi-bin/externalcontact/groupchat/get", body, _Chat)).group_chat

    async def chat_id(self, opengid: str) -> str:
        """The chat_id of a group that a mini-program knows by its opengid."""
        body = {"opengid": opengid}
        return (await self._caller.post("/cgi-bin/externalcontact/opengid_to_chatid", body, _ChatId)).chat_id

    async def add_join_way(self, way: JoinWay) -> str:
        """Make a join way; gives its config_id, the only handle to it. Raises ValueError for a size outside limits.

        Not idempotent: a repetition makes a second way, and both count towards the corp's 500,000.
        """
        return (
            await self._caller.post(
                "/cgi-bin/externalcontact/groupchat/add_join_way", _join_way(way), _Config, effect=Effect.SEND
            )
        ).config_id

    async def get_join_way(self, config_id: str) -> JoinWayShown:
        """A join way with its QR code."""
        body = {"config_id": config_id}
        return (await self._caller.post("/cgi-bin/externalcontact/groupchat/get_join_way", body, _JoinWay)).join_way

    async def update_join_way(self, config_id: str, way: JoinWay) -> None:
        """Replace a join way as a whole; its QR code stays. Raises ValueError as `add_join_way`."""
        body = {"config_id": config_id} | _join_way(way)
        await self._caller.post("/cgi-bin/externalcontact/groupchat/update_join_way", body, Done)

    async def delete_join_way(self, config_id: str) -> None:
        """Delete a join way; its QR code stops working."""
        await self._caller.post("/cgi-bin/externalcontact/groupchat/del_join_way", {"config_id": config_id}, Done)

    async def statistics(
        self, owners: Sequence[str], start: int, end: int, *, order: Order = "new_chats", ascending: bool = False
    ) -> tuple[OwnerFigures, ...]:
        """Figures by owner (1 to 100) between two Unix seconds at most 30 days apart, of the last 180 days."""
        body = _span(owners, start, end) | {"order_by": _ORDER[order], "order_asc": int(ascending)}
        found: list[OwnerFigures] = []
        offset = 0
        for _ in range(MOST_PAGES):
            page = await self._caller.post(
                "/cgi-bin/externalcontact/groupchat/statistic",
                body | {"offset": offset, "limit": _STATISTICS_PAGE},
                _OwnerItems,
            )
            found += page.items
            if len(found) >= page.total or not page.items:
                return tuple(found)
            if page.next_offset <= offset:
                break
            offset = page.next_offset
        raise lost("wecom", "externalcontact/groupchat/statistic", effect=Effect.READ)

    async def statistics_by_day(self, owners: Sequence[str], start: int, end: int) -> tuple[DayFigures, ...]:
        """The owners' figures together, day by day; limits as `statistics`."""
        body = _span(owners, start, end)
        return (
            await self._caller.post("/cgi-bin/externalcontact/groupchat/statistic_group_by_day", body, _DayItems)
        ).items


def _span(owners: Sequence[str], start: int, end: int) -> dict[str, Any]:
    within("statistics_owners", owners)
    within("statistics_span", end - start)
    return {"day_begin_time": start, "day_end_time": end, "owner_filter": {"userid_list": list(owners)}}


def _join_way(way: JoinWay) -> dict[str, Any]:
    within("join_way_chats", way.chat_ids)
    within("way_state", way.state)
    within("way_remark", way.remark)
    body: dict[str, Any] = {
        "scene": 2 if way.qr_code else 1,
        "chat_id_list": list(way.chat_ids),
        "auto_create_room": int(way.auto_create),
    }
    words = {"room_base_name": way.base_name, "remark": way.remark, "state": way.state}
    body |= {name: text for name, text in words.items() if text}
    return body | ({"room_base_id": way.base_id} if way.base_id else {})
