"""企业微信: temporary media, pictures kept for ever, attachments of moments."""

import base64
import struct
from typing import Any

from wechat_sandbox import media
from wechat_sandbox.call import OK, WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.limits import month_start
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_PNG = b"\x89PNG\r\n\x1a\n"
_JPG = b"\xff\xd8\xff"
_KINDS = ("image", "voice", "video", "file")


def pixels(content: bytes) -> list[int]:
    """Width and height of a PNG or JPG; empty when they cannot be read."""
    if content.startswith(_PNG) and len(content) >= 24:
        return list(struct.unpack(">II", content[16:24]))
    if content.startswith(_JPG):
        at = 2
        while at + 9 < len(content) and content[at] == 0xFF:
            if 0xC0 <= content[at + 1] <= 0xCF and content[at + 1] not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", content[at + 5 : at + 9])
                return [width, height]
            at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return []


def video_seconds(content: bytes) -> float:
    """Length of an MP4 by its `mvhd` box; 0 when there is none."""
    at = content.find(b"mvhd")
    if at < 0 or len(content) < at + 32 or content[at + 4] != 0:
        return 0
    scale, length = struct.unpack(">II", content[at + 16 : at + 24])
    return length / scale if scale else 0


def _keep(world: World, call: Call, kind: str, code: int) -> Document:
    if kind not in _KINDS:
        raise ApiError(code)
    name, content = media.uploaded(call)
    if len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    if len(content) > world.limits[f"wecom_{kind}_bytes"]:
        raise ApiError(45007)
    entry: Document = {
        "media_id": world.fresh("wecom_media", 64),
        "account": call.account["id"],
        "type": kind,
        "name": name,
        "size": len(content),
        "permanent": False,
        "at": world.now(),
    }
    if kind == "image":
        entry["pixels"] = pixels(content)
    if kind == "video":
        entry["seconds"] = video_seconds(content)
    world.state.put("media_file", entry["media_id"], {"content": base64.b64encode(content).decode()})
    return world.state.put("media", entry["media_id"], entry)


def upload(world: World, call: Call) -> dict[str, Any]:
    """POST media/upload: lives three days; `created_at` is a text here."""
    kept = _keep(world, call, call.query.get("type", ""), 40004)
    return {"type": kept["type"], "media_id": kept["media_id"], "created_at": str(kept["at"] // 1000)}


def upload_picture(world: World, call: Call) -> dict[str, Any]:
    """POST media/uploadimg: a JPG or PNG for ever; 1,000 a day and 3,000 a month (45009)."""
    _, content = media.uploaded(call)
    if len(content) <= world.limits["media_min_bytes"]:
        raise ApiError(44001)
    if not content.startswith((_PNG, _JPG)):
        raise ApiError(40005)
    if len(content) >= world.limits["article_image_bytes"]:
        raise ApiError(45007)
    subject, now = f"{call.account['corpid']}:uploadimg", world.now()
    month = world.state.get("window", f"{subject}:month") or {}
    used = month["n"] if month.get("month") == month_start(now) else 0
    if used >= world.limits["wecom_pictures_monthly"]:
        raise ApiError(45009)
    if not world.windows.take(subject, "day", world.limits["wecom_pictures_daily"], now):
        raise ApiError(45009)
    world.state.put("window", f"{subject}:month", {"month": month_start(now), "n": used + 1, "day": 0})
    url = f"{media.IMAGE_HOST}/{world.fresh('picture', 32)}/0"
    world.state.put("picture", url, {"account": call.account["id"]})
    return {"url": url}


def require_picture_url(world: World, account: Document, url: Any) -> None:
    """40007 unless the address came from this corp's uploadimg."""
    picture = world.state.get("picture", url) if isinstance(url, str) else None
    if picture is None or picture["account"] != account["id"]:
        raise ApiError(40007)


def upload_attachment(world: World, call: Call) -> dict[str, Any]:
    """POST media/upload_attachment: for moments (attachment_type 1) or the album (2)."""
    kind, purpose = call.query.get("media_type", ""), call.query.get("attachment_type", "")
    if purpose not in ("1", "2"):
        raise ApiError(40058, "attachment_type")
    if kind not in ("image", "video", "file"):
        raise ApiError(40004)
    kept = _keep(world, call, kind, 40004)
    limits, (long, short) = world.limits, sorted(kept.get("pixels") or (0, 0), reverse=True)
    too_large = kept["size"] > limits[f"attachment_{kind}_bytes"]
    too_wide = kind == "image" and (long > limits["picture_long_side"] or short > limits["picture_short_side"])
    too_long = kept.get("seconds", 0) > limits["attachment_video_seconds"]
    if too_large or (purpose == "1" and (too_wide or too_long)):
        media.forget(world, kept)
        raise ApiError(41080 if too_large else 41081 if too_wide else 41082)
    world.state.put("media", kept["media_id"], {**kept, "attachment": purpose})
    return {**OK, "type": kind, "media_id": kept["media_id"], "created_at": kept["at"] // 1000}


ROUTES = [
    Route("POST", "/cgi-bin/media/upload", upload, kinds=WORK, upload=True),
    Route("POST", "/cgi-bin/media/uploadimg", upload_picture, kinds=WORK, upload=True),
    Route("POST", "/cgi-bin/media/upload_attachment", upload_attachment, kinds=WORK, upload=True),
]
