"""获客助手: links by which customers add an employee from anywhere. A paid quota is used up by each new customer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.wecom.limits import within
from tagcast.channels.wecom.pages import Page, pages


class Link(Answer):
    """An acquisition link; `create_time` in Unix seconds."""

    link_id: str = ""
    link_name: str = ""
    url: str = ""
    create_time: int = 0
    skip_verify: bool = True


class LinkRange(Answer):
    """Who receives a link's customers."""

    user_list: tuple[str, ...] = ()
    department_list: tuple[int, ...] = ()


class LinkDetail(Answer):
    """A link with those who receive its customers."""

    link: Link
    range: LinkRange = LinkRange()


class LinkCustomer(Answer):
    """A customer who came by a link. `chat_status` 1: has written; `state` is the address's customer_channel."""

    external_userid: str
    userid: str
    chat_status: int = 0
    state: str = ""


class LinkFigures(Answer):
    """How many clicked a link, and how many became customers."""

    click_link_customer_cnt: int = 0
    new_customer_cnt: int = 0


class QuotaPart(Answer):
    """A part of the quota and the Unix second at which it expires."""

    expire_date: int
    balance: int


class LinkQuota(Answer):
    """The paid quota of new customers."""

    total: int
    balance: int
    quota_list: tuple[QuotaPart, ...] = ()


@dataclass(frozen=True, slots=True)
class NewLink:
    """What a link is made of: at most 500 employees, directly or by department."""

    name: str
    employees: tuple[str, ...] = ()
    departments: tuple[int, ...] = ()
    skip_verify: bool = True


class ChatInfo(Answer):
    """How a chat came about that a link began."""

    recv_msg_cnt: int = 0
    link_id: str = ""
    state: str = ""


class LinkChat(Answer):
    """Who talks, and by which link they met (the answer's shape is UNCONFIRMED)."""

    userid: str
    external_userid: str
    chat_info: ChatInfo = ChatInfo()


class _Link(Answer):
    link: Link


class _Links(Page):
    link_id_list: tuple[str, ...] = ()


class _Customers(Page):
    customer_list: tuple[LinkCustomer, ...] = ()


class Acquisition:
    """获客链接."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, link: NewLink) -> Link:
        """Make a link. Not idempotent. Raises ValueError without a name or people, or for more than 500."""
        return (
            await self._caller.post(
                "/cgi-bin/externalcontact/customer_acquisition/create_link", _body(link), _Link, effect=Effect.SEND
            )
        ).link

    async def get(self, link_id: str) -> LinkDetail:
        """A link."""
        body = {"link_id": link_id}
        return await self._caller.post("/cgi-bin/externalcontact/customer_acquisition/get", body, LinkDetail)

    async def list(self) -> AsyncIterator[tuple[str, ...]]:
        """Pages of the ids of all links (the list's name in the answer, link_id_list, is UNCONFIRMED)."""
        body = {"limit": 100}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/customer_acquisition/list_link", body, _Links):
            yield page.link_id_list

    async def update(self, link_id: str, link: NewLink) -> None:
        """Replace a link; its address stays. Raises ValueError as `create`."""
        body = {"link_id": link_id} | _body(link)
        await self._caller.post("/cgi-bin/externalcontact/customer_acquisition/update_link", body, Done)

    async def delete(self, link_id: str) -> None:
        """Delete a link; its address stops working."""
        body = {"link_id": link_id}
        await self._caller.post("/cgi-bin/externalcontact/customer_acquisition/delete_link", body, Done)

    async def customers(self, link_id: str) -> AsyncIterator[tuple[LinkCustomer, ...]]:
        """Pages of the customers who came by a link."""
        body = {"link_id": link_id, "limit": 1000}
        async for page in pages(
            self._caller, "/cgi-bin/externalcontact/customer_acquisition/customer", body, _Customers
        ):
            yield page.customer_list

    async def figures(self, link_id: str, start: int, end: int) -> LinkFigures:
        """Clicks and new customers between two Unix seconds at most 30 days apart (otherwise ValueError), of the last
        180 days."""
        within("statistics_span", end - start)
        body = {"link_id": link_id, "start_time": start, "end_time": end}
        return await self._caller.post("/cgi-bin/externalcontact/customer_acquisition/statistic", body, LinkFigures)

    async def quota(self) -> LinkQuota:
        """What is left of the paid quota."""
        return await self._caller.get("/cgi-bin/externalcontact/customer_acquisition_quota", LinkQuota)

    async def chat(self, chat_key: str) -> LinkChat:
        """The chat of a key that an event gave, good for 30 minutes."""
        body = {"chat_key": chat_key}
        return await self._caller.post("/cgi-bin/externalcontact/customer_acquisition/get_chat_info", body, LinkChat)


def with_channel(url: str, channel: str) -> str:
    """A link's address that says by which channel a customer comes. Raises ValueError for more than 64 bytes."""
    within("link_channel", channel)
    return f"{url}{'&' if '?' in url else '?'}customer_channel={quote(channel, safe='')}"


def _body(link: NewLink) -> dict[str, Any]:
    within("link_people", link.employees)
    if not link.name or not (link.employees or link.departments):
        raise ValueError("an acquisition link needs a name, and employees or departments")
    people = {"user_list": list(link.employees), "department_list": list(link.departments)}
    return {
        "link_name": link.name,
        "range": {name: ids for name, ids in people.items() if ids},
        "skip_verify": link.skip_verify,
    }
