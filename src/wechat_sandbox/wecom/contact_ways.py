"""企业微信 联系我: ways by which people add members, and people who take them."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.people import relations
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends
from wechat_sandbox.wecom.access import employee
from wechat_sandbox.wecom.contacts import limited, page, relation
from wechat_sandbox.world import World

_DAY = 86_400
_KINDS = {"type": (1, 2), "scene": (1, 2)}
_BAD = {"type": 41038, "scene": 41039, "remark": 41044, "state": 41045}
_FIELDS = ("style", "remark", "skip_verify", "state", "user", "party", "is_exclusive", "mark_source", "conclusions")


def no_way_left(world: World, account: Document) -> bool:
    """Whether the corp's quota is used up, which contact ways and join ways of chats share."""
    rows = [world.state.documents[kind].values() for kind in ("contact_way", "join_way")]
    most = world.limits["contact_ways"]
    if sum(len(entries) for entries in rows) < most:
        return False
    used = sum(entry["account"] == account["id"] for entries in rows for entry in entries)
    return bool(used >= most)


def new_qr(world: World) -> str:
    """The address of a new QR code's picture; nothing is behind it."""
    return f"https://wework.qpic.cn/wwpic/{world.fresh('qr', 24)}/0"


def _check(world: World, call: Call, kind: int) -> dict[str, Any]:
    """The changeable fields of a body, checked."""
    body, limits = call.body, world.limits
    for name in ("remark", "state"):
        if not isinstance(body.get(name, ""), str) or len(body.get(name, "")) > limits["state_chars"]:
            raise ApiError(_BAD[name])
    users = call.texts("user", 41041)
    if "user" in body and (len(users) > limits["contact_way_members"] or (kind == 1 and len(users) != 1)):
        raise ApiError(41041)
    for userid in users:
        employee(call.account, userid)
    return {name: body[name] for name in _FIELDS if name in body}


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_contact_way."""
    account, body, now = call.account, call.body, world.now()
    for name, allowed in _KINDS.items():
        if body.get(name) not in allowed:
            raise ApiError(_BAD[name])
    fields = _check(world, call, body["type"])
    if not fields.get("user") and not fields.get("party"):
        raise ApiError(41041)
    temporary = bool(body.get("is_temp"))
    lives = call.number("expires_in", 7 * _DAY, 40058)
    if temporary and not 0 < lives <= 14 * _DAY:
        raise ApiError(40058, "expires_in")
    if not 0 < call.number("chat_expires_in", _DAY, 40058) <= 14 * _DAY:
        raise ApiError(40058, "chat_expires_in")
    daily = world.limits["contact_ways_temporary_daily"]
    if temporary and not world.windows.take(f"{account['corpid']}:temporary_way", "day", daily, now):
        raise ApiError(41043)
    if not temporary and no_way_left(world, account):
        raise ApiError(41043)
    ident = world.fresh("contact_way", 32)
    entry = {
        "config_id": ident,
        "account": account["id"],
        "type": body["type"],
        "scene": body["scene"],
        "skip_verify": True,
        **fields,
        "is_temp": temporary,
        "qr_code": new_qr(world) if body["scene"] == 2 else "",
        "at": now,
        "ends": now + lives * 1000 if temporary else 0,
    }
    world.state.put("contact_way", ident, entry)
    return {"config_id": ident, **({"qr_code": entry["qr_code"]} if entry["qr_code"] else {})}


def _way(world: World, call: Call) -> Document:
    entry = world.state.get("contact_way", str(call.body.get("config_id")))
    if entry is None or entry["account"] != call.account["id"]:
        raise ApiError(41037)
    return entry


def get(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_contact_way."""
    return {"contact_way": {name: value for name, value in _way(world, call).items() if name not in _OURS}}


_OURS = ("account", "at", "ends")


def list_ways(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/list_contact_way: ids by age, the last 90 days unless told; no temporary ones."""
    now = world.now() // 1000
    start, end = call.number("start_time", now - 90 * _DAY, 40058), call.number("end_time", now, 40058)
    limit = limited(call, 100, 1000)
    found = [
        entry
        for entry in world.state.documents["contact_way"].values()
        if entry["account"] == call.account["id"] and start <= entry["at"] // 1000 <= end and not entry["is_temp"]
    ]
    found.sort(key=lambda entry: (int(entry["at"]), str(entry["config_id"])))
    begin, after = page(call, limit, len(found))
    rows = [{"config_id": entry["config_id"]} for entry in found[begin : begin + limit]]
    return {"contact_way": rows, **({"next_cursor": after} if after else {})}


def update(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/update_contact_way: what is given overwrites."""
    entry = _way(world, call)
    fields = _check(world, call, entry["type"])
    world.state.put("contact_way", entry["config_id"], {**entry, **fields})
    return {}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/del_contact_way."""
    world.state.remove("contact_way", _way(world, call)["config_id"])
    return {}


def close_chat(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/close_temp_chat."""
    relation(world, call.account, call.body.get("userid"), call.body.get("external_userid"))
    return {}


def scan(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/contact_ways/scan: people take a contact way and become customers of one of its members.

    `half`: the customer added the member, who has not confirmed yet: add_half_external_contact comes instead.
    """
    account = world.account(body.get("account"))
    way = world.state.get("contact_way", str(body.get("config_id")))
    if way is None or way["account"] != account["id"] or (way["ends"] and world.now() > way["ends"]):
        raise ControlError(404, f"no contact way {body.get('config_id')}, or it has expired")
    members = way.get("user") or account["employees"]
    change = "add_half_external_contact" if body.get("half") else "add_external_contact"
    rows = []
    for index in relations.indexes(world, body.get("people") or []):
        chosen = members[int(unit(way["config_id"], index) * len(members))]
        number = account["employees"].index(chosen)
        fields = {"add_way": 1, "state": way.get("state", ""), "oper_userid": chosen}
        fresh = friends.relate(world, account, number, index, **fields)
        code = friends.added(world, account, number, index, change) if fresh else ""
        ident = world.reach_of(account).ids[index]
        rows.append({"userid": chosen, "external_userid": ident, "added": fresh, "welcome_code": code})
    return 200, {"added": rows}


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/add_contact_way", add, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/get_contact_way", get, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/list_contact_way", list_ways, kinds=WORK, lists="contact_way"),
    Route("POST", f"{_EXTERNAL}/update_contact_way", update, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/del_contact_way", delete, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/close_temp_chat", close_chat, kinds=WORK),
]
CONTROL = {("POST", "wecom/contact_ways/scan"): scan}
