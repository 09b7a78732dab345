"""Temporary media of both platforms, permanent materials and drafts of 公众号 and 服务号."""

import secrets
from email import message_from_bytes, policy
from typing import Any

from wechat_sandbox.call import ANY, OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_TYPES = {
    "wecom": ("image", "voice", "video", "file"),
    "official": ("image", "voice", "video", "thumb"),
    "service": ("image", "voice", "video", "thumb"),
}
_DAY_MS = 86_400_000
# The first bytes of a JPG and of a PNG.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def _uploaded(call: Call) -> tuple[str, bytes]:
    """File name and content of the multipart field `media`; 44001-like error when there is none."""
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    parsed = message_from_bytes(head + call.raw, policy=policy.HTTP)
    for part in parsed.iter_parts() if parsed.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "media":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return str(part.get_filename() or ""), content
    raise ApiError(44001 if call.account["kind"] == "wecom" else 44002)


def _keep(world: World, call: Call, permanent: bool) -> Document:
    kind, account = call.query.get("type", ""), call.account
    if kind not in _TYPES[account["kind"]]:
        raise ApiError(40004)
    name, content = _uploaded(call)
    wecom = account["kind"] == "wecom"
    if wecom and len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    if len(content) > world.limits["image_bytes"]:
        raise ApiError(45007 if wecom else 40009)
    ident = secrets.token_urlsafe(48)
    return world.state.put(
        "media",
        ident,
        {
            "media_id": ident,
            "account": account["id"],
            "type": kind,
            "name": name,
            "size": len(content),
            "permanent": permanent,
            "at": world.now(),
        },
    )


def upload(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/media/upload: lives three days."""
    media = _keep(world, call, permanent=False)
    answer = {"type": media["type"], "media_id": media["media_id"], "created_at": media["at"] // 1000}
    return {**OK, **answer, "created_at": str(answer["created_at"])} if call.account["kind"] == "wecom" else answer


def add_material(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/material/add_material."""
    media = _keep(world, call, permanent=True)
    answer = {"media_id": media["media_id"]}
    if media["type"] == "image":
        answer["url"] = f"http://mmbiz.qpic.cn/sandbox/{media['media_id'][:16]}"
    return answer


def upload_image(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/media/uploadimg: a JPG or PNG for articles and link cards, kept for ever; gives its url only."""
    _, content = _uploaded(call)
    wecom = call.account["kind"] == "wecom"
    if wecom and len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    if not content.startswith(_PICTURES):
        raise ApiError(40005)
    if len(content) >= world.limits["article_image_bytes"]:
        raise ApiError(45007 if wecom else 40009)
    ident = secrets.token_urlsafe(24)
    answer = {"url": f"http://mmbiz.qpic.cn/sandbox/{ident}/0"}
    return {**OK, **answer} if wecom else answer


def require_media(world: World, account: Document, ident: Any, permanent: bool = False) -> None:
    """40007 unless the media exists here, is not older than three days (or permanent, where that is needed)."""
    media = world.state.get("media", ident) if isinstance(ident, str) else None
    alive = media is not None and (
        media["permanent"] or world.now() - media["at"] < world.limits["media_days"] * _DAY_MS
    )
    if media is None or media["account"] != account["id"] or not alive or (permanent and not media["permanent"]):
        raise ApiError(40007)


def _check_article(world: World, call: Call, article: Any) -> Document:
    if not isinstance(article, dict):
        raise ApiError(44003)
    title, content = article.get("title"), article.get("content")
    if not isinstance(title, str) or not title or not isinstance(content, str) or not content:
        raise ApiError(44003 if not title else 44004)
    if len(title) > world.limits["draft_title_chars"]:
        raise ApiError(45003)
    if len(content) >= world.limits["draft_content_chars"]:
        raise ApiError(45002)
    if article.get("article_type", "news") == "news":
        require_media(world, call.account, article.get("thumb_media_id"), permanent=True)
    return article


def draft_add(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/add."""
    articles = call.body.get("articles")
    if not isinstance(articles, list) or not articles:
        raise ApiError(44003)
    checked = [_check_article(world, call, article) for article in articles]
    ident = secrets.token_urlsafe(48)
    world.state.put("draft", ident, {"account": call.account["id"], "articles": checked, "at": world.now() // 1000})
    return {"media_id": ident}


def draft(world: World, account: Document, ident: Any) -> Document:
    """A draft of the account; 40007 for another's or none."""
    found = world.state.get("draft", ident) if isinstance(ident, str) else None
    if found is None or found["account"] != account["id"]:
        raise ApiError(40007)
    return found


def draft_get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/draft/get."""
    found = draft(world, call.account, call.body.get("media_id"))
    return {"news_item": found["articles"], "create_time": found["at"], "update_time": found["at"]}


ROUTES = [
    Route("POST", "/cgi-bin/media/upload", upload, kinds=ANY, upload=True),
    Route("POST", "/cgi-bin/media/uploadimg", upload_image, kinds=ANY, upload=True),
    Route("POST", "/cgi-bin/material/add_material", add_material, upload=True),
    Route("POST", "/cgi-bin/draft/add", draft_add),
    Route("POST", "/cgi-bin/draft/get", draft_get),
]
