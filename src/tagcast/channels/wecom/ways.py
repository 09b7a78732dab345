"""联系我: QR codes and buttons by which a customer adds one employee, or one of several."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message
from tagcast.channels.wecom.bodies import group_message_body
from tagcast.channels.wecom.limits import fits, within
from tagcast.channels.wecom.pages import Page, pages


@dataclass(frozen=True, slots=True)
class ContactWay:
    """A way to become a contact of one of `employees`, or of those in `departments`.

    `state` (at most 30 characters) comes back with each customer who came this way. A `temporary` way ends after
    `expires_seconds` and its chats after `chat_seconds` (0: the platform's 7 days and 24 hours; at most 14 days), with
    `farewell` as the last words. `one_employee`: the code always leads to the same one (一客一码, is_exclusive).
    """

    employees: tuple[str, ...] = ()
    departments: tuple[int, ...] = ()
    qr_code: bool = True
    style: int = 1
    remark: str = ""
    skip_verify: bool = True
    state: str = ""
    temporary: bool = False
    expires_seconds: int = 0
    chat_seconds: int = 0
    unionid: str = ""
    one_employee: bool = False
    farewell: tuple[Message, ...] = ()


class NewWay(Answer):
    """A way that was made. `config_id` is the only handle to it: the console does not show it."""

    config_id: str
    qr_code: str = ""


class ContactWayShown(Answer):
    """A way as the platform keeps it. `type` 1: one employee, 2: several; `scene` 1: mini-program, 2: QR code."""

    config_id: str
    type: int = 0
    scene: int = 0
    style: int = 0
    remark: str = ""
    skip_verify: bool = True
    state: str = ""
    qr_code: str = ""
    user: tuple[str, ...] = ()
    party: tuple[int, ...] = ()
    is_temp: bool = False
    expires_in: int = 0
    chat_expires_in: int = 0
    unionid: str = ""


class WayId(Answer):
    """A way in the list (the list's name in the answer is UNCONFIRMED)."""

    config_id: str


class _Way(Answer):
    contact_way: ContactWayShown


class _Ways(Page):
    contact_way: tuple[WayId, ...] = ()


class Ways:
    """「联系我」方式. A corp has 500,000 of them, join ways included, and 100,000 new temporary ones a day."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def add(self, way: ContactWay) -> NewWay:
        """Make a way. Not idempotent: a repetition makes a second one. Raises ValueError for a size outside limits."""
        body = {"type": _type(way), "scene": 2 if way.qr_code else 1} | _body(way)
        if way.one_employee:
            body["is_exclusive"] = True
        if way.temporary:
            body["is_temp"] = True
        return await self._caller.post("/cgi-bin/externalcontact/add_contact_way", body, NewWay, effect=Effect.SEND)

    async def get(self, config_id: str) -> ContactWayShown:
        """A way with its QR code."""
        body = {"config_id": config_id}
        return (await self._caller.post("/cgi-bin/externalcontact/get_contact_way", body, _Way)).contact_way

    async def list(self, start: int, end: int) -> AsyncIterator[tuple[str, ...]]:
        """Pages of config_ids of ways made between two Unix seconds at most 90 days apart (otherwise ValueError).

        The platform lists no temporary ones, and none from before 2021-07-10.
        """
        within("way_record_span", end - start)
        body = {"start_time": start, "end_time": end, "limit": 1000}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/list_contact_way", body, _Ways):
            yield tuple(way.config_id for way in page.contact_way)

    async def update(self, config_id: str, way: ContactWay) -> None:
        """Change a way; its people and its remark are replaced, its kind stays. Raises ValueError as `add`."""
        _type(way)
        body = {"config_id": config_id} | _body(way)
        await self._caller.post("/cgi-bin/externalcontact/update_contact_way", body, Done)

    async def delete(self, config_id: str) -> None:
        """Delete a way; its QR code stops working."""
        await self._caller.post("/cgi-bin/externalcontact/del_contact_way", {"config_id": config_id}, Done)

    async def close_chat(self, userid: str, external_userid: str) -> None:
        """End a temporary chat before its time; the way's farewell is sent."""
        body = {"userid": userid, "external_userid": external_userid}
        await self._caller.post("/cgi-bin/externalcontact/close_temp_chat", body, Done)


def _type(way: ContactWay) -> int:
    """1: exactly one employee, 2: several or departments."""
    within("way_employees", way.employees)
    if not (way.employees or way.departments):
        raise ValueError("a contact way needs employees or departments")
    return 1 if len(way.employees) == 1 and not way.departments else 2


def _body(way: ContactWay) -> dict[str, Any]:
    within("way_remark", way.remark)
    within("way_state", way.state)
    within("way_life", way.expires_seconds)
    within("way_life", way.chat_seconds)
    only_temporary = (way.expires_seconds, way.chat_seconds, way.unionid, way.farewell)
    if any(only_temporary) and not way.temporary:
        raise ValueError("only a temporary way ends, is for one unionid, or says farewell")
    body: dict[str, Any] = {"skip_verify": way.skip_verify, "style": way.style, "remark": way.remark}
    body |= _lists(("user", way.employees), ("party", way.departments))
    optional = {
        "state": way.state,
        "expires_in": way.expires_seconds,
        "chat_expires_in": way.chat_seconds,
        "unionid": way.unionid,
        "conclusions": _farewell(way.farewell),
    }
    return body | {name: value for name, value in optional.items() if value}


def _lists(*named: tuple[str, Sequence[object]]) -> dict[str, Any]:
    return {name: list(values) for name, values in named if values}


def _farewell(content: tuple[Message, ...]) -> dict[str, Any]:
    """`conclusions`: a text and one of image, link, mini-program, each under its own name."""
    if not content:
        return {}
    fits(content)
    body = group_message_body(content)
    attachments = body.pop("attachments", [])
    if len(attachments) > 1 or any(part["msgtype"] not in ("image", "link", "miniprogram") for part in attachments):
        raise ValueError("a farewell shows one image, link or mini-program at most")
    return body | {part["msgtype"]: part[part["msgtype"]] for part in attachments}
