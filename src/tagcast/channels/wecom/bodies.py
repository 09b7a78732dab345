"""Our content in the words of 企业微信: mass messages, welcomes, Moments, and messages to members."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tagcast.channels.messages import Article, File, Image, Message, MiniProgram, Text, Video
from tagcast.channels.wecom.limits import fields_fit, within


@dataclass(frozen=True, slots=True)
class Markdown:
    """Text with the platform's small set of marks; for members only."""

    kind: ClassVar[str] = "markdown"
    content: str


@dataclass(frozen=True, slots=True)
class TextCard:
    """A card of words that opens `url`; for members only."""

    kind: ClassVar[str] = "text_card"
    title: str
    description: str
    url: str
    button: str = ""


def group_message_body(content: Sequence[Message]) -> dict[str, Any]:
    """`text` and `attachments` of add_msg_template and send_welcome_msg. ValueError for an unknown kind."""
    texts = [message for message in content if isinstance(message, Text)]
    body: dict[str, Any] = {"text": {"content": texts[0].content}} if texts else {}
    attachments = [_attachment(message) for message in content if not isinstance(message, Text)]
    return body | ({"attachments": attachments} if attachments else {})


def moment_body(content: Sequence[Message]) -> dict[str, Any]:
    """`text` and `attachments` of add_moment_task: up to nine images, or one video, or one link.

    Raises ValueError for a mixture, too many, too long, or a kind that a Moment cannot show.
    """
    for message in content:
        fields_fit("moment", message)
    texts = [message for message in content if isinstance(message, Text)]
    parts = [message for message in content if not isinstance(message, Text)]
    if not content or len(texts) > 1:
        raise ValueError("a Moment has one text or none, and is not empty")
    if len({part.kind for part in parts}) > 1 or (len(parts) > 1 and not isinstance(parts[0], Image)):
        raise ValueError("a Moment shows images, or one video, or one link")
    within("moment_images", parts)
    body: dict[str, Any] = {"text": {"content": texts[0].content}} if texts else {}
    return body | ({"attachments": [_of_a_moment(part) for part in parts]} if parts else {})


def member_body(message: Message | Markdown | TextCard) -> dict[str, Any]:
    """`msgtype` and its object for message/send. Raises ValueError for what members cannot be shown."""
    word: str
    body: dict[str, Any]
    match message:
        case Text(content) | Markdown(content):
            word, body = message.kind, {"content": content}
        case Image(media_id) | File(media_id) if media_id:
            word, body = message.kind, {"media_id": media_id}
        case Video(media_id, title, description):
            word, body = "video", _filled({"media_id": media_id, "title": title, "description": description})
        case TextCard(title, description, url, button):
            card = {"title": title, "description": description, "url": url, "btntxt": button}
            word, body = "textcard", _filled(card)
        case Article(title, description, url, picture_url):
            card = {"title": title, "description": description, "url": url, "picurl": picture_url}
            word, body = "news", {"articles": [_filled(card)]}
        case MiniProgram(title, app_id, page):
            word, body = "news", {"articles": [{"title": title, "appid": app_id, "pagepath": page}]}
        case _:
            raise ValueError(f"{message.kind} cannot be shown to members")
    return {"msgtype": word, word: body}


def _attachment(message: Message) -> dict[str, Any]:
    match message:
        case Image(media_id, url):
            return {"msgtype": "image", "image": {"media_id": media_id} if media_id else {"pic_url": url}}
        case Video(media_id):
            return {"msgtype": "video", "video": {"media_id": media_id}}
        case File(media_id):
            return {"msgtype": "file", "file": {"media_id": media_id}}
        case Article(title, description, url, picture_url):
            link = {"title": title, "picurl": picture_url, "desc": description, "url": url}
            return {"msgtype": "link", "link": _filled(link)}
        case MiniProgram(title, app_id, page, cover):
            card = {"title": title, "pic_media_id": cover, "appid": app_id, "page": page}
            return {"msgtype": "miniprogram", "miniprogram": card}
        case _:
            raise ValueError(f"{message.kind} cannot be attached")


def _of_a_moment(message: Message) -> dict[str, Any]:
    if isinstance(message, Article):
        link = {"title": message.title, "url": message.url, "media_id": message.cover_media_id}
        return {"msgtype": "link", "link": _filled(link)}
    return _attachment(message)


def _filled(words: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in words.items() if value}
