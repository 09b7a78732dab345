"""Temporary media of both platforms, and the upload code that materials share."""

import base64
import secrets
from email import message_from_bytes, policy
from typing import Any

from wechat_sandbox.call import ANY, EVERY, OK, Call, Raw, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_TYPES = {
    "wecom": ("image", "voice", "video", "file"),
    "official": ("image", "voice", "video", "thumb"),
    "service": ("image", "voice", "video", "thumb"),
    "mini": ("image",),
}
_MIME = {
    "image": "image/jpeg",
    "thumb": "image/jpeg",
    "voice": "audio/amr",
    "video": "video/mp4",
    "file": "application/octet-stream",
}
IMAGE_HOST = "http://mmbiz.qpic.cn/sandbox"
_DAY_MS = 86_400_000
# The first bytes of a JPG and of a PNG.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def part(call: Call, name: str) -> tuple[str, bytes] | None:
    """File name and content of one field of a multipart body."""
    head = f"Content-Type: {call.headers.get('content-type', '')}\r\n\r\n".encode()
    parsed = message_from_bytes(head + call.raw, policy=policy.HTTP)
    for part in parsed.iter_parts() if parsed.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == name:
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return str(part.get_filename() or ""), content
    return None


def field(call: Call, name: str) -> bytes:
    """A further field of an upload; empty when there is none."""
    found = part(call, name)
    return found[1] if found is not None else b""


def uploaded(call: Call) -> tuple[str, bytes]:
    """File name and content of the multipart field `media`; 44001-like error when there is none."""
    found = part(call, "media")
    if found is None:
        raise ApiError(44001 if call.account["kind"] == "wecom" else 44002)
    return found


def keep(world: World, call: Call, *, permanent: bool) -> Document:
    """Store the upload of a call; 40004 for a type, 40009, 45001 or 45007 for a size that the platform refuses."""
    kind, account = call.query.get("type", ""), call.account
    if kind not in _TYPES[account["kind"]]:
        raise ApiError(40004)
    name, content = uploaded(call)
    wecom = account["kind"] == "wecom"
    if wecom and len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    limit = "image_bytes" if wecom else f"{kind}_bytes"
    if len(content) > world.limits[limit]:
        raise ApiError(45007 if wecom else 40009 if kind == "image" else 45001)
    ident = secrets.token_urlsafe(48)
    entry = {
        "media_id": ident,
        "account": account["id"],
        "type": kind,
        "name": name,
        "size": len(content),
        "permanent": permanent,
        "at": world.now(),
    }
    world.state.put("media_file", ident, {"content": base64.b64encode(content).decode()})
    return world.state.put("media", ident, entry)


def forget(world: World, entry: Document) -> None:
    """Remove a media and its file."""
    world.state.remove("media", entry["media_id"])
    world.state.remove("media_file", entry["media_id"])


def file_of(world: World, entry: Document) -> Raw:
    """The stored file as the platform sends it."""
    content = base64.b64decode((world.state.get("media_file", entry["media_id"]) or {"content": ""})["content"])
    name = entry["name"].encode("ascii", "replace").decode().replace('"', "")
    disposition = (b"content-disposition", f'attachment; filename="{name}"'.encode())
    return Raw(content, _MIME[entry["type"]], headers=(disposition,))


def upload(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/media/upload: lives three days."""
    media = keep(world, call, permanent=False)
    answer = {"type": media["type"], "media_id": media["media_id"], "created_at": media["at"] // 1000}
    return {**OK, **answer, "created_at": str(answer["created_at"])} if call.account["kind"] == "wecom" else answer


def upload_image(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/media/uploadimg: a JPG or PNG for articles and link cards, kept for ever; gives its url only."""
    _, content = uploaded(call)
    wecom = call.account["kind"] == "wecom"
    if wecom and len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    if not content.startswith(_PICTURES):
        raise ApiError(40005)
    if len(content) >= world.limits["article_image_bytes"]:
        raise ApiError(45007 if wecom else 40009)
    ident = secrets.token_urlsafe(24)
    answer = {"url": f"{IMAGE_HOST}/{ident}/0"}
    return {**OK, **answer} if wecom else answer


def get(world: World, call: Call) -> dict[str, Any] | Raw:
    """GET /cgi-bin/media/get: the file of a living temporary media; a video of 公众号 as an address (UNCONFIRMED)."""
    ident = call.query.get("media_id")
    require_media(world, call.account, ident)
    entry = world.state.documents["media"][str(ident)]
    if entry["type"] == "video" and call.account["kind"] != "wecom":
        return {"video_url": f"{world.address}/sandbox-video?id={ident}"}
    return file_of(world, entry)


def require_media(world: World, account: Document, ident: Any, permanent: bool = False) -> None:
    """40007 unless the media exists here, is not older than three days (or permanent, where that is needed)."""
    media = world.state.get("media", ident) if isinstance(ident, str) else None
    alive = media is not None and (
        media["permanent"] or world.now() - media["at"] < world.limits["media_days"] * _DAY_MS
    )
    if media is None or media["account"] != account["id"] or not alive or (permanent and not media["permanent"]):
        raise ApiError(40007)


ROUTES = [
    Route("POST", "/cgi-bin/media/upload", upload, kinds=EVERY, upload=True),
    Route("POST", "/cgi-bin/media/uploadimg", upload_image, kinds=ANY, upload=True),
    Route("GET", "/cgi-bin/media/get", get, kinds=EVERY),
]
