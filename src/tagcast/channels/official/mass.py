"""Mass sends (群发). Source: developers.weixin.qq.com/doc/service/api/notify/message, pages as of 2026-10-07.

An accepted send is a job: its counts come in the callback MASSSENDJOBFINISH only, and nobody is told person by person.
At most 60 calls a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from tagcast.channels.calls import Answer, Caller, Done, too_many
from tagcast.channels.errors import ChannelError, Effect
from tagcast.channels.messages import Message
from tagcast.channels.official.bodies import mass_body, preview_body
from tagcast.channels.official.tags import LARGEST_SYSTEM_TAG

MIN_RECIPIENTS, MAX_RECIPIENTS = 2, 10_000
"""openids in one mass send to a list."""
MAX_CLIENT_ID_BYTES = 32
"""Length of a mass send's idempotency key; older pages say 64."""
PER_MINUTE: Mapping[int, int] = {0: 800_000, 1: 600_000, 2: 450_000, 3: 300_000, 4: 100_000}
"""Speed level → people reached in a minute."""

Speed = Literal[0, 1, 2, 3, 4]


class MassStatus(StrEnum):
    """How far a mass send is."""

    SUCCESS = "SEND_SUCCESS"
    SENDING = "SENDING"
    FAIL = "SEND_FAIL"
    DELETED = "DELETE"


class SendingSpeed(Answer):
    """The level that was set, 0 (fastest) to 4, and the real one in 10,000 people a minute."""

    speed: int
    realspeed: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mass send that the platform took. `adopted`: it had taken the same `client_id` before (errcode 45065).

    `msg_data_id` is given for articles: statistics count by it, and sending it again keeps the article's address.
    """

    msg_id: int
    msg_data_id: int = 0
    adopted: bool = False


class _MassAnswer(Answer):
    msg_id: int
    msg_data_id: int = 0


class _StatusAnswer(Answer):
    msg_status: str


class Mass:
    """Mass sends. `client_id`, 1 to 32 bytes, is remembered by the platform for 24 hours."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send_to_tag(self, message: Message, tag_id: int, *, client_id: str) -> Accepted:
        """Mass-send to the wearers of one tag of the account, or of its star group (2).

        Raises ValueError for what is no tag: a tag that is missing never means everybody.
        """
        if type(tag_id) is not int or tag_id < LARGEST_SYSTEM_TAG:
            raise ValueError("a mass send to a tag needs the tag's id")
        body = _body(message, client_id) | {"filter": {"is_to_all": False, "tag_id": tag_id}}
        try:
            answer = await self._caller.post("/cgi-bin/message/mass/sendall", body, _MassAnswer, effect=Effect.KEYED)
        except ChannelError as error:
            return _adopted(error)
        return Accepted(answer.msg_id, answer.msg_data_id)

    async def send_to_everybody(self, message: Message, *, client_id: str) -> Accepted:
        """Mass-send to every follower."""
        body = _body(message, client_id) | {"filter": {"is_to_all": True}}
        try:
            answer = await self._caller.post("/cgi-bin/message/mass/sendall", body, _MassAnswer, effect=Effect.KEYED)
        except ChannelError as error:
            return _adopted(error)
        return Accepted(answer.msg_id, answer.msg_data_id)

    async def send_to_people(self, message: Message, openids: Sequence[str], *, client_id: str) -> Accepted:
        """Mass-send to 2 to 10,000 people (服务号 only). Raises ValueError outside these numbers."""
        too_many(len(openids), MAX_RECIPIENTS, least=MIN_RECIPIENTS)
        body = _body(message, client_id) | {"touser": list(openids)}
        try:
            answer = await self._caller.post("/cgi-bin/message/mass/send", body, _MassAnswer, effect=Effect.KEYED)
        except ChannelError as error:
            return _adopted(error)
        return Accepted(answer.msg_id, answer.msg_data_id)

    async def preview(self, message: Message, *, openid: str = "", wechat_name: str = "") -> None:
        """Show a message to one person, named by openid or by WeChat id (100 calls a day). Raises ValueError else."""
        if bool(openid) == bool(wechat_name):
            raise ValueError("a preview goes to one person, named by openid or by WeChat id")
        person = {"touser": openid} if openid else {"towxname": wechat_name}
        body = person | preview_body(message)
        await self._caller.post("/cgi-bin/message/mass/preview", body, Done, effect=Effect.SEND)

    async def status(self, msg_id: int) -> str:
        """How far a mass send is, normally a `MassStatus`; the counts come in a callback only."""
        return (await self._caller.post("/cgi-bin/message/mass/get", {"msg_id": msg_id}, _StatusAnswer)).msg_status

    async def delete(self, msg_id: int, *, article: int = 0) -> None:
        """Make the page of a sent article or video unreadable: one article from 1 on, or all (0).

        The cards that were delivered stay. Not to be undone.
        """
        if article < 0:
            raise ValueError("articles are counted from 1; 0 means all")
        body = {"msg_id": msg_id, "article_idx": article}
        await self._caller.post("/cgi-bin/message/mass/delete", body, Done)

    async def delete_url(self, url: str) -> None:
        """Make one sent article unreadable, named by its address. Not to be undone."""
        if not url:
            raise ValueError("an article is named by its address")
        await self._caller.post("/cgi-bin/message/mass/delete", {"url": url}, Done)

    async def speed(self) -> SendingSpeed:
        """How fast mass sends go out."""
        return await self._caller.post("/cgi-bin/message/mass/speed/get", {}, SendingSpeed)

    async def set_speed(self, speed: Speed) -> None:
        """Set how fast mass sends go out (`PER_MINUTE`)."""
        if speed not in PER_MINUTE:
            raise ValueError(f"speed {speed}: the levels are 0 to 4")
        await self._caller.post("/cgi-bin/message/mass/speed/set", {"speed": speed}, Done)


def _body(message: Message, client_id: str) -> dict[str, Any]:
    if not 0 < len(client_id.encode()) <= MAX_CLIENT_ID_BYTES:
        raise ValueError(f"a mass send's key has 1 to {MAX_CLIENT_ID_BYTES} bytes")
    return mass_body(message) | {"clientmsgid": client_id}


def _adopted(error: ChannelError) -> Accepted:
    """The send that had the same key before. Raises every other error again."""
    known = error.answer.get("msg_id")
    if error.reason != "already_accepted" or type(known) is not int:
        raise error
    return Accepted(known, adopted=True)
