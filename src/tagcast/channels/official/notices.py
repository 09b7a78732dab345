"""Messages to one person at a time: customer service (客服消息), subscription (订阅通知) and one-time subscription.

Source: developers.weixin.qq.com/doc/service/api/customer/message and /notify/subscribe, pages as of 2026-10-07.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Message, TemplateMessage
from tagcast.channels.official.bodies import customer_body, data_of, subscription_body

MAX_SCENE = 10_000
"""Largest scene of a one-time subscription (not confirmed by a page of the platform)."""
MAX_TITLE = 15
"""Characters in the title of a one-time subscription (not confirmed by a page of the platform)."""
MAX_KEYWORDS = 5
"""Keywords chosen for a subscription template; the fewest are two (not confirmed by a page of the platform)."""

State = Literal["", "developer", "trial", "formal"]


@dataclass(frozen=True, slots=True)
class Menu:
    """A question with answers to tap: `choices` is id → words; the id comes back in the person's next message."""

    head: str
    choices: Mapping[str, str]
    tail: str = ""


class SubscriptionTemplate(Answer):
    """A subscription template of the account; `type` 2 is one-time, 3 long-term."""

    priTmplId: str  # noqa: N815 - the platform's name
    title: str
    content: str
    example: str = ""
    type: int = 0


class Category(Answer):
    """A service category of the account."""

    id: int
    name: str


class LibraryTitle(Answer):
    """A title in the public library of templates."""

    tid: int
    title: str
    type: int = 0
    categoryId: str | int = ""  # noqa: N815 - the platform's name


class LibraryKeyword(Answer):
    """A keyword that a title of the public library offers; `rule` is the kind of its value."""

    kid: int
    name: str
    example: str = ""
    rule: str = ""


class _Added(Answer):
    priTmplId: str  # noqa: N815 - the platform's name


class _Templates(Answer):
    data: tuple[SubscriptionTemplate, ...] = ()


class _Categories(Answer):
    data: tuple[Category, ...] = ()


class _Titles(Answer):
    count: int = 0
    data: tuple[LibraryTitle, ...] = ()


class _Keywords(Answer):
    data: tuple[LibraryKeyword, ...] = ()


class CustomerMessages:
    """Customer service messages, inside the window that a person's own action opens.

    After a message of his: 5 within 48 hours (older pages: 20); after a menu click, a scan or following: 3 within a
    minute. Outside: 45015; too many: 45047.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(self, openid: str, message: Message, *, staff: str = "") -> None:
        """Send to one person, in the name of the staff account `staff` where given.

        The platform knows no key for it: a lost answer is in doubt.
        """
        body = {"touser": openid} | customer_body(message) | _by(staff)
        await self._caller.post("/cgi-bin/message/custom/send", body, Done, effect=Effect.SEND)

    async def ask(self, openid: str, menu: Menu, *, staff: str = "") -> None:
        """Send a question with answers to tap. Raises ValueError without a choice."""
        if not menu.choices:
            raise ValueError("a menu needs a choice")
        choices = [{"id": key, "content": words} for key, words in menu.choices.items()]
        shown = {"head_content": menu.head, "list": choices, "tail_content": menu.tail}
        body = {"touser": openid, "msgtype": "msgmenu", "msgmenu": shown} | _by(staff)
        await self._caller.post("/cgi-bin/message/custom/send", body, Done, effect=Effect.SEND)


class Subscriptions:
    """Subscription messages: one for each consent that a person gave. Who withdrew it is refused with 43101."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(self, openid: str, message: TemplateMessage, *, client_msg_id: str = "") -> None:
        """Send to one person (公众号 and 服务号). Raises ValueError for a value that its keyword does not take.

        No page says how long `client_msg_id` is remembered here, so a lost answer is in doubt all the same.
        """
        body = {"touser": openid} | subscription_body(message)
        if client_msg_id:
            body["client_msg_id"] = client_msg_id
        await self._caller.post("/cgi-bin/message/subscribe/bizsend", body, Done, effect=Effect.SEND)

    async def send_from_mini_program(
        self, openid: str, message: TemplateMessage, *, state: State = "", language: str = "zh_CN"
    ) -> None:
        """Send to one user of a 小程序, leading to its `page`. Raises ValueError as `send`.

        `state` is the version that opens; the published one when empty. 10,000,000 a day, 30,000,000 with payment.
        """
        body = subscription_body(TemplateMessage(message.template_id, message.data, message.page))
        body |= {"touser": openid, "lang": language} | ({"miniprogram_state": state} if state else {})
        await self._caller.post("/cgi-bin/message/subscribe/send", body, Done, effect=Effect.SEND)

    async def send_once(self, openid: str, message: TemplateMessage, *, scene: int, title: str) -> None:
        """Send the one message that a person agreed to on the page of 一次性订阅.

        Its single keyword is `content`. Raises ValueError for a scene, a title or data that cannot be right.
        """
        if not 0 <= scene <= MAX_SCENE or not 0 < len(title) <= MAX_TITLE:
            raise ValueError(f"a scene is 0 to {MAX_SCENE}, a title has 1 to {MAX_TITLE} characters")
        if set(message.data) != {"content"}:
            raise ValueError("a one-time subscription has the keyword content and no other")
        body: dict[str, Any] = {"touser": openid, "template_id": message.template_id, "data": data_of(message)}
        body |= {"scene": str(scene), "title": title} | ({"url": message.url} if message.url else {})
        if message.app_id:
            body["miniprogram"] = {"appid": message.app_id, "pagepath": message.page}
        await self._caller.post("/cgi-bin/message/template/subscribe", body, Done, effect=Effect.SEND)

    async def templates(self) -> tuple[SubscriptionTemplate, ...]:
        """The account's subscription templates."""
        return (await self._caller.get("/wxaapi/newtmpl/gettemplate", _Templates)).data

    async def add_template(self, title_id: str, keywords: Sequence[int], *, scene: str) -> str:
        """Take a title of the library with 2 to 5 of its keywords; `scene` says what for. Gives its template id."""
        if not 2 <= len(keywords) <= MAX_KEYWORDS:
            raise ValueError(f"a subscription template has 2 to {MAX_KEYWORDS} keywords")
        body = {"tid": title_id, "kidList": list(keywords), "sceneDesc": scene}
        answer = await self._caller.post("/wxaapi/newtmpl/addtemplate", body, _Added, effect=Effect.SEND)
        return answer.priTmplId

    async def delete_template(self, template_id: str) -> None:
        """Take a subscription template away."""
        await self._caller.post("/wxaapi/newtmpl/deltemplate", {"priTmplId": template_id}, Done)

    async def categories(self) -> tuple[Category, ...]:
        """The account's service categories."""
        return (await self._caller.get("/wxaapi/newtmpl/getcategory", _Categories)).data

    async def library(
        self, categories: Sequence[int], *, start: int = 0, limit: int = 30
    ) -> tuple[int, tuple[LibraryTitle, ...]]:
        """How many titles the library has for these categories, and up to 30 of them from `start` on."""
        if not 0 < limit <= 30 or start < 0:
            raise ValueError("up to 30 titles are given at once, from 0 on")
        query = {"ids": ",".join(map(str, categories)), "start": str(start), "limit": str(limit)}
        answer = await self._caller.get("/wxaapi/newtmpl/getpubtemplatetitles", _Titles, query=query)
        return answer.count, answer.data

    async def library_keywords(self, title_id: str) -> tuple[LibraryKeyword, ...]:
        """The keywords that a title of the library offers."""
        query = {"tid": title_id}
        return (await self._caller.get("/wxaapi/newtmpl/getpubtemplatekeywords", _Keywords, query=query)).data


def _by(staff: str) -> dict[str, Any]:
    return {"customservice": {"kf_account": staff}} if staff else {}
