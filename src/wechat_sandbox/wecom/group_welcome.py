"""企业微信: welcome material of chats (入群欢迎语素材)."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import content
from wechat_sandbox.world import World

# Of several attachments the platform takes the first of this order.
_ORDER = ("image", "link", "miniprogram", "file", "video")


def _check(world: World, call: Call) -> dict[str, Any]:
    body = call.body
    text = body["text"].get("content", "") if isinstance(body.get("text"), dict) else ""
    kind = next((name for name in _ORDER if isinstance(body.get(name), dict)), None)
    if not isinstance(text, str) or (not text and kind is None):
        raise ApiError(44004)
    if len(text.encode()) > world.limits["task_text_bytes"]:
        raise ApiError(45002)
    if kind is not None:
        content.attachment(world, call, {"msgtype": kind, kind: body[kind]})
    return {"text": {"content": text}, **({kind: body[kind]} if kind else {})}


def _template(world: World, call: Call) -> Document:
    entry = world.state.get("group_welcome", str(call.body.get("template_id")))
    if entry is None or entry["account"] != call.account["id"]:
        raise ApiError(40058, "template_id")
    return entry


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/group_welcome_template/add; 41055 above the number of templates (ours)."""
    fields, account = _check(world, call), call.account
    used = sum(entry["account"] == account["id"] for entry in world.state.documents["group_welcome"].values())
    if used >= world.limits["group_welcome_templates"]:
        raise ApiError(41055)
    ident = f"msgTpl{world.fresh('group_welcome', 24)}"
    world.state.put("group_welcome", ident, {"template_id": ident, "account": account["id"], "content": fields})
    return {"template_id": ident}


def edit(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/group_welcome_template/edit."""
    entry = _template(world, call)
    world.state.put("group_welcome", entry["template_id"], {**entry, "content": _check(world, call)})
    return {}


def get(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/group_welcome_template/get."""
    return dict(_template(world, call)["content"])


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/group_welcome_template/del."""
    world.state.remove("group_welcome", _template(world, call)["template_id"])
    return {}


_PATH = "/cgi-bin/externalcontact/group_welcome_template"
ROUTES = [
    Route("POST", f"{_PATH}/add", add, kinds=WORK),
    Route("POST", f"{_PATH}/edit", edit, kinds=WORK),
    Route("POST", f"{_PATH}/get", get, kinds=WORK),
    Route("POST", f"{_PATH}/del", delete, kinds=WORK),
]
