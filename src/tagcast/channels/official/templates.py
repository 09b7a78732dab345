"""Template messages (模板消息, verified 服务号 only): notices to one follower; marketing is forbidden (40249).

Source: developers.weixin.qq.com/doc/service/api/notify/template, pages as of 2026-10-07.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect, lost
from tagcast.channels.official.template import TemplateCall

INDUSTRIES = range(1, 42)
"""The numbers of the industries that an account can choose."""

MAX_BLOCKED = 100
"""Held messages in one answer."""


class Template(Answer):
    """A template of the account; `content` holds its keywords as `{{thing1.DATA}}`."""

    template_id: str
    title: str
    content: str
    example: str = ""
    primary_industry: str = ""
    deputy_industry: str = ""


class Industry(Answer):
    """An industry's two names."""

    first_class: str
    second_class: str


class Industries(Answer):
    """The account's industries."""

    primary_industry: Industry
    secondary_industry: Industry | None = None


class _Templates(Answer):
    template_list: tuple[Template, ...]


class _Blocked(Answer):
    model_config = ConfigDict(extra="allow")


class _TemplateId(Answer):
    template_id: str


class Templates:
    """Template messages and the account's (at most 25) templates."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def send(
        self, call: TemplateCall, openid: str, values: Sequence[str], *, client_msg_id: str, url: str = ""
    ) -> int:
        """Send a prepared template message to one person; gives its msgid.

        The platform remembers `client_msg_id` per person for ten minutes.
        """
        body = call.body(openid, values, client_msg_id=client_msg_id, url=url)
        answer = await self._caller.post_bytes("/cgi-bin/message/template/send", body, effect=Effect.KEYED)
        msgid = answer.get("msgid")
        if type(msgid) is not int:
            raise lost("official", "message/template/send", effect=Effect.KEYED)
        return msgid

    async def all(self) -> tuple[Template, ...]:
        """The account's templates."""
        return (await self._caller.get("/cgi-bin/template/get_all_private_template", _Templates)).template_list

    async def add(self, short_id: str, keywords: Sequence[str]) -> str:
        """Take a template of the library (`TM…` or a number) with these keywords; gives its template id."""
        body = {"template_id_short": short_id, "keyword_name_list": list(keywords)}
        return (
            await self._caller.post("/cgi-bin/template/api_add_template", body, _TemplateId, effect=Effect.SEND)
        ).template_id

    async def delete(self, template_id: str) -> None:
        """Take a template away."""
        await self._caller.post("/cgi-bin/template/del_private_template", {"template_id": template_id}, Done)

    async def industries(self) -> Industries:
        """The account's industries."""
        return await self._caller.get("/cgi-bin/template/get_industry", Industries)

    async def set_industries(self, first: int, second: int) -> None:
        """Choose the industries, once a month. The templates of the old ones are deleted by the platform."""
        if first not in INDUSTRIES or second not in INDUSTRIES:
            raise ValueError(f"industries are {INDUSTRIES[0]} to {INDUSTRIES[-1]}")
        body = {"industry_id1": str(first), "industry_id2": str(second)}
        await self._caller.post("/cgi-bin/template/api_set_industry", body, Done, effect=Effect.SEND)

    async def blocked(self, template_message_id: str, *, after: int = 0, limit: int = 100) -> dict[str, Any]:
        """Messages that the platform held back, up to 100 after the id `after`.

        As it came: no page that was seen confirms the fields.
        """
        if not 0 < limit <= MAX_BLOCKED:
            raise ValueError(f"1 to {MAX_BLOCKED} held messages are given at once")
        body = {"tmpl_msg_id": template_message_id, "largest_id": after, "limit": limit}
        return (await self._caller.post("/wxa/sec/queryblocktmplmsg", body, _Blocked)).model_dump()
