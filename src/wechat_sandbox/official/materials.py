"""Permanent materials of 公众号 and 服务号: pictures, voices, videos and thumbs that are kept for ever."""

from typing import Any

import orjson

from wechat_sandbox import media
from wechat_sandbox.call import OK, Call, Raw, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_LISTED = ("image", "voice", "video", "news")


def _own(world: World, account: Document) -> list[Document]:
    """The account's materials, newest first."""
    rows = world.state.documents["media"].values()
    found = [entry for entry in rows if entry["account"] == account["id"] and entry["permanent"]]
    return sorted(found, key=lambda entry: (-int(entry["at"]), str(entry["media_id"])))


def add(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/material/add_material: the media and, for a video, its `description`."""
    kind = call.query.get("type", "")
    own = [entry for entry in _own(world, call.account) if (entry["type"] == "image") == (kind == "image")]
    if len(own) >= world.limits["material_images" if kind == "image" else "material_others"]:
        raise ApiError(45001)
    texts = _description(call) if kind == "video" else {}
    entry = media.keep(world, call, permanent=True)
    entry.update(texts)
    answer = {"media_id": entry["media_id"]}
    if kind == "image":
        answer["url"] = f"{media.IMAGE_HOST}/{entry['media_id'][:16]}/0"
    return answer


def _description(call: Call) -> dict[str, str]:
    """Title and introduction of a video: form field, or (as some clients do) query parameter."""
    text = media.field(call, "description") or call.query.get("description", "").encode()
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ApiError(47001) from None
    if not isinstance(found, dict) or not isinstance(found.get("title"), str):
        raise ApiError(47001)
    return {"title": found["title"], "introduction": str(found.get("introduction", ""))}


def _known(world: World, call: Call) -> Document:
    entry = world.state.get("media", str(call.body.get("media_id")))
    if entry is None or entry["account"] != call.account["id"] or not entry["permanent"]:
        raise ApiError(40007)
    return entry


def get(world: World, call: Call) -> dict[str, Any] | Raw:
    """POST /cgi-bin/material/get_material: the file itself; of a video its texts and an address."""
    entry = _known(world, call)
    if entry["type"] != "video":
        return media.file_of(world, entry)
    return {
        "title": entry["title"],
        "description": entry["introduction"],
        "down_url": f"{world.address}/sandbox-video?id={entry['media_id']}",
    }


def video(world: World, call: Call) -> Raw:
    """GET /sandbox-video: what a video's `down_url` leads to."""
    entry = world.state.get("media", call.query.get("id", ""))
    if entry is None or entry["type"] != "video":
        return Raw(b"", "text/plain", 404)
    return media.file_of(world, entry)


def batch(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/material/batchget_material: newest first, 1 to 20 a page; no `news` (drafts now)."""
    kind = call.body.get("type")
    if kind not in _LISTED:
        raise ApiError(40004)
    start, count = paging(world, call)
    rows = [entry for entry in _own(world, call.account) if entry["type"] == kind]
    items = [
        {
            "media_id": entry["media_id"],
            "name": entry.get("title", entry["name"]),
            "update_time": entry["at"] // 1000,
            **({"url": f"{media.IMAGE_HOST}/{entry['media_id'][:16]}/0"} if kind == "image" else {}),
        }
        for entry in rows[start : start + count]
    ]
    return {"total_count": len(rows), "item_count": len(items), "item": items}


def paging(world: World, call: Call) -> tuple[int, int]:
    """`offset` and `count` (1 to 20) of a list call; 40097-like error otherwise."""
    start, count = call.number("offset", 0, 40097), call.number("count", world.limits["material_page"], 40097)
    if start < 0 or not 1 <= count <= world.limits["material_page"]:
        raise ApiError(40097)
    return start, count


def count(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/material/get_materialcount."""
    kinds = [entry["type"] for entry in _own(world, call.account)]
    return {f"{kind}_count": kinds.count(kind) for kind in ("voice", "video", "image", "news")}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/material/del_material: 48005 while a menu or auto-reply uses it (control call materials/use)."""
    entry = _known(world, call)
    if entry.get("used"):
        raise ApiError(48005)
    media.forget(world, entry)
    return dict(OK)


def use(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """Control: a material is used by a menu or auto-reply (`used` false: no longer)."""
    account = world.account(body.get("account"))
    entry = world.state.get("media", str(body.get("media_id")))
    if entry is None or entry["account"] != account["id"] or not entry["permanent"]:
        raise ControlError(404, "no such material at this account")
    entry["used"] = bool(body.get("used", True))
    world.state.put("media", entry["media_id"], entry)
    return 200, {"media_id": entry["media_id"], "used": entry["used"]}


ROUTES = [
    Route("POST", "/cgi-bin/material/add_material", add, upload=True),
    Route("POST", "/cgi-bin/material/get_material", get),
    Route("POST", "/cgi-bin/material/batchget_material", batch),
    Route("GET", "/cgi-bin/material/get_materialcount", count),
    Route("POST", "/cgi-bin/material/del_material", delete),
    Route("GET", "/sandbox-video", video, token=False, page=True),
]
CONTROL = {("POST", "materials/use"): use}
