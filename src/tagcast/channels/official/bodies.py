"""Our content in the words of 公众号 and 服务号: mass sends, previews, drafts, customer service, subscriptions."""

from typing import Any

from tagcast.channels.messages import (
    Article,
    Image,
    Message,
    MiniProgram,
    TemplateMessage,
    Text,
    Video,
    Voice,
    keyword_problems,
)


def mass_body(message: Message) -> dict[str, Any]:
    """`msgtype` and its object for mass/sendall and mass/send. Raises ValueError for what cannot be mass-sent.

    Two tables of the platform differ on the msgtype of a video (`mpvideo`, `video`); the object is `mpvideo` in both.
    """
    match message:
        case Text(content):
            return {"msgtype": "text", "text": {"content": content}}
        case Article(media_id=media_id) if media_id:
            return {"msgtype": "mpnews", "mpnews": {"media_id": media_id}, "send_ignore_reprint": 0}
        case Image(media_id) if media_id:
            return {"msgtype": "image", "images": {"media_ids": [media_id]}}
        case Voice(media_id):
            return {"msgtype": "voice", "voice": {"media_id": media_id}}
        case Video(media_id, title, description):
            return {"msgtype": "mpvideo", "mpvideo": _given(media_id=media_id, title=title, description=description)}
        case _:
            raise ValueError(f"{message.kind} cannot be mass-sent as it is")


def preview_body(message: Message) -> dict[str, Any]:
    """`msgtype` and its object for mass/preview, where the image is singular. Raises ValueError as `mass_body`."""
    body = mass_body(message)
    body.pop("send_ignore_reprint", None)
    if isinstance(message, Image):
        return {"msgtype": "image", "image": {"media_id": message.media_id}}
    return body


def draft_body(article: Article) -> dict[str, Any]:
    """One element of draft/add's `articles`."""
    body: dict[str, Any] = {
        "article_type": "news",
        "title": article.title,
        "content": article.body,
        "thumb_media_id": article.cover_media_id,
    }
    return body | _given(author=article.author, digest=article.description, content_source_url=article.url)


def customer_body(message: Message) -> dict[str, Any]:
    """`msgtype` and its object for a customer service message. Raises ValueError for what cannot be one.

    An article is the publication `article_id`, or else a card that opens `url`; the retiring mpnews is not used.
    """
    shown: dict[str, Any]
    match message:
        case Text(content):
            kind, shown = "text", {"content": content}
        case Image(media_id) if media_id:
            kind, shown = "image", {"media_id": media_id}
        case Voice(media_id):
            kind, shown = "voice", {"media_id": media_id}
        case Video(media_id, title, description, cover) if cover:
            kind, shown = "video", {"media_id": media_id, "thumb_media_id": cover}
            shown |= _given(title=title, description=description)
        case Article(article_id=article_id) if article_id:
            kind, shown = "mpnewsarticle", {"article_id": article_id}
        case Article(title, description, url, picture_url) if url:
            card = {"title": title} | _given(description=description, url=url, picurl=picture_url)
            kind, shown = "news", {"articles": [card]}
        case MiniProgram(title, app_id, page, cover):
            kind = "miniprogrampage"
            shown = {"title": title, "appid": app_id, "pagepath": page, "thumb_media_id": cover}
        case _:
            raise ValueError(f"{message.kind} cannot be a customer service message as it is")
    return {"msgtype": kind, kind: shown}


def subscription_body(message: TemplateMessage) -> dict[str, Any]:
    """`template_id`, `data` and where it leads, for message/subscribe/bizsend: `page` is the web page of `url`.

    Raises ValueError for a value that its keyword does not take.
    """
    for problem in keyword_problems(message):
        raise ValueError(f"{problem.field}: {problem.size} {problem.unit}, at most {problem.limit} and not empty")
    body: dict[str, Any] = {"template_id": message.template_id, "data": data_of(message)}
    if message.app_id:
        body["miniprogram"] = {"appid": message.app_id, "pagepath": message.page}
    return body | _given(page=message.url)


def data_of(message: TemplateMessage) -> dict[str, dict[str, str]]:
    """keyword → value, as the platforms' notices have it."""
    return {keyword: {"value": value} for keyword, value in message.data.items()}


def _given(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
