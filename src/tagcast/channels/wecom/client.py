"""企业微信: `https://qyapi.weixin.qq.com`. Source: developer.work.weixin.qq.com, pages as of 2023-12 to 2026-09.

A mass message is a task here: the platform sends nothing until each employee confirms, and results are polled.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from tagcast.channels.calls import Answer, AnswerT, Caller, Done, Token, TokenAnswer, TokenSource, too_many
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message, group_message_body, member_body
from tagcast.kit.http import Transport

MAX_CUSTOMERS = 10_000
"""external_userids in one mass message."""
MAX_EMPLOYEES = 100
"""userids in one look-up of customers."""
MAX_TESTERS = 1000
"""userids in one message to members."""

_EXTERNAL = "/cgi-bin/externalcontact"


class SendStatus(IntEnum):
    """What became of a mass message for one customer."""

    NOT_SENT = 0
    SENT = 1
    NOT_A_FRIEND = 2
    OVER_LIMIT = 3


class TaskStatus(IntEnum):
    """Whether an employee has confirmed."""

    NOT_SENT = 0
    SENT = 2
    CANCELLED = 3


class Profile(Answer):
    """A customer. `unionid` is given only for WeChat users of a corp that bound a developer id."""

    external_userid: str
    name: str = ""
    type: int = 0
    gender: int = 0
    unionid: str = ""


class CustomerTag(Answer):
    """A tag on one employee's customer; private tags have no `tag_id`."""

    tag_id: str = ""
    tag_name: str = ""
    group_name: str = ""
    type: int = 1


class Relation(Answer):
    """One employee's relation to a customer. `tag_id` is filled by batch reading, `tags` by reading one customer."""

    userid: str
    createtime: int = 0
    remark: str = ""
    add_way: int = 0
    state: str = ""
    tag_id: tuple[str, ...] = ()
    tags: tuple[CustomerTag, ...] = ()


class CustomerOf(Answer):
    """A customer and the relation of the employee asked for."""

    external_contact: Profile
    follow_info: Relation


class Customer(Answer):
    """A customer and all employees who have them as a contact."""

    external_contact: Profile
    follow_user: tuple[Relation, ...] = ()


class CorpTag(Answer):
    """A corp tag."""

    id: str
    name: str
    order: int = 0
    create_time: int = 0


class CorpTagGroup(Answer):
    """A group of corp tags; tags live in groups and nowhere deeper."""

    group_id: str
    group_name: str
    order: int = 0
    create_time: int = 0
    tag: tuple[CorpTag, ...] = ()


class MassText(Answer):
    """The text of a mass message."""

    content: str = ""


class MassMessage(Answer):
    """A mass message in the record; `create_type` 0: made by an app, 1: by an employee."""

    msgid: str
    creator: str = ""
    create_time: int
    create_type: int = 0
    text: MassText | None = None
    attachments: tuple[dict[str, Any], ...] = ()

    def says(self, content: Sequence[Message]) -> bool:
        """Whether its text and the addresses of its link cards are those of `content`."""
        body = group_message_body(content)
        texts = (self.text.content if self.text else "", body.get("text", {}).get("content", ""))
        links = (_links(self.attachments), _links(body.get("attachments", ())))
        return texts[0] == texts[1] and links[0] == links[1]


def _links(attachments: Sequence[dict[str, Any]]) -> list[str]:
    return [str(part["link"].get("url", "")) for part in attachments if isinstance(part.get("link"), dict)]


class Task(Answer):
    """One employee's part of a mass message; `status` is normally a `TaskStatus`."""

    userid: str
    status: int
    send_time: int = 0


class SendResult(Answer):
    """What became of a mass message for one customer of one employee.

    `status` is normally a `SendStatus`, `send_time` in Unix seconds.
    """

    external_userid: str = ""
    chat_id: str = ""
    userid: str
    status: int
    send_time: int = 0


class Created(Answer):
    """A created mass message; `fail_list` holds the customers who will not get it."""

    msgid: str
    fail_list: tuple[str, ...] = ()


class Shown(Answer):
    """A message to members; those named in `invalid` did not get it."""

    msgid: str = ""
    invaliduser: str = ""

    @property
    def invalid(self) -> tuple[str, ...]:
        """userids that the app cannot reach."""
        return tuple(name for name in self.invaliduser.split("|") if name)


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Customers by tag: within a group any tag, between groups all. At most 100 tags a group."""

    groups: tuple[tuple[str, ...], ...]


class _Employees(Answer):
    follow_user: tuple[str, ...]


class _Paged(Answer):
    next_cursor: str = ""


class _Customers(_Paged):
    external_contact_list: tuple[CustomerOf, ...] = ()


class _CustomerPage(_Paged):
    external_contact: Profile
    follow_user: tuple[Relation, ...] = ()


class _TagGroups(Answer):
    tag_group: tuple[CorpTagGroup, ...] = ()


class _TagGroup(Answer):
    tag_group: CorpTagGroup


class _MassMessages(_Paged):
    group_msg_list: tuple[MassMessage, ...] = ()


class _Tasks(_Paged):
    task_list: tuple[Task, ...] = ()


class _SendResults(_Paged):
    send_list: tuple[SendResult, ...] = ()


class _Media(Answer):
    media_id: str


class _Url(Answer):
    url: str


async def get_token(transport: Transport, base_url: str, corpid: str, secret: str) -> Token:
    """Fetch the app's access token. Raises `ChannelError`."""
    query = {"corpid": corpid, "corpsecret": secret}
    answer = await Caller(transport, base_url, "wecom", None).get("/cgi-bin/gettoken", TokenAnswer, query=query)
    return Token(answer.access_token, answer.expires_in)


class WecomClient:
    """Calls of one 企业微信 app. Every method raises `ChannelError`; none repeats a call."""

    def __init__(self, transport: Transport, base_url: str, token: TokenSource) -> None:
        self._caller = Caller(transport, base_url, "wecom", token)

    # employees and customers

    async def employees(self) -> tuple[str, ...]:
        """userids of the employees who may serve customers and are visible to the app."""
        return (await self._caller.get(f"{_EXTERNAL}/get_follow_user_list", _Employees)).follow_user

    async def customers(self, userids: Sequence[str], cursor: str = "") -> AsyncIterator[tuple[CustomerOf, ...]]:
        """Pages of the customers of at most 100 employees; a customer of two employees comes twice."""
        too_many(len(userids), MAX_EMPLOYEES)
        body = {"userid_list": list(userids), "limit": 100, "cursor": cursor}
        async for page in self._pages("batch/get_by_user", body, _Customers):
            yield page.external_contact_list

    async def customer(self, external_userid: str) -> Customer:
        """One customer with all relations."""
        relations: list[Relation] = []
        cursor = ""
        while True:
            query = {"external_userid": external_userid} | ({"cursor": cursor} if cursor else {})
            page = await self._caller.get(f"{_EXTERNAL}/get", _CustomerPage, query=query)
            relations += page.follow_user
            if not page.next_cursor or page.next_cursor == cursor:
                return Customer(external_contact=page.external_contact, follow_user=tuple(relations))
            cursor = page.next_cursor

    # tags

    async def tag_groups(self) -> tuple[CorpTagGroup, ...]:
        """All groups of corp tags with their tags."""
        return (await self._caller.post(f"{_EXTERNAL}/get_corp_tag_list", {}, _TagGroups)).tag_group

    async def add_tags(self, names: Sequence[str], *, group_name: str = "", group_id: str = "") -> CorpTagGroup:
        """Add tags to a group, made when its name is new; a name that the group has already is kept once."""
        group = {"group_id": group_id} if group_id else {"group_name": group_name}
        body = group | {"tag": [{"name": name} for name in names]}
        return (await self._caller.post(f"{_EXTERNAL}/add_corp_tag", body, _TagGroup)).tag_group

    async def rename_tag(self, tag_or_group_id: str, name: str) -> None:
        """Rename a tag or a group made by this app."""
        await self._caller.post(f"{_EXTERNAL}/edit_corp_tag", {"id": tag_or_group_id, "name": name}, Done)

    async def delete_tags(self, tag_ids: Sequence[str] = (), *, group_ids: Sequence[str] = ()) -> None:
        """Delete tags or whole groups made by this app; an emptied group disappears."""
        body = {"tag_id": list(tag_ids), "group_id": list(group_ids)}
        await self._caller.post(f"{_EXTERNAL}/del_corp_tag", {name: ids for name, ids in body.items() if ids}, Done)

    async def mark_tags(
        self, userid: str, external_userid: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Put tags on, and take tags off, one employee's customer. One call at a time for the same pair."""
        body: dict[str, Any] = {"userid": userid, "external_userid": external_userid}
        body |= {name: list(ids) for name, ids in (("add_tag", add), ("remove_tag", remove)) if ids}
        await self._caller.post(f"{_EXTERNAL}/mark_tag", body, Done)

    # mass messages

    async def create_mass_message(
        self,
        content: Sequence[Message],
        *,
        external_userids: Sequence[str] = (),
        tags: TagFilter | None = None,
        sender: str = "",
        allow_select: bool = False,
    ) -> Created:
        """Create a task that employees have to confirm.

        The platform has no idempotency key here: after a lost answer look into `mass_messages` before creating again.
        Addressed are at most 10,000 customers by id, or those with tags, or all of `sender`'s; none is a ValueError.
        """
        too_many(len(external_userids), MAX_CUSTOMERS)
        if not (external_userids or tags or sender):
            raise ValueError("a mass message needs customers, tags or a sender")
        body: dict[str, Any] = {"chat_type": "single", "allow_select": allow_select} | group_message_body(content)
        if external_userids:
            body["external_userid"] = list(external_userids)
        if tags:
            body["tag_filter"] = {"group_list": [{"tag_list": list(group)} for group in tags.groups]}
        if sender:
            body["sender"] = sender
        return await self._caller.post(f"{_EXTERNAL}/add_msg_template", body, Created, effect=Effect.SEND)

    async def mass_messages(
        self, start: int, end: int, *, creator: str = "", made_by: Literal["app", "employee", "any"] = "any"
    ) -> AsyncIterator[tuple[MassMessage, ...]]:
        """Pages of the record between two Unix seconds at most a month apart.

        Right after a creation the platform answers `dispatching` (41063).
        """
        body: dict[str, Any] = {"chat_type": "single", "start_time": start, "end_time": end, "limit": 100}
        body |= {"filter_type": {"app": 0, "employee": 1, "any": 2}[made_by]} | (
            {"creator": creator} if creator else {}
        )
        async for page in self._pages("get_groupmsg_list_v2", body, _MassMessages):
            yield page.group_msg_list

    async def tasks(self, msgid: str, cursor: str = "") -> AsyncIterator[tuple[Task, ...]]:
        """Pages of the employees' tasks of one mass message."""
        body = {"msgid": msgid, "limit": 1000, "cursor": cursor}
        async for page in self._pages("get_groupmsg_task", body, _Tasks):
            yield page.task_list

    async def send_results(self, msgid: str, userid: str, cursor: str = "") -> AsyncIterator[tuple[SendResult, ...]]:
        """Pages of what became of one mass message for one employee's customers."""
        body = {"msgid": msgid, "userid": userid, "limit": 1000, "cursor": cursor}
        async for page in self._pages("get_groupmsg_send_result", body, _SendResults):
            yield page.send_list

    async def remind(self, msgid: str) -> None:
        """Remind the employees who have not confirmed; three times in 24 hours."""
        await self._caller.post(f"{_EXTERNAL}/remind_groupmsg_send", {"msgid": msgid}, Done, effect=Effect.SEND)

    async def cancel(self, msgid: str) -> None:
        """Stop what has not been sent; what was sent stays."""
        await self._caller.post(f"{_EXTERNAL}/cancel_groupmsg_send", {"msgid": msgid}, Done)

    # members and media

    async def send_to_members(self, userids: Sequence[str], message: Message, *, agent_id: int) -> Shown:
        """Show a message to at most 1,000 members, e.g. testers; the same content within 30 minutes is dropped."""
        too_many(len(userids), MAX_TESTERS)
        body = {"touser": "|".join(userids), "agentid": agent_id, "enable_duplicate_check": 1} | member_body(message)
        return await self._caller.post("/cgi-bin/message/send", body, Shown, effect=Effect.KEYED)

    async def upload_media(self, kind: Literal["image", "file"], name: str, content: bytes) -> str:
        """Upload a file for three days; gives its media_id."""
        query = {"type": kind}
        return (await self._caller.upload("/cgi-bin/media/upload", name, content, _Media, query=query)).media_id

    async def upload_image(self, name: str, content: bytes) -> str:
        """Upload a picture for ever; gives its URL, the only kind that a link card may show."""
        return (await self._caller.upload("/cgi-bin/media/uploadimg", name, content, _Url)).url

    async def _pages(self, name: str, body: dict[str, Any], shape: type[AnswerT]) -> AsyncIterator[AnswerT]:
        """Follow `next_cursor` to its end; a cursor that repeats itself is an end too."""
        while True:
            page = await self._caller.post(f"{_EXTERNAL}/{name}", body, shape)
            yield page
            cursor: str = getattr(page, "next_cursor", "")
            if not cursor or cursor == body.get("cursor"):
                return
            body = body | {"cursor": cursor}
