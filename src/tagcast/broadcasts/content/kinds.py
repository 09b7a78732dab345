"""What a broadcast says: one message kind with its fields, checked, and turned into the channels' words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import Any, Literal, get_args

from tagcast import channels, tracking
from tagcast.broadcasts.content import templates
from tagcast.broadcasts.content.templates import Block, Link, Parts, Slot
from tagcast.kit.errors import Invalid

Kind = Literal["text", "article", "mini_program", "image", "video", "voice", "file", "template", "subscription"]
KINDS: tuple[str, ...] = get_args(Kind)

NEEDED: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "article": ("title", "body"),
    "mini_program": ("title", "app_id", "page"),
    "image": ("media",),
    "video": ("media",),
    "voice": ("media",),
    "file": ("media",),
    "template": ("template_id", "data"),
    "subscription": ("template_id", "data"),
}
# A card beside a text opens its address, not a page of ours.
NEEDED_ATTACHED: Mapping[str, tuple[str, ...]] = {
    **{kind: NEEDED[kind] for kind in ("mini_program", "image", "video", "file")},
    "article": ("title", "url"),
}

# Kinds of account whose articles have a picture, which is put over them when they are sent.
COVERED = ("official", "service")

# Fields in which placeholders stand, and those of them in which addresses may.
TEXTS = ("text", "title", "description", "body", "button")
WITH_LINKS = ("text", "body")
ATTACHED_TEXTS = ("title", "description")
_STORED = re.compile(r"media:([1-9]\d{0,17})")
SAMPLE_URL = "https://example.com/m/" + "x" * 60


@dataclass(frozen=True, slots=True)
class Content:
    """One message.

    `text`: plain text; on 企业微信 also stands before a card. `title`, `body`: an article, and the page that opens.
    `url`, `button`: where the page's button leads, tracked; on a text the tracked address is put after it.
    `template_id`, `data`: a template or subscription message. `app_id`, `page`: a mini-program card. `media`: the
    picture, film, recording or file; `cover`, `picture`: the picture over an article or a mini-program card, and beside
    a link card. A file is `media:<number>` of the store of files, or what the platform calls it. `attachments`: what
    stands beside the text on 企业微信.
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
    media: str = ""
    picture: str = ""
    attachments: tuple["Content", ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        said = {one.name: value for one in fields(self) if (value := getattr(self, one.name))}
        if self.data:
            said["data"] = dict(self.data)
        if self.attachments:
            said["attachments"] = [one.to_json() for one in self.attachments]
        return said


def parse(data: Mapping[str, Any]) -> Content:
    """Content from JSON. Raises Invalid for an unknown kind or field, a wrong type, a missing field, a bad address, and
    for a text whose placeholders cannot be read.
    """
    attached = data.get("attachments", [])
    if not isinstance(attached, list | tuple) or not all(isinstance(one, Mapping) for one in attached):
        raise Invalid("broadcasts.bad_field", field="attachments")
    top = {name: value for name, value in data.items() if name != "attachments"}
    content = replace(_one(top, NEEDED), attachments=tuple(_one(one, NEEDED_ATTACHED) for one in attached))
    for path, text in texts_of(content).items():
        try:
            parts = templates.parse(text)
        except Invalid as error:
            error.params["field"] = path
            raise
        for part in templates.walk(parts):
            if isinstance(part, Link):
                if path not in WITH_LINKS:
                    raise Invalid("broadcasts.no_link_here", field=path, fields=", ".join(WITH_LINKS))
                tracking.check_destination(part.url)
    return content


def _one(data: Mapping[str, Any], needed: Mapping[str, tuple[str, ...]]) -> Content:
    kind = data.get("kind")
    if kind not in needed:
        raise Invalid("broadcasts.unknown_kind", kind=kind, known=", ".join(needed))
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
        if name not in (*TEXTS, "data") and "{{" in value:
            raise Invalid("broadcasts.no_placeholder_here", field=name, fields=", ".join((*TEXTS, "data")))
    content = Content(**data)
    for name in needed[content.kind]:
        if not getattr(content, name):
            raise Invalid("broadcasts.missing_field", kind=content.kind, field=name)
    if content.url:
        tracking.check_destination(content.url)
    return content


def texts_of(content: Content) -> dict[str, str]:
    """Path → text, of everything in which a placeholder may stand: `text`, `data.thing1`, `attachments.0.title`."""
    found = {name: text for name in TEXTS if (text := getattr(content, name))}
    found |= {f"data.{keyword}": value for keyword, value in content.data.items()}
    for at, one in enumerate(content.attachments):
        found |= {f"attachments.{at}.{name}": text for name in ATTACHED_TEXTS if (text := getattr(one, name))}
    return found


def with_texts(content: Content, texts: Mapping[str, str]) -> Content:
    """The content with other texts, by their paths."""
    own: dict[str, Any] = {name: texts[name] for name in TEXTS if name in texts}
    data = {keyword: texts.get(f"data.{keyword}", value) for keyword, value in content.data.items()}
    attached = tuple(
        replace(
            one,
            title=texts.get(f"attachments.{at}.title", one.title),
            description=texts.get(f"attachments.{at}.description", one.description),
        )
        for at, one in enumerate(content.attachments)
    )
    return replace(content, data=data, attachments=attached, **own)


def links_of(content: Content) -> list[str]:
    """Every address that is tracked, each once, in an order that does not change: the button's, the texts', the
    cards'.
    """
    found = [content.url] if content.url else []
    for text in texts_of(content).values():
        found += [part.url for part in templates.walk(templates.parse(text)) if isinstance(part, Link)]
    found += [one.url for one in content.attachments if one.url]
    return list(dict.fromkeys(found))


def media_of(content: Content) -> Iterator[tuple[str, int, str]]:
    """(path, number in the store, use) of each file of our own that the content names."""
    for at, one in [("", content), *((f"attachments.{i}.", one) for i, one in enumerate(content.attachments))]:
        for name, use in (("media", one.kind), ("cover", cover_use(one.kind)), ("picture", "url")):
            number = stored(getattr(one, name))
            if number is not None:
                yield f"{at}{name}", number, use


def cover_use(kind: str) -> str:
    """As what a cover is uploaded: over an article it is a `thumb`."""
    return "thumb" if kind == "article" else "image"


def stored(reference: str) -> int | None:
    """The number in our store of files, or None for what the platform knows under its own name."""
    found = _STORED.fullmatch(reference)
    return int(found[1]) if found else None


def is_tracked(content: Content) -> bool:
    """Whether the message leads to a page of ours."""
    return bool(content.url)


def page_of(content: Content) -> tuple[str, str, str]:
    """(title, text, button's label) of the page that the message opens; empty where the broadcast's own stand."""
    return content.title, content.body or content.text or "\n\n".join(content.data.values()), content.button


def messages(
    content: Content, account_kind: str, page_url: str = "", links: Mapping[str, str] | None = None
) -> list[channels.Message]:
    """The content in the channels' vocabulary. `page_url` is the tracked address that the message opens, `links` those
    of the cards beside it.
    """
    lead: list[channels.Message] = [channels.Text(content.text)] if content.text else []
    beside = [_card(one, (links or {}).get(one.url, one.url)) for one in content.attachments]
    match content.kind:
        case "text":
            address = f"\n{page_url}" if page_url else ""
            return [channels.Text(content.text + address), *beside]
        case "article":
            card = channels.Article(
                title=content.title,
                description=content.description,
                url=page_url,
                picture_url=content.picture,
                body=article_html(content.body),
                cover_media_id=content.cover,
            )
            return [*(lead if account_kind == "wecom" else []), card, *beside]
        case "template" | "subscription":
            return [channels.TemplateMessage(content.template_id, dict(content.data), page_url)]
        case _:
            if page_url and account_kind == "wecom":
                lead = [channels.Text("\n".join(filter(None, (content.text, page_url))))]
            return [*lead, _card(content, page_url), *beside]


def _card(content: Content, url: str) -> channels.Message:
    match content.kind:
        case "mini_program":
            return channels.MiniProgram(content.title, content.app_id, content.page, content.cover)
        case "image":
            return channels.Image(content.media)
        case "video":
            return channels.Video(content.media, content.title, content.description, content.cover)
        case "voice":
            return channels.Voice(content.media)
        case "file":
            return channels.File(content.media)
        case _:
            return channels.Article(content.title, content.description, url, content.picture)


def with_cover(article: channels.Article, media_id: str) -> channels.Article:
    """The article with its permanent cover picture."""
    return replace(article, cover_media_id=media_id)


def with_draft(article: channels.Article, media_id: str) -> channels.Article:
    """The article as the draft that was made of it."""
    return replace(article, media_id=media_id)


def article_html(body: str) -> str:
    """Paragraphs; nothing that is typed, and no value, is markup."""
    return "".join(f"<p>{escape(line)}</p>" for line in body.splitlines() if line.strip())


def problems(content: Content, account_kind: str) -> None:
    """Raises Invalid when the platform would refuse the content whoever it is for, naming field, size, limit and the
    limit's source. What depends on values is asked when it is planned.
    """
    least = {path: _least(templates.parse(text)) for path, text in texts_of(content).items()}
    check_fields(with_texts(content, least), account_kind)


def check_fields(content: Content, account_kind: str, **who: object) -> None:
    """As `problems`, for texts as somebody gets them; `who` is told with what is wrong."""
    sample = messages(content, account_kind, SAMPLE_URL if is_tracked(content) else "")
    ready = [
        with_cover(part, part.cover_media_id or "cover")
        if isinstance(part, channels.Article) and account_kind in COVERED
        else part
        for part in sample
    ]
    for problem in channels.problems(ready, account_kind):  # type: ignore[arg-type]  # the account's kind, checked there
        if problem.size <= problem.limit:
            code = "broadcasts.empty_for" if who else "broadcasts.missing_field"
            raise Invalid(code, kind=content.kind, field=problem.field, **who)
        raise Invalid(
            "broadcasts.too_long_for" if who else "broadcasts.too_long",
            field=problem.field,
            size=problem.size,
            limit=problem.limit,
            unit=problem.unit,
            source=problem.source,
            **who,
        )


def _least(parts: Parts) -> str:
    """A text as short as anybody's can be: a value is one letter, of two texts the shorter is taken."""
    said = []
    for part in parts:
        match part:
            case str():
                said.append(part)
            case Slot(_, default):
                said.append((default or "x")[:1])
            case Link():
                said.append(SAMPLE_URL)
            case Block(_, then, other):
                said.append(min(_least(then), _least(other), key=lambda one: len(one.encode())))
    return "".join(said)
