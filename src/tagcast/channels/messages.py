"""Our content vocabulary, and what each kind of account can send of it.

A broadcast's content is a short list of messages. 公众号 and 服务号 send exactly one; 企业微信 sends at most one
text and up to nine attachments; 第三方 takes one message of any kind. What a kind of account can send, and how long a
field may be, is data (`limits.toml`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from tagcast.kit.shipped import read_toml

AccountKind = Literal["wecom", "official", "service", "custom"]
Unit = Literal["bytes", "chars", "items"]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    kind: ClassVar[str] = "text"
    content: str


@dataclass(frozen=True, slots=True)
class Article:
    """图文. 公众号 and 服务号 need `body` (HTML) and a permanent `cover_media_id`; 企业微信 shows a card opening `url`.

    `media_id` is the draft that `OfficialClient.drafts.add` made of it, `article_id` its publication.
    """

    kind: ClassVar[str] = "article"
    title: str
    description: str = ""
    url: str = ""
    picture_url: str = ""
    author: str = ""
    body: str = ""
    cover_media_id: str = ""
    media_id: str = ""
    article_id: str = ""


@dataclass(frozen=True, slots=True)
class MiniProgram:
    """A mini-program card; `cover_media_id` is an uploaded picture of 520 by 416 pixels."""

    kind: ClassVar[str] = "mini_program"
    title: str
    app_id: str
    page: str
    cover_media_id: str


@dataclass(frozen=True, slots=True)
class Image:
    """One picture, uploaded before. 企业微信 also shows the `url` of a picture uploaded for ever; `media_id` wins."""

    kind: ClassVar[str] = "image"
    media_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Video:
    """A film, uploaded before; title, description and cover show where the platform has a place for them."""

    kind: ClassVar[str] = "video"
    media_id: str
    title: str = ""
    description: str = ""
    cover_media_id: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """A recording, uploaded before (公众号 and 服务号)."""

    kind: ClassVar[str] = "voice"
    media_id: str


@dataclass(frozen=True, slots=True)
class File:
    """A file, uploaded before."""

    kind: ClassVar[str] = "file"
    media_id: str


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """模板消息: keyword → value. A mini-program, where given, wins over `url`."""

    kind: ClassVar[str] = "template"
    template_id: str
    data: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    url: str = ""
    app_id: str = ""
    page: str = ""


Message = Text | Article | MiniProgram | Image | Video | Voice | File | TemplateMessage


@dataclass(frozen=True, slots=True)
class Problem:
    """A field that the platform would refuse: its size and the limit in `unit`. A `limit` of 0 with `kind` as the field
    means that the account cannot send the kind; a size of 0 means that a needed field is empty."""

    field: str
    size: int
    limit: int
    unit: Unit
    source: str


def kinds_of(account_kind: AccountKind) -> tuple[str, ...]:
    """The message kinds that the platform lets an account of this kind broadcast."""
    return tuple(_limits()["kinds"][account_kind])


def problems(content: Sequence[Message], account_kind: AccountKind) -> list[Problem]:
    """Everything that the platform would refuse in this content, in the content's order; empty when it can be sent."""
    found = list(_of_the_whole(content, account_kind))
    for message in content:
        if message.kind not in kinds_of(account_kind):
            found.append(Problem(f"{message.kind}.kind", 1, 0, "items", "kinds"))
            continue
        found += _of_fields(message, _limits()[account_kind][message.kind])
        if isinstance(message, TemplateMessage) and account_kind != "custom":
            found += keyword_problems(message)
    return found


def sizes(message: Message, account_kind: AccountKind) -> list[Problem]:
    """Each field of a message that has a limit, with its size, whether it fits or not."""
    limits = _limits()[account_kind].get(message.kind, {})
    found = [
        Problem(
            f"{message.kind}.{name}", _size(getattr(message, name), one["unit"]), one["max"], one["unit"], _source(one)
        )
        for name, one in limits.items()
    ]
    if isinstance(message, TemplateMessage):
        for keyword, value in message.data.items():
            if one := _limits()["keyword"].get(re.sub(r"\d+$", "", keyword)):
                size = _size(value, one["unit"])
                found.append(Problem(f"template.data.{keyword}", size, one["max"], one["unit"], _source(one)))
    return found


@cache
def _limits() -> dict[str, Any]:
    return read_toml("channels", "limits.toml")


def _of_the_whole(content: Sequence[Message], account_kind: AccountKind) -> Iterator[Problem]:
    if not content:
        yield Problem("messages", 0, 1, "items", "ours")
    for name, limit in _limits()[account_kind]["broadcast"].items():
        size = sum(1 for message in content if name == "messages" or not isinstance(message, Text))
        if size > limit["max"]:
            yield Problem(name, size, limit["max"], limit["unit"], _source(limit))
    texts = sum(isinstance(message, Text) for message in content)
    if account_kind == "wecom" and texts > 1:
        yield Problem("text", texts, 1, "items", _limits()["sources"]["groupmsg"])


def _of_fields(message: Message, limits: Mapping[str, Any]) -> Iterator[Problem]:
    for name, limit in limits.items():
        value: str = getattr(message, name)
        size = _size(value, limit["unit"])
        instead = "or" in limit and getattr(message, limit["or"]).strip()
        missing = limit.get("required", False) and not value.strip() and not instead
        if size > limit["max"] or missing:
            yield Problem(f"{message.kind}.{name}", size, limit["max"], limit["unit"], _source(limit))


def keyword_problems(message: TemplateMessage) -> Iterator[Problem]:
    """Values that their keyword, known by its name's letters, does not take."""
    for keyword, value in message.data.items():
        limit = _limits()["keyword"].get(re.sub(r"\d+$", "", keyword))
        if limit and not 0 < _size(value, limit["unit"]) <= limit["max"]:
            size = _size(value, limit["unit"])
            yield Problem(f"template.data.{keyword}", size, limit["max"], limit["unit"], _source(limit))


def _size(value: str, unit: Unit) -> int:
    return len(value.encode(errors="surrogatepass")) if unit == "bytes" else len(value)


def _source(limit: Mapping[str, Any]) -> str:
    return str(_limits()["sources"][limit["source"]])
