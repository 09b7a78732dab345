"""Codes with a scene: who scans one follows by it, or is seen again (control call people/scan)."""

import secrets
import struct
import zlib
from typing import Any

from wechat_sandbox.call import Call, Raw, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_ACTIONS = {"QR_SCENE": (0, int), "QR_STR_SCENE": (0, str), "QR_LIMIT_SCENE": (1, int), "QR_LIMIT_STR_SCENE": (1, str)}
_SIDE = 33


def _scene(world: World, call: Call) -> tuple[bool, int | str]:
    """Whether the code is permanent, and its scene; 40053 for what does not fit the action."""
    action = call.body.get("action_name")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise ApiError(40053)
    permanent, kind = _ACTIONS[action]
    info = call.body.get("action_info")
    found = info.get("scene") if isinstance(info, dict) else None
    scene = found.get("scene_id" if kind is int else "scene_str") if isinstance(found, dict) else None
    if kind is str:
        good = isinstance(scene, str) and 1 <= len(scene) <= 64
    else:
        most = world.limits["qr_permanent"] if permanent else 2**32 - 1
        good = isinstance(scene, int) and not isinstance(scene, bool) and 1 <= scene <= most
    if not good or scene is None:
        raise ApiError(40053)
    return bool(permanent), scene


def create(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/qrcode/create: temporary up to 30 days, or permanent (a scene's code stays the same)."""
    permanent, scene = _scene(world, call)
    account, life = call.account, 0
    if permanent:
        known = _permanent(world, account)
        for code in known:
            if code["scene"] == scene:
                return {"ticket": code["ticket"], "url": code["url"]}
        if len(known) >= world.limits["qr_permanent"]:
            raise ApiError(45029)
    else:
        life = call.number("expire_seconds", world.limits["qr_default_seconds"], 40053)
        if not 1 <= life <= world.limits["qr_temporary_seconds"]:
            raise ApiError(40053)
    ticket = f"gQ{secrets.token_urlsafe(64)}=="
    code = {
        "ticket": ticket,
        "account": account["id"],
        "scene": scene,
        "permanent": permanent,
        "expires": world.now() + life * 1000 if life else 0,
        "url": f"http://weixin.qq.com/q/{secrets.token_urlsafe(16)}",
    }
    world.state.put("qrcode", ticket, code)
    return {"ticket": ticket, **({"expire_seconds": life} if life else {}), "url": code["url"]}


def _permanent(world: World, account: Document) -> list[Document]:
    codes = world.state.documents["qrcode"].values()
    return [code for code in codes if code["account"] == account["id"] and code["permanent"]]


def show(world: World, call: Call) -> Raw:
    """GET /cgi-bin/showqrcode: a picture (not a readable code) of a living ticket; 404 for another."""
    code = world.state.get("qrcode", call.query.get("ticket", ""))
    if code is None or (code["expires"] and world.now() >= code["expires"]):
        return Raw(b"", "text/plain", 404)
    bits = zlib.crc32(code["ticket"].encode())
    rows = b"".join(
        b"\0" + bytes(255 * ((bits >> (x * y + x + y) % 32) & 1) for x in range(_SIDE)) for y in range(_SIDE)
    )
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return Raw(b"\x89PNG\r\n\x1a\n" + body, "image/png")


ROUTES = [
    Route("POST", "/cgi-bin/qrcode/create", create),
    Route("GET", "/cgi-bin/showqrcode", show, token=False, page=True),
]
