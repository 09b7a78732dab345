"""企业微信: the content of mass messages, welcome messages and the like, checked as the platform checks it."""

from typing import Any

import orjson

from wechat_sandbox.call import Call
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.media import require_media
from wechat_sandbox.people.population import topic_of
from wechat_sandbox.wecom.media import require_picture_url
from wechat_sandbox.world import World

_ATTACHMENTS = ("image", "link", "miniprogram", "video", "file")
_FIELDS: dict[str, dict[str, int]] = {
    "link": {"title": 128, "url": 2048},
    "miniprogram": {"title": 64, "pic_media_id": 512, "appid": 64, "page": 1024},
}
_OPTIONAL = {"link": {"picurl": 2048, "desc": 512}}
_TOO_LARGE = {"image": 41080, "video": 41080, "file": 41080, "miniprogram": 41080}


def check(world: World, call: Call, via: str) -> Message:
    """The message of a body with `text` and `attachments` (older clients: one `image`, `link` or `miniprogram`).

    44004 empty, 45002 text too long, 41064 too many attachments, 41065 unknown kind, 40058 a bad field, 40007 a bad
    media, 41080 too large, 41081 too many pixels, 41082 too long (which is which of the three: UNCONFIRMED).
    """
    body, limits = call.body, world.limits
    text = body["text"].get("content", "") if isinstance(body.get("text"), dict) else ""
    attachments = attached(body)
    if not isinstance(text, str) or not isinstance(attachments, list) or (not text and not attachments):
        raise ApiError(44004)
    if len(text.encode()) > limits["task_text_bytes"]:
        raise ApiError(45002)
    if len(attachments) > limits["task_attachments"]:
        raise ApiError(41064)
    link = first_link(text)
    for entry in attachments:
        link = attachment(world, call, entry) or link
    whole = text + orjson.dumps(attachments).decode() if attachments else text
    return Message("", fingerprint(whole), via, link, topic_of(whole))


def attached(body: dict[str, Any]) -> Any:
    """The attachments of a body; of the older form the first of image, link, miniprogram."""
    if body.get("attachments"):
        return body["attachments"]
    old = next((kind for kind in ("image", "link", "miniprogram") if isinstance(body.get(kind), dict)), None)
    return [{"msgtype": old, old: body[old]}] if old else []


def attachment(world: World, call: Call, entry: Any) -> str:
    """Check one attachment; its link, if it is one."""
    kind = str(entry.get("msgtype")) if isinstance(entry, dict) else ""
    part = entry.get(kind) if kind in _ATTACHMENTS else None
    if not isinstance(part, dict):
        raise ApiError(41065)
    for name, most in _FIELDS.get(kind, {}).items():
        value = part.get(name)
        if not isinstance(value, str) or not value or len(value.encode()) > most:
            raise ApiError(40058, f"{kind}.{name}")
    for name, most in _OPTIONAL.get(kind, {}).items():
        if len(str(part.get(name, "")).encode()) > most:
            raise ApiError(40058, f"{kind}.{name}")
    if kind == "image" and not part.get("media_id") and part.get("pic_url"):
        require_picture_url(world, call.account, part["pic_url"])
    elif kind != "link":
        ident = part.get("pic_media_id" if kind == "miniprogram" else "media_id")
        require_media(world, call.account, ident)
        _fits(world, kind, ident)
    return str(part["url"]) if kind == "link" else ""


def _fits(world: World, kind: str, ident: Any) -> None:
    media = world.state.documents["media"][ident]
    if media["size"] > world.limits[f"attachment_{'image' if kind == 'miniprogram' else kind}_bytes"]:
        raise ApiError(_TOO_LARGE[kind])
    long, short = sorted(media.get("pixels") or (0, 0), reverse=True)
    if kind == "image" and (long > world.limits["picture_long_side"] or short > world.limits["picture_short_side"]):
        raise ApiError(41081)
    if kind == "video" and media.get("seconds", 0) > world.limits["attachment_video_seconds"]:
        raise ApiError(41082)
