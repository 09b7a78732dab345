"""公众号 and 服务号: `https://api.weixin.qq.com`. Source: developers.weixin.qq.com, pages as of 2026-10-07."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from tagcast.channels.calls import Answer, Caller, Done, Token, TokenAnswer, TokenSource, too_many
from tagcast.channels.errors import ChannelError, Effect, lost
from tagcast.channels.messages import Article, Message, draft_body, mass_body, preview_body
from tagcast.channels.official.template import TemplateCall
from tagcast.kit.http import Transport

MAX_TAGGING = 50
"""openids in one tagging call."""
MAX_PEOPLE = 100
"""openids in one look-up of people."""
MIN_RECIPIENTS, MAX_RECIPIENTS = 2, 10_000
"""openids in one mass send to a list."""


class MassStatus(StrEnum):
    """How far a mass send is."""

    SUCCESS = "SEND_SUCCESS"
    SENDING = "SENDING"
    FAIL = "SEND_FAIL"
    DELETED = "DELETE"


class Tag(Answer):
    """A tag of the account; `count` followers wear it (0 right after its creation)."""

    id: int
    name: str
    count: int = 0


class Page(Answer):
    """A page of openids. `next_openid` continues after it; the last page has none."""

    openids: tuple[str, ...]
    next_openid: str
    total: int


class Follower(Answer):
    """What the platform tells about a person. Only `openid` and `unionid` are given of one who does not follow."""

    subscribe: int
    openid: str
    unionid: str = ""
    subscribe_time: int = 0
    remark: str = ""
    tagid_list: tuple[int, ...] = ()
    subscribe_scene: str = ""
    qr_scene_str: str = ""


class Template(Answer):
    """A template of the account; `content` holds its keywords as `{{thing1.DATA}}`."""

    template_id: str
    title: str
    content: str
    example: str = ""
    primary_industry: str = ""
    deputy_industry: str = ""


class Material(Answer):
    """An uploaded file; `url` is given for permanent images only."""

    media_id: str
    url: str = ""


class Quota(Answer):
    """Calls of one interface today."""

    daily_limit: int
    used: int
    remain: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mass send that the platform took. `adopted`: it had taken the same `client_id` before (errcode 45065)."""

    msg_id: int
    msg_data_id: int = 0
    adopted: bool = False


class _TagAnswer(Answer):
    tag: Tag


class _TagsAnswer(Answer):
    tags: tuple[Tag, ...]


class _Openids(Answer):
    openid: tuple[str, ...] = ()


class _PageAnswer(Answer):
    total: int = 0
    count: int
    data: _Openids = _Openids()
    next_openid: str = ""


class _People(Answer):
    user_info_list: tuple[Follower, ...]


class _MassAnswer(Answer):
    msg_id: int
    msg_data_id: int = 0


class _MassStatusAnswer(Answer):
    msg_status: str


class _Templates(Answer):
    template_list: tuple[Template, ...]


class _Url(Answer):
    url: str = Field(min_length=1)


class _QuotaAnswer(Answer):
    quota: Quota


async def stable_token(
    transport: Transport, base_url: str, appid: str, secret: str, *, force_refresh: bool = False
) -> Token:
    """Fetch the stable access token; while one lives it is the same, with the remaining seconds.

    `force_refresh` kills the old one at once: 20 a day, 30 s apart. Raises `ChannelError`.
    """
    body = {"grant_type": "client_credential", "appid": appid, "secret": secret, "force_refresh": force_refresh}
    answer = await Caller(transport, base_url, "official", None).post("/cgi-bin/stable_token", body, TokenAnswer)
    return Token(answer.access_token, answer.expires_in)


class OfficialClient:
    """Calls of one 公众号 or 服务号. Every method raises `ChannelError`; none repeats a call."""

    def __init__(self, transport: Transport, base_url: str, token: TokenSource) -> None:
        self._caller = Caller(transport, base_url, "official", token)

    # tags

    async def create_tag(self, name: str) -> Tag:
        """Create a tag. After a lost answer look it up in `tags`: a second creation is refused as a duplicate."""
        body = {"tag": {"name": name}}
        return (await self._caller.post("/cgi-bin/tags/create", body, _TagAnswer, effect=Effect.SEND)).tag

    async def tags(self) -> tuple[Tag, ...]:
        """All tags, the system's (ids 0 to 2) included."""
        return (await self._caller.get("/cgi-bin/tags/get", _TagsAnswer)).tags

    async def rename_tag(self, tag_id: int, name: str) -> None:
        """Give a tag another name."""
        await self._caller.post("/cgi-bin/tags/update", {"tag": {"id": tag_id, "name": name}}, Done)

    async def delete_tag(self, tag_id: int) -> None:
        """Delete a tag of at most 100,000 followers."""
        await self._caller.post("/cgi-bin/tags/delete", {"tag": {"id": tag_id}}, Done)

    async def tag_people(self, tag_id: int, openids: Sequence[str]) -> tuple[str, ...]:
        """Put a tag on at most 50 people; gives those on whom it failed and may be tried again."""
        return await self._tagging("/cgi-bin/tags/members/batchtagging", tag_id, openids)

    async def untag_people(self, tag_id: int, openids: Sequence[str]) -> tuple[str, ...]:
        """Take a tag off at most 50 people; gives those on whom it failed and may be tried again."""
        return await self._tagging("/cgi-bin/tags/members/batchuntagging", tag_id, openids)

    async def _tagging(self, path: str, tag_id: int, openids: Sequence[str]) -> tuple[str, ...]:
        too_many(len(openids), MAX_TAGGING)
        try:
            await self._caller.post(path, {"openid_list": list(openids), "tagid": tag_id}, Done)
        except ChannelError as error:
            failed = error.answer.get("fail_openid_list")
            if error.reason != "partly_failed" or not isinstance(failed, list):
                raise
            return tuple(openid for openid in openids if openid in failed)
        return ()

    async def tagged_people(self, tag_id: int, start: str = "") -> AsyncIterator[Page]:
        """Pages of the followers with a tag, after the openid `start`."""
        while True:
            body = {"tagid": tag_id, "next_openid": start}
            page = _page(await self._caller.post("/cgi-bin/user/tag/get", body, _PageAnswer), start)
            if page.openids:
                yield page
            if not page.next_openid:
                return
            start = page.next_openid

    # people

    async def followers(self, start: str = "") -> AsyncIterator[Page]:
        """Pages of up to 10,000 followers, after the openid `start`."""
        while True:
            query = {"next_openid": start} if start else {}
            page = _page(await self._caller.get("/cgi-bin/user/get", _PageAnswer, query=query), start)
            if page.openids:
                yield page
            if not page.next_openid:
                return
            start = page.next_openid

    async def people(self, openids: Sequence[str]) -> tuple[Follower, ...]:
        """What is known of at most 100 people."""
        too_many(len(openids), MAX_PEOPLE)
        body = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
        return (await self._caller.post("/cgi-bin/user/info/batchget", body, _People)).user_info_list

    # content

    async def add_draft(self, articles: Sequence[Article]) -> str:
        """Store articles as one draft; gives its media_id, which dies when the draft is mass-sent."""
        body = {"articles": [draft_body(article) for article in articles]}
        return (await self._caller.post("/cgi-bin/draft/add", body, Material)).media_id

    async def upload_media(self, kind: Literal["image", "thumb"], name: str, content: bytes) -> Material:
        """Upload a file for three days."""
        return await self._caller.upload("/cgi-bin/media/upload", name, content, Material, query={"type": kind})

    async def add_material(self, kind: Literal["image", "thumb"], name: str, content: bytes) -> Material:
        """Upload a permanent file, such as an article's cover."""
        return await self._caller.upload(
            "/cgi-bin/material/add_material", name, content, Material, query={"type": kind}
        )

    async def upload_article_image(self, name: str, content: bytes) -> str:
        """Upload a picture for use inside an article's HTML; gives its URL. JPG or PNG, below 1 MB."""
        return (await self._caller.upload("/cgi-bin/media/uploadimg", name, content, _Url)).url

    # mass sends

    async def send_to_tag(self, message: Message, tag_id: int | None, *, client_id: str) -> Accepted:
        """Mass-send to a tag, or to everybody when None. `client_id`, at most 32 bytes, is remembered for 24 hours."""
        audience = {"is_to_all": True} if tag_id is None else {"is_to_all": False, "tag_id": tag_id}
        return await self._mass("/cgi-bin/message/mass/sendall", {"filter": audience}, message, client_id)

    async def send_to_people(self, message: Message, openids: Sequence[str], *, client_id: str) -> Accepted:
        """Mass-send to 2 to 10,000 people (服务号 only). Raises ValueError outside these numbers.

        `client_id` as in `send_to_tag`.
        """
        too_many(len(openids), MAX_RECIPIENTS)
        if len(openids) < MIN_RECIPIENTS:
            raise ValueError("a mass send to a list needs two people")
        return await self._mass("/cgi-bin/message/mass/send", {"touser": list(openids)}, message, client_id)

    async def _mass(self, path: str, audience: dict[str, Any], message: Message, client_id: str) -> Accepted:
        body = audience | mass_body(message) | {"clientmsgid": client_id}
        try:
            answer = await self._caller.post(path, body, _MassAnswer, effect=Effect.KEYED)
        except ChannelError as error:
            known = error.answer.get("msg_id")
            if error.reason != "already_accepted" or type(known) is not int:
                raise
            return Accepted(known, adopted=True)
        return Accepted(answer.msg_id, answer.msg_data_id)

    async def mass_status(self, msg_id: int) -> str:
        """How far a mass send is, normally a `MassStatus`; the counts come in a callback only."""
        body = {"msg_id": msg_id}
        return (await self._caller.post("/cgi-bin/message/mass/get", body, _MassStatusAnswer)).msg_status

    async def preview(self, message: Message, *, openid: str = "", wechat_name: str = "") -> None:
        """Show a message to one person, named by openid or by WeChat id (100 calls a day)."""
        person = {"touser": openid} if openid else {"towxname": wechat_name}
        body = person | preview_body(message)
        await self._caller.post("/cgi-bin/message/mass/preview", body, Done, effect=Effect.SEND)

    # template messages

    async def send_template(
        self, call: TemplateCall, openid: str, values: Sequence[str], *, client_msg_id: str, url: str = ""
    ) -> int:
        """Send a prepared template message to one person; gives its msgid.

        The platform remembers `client_msg_id` per person for ten minutes.
        """
        path = "/cgi-bin/message/template/send"
        body = call.body(openid, values, client_msg_id=client_msg_id, url=url)
        msgid = (await self._caller.post_bytes(path, body, effect=Effect.KEYED)).get("msgid")
        if type(msgid) is not int:
            raise lost("official", "message/template/send", effect=Effect.KEYED)
        return msgid

    async def templates(self) -> tuple[Template, ...]:
        """The account's templates."""
        return (await self._caller.get("/cgi-bin/template/get_all_private_template", _Templates)).template_list

    # quota

    async def quota(self, path: str) -> Quota:
        """Calls of one interface today; `path` with its leading slash, e.g. `/cgi-bin/message/custom/send`."""
        return (await self._caller.post("/cgi-bin/openapi/quota/get", {"cgi_path": path}, _QuotaAnswer)).quota


def _page(answer: _PageAnswer, start: str) -> Page:
    """A page; one that would lead nowhere or back to its own start is the last."""
    more = answer.next_openid if answer.data.openid and answer.next_openid != start else ""
    return Page(openids=answer.data.openid, next_openid=more, total=answer.total or answer.count)
