"""Employees who serve customers, their customers, and the remarks on them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import ChannelError, Effect, lost, refusal
from tagcast.channels.wecom.limits import within
from tagcast.channels.wecom.pages import MOST_PAGES, Page, pages

_UNLICENSED = 701008
_NO_CUSTOMER = 84061


class Profile(Answer):
    """A customer. `unionid` is given only for WeChat users (`type` 1) of a corp that bound a developer id."""

    external_userid: str
    name: str = ""
    type: int = 0
    gender: int = 0
    unionid: str = ""
    position: str = ""
    corp_name: str = ""


class CustomerTag(Answer):
    """A tag on one employee's customer. `type` 1: corp, 2: the employee's own, without `tag_id`, 3: strategy."""

    tag_id: str = ""
    tag_name: str = ""
    group_name: str = ""
    type: int = 1


class Channels(Answer):
    """The 视频号 through which a customer came (`add_way` 10)."""

    nickname: str = ""
    source: int = 0


class Relation(Answer):
    """One employee's relation to a customer. `tag_id` is filled by batch reading, `tags` by reading one customer.

    `createtime` in Unix seconds; `state` is the channel value of a contact way or an acquisition link.
    """

    userid: str
    createtime: int = 0
    remark: str = ""
    description: str = ""
    remark_corp_name: str = ""
    remark_mobiles: tuple[str, ...] = ()
    oper_userid: str = ""
    add_way: int = 0
    state: str = ""
    tag_id: tuple[str, ...] = ()
    tags: tuple[CustomerTag, ...] = ()
    wechat_channels: Channels | None = None


class CustomerOf(Answer):
    """A customer and the relation of the employee asked for."""

    external_contact: Profile
    follow_info: Relation


class Customer(Answer):
    """A customer and all employees who have them as a contact."""

    external_contact: Profile
    follow_user: tuple[Relation, ...] = ()


class _Employees(Answer):
    follow_user: tuple[str, ...]


class _Ids(Answer):
    external_userid: tuple[str, ...]


class _Failed(Answer):
    unlicensed_userid_list: tuple[str, ...] = ()


class _Customers(Page):
    external_contact_list: tuple[CustomerOf, ...]
    fail_info: _Failed = _Failed()


class _CustomerPage(Page):
    external_contact: Profile
    follow_user: tuple[Relation, ...] = ()


class Customers:
    """Members and customers (成员与客户)."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def employees(self) -> tuple[str, ...]:
        """userids of the employees who may serve customers and are visible to the app."""
        answer = await self._caller.get("/cgi-bin/externalcontact/get_follow_user_list", _Employees)
        return answer.follow_user

    async def ids(self, userid: str) -> tuple[str, ...]:
        """external_userids of one employee's customers.

        An employee without any is answered by an empty list, or by 84061 (UNCONFIRMED which); both are no customers.
        """
        try:
            answer = await self._caller.get("/cgi-bin/externalcontact/list", _Ids, query={"userid": userid})
        except ChannelError as error:
            if error.errcode != _NO_CUSTOMER:
                raise
            return ()
        return answer.external_userid

    async def of(self, userids: Sequence[str], cursor: str = "") -> AsyncIterator[tuple[CustomerOf, ...]]:
        """Pages of the customers of 1 to 100 employees; a customer of two employees comes twice.

        Employees whom the platform leaves out, because they have no licence, make the list incomplete: `no_licence`.
        """
        within("employees_asked", userids)
        path = "batch/get_by_user"
        body = {"userid_list": list(userids), "limit": 100, "cursor": cursor}
        async for page in pages(self._caller, "/cgi-bin/externalcontact/batch/get_by_user", body, _Customers):
            if page.fail_info.unlicensed_userid_list:
                raise refusal("wecom", f"externalcontact/{path}", _UNLICENSED, effect=Effect.READ)
            yield page.external_contact_list

    async def get(self, external_userid: str) -> Customer:
        """One customer with all relations, of which a page holds 500."""
        relations: list[Relation] = []
        cursors = [""]
        for _ in range(MOST_PAGES):
            query = {"external_userid": external_userid} | ({"cursor": cursors[-1]} if cursors[-1] else {})
            page = await self._caller.get("/cgi-bin/externalcontact/get", _CustomerPage, query=query)
            relations += page.follow_user
            if not page.next_cursor:
                return Customer(external_contact=page.external_contact, follow_user=tuple(relations))
            if page.next_cursor in cursors:
                break
            cursors.append(page.next_cursor)
        raise lost("wecom", "externalcontact/get", effect=Effect.READ)

    async def remark(
        self,
        userid: str,
        external_userid: str,
        *,
        remark: str | None = None,
        description: str | None = None,
        company: str | None = None,
        mobiles: Sequence[str] | None = None,
    ) -> None:
        """Write an employee's remarks on a customer; None leaves one as it is, `mobiles` replaces all.

        Raises ValueError for nothing to write, a remark or `company` of more than 20 characters (`company` is kept for
        WeChat users only), or a description of more than 150.
        """
        given = {"remark": remark, "description": description, "remark_company": company}
        words: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
        for name, text in words.items():
            within(name, text)
        if mobiles is not None:
            words["remark_mobiles"] = list(mobiles)
        if not words:
            raise ValueError("a remark needs something to write")
        body = {"userid": userid, "external_userid": external_userid} | words
        await self._caller.post("/cgi-bin/externalcontact/remark", body, Done)
