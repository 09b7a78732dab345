"""企业微信 客户群: chats of members and customers; who joins, leaves, owns them, and what the corp is told."""

import hashlib
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends
from wechat_sandbox.wecom.access import employee, visible
from wechat_sandbox.wecom.contacts import limited, page
from wechat_sandbox.world import World

_DAY = 86_400
INVITED, BY_LINK, BY_QR = 1, 2, 3
_STARTING_MEMBERS = 20


def chats(world: World, account: Document) -> list[Document]:
    """The chats of an account that are not dismissed; those it starts with are made when first asked for."""
    key = str(account["id"])
    if account.get("groups") and world.population.people.size and world.state.get("chats_made", key) is None:
        world.state.put("chats_made", key, {"number": account["groups"]})
        for number in range(account["groups"]):
            _begin(world, account, number)
    return [
        chat
        for chat in world.state.documents["chat"].values()
        if chat["account"] == account["id"] and not chat["dismissed"]
    ]


def _begin(world: World, account: Document, number: int) -> None:
    """A chat that was there before: an owner, a colleague, and friends of the owner."""
    owner = number % len(account["employees"])
    friendly = friends.customers_of(world, account, owner)
    chosen = sorted(friendly, key=lambda index: unit(account["id"], number, index))[:_STARTING_MEMBERS]
    at = account["created"] // 1000 - int(unit(account["id"], number) * 90 * _DAY)
    chat = create(world, account, account["employees"][owner], f"客户群{number + 1}", at=at)
    for index in sorted(chosen):
        add_customer(world, account, chat, index, scene=INVITED, at=at)


def create(world: World, account: Document, owner: str, name: str, *, at: int | None = None) -> Document:
    """A chat with its owner alone in it; the event is the caller's."""
    at = world.now() // 1000 if at is None else at
    ident = f"wr{world.fresh('chat', 30)}"
    chat = {
        "chat_id": ident,
        "account": account["id"],
        "name": name,
        "owner": owner,
        "create_time": at,
        "notice": "",
        "admins": [],
        "members": [{"userid": owner, "type": 1, "join_time": at, "join_scene": INVITED}],
        "version": 1,
        "status": 0,
        "dismissed": 0,
        "received": [],
    }
    return world.state.put("chat", ident, chat)


def version_of(chat: Document) -> str:
    """The version of the list of members, as events and details carry it."""
    return hashlib.md5(f"{chat['chat_id']}:{chat['version']}".encode(), usedforsecurity=False).hexdigest()


def customers_in(chat: Document) -> list[str]:
    """external_userids in a chat."""
    return [entry["userid"] for entry in chat["members"] if entry["type"] == 2]


def add_customer(
    world: World,
    account: Document,
    chat: Document,
    index: int,
    *,
    scene: int,
    state: str = "",
    at: int | None = None,
) -> bool:
    """Let a person into a chat; False when he is in it already. The event is the caller's."""
    ident = world.reach_of(account).ids[index]
    if ident in customers_in(chat):
        return False
    entry = {"userid": ident, "type": 2, "join_time": at or world.now() // 1000, "join_scene": scene}
    if account.get("unionid_bound") is not False:
        entry["unionid"] = world.population.people.unionids[index]
    if scene == INVITED:
        entry["invitor"] = {"userid": chat["owner"]}
    if state:
        entry["state"] = state
    chat["members"].append({**entry, "name": world.population.people.names[index]})
    chat["version"] += 1
    world.state.put("chat", chat["chat_id"], chat)
    return True


def remove_customers(world: World, chat: Document, idents: list[str]) -> list[str]:
    """Take people out of a chat; those who were in it. The event is the caller's."""
    gone = [ident for ident in idents if ident in customers_in(chat)]
    chat["members"] = [entry for entry in chat["members"] if entry["userid"] not in gone]
    chat["version"] += bool(gone)
    left = [*chat.get("left", []), *({"userid": ident, "at": world.now() // 1000} for ident in gone)]
    world.state.put("chat", chat["chat_id"], {**chat, "left": left})
    return gone


def event(world: World, account: Document, chat: Document, change: str, **more: Any) -> None:
    """Send change_external_chat: create, update (with UpdateDetail) or dismiss."""
    fields = {"ChatId": chat["chat_id"], "ChangeType": change, **more}
    world.callbacks.send(account, "change_external_chat", "sys", fields, world.now())


def members_changed(
    world: World, account: Document, chat: Document, detail: str, *, idents: list[str], scene: int
) -> None:
    """Send an update of the members: add_member with JoinScene, del_member with QuitScene (0 left, 1 removed)."""
    if idents:
        more = {"JoinScene": scene} if detail == "add_member" else {"QuitScene": scene}
        versions = {"LastMemVer": version_of({**chat, "version": chat["version"] - len(idents)})}
        if detail == "del_member":
            versions = {"LastMemVer": version_of({**chat, "version": chat["version"] - 1})}
        versions["CurMemVer"] = version_of(chat)
        listed = {"MemChangeCnt": len(idents), "MemChangeList": idents}
        event(world, account, chat, "update", UpdateDetail=detail, **more, **listed, **versions)


def chat_of(world: World, account: Document, ident: Any, code: int = 90508) -> Document:
    """A chat of the account that is not dismissed; `code` for none."""
    chats(world, account)
    chat = world.state.get("chat", ident) if isinstance(ident, str) else None
    if chat is None or chat["account"] != account["id"] or chat["dismissed"]:
        raise ApiError(code)
    return chat


def owners(world: World, call: Call) -> list[str]:
    """Members of a body's owner_filter, all visible ones without it; 81017 when those are more than 1,000."""
    chosen = call.body.get("owner_filter")
    if chosen is None:
        seen = visible(call.account)
        if len(seen) > world.limits["group_owners_unasked"]:
            raise ApiError(81017)
        return seen
    names = chosen.get("userid_list") if isinstance(chosen, dict) else None
    if not isinstance(names, list) or not names or len(names) > world.limits["group_owners"]:
        raise ApiError(40058, "owner_filter")
    for name in names:
        employee(call.account, name)
    return names


def list_chats(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/list: 0 all, 1 to be inherited, 2 being inherited, 3 inherited."""
    status, chosen = call.number("status_filter", 0, 40058), owners(world, call)
    if status not in range(4):
        raise ApiError(40058, "status_filter")
    if "limit" not in call.body:
        raise ApiError(40058, "limit")
    limit = limited(call, 0, 1000)
    fits = [chat for chat in chats(world, call.account) if chat["owner"] in chosen and status in (0, chat["status"])]
    start, after = page(call, limit, len(fits))
    rows = [{"chat_id": chat["chat_id"], "status": chat["status"]} for chat in fits[start : start + limit]]
    return {"group_chat_list": rows, **({"next_cursor": after} if after else {})}


def get_chat(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/groupchat/get; names of members only with need_name 1."""
    chat, named = chat_of(world, call.account, call.body.get("chat_id")), call.number("need_name", 0, 40058)
    if chat["owner"] not in visible(call.account):
        raise ApiError(60011)
    rows = []
    for entry in chat["members"]:
        row = {**entry, "group_nickname": entry.get("group_nickname", "")}
        if named:
            row["name"] = entry.get("name", entry["userid"])
        else:
            row.pop("name", None)
        rows.append(row)
    return {
        "group_chat": {
            **{name: chat[name] for name in ("chat_id", "name", "owner", "create_time", "notice")},
            "member_list": rows,
            "admin_list": [{"userid": name} for name in chat["admins"]],
            "member_version": version_of(chat),
        }
    }


def open_gid(chat: Document) -> str:
    """The id that a mini program opened in the chat sees."""
    return "og" + hashlib.blake2b(chat["chat_id"].encode(), digest_size=13).hexdigest()


def by_open_gid(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/opengid_to_chatid."""
    for chat in chats(world, call.account):
        if open_gid(chat) == call.body.get("opengid"):
            return {"chat_id": chat["chat_id"]}
    raise ApiError(90511)


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/groupchat/list", list_chats, kinds=WORK, lists="group_chat_list"),
    Route("POST", f"{_EXTERNAL}/groupchat/get", get_chat, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/opengid_to_chatid", by_open_gid, kinds=WORK),
]
