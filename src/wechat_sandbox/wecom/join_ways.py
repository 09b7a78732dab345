"""企业微信: ways into chats (入群方式), people who take them, and what else happens to chats by hand."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.people import relations
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import groups
from wechat_sandbox.wecom.contact_ways import new_qr, no_way_left
from wechat_sandbox.wecom.contacts import member_number
from wechat_sandbox.world import World

_SHOWN = (
    "config_id",
    "scene",
    "remark",
    "auto_create_room",
    "room_base_name",
    "room_base_id",
    "chat_id_list",
    "qr_code",
    "state",
    "mark_source",
)


def _check(world: World, call: Call) -> dict[str, Any]:
    """The fields of a way, checked; a remark that is too long is cut."""
    body, most = call.body, world.limits["state_chars"]
    if body.get("scene") not in (1, 2):
        raise ApiError(41039)
    chosen = list(dict.fromkeys(call.texts("chat_id_list", 90508)))
    if not chosen:
        raise ApiError(40063, "chat_id_list")
    if len(chosen) > world.limits["join_way_chats"]:
        raise ApiError(41091)
    for ident in chosen:
        groups.chat_of(world, call.account, ident)
    if not isinstance(body.get("state", ""), str) or len(body.get("state", "")) > most:
        raise ApiError(41045)
    return {
        "scene": body["scene"],
        "chat_id_list": chosen,
        "auto_create_room": call.number("auto_create_room", 1, 40058),
        "room_base_name": str(body.get("room_base_name") or ""),
        "room_base_id": call.number("room_base_id", 1, 40058),
        "remark": str(body.get("remark") or "")[:most],
        "state": body.get("state", ""),
        "mark_source": bool(body.get("mark_source", False)),
    }


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/add_join_way."""
    fields = _check(world, call)
    if no_way_left(world, call.account):
        raise ApiError(41043)
    ident = world.fresh("join_way", 32)
    entry = {"config_id": ident, "account": call.account["id"], "qr_code": new_qr(world), "at": world.now(), **fields}
    world.state.put("join_way", ident, entry)
    return {"config_id": ident}


def _way(world: World, call: Call) -> Document:
    entry = world.state.get("join_way", str(call.body.get("config_id")))
    if entry is None or entry["account"] != call.account["id"]:
        raise ApiError(41037)
    return entry


def get(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/get_join_way."""
    entry = _way(world, call)
    return {"join_way": {name: entry[name] for name in _SHOWN}}


def update(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/update_join_way: everything is overwritten."""
    entry = _way(world, call)
    world.state.put("join_way", entry["config_id"], {**entry, **_check(world, call)})
    return {}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/del_join_way."""
    world.state.remove("join_way", _way(world, call)["config_id"])
    return {}


def _room(world: World, account: Document, way: Document) -> Document | None:
    """The first chat of a way that has room; a new one when all are full and the way may make one."""
    known = [world.state.documents["chat"].get(ident) for ident in way["chat_id_list"]]
    alive = [chat for chat in known if chat is not None and not chat["dismissed"]]
    for chat in alive:
        if len(chat["members"]) < world.limits["group_capacity"]:
            return chat
    if not way["auto_create_room"] or not alive:
        return None
    number = way["room_base_id"]
    name = f"{way['room_base_name'] or alive[-1]['name']}{number}"
    chat = groups.create(world, account, alive[-1]["owner"], name)
    way["chat_id_list"].append(chat["chat_id"])
    world.state.put("join_way", way["config_id"], {**way, "room_base_id": number + 1})
    groups.event(world, account, chat, "create")
    return chat


def join(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/groups/join: people scan a way's code; each joins the first chat with room."""
    account, rows = world.account(body.get("account")), []
    known = world.state.get("join_way", str(body.get("config_id")))
    if known is None or known["account"] != account["id"]:
        raise ControlError(404, f"no join way {body.get('config_id')}")
    for index in relations.indexes(world, body.get("people") or []):
        ident = world.reach_of(account).ids[index]
        way = world.state.documents["join_way"][known["config_id"]]
        chat = _room(world, account, way)
        fresh = chat is not None and groups.add_customer(
            world, account, chat, index, scene=groups.BY_QR, state=way["state"]
        )
        if chat is not None and fresh:
            groups.members_changed(world, account, chat, "add_member", idents=[ident], scene=groups.BY_QR)
        rows.append({"external_userid": ident, "chat_id": chat["chat_id"] if chat else None, "joined": bool(fresh)})
    return 200, {"joined": rows}


def _chat(world: World, body: dict[str, Any]) -> tuple[Document, Document]:
    account = world.account(body.get("account"))
    try:
        return account, groups.chat_of(world, account, body.get("chat_id"))
    except ApiError:
        raise ControlError(404, f"no chat {body.get('chat_id')}") from None


def create_chat(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/groups: a member makes a chat with customers."""
    account = world.account(body.get("account"))
    member_number(account, body.get("owner"))
    groups.chats(world, account)
    chat = groups.create(world, account, body["owner"], str(body.get("name") or "客户群"))
    for index in relations.indexes(world, body.get("people") or []):
        groups.add_customer(world, account, chat, index, scene=groups.INVITED)
    groups.event(world, account, chat, "create")
    return 201, {"chat_id": chat["chat_id"], "opengid": groups.open_gid(chat)}


def show_chats(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """GET /sandbox/wecom/groups?account=1: the chats as the sandbox knows them."""
    rows = groups.chats(world, world.account(query.get("account")))
    return 200, {"chats": [{**chat, "opengid": groups.open_gid(chat)} for chat in rows]}


def leave(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/groups/leave: people leave a chat, or with `removed` are put out of it."""
    account, chat = _chat(world, body)
    ids = world.reach_of(account).ids
    asked = [ids[index] for index in relations.indexes(world, body.get("people") or [])]
    gone = groups.remove_customers(world, chat, asked)
    scene = 1 if body.get("removed") else 0
    groups.members_changed(world, account, chat, "del_member", idents=gone, scene=scene)
    return 200, {"left": gone}


def change(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/groups/change: another `name`, `notice` or `owner`, each with its event."""
    account, chat = _chat(world, body)
    if body.get("owner") is not None:
        member_number(account, body["owner"])
    for name in ("name", "notice", "owner"):
        if body.get(name) is not None:
            chat[name] = body[name]
            world.state.put("chat", chat["chat_id"], chat)
            groups.event(world, account, chat, "update", UpdateDetail=f"change_{name}")
    return 200, {"chat_id": chat["chat_id"]}


def dismiss(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/groups/dismiss: the chat is gone; a task that is under way fails there."""
    account, chat = _chat(world, body)
    world.state.put("chat", chat["chat_id"], {**chat, "dismissed": world.now()})
    groups.event(world, account, chat, "dismiss")
    return 200, {"chat_id": chat["chat_id"]}


_GROUP = "/cgi-bin/externalcontact/groupchat"
ROUTES = [
    Route("POST", f"{_GROUP}/add_join_way", add, kinds=WORK),
    Route("POST", f"{_GROUP}/get_join_way", get, kinds=WORK),
    Route("POST", f"{_GROUP}/update_join_way", update, kinds=WORK),
    Route("POST", f"{_GROUP}/del_join_way", delete, kinds=WORK),
]
CONTROL = {
    ("GET", "wecom/groups"): show_chats,
    ("POST", "wecom/groups"): create_chat,
    ("POST", "wecom/groups/join"): join,
    ("POST", "wecom/groups/leave"): leave,
    ("POST", "wecom/groups/change"): change,
    ("POST", "wecom/groups/dismiss"): dismiss,
}
