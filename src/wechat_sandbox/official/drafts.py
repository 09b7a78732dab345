"""Drafts (草稿箱) of 公众号 and 服务号: articles before they are sent or published."""

import re
import secrets
from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.media import require_media
from wechat_sandbox.official.materials import paging
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_TAG = re.compile(r"<[^>]*>")
_DIGEST = 54
_TEXTS = (("author", "draft_author_chars", 45110), ("digest", "draft_digest_chars", 45004))


def _check(world: World, account: Document, article: Any) -> Document:
    """One article of draft/add; the texts' lengths, the pictures' ids."""
    if not isinstance(article, dict):
        raise ApiError(44003)
    title, content = article.get("title"), article.get("content")
    if not isinstance(title, str) or not title or not isinstance(content, str) or not content:
        raise ApiError(44003 if not title else 44004)
    if len(title) > world.limits["draft_title_chars"]:
        raise ApiError(45003)
    if len(content) >= world.limits["draft_content_chars"]:
        raise ApiError(45002)
    for name, limit, code in _TEXTS:
        text = article.get(name) or ""
        if not isinstance(text, str) or len(text) > world.limits[limit]:
            raise ApiError(code)
    kind = article.get("article_type", "news")
    if kind not in ("news", "newspic"):
        raise ApiError(40008)
    if kind == "news":
        require_media(world, account, article.get("thumb_media_id"), permanent=True)
    else:
        _check_pictures(world, account, article.get("image_info"))
    return article


def _check_pictures(world: World, account: Document, info: Any) -> None:
    pictures = info.get("image_list") if isinstance(info, dict) else None
    if not isinstance(pictures, list) or not 1 <= len(pictures) <= world.limits["draft_images"]:
        raise ApiError(40007)
    for picture in pictures:
        ident = picture.get("image_media_id") if isinstance(picture, dict) else None
        require_media(world, account, ident, permanent=True)


def add(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/add."""
    articles = call.body.get("articles")
    if not isinstance(articles, list) or not articles:
        raise ApiError(44003)
    if len(articles) > world.limits["draft_articles"]:
        raise ApiError(45008)
    checked = [_check(world, call.account, article) for article in articles]
    if len(checked) == 1 and not checked[0].get("digest"):
        checked[0]["digest"] = _TAG.sub("", checked[0]["content"])[:_DIGEST]
    ident, now = secrets.token_urlsafe(48), world.now() // 1000
    entry = {"media_id": ident, "account": call.account["id"], "articles": checked, "at": now, "changed": now}
    world.state.put("draft", ident, entry)
    return {"media_id": ident}


def draft(world: World, account: Document, ident: Any) -> Document:
    """A draft of the account; 40007 for another's or none."""
    found = world.state.get("draft", ident) if isinstance(ident, str) else None
    if found is None or found["account"] != account["id"]:
        raise ApiError(40007)
    return found


def shown(world: World, articles: list[Document], address: str, *, without: bool = False) -> list[Document]:
    """Articles as the platform returns them: with the address of each, and without the body where that is asked."""
    return [
        {**article, **({"content": ""} if without else {}), "url": f"{address}&idx={number}"}
        for number, article in enumerate(articles, 1)
    ]


def _item(world: World, entry: Document, *, without: bool = False) -> Document:
    address = f"{world.address}/s?tempkey={entry['media_id']}"
    return {
        "news_item": shown(world, entry["articles"], address, without=without),
        "create_time": entry["at"],
        "update_time": entry["changed"],
    }


def get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/get."""
    return _item(world, draft(world, call.account, call.body.get("media_id")))


def update(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/update: one article, by its place from 0."""
    entry, index = draft(world, call.account, call.body.get("media_id")), call.number("index", 0, 40114)
    if not 0 <= index < len(entry["articles"]):
        raise ApiError(40114)
    entry["articles"][index] = _check(world, call.account, call.body.get("articles"))
    entry["changed"] = world.now() // 1000
    world.state.put("draft", entry["media_id"], entry)
    return dict(OK)


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/delete."""
    world.state.remove("draft", draft(world, call.account, call.body.get("media_id"))["media_id"])
    return dict(OK)


def _own(world: World, account: Document) -> list[Document]:
    found = [entry for entry in world.state.documents["draft"].values() if entry["account"] == account["id"]]
    return sorted(found, key=lambda entry: (-int(entry["changed"]), str(entry["media_id"])))


def batch(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/batchget: last changed first, 1 to 20 a page."""
    start, count = paging(world, call)
    rows = _own(world, call.account)
    without = bool(call.body.get("no_content"))
    items = [
        {
            "media_id": entry["media_id"],
            "content": _item(world, entry, without=without),
            "update_time": entry["changed"],
        }
        for entry in rows[start : start + count]
    ]
    return {"total_count": len(rows), "item_count": len(items), "item": items}


def number(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/draft/count."""
    return {"total_count": len(_own(world, call.account))}


ROUTES = [
    Route("POST", "/cgi-bin/draft/add", add),
    Route("POST", "/cgi-bin/draft/get", get),
    Route("POST", "/cgi-bin/draft/update", update),
    Route("POST", "/cgi-bin/draft/delete", delete),
    Route("POST", "/cgi-bin/draft/batchget", batch),
    Route("GET", "/cgi-bin/draft/count", number),
]
