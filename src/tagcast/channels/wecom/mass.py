"""企业群发: tasks that employees confirm. Creating one sends nothing; progress is polled, there is no callback."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message
from tagcast.channels.wecom.bodies import group_message_body
from tagcast.channels.wecom.limits import fits, within
from tagcast.channels.wecom.pages import Page, pages

ChatType = Literal["single", "group"]
MadeBy = Literal["app", "employee", "any"]
MADE_BY: dict[MadeBy, int] = {"app": 0, "employee": 1, "any": 2}


class SendStatus(IntEnum):
    """What became of a mass message for one customer or group chat."""

    NOT_SENT = 0
    SENT = 1
    NOT_A_FRIEND = 2
    OVER_LIMIT = 3


class TaskStatus(IntEnum):
    """Whether an employee has confirmed. The platform's pages have no 1; 3 is what another product reads."""

    NOT_SENT = 0
    SENT = 2
    CANCELLED = 3


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
    """What became of a mass message for one customer, or group chat, of one employee.

    `status` is normally a `SendStatus`, `send_time` in Unix seconds.
    """

    external_userid: str = ""
    chat_id: str = ""
    userid: str
    status: int
    send_time: int = 0


class Created(Answer):
    """A created mass message; `fail_list` holds the customers or group chats that will not get it."""

    msgid: str
    fail_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Customers by tag: within a group any tag, between groups all. 1 to 100 tags a group."""

    groups: tuple[tuple[str, ...], ...]


class _MassMessages(Page):
    group_msg_list: tuple[MassMessage, ...] = ()


class _Tasks(Page):
    task_list: tuple[Task, ...] = ()


class _SendResults(Page):
    send_list: tuple[SendResult, ...] = ()


class Mass:
    """Mass messages to customers and to group chats. One text and up to nine attachments.

    The platform has no idempotency key here: after a lost answer look into `list` before creating again.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self,
        content: Sequence[Message],
        *,
        external_userids: Sequence[str] = (),
        tags: TagFilter | None = None,
        sender: str = "",
        allow_select: bool = False,
    ) -> Created:
        """Create a task for customers: at most 10,000 by id, or those with tags, or all of `sender`'s.

        `allow_select` lets the employee choose other recipients. Raises ValueError for nobody (an empty filter is
        nobody), too many, content that the platform refuses, or ids together with tags: it would ignore the tags.
        """
        fits(content)
        within("mass_customers", external_userids)
        if tags is not None and (external_userids or not tags.groups):
            raise ValueError("tags choose customers without ids, and there must be some")
        for group in tags.groups if tags else ():
            within("filter_tags", group)
        if not (external_userids or tags or sender):
            raise ValueError("a mass message needs customers, tags or a sender")
        body: dict[str, Any] = {"chat_type": "single", "allow_select": allow_select} | group_message_body(content)
        if external_userids:
            body["external_userid"] = list(external_userids)
        if tags:
            body["tag_filter"] = {"group_list": [{"tag_list": list(group)} for group in tags.groups]}
        if sender:
            body["sender"] = sender
        return await self._caller.post("/cgi-bin/externalcontact/add_msg_template", body, Created, effect=Effect.SEND)

    async def create_for_groups(self, content: Sequence[Message], *, sender: str, chat_ids: Sequence[str]) -> Created:
        """Create a task for 1 to 2,000 of `sender`'s group chats. Raises ValueError for none, no sender, or too many.

        A task for all of a sender's group chats, which the platform makes of an empty list, is not offered.
        """
        fits(content)
        within("mass_chats", chat_ids)
        if not sender or not chat_ids:
            raise ValueError("a mass message to group chats needs a sender and the chats")
        body: dict[str, Any] = {"chat_type": "group", "sender": sender, "chat_id_list": list(chat_ids)}
        return await self._caller.post(
            "/cgi-bin/externalcontact/add_msg_template",
            body | group_message_body(content),
            Created,
            effect=Effect.SEND,
        )

    async def list(
        self, start: int, end: int, *, chat_type: ChatType = "single", creator: str = "", made_by: MadeBy = "any"
    ) -> AsyncIterator[tuple[MassMessage, ...]]:
        """Pages of the record between two Unix seconds at most a month apart; otherwise ValueError.

        Right after a creation the platform answers `dispatching` (41063).
        """
        within("mass_record_span", end - start)
        body: dict[str, Any] = {"chat_type": chat_type, "start_time": start, "end_time": end, "limit": 100}
        body |= {"filter_type": MADE_BY[made_by]} | ({"creator": creator} if creator else {})
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_groupmsg_list_v2", body, _MassMessages):
            yield page.group_msg_list

    async def tasks(self, msgid: str, cursor: str = "") -> AsyncIterator[tuple[Task, ...]]:
        """Pages of the employees' tasks of one mass message."""
        body = {"msgid": msgid, "limit": 1000, "cursor": cursor}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_groupmsg_task", body, _Tasks):
            yield page.task_list

    async def results(self, msgid: str, userid: str, cursor: str = "") -> AsyncIterator[tuple[SendResult, ...]]:
        """Pages of what became of one mass message for one employee's customers or group chats."""
        body = {"msgid": msgid, "userid": userid, "limit": 1000, "cursor": cursor}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/get_groupmsg_send_result", body, _SendResults):
            yield page.send_list

    async def remind(self, msgid: str) -> None:
        """Remind the employees who have not confirmed; three times in 24 hours."""
        await self._caller.post(
            "/cgi-bin/externalcontact/remind_groupmsg_send", {"msgid": msgid}, Done, effect=Effect.SEND
        )

    async def cancel(self, msgid: str) -> None:
        """Stop what has not been sent; what was sent stays."""
        await self._caller.post("/cgi-bin/externalcontact/cancel_groupmsg_send", {"msgid": msgid}, Done)
