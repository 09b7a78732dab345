"""What a broadcast says: one message kind with its fields, checked, and turned into the channels' words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any, Literal, get_args

from tagcast import channels, tracking
from tagcast.kit.errors import Invalid

Kind = Literal["text", "article", "mini_program", "template"]
KINDS: tuple[str, ...] = get_args(Kind)

NEEDED: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "article": ("title", "body"),
    "mini_program": ("title", "app_id", "page"),
    "template": ("template_id", "data"),
}


# Kinds of account whose articles have a picture, which is put over them when they are sent.
COVERED = ("official", "service")


@dataclass(frozen=True, slots=True)
class Content:
    """One message.

    `text`: plain text; on 企业微信 also stands before a card. `title`, `body`: an article, and the page that opens.
    `url`, `button`: where the page's button leads, tracked; on a text the tracked address is put after it.
    `template_id`, `data`: a template message. `app_id`, `page`, `cover`: a mini-program card (`cover`: a media id).
    """

    kind: str
    text: str = ""
    title: str = ""
    description: str = ""
    body: str = ""
    url: str = ""
    button: str = ""
    template_id: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    app_id: str = ""
    page: str = ""
    cover: str = ""

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        return {name: value for name, value in asdict(self).items() if value}


def parse(data: Mapping[str, Any]) -> Content:
    """Content from JSON. Raises Invalid for an unknown kind or field, a wrong type, a missing field, a bad address."""
    kind = data.get("kind")
    if kind not in KINDS:
        raise Invalid("broadcasts.unknown_kind", kind=kind, known=", ".join(KINDS))
    known = Content.__dataclass_fields__
    for name, value in data.items():
        if name not in known:
            raise Invalid("broadcasts.unknown_field", field=name, known=", ".join(known))
        if name == "data":
            strings = isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)
        else:
            strings = isinstance(value, str)
        if not strings:
            raise Invalid("broadcasts.bad_field", field=name)
    content = Content(**data)
    for name in NEEDED[content.kind]:
        if not getattr(content, name):
            raise Invalid("broadcasts.missing_field", kind=content.kind, field=name)
    if content.url:
        tracking.check_destination(content.url)
    return content


def is_tracked(content: Content) -> bool:
    """Whether the message leads to a page of ours."""
    return bool(content.url)


def messages(content: Content, account_kind: str, page_url: str = "") -> list[channels.Message]:
    """The content in the channels' vocabulary; `page_url` is the tracked address that the message opens."""
    match content.kind:
        case "text":
            address = f"\n{page_url}" if page_url else ""
            return [channels.Text(content.text + address)]
        case "article":
            card = channels.Article(
                title=content.title, description=content.description, url=page_url, body=_article_html(content)
            )
            lead = [channels.Text(content.text)] if content.text and account_kind == "wecom" else []
            return [*lead, card]
        case "mini_program":
            card_ = channels.MiniProgram(content.title, content.app_id, content.page, content.cover)
            return [*([channels.Text(content.text)] if content.text else []), card_]
        case _:
            return [channels.TemplateMessage(content.template_id, dict(content.data), page_url)]


def with_cover(article: channels.Article, media_id: str) -> channels.Article:
    """The article with its permanent cover picture."""
    return replace(article, cover_media_id=media_id)


def _article_html(content: Content) -> str:
    """Paragraphs; nothing that an operator types is markup."""
    return "".join(f"<p>{escape(line)}</p>" for line in content.body.splitlines() if line.strip())


def problems(content: Content, account_kind: str) -> None:
    """Raises Invalid when the platform would refuse the content, naming field, size, limit and the limit's source."""
    sample = messages(content, account_kind, "https://example.com/m/" + "x" * 60 if is_tracked(content) else "")
    ready = [
        with_cover(part, "cover") if isinstance(part, channels.Article) and account_kind in COVERED else part
        for part in sample
    ]
    for problem in channels.problems(ready, account_kind):  # type: ignore[arg-type]  # the account's kind, checked there
        if problem.size == 0:
            raise Invalid("broadcasts.missing_field", kind=content.kind, field=problem.field)
        raise Invalid(
            "broadcasts.too_long",
            field=problem.field,
            size=problem.size,
            limit=problem.limit,
            unit=problem.unit,
            source=problem.source,
        )


def with_draft(article: channels.Article, media_id: str) -> channels.Article:
    """The article as the draft that was made of it."""
    return replace(article, media_id=media_id)
