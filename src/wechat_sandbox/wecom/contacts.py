"""企业微信: members, customers, and messages to members."""

import secrets
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import fingerprint
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_GENDER = {"男": 1, "女": 2, "未知": 0}
_MESSAGE_TYPES = (
    "text",
    "image",
    "voice",
    "video",
    "file",
    "textcard",
    "news",
    "mpnews",
    "markdown",
    "miniprogram_notice",
    "template_card",
)


def employee(account: Document, userid: Any, code: int = 60111) -> int:
    """Number of a member by userid."""
    if not isinstance(userid, str) or userid not in account["employees"]:
        raise ApiError(code)
    number: int = account["employees"].index(userid)
    return number


def customer(world: World, account: Document, ident: Any) -> int:
    """Index of a customer: 40096 unknown id, 84061 nobody here has him."""
    reach = world.reach_of(account)
    index = reach.index.get(ident) if isinstance(ident, str) else None
    if index is None:
        raise ApiError(40096)
    if not reach.follows[index]:
        raise ApiError(84061)
    return index


def customers_of(world: World, account: Document, number: int) -> list[int]:
    """Indexes of the friends of a member, given by the member's number."""
    reach = world.reach_of(account)
    return [index for index in reach.customers.get(number, ()) if reach.follows[index]]


def marks(world: World, account: Document, userid: str, ident: str) -> list[str]:
    """Corp tag ids that a member put on a customer."""
    return list(world.state.members.get(("mark", f"{account['id']}:{userid}:{ident}"), ()))


def _follow_info(world: World, account: Document, number: int, index: int) -> dict[str, Any]:
    ident = world.reach_of(account).ids[index]
    draw = unit(account["id"], number, ident)
    return {
        "userid": account["employees"][number],
        "remark": world.population.people.names[index],
        "description": "",
        "createtime": account["created"] // 1000 - int(draw * 400 * 86400),
        "remark_corp_name": "",
        "remark_mobiles": [],
        "oper_userid": account["employees"][number],
        "add_way": 1,
        "state": "",
    }


def _contact(world: World, account: Document, index: int) -> dict[str, Any]:
    people = world.population.people
    return {
        "external_userid": world.reach_of(account).ids[index],
        "name": people.names[index],
        "avatar": "",
        "type": 1,
        "gender": _GENDER[people.traits["sex"][index]],
        "unionid": people.unionids[index],
    }


def follow_users(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/get_follow_user_list."""
    return {"follow_user": list(call.account["employees"])}


def list_customers(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/list: all customers of one member."""
    number = employee(call.account, call.query.get("userid"), 40003)
    ids = world.reach_of(call.account).ids
    found = customers_of(world, call.account, number)
    if not found:
        raise ApiError(84061, external_userid=[])
    return {"external_userid": [ids[index] for index in found]}


def get_customer(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/get: the customer and, per member, remark and tags."""
    account = call.account
    index = customer(world, account, call.query.get("external_userid"))
    reach, follow = world.reach_of(account), []
    for number in reach.staff[index]:
        entry = _follow_info(world, account, number, index)
        entry["tags"] = []
        for ident in marks(world, account, entry["userid"], reach.ids[index]):
            group = world.state.get("corp_group", world.state.documents["corp_tag"][ident]["group"])
            if group is not None:
                name = next(tag["name"] for tag in group["tag"] if tag["id"] == ident)
                entry["tags"].append({"group_name": group["group_name"], "tag_name": name, "tag_id": ident, "type": 1})
        follow.append(entry)
    return {"external_contact": _contact(world, account, index), "follow_user": follow}


def batch_by_user(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/batch/get_by_user: customers of up to 100 members, tag ids only."""
    account = call.account
    userids = call.texts("userid_list", 40032)
    if not userids or len(userids) > world.limits["by_user_batch"]:
        raise ApiError(40032)
    limit = call.number("limit", 50, 40058)
    if not 1 <= limit <= world.limits["by_user_batch"]:
        raise ApiError(40058)
    pairs = [
        (number, index)
        for number in (employee(account, userid) for userid in userids)
        for index in customers_of(world, account, number)
    ]
    start, after = page(call, limit, len(pairs))
    rows = []
    for number, index in pairs[start : start + limit]:
        info = _follow_info(world, account, number, index)
        info["tag_id"] = marks(world, account, info["userid"], world.reach_of(account).ids[index])
        rows.append({"external_contact": _contact(world, account, index), "follow_info": info})
    return {"external_contact_list": rows, "next_cursor": after, "fail_info": {"unlicensed_userid_list": []}}


def page(call: Call, limit: int, total: int) -> tuple[int, str]:
    """Start of the page that the body's cursor names, and the next cursor (empty at the end)."""
    cursor = call.body.get("cursor") or "0"
    if not isinstance(cursor, str) or not cursor.isdigit() or int(cursor) > total:
        raise ApiError(50100)
    start = int(cursor)
    return start, str(start + limit) if start + limit < total else ""


def message_send(world: World, call: Call) -> dict[str, Any]:
    """POST message/send: to members of the corp; too many to one member are dropped silently."""
    body, account = call.body, call.account
    if body.get("agentid") != account["agentid"]:
        raise ApiError(301002)
    kind = body.get("msgtype")
    if kind not in _MESSAGE_TYPES or not isinstance(body.get(kind), dict):
        raise ApiError(40058)
    content = body[kind].get("content", "")
    if kind in ("text", "markdown") and (not content or len(content.encode()) > 2048):
        raise ApiError(45002 if content else 44004)
    asked = body.get("touser")
    if not isinstance(asked, str) or not asked:
        raise ApiError(40058)
    names = list(account["employees"]) if asked == "@all" else asked.split("|")
    if asked != "@all" and len(names) > world.limits["member_message_users"]:
        raise ApiError(40032)
    known = [name for name in names if name in account["employees"]]
    if not known:
        raise ApiError(81013)
    ident, now = secrets.token_urlsafe(24), world.now()
    for name in known:
        subject = f"{account['id']}:message:{name}"
        fits = world.windows.take(subject, "minute", world.limits["member_message_per_minute"], now)
        if fits and world.windows.take(subject, "hour", world.limits["member_message_per_hour"], now):
            number = world.state.next_number("member_message")
            entry = {
                "account": account["id"],
                "userid": name,
                "msgid": ident,
                "msgtype": kind,
                "content": fingerprint(str(body[kind])),
                "at": now,
            }
            world.state.put("member_message", str(number), {**entry, "body": body[kind]})
    return {"invaliduser": "|".join(name for name in names if name not in account["employees"]), "msgid": ident}


ROUTES = [
    Route("GET", "/cgi-bin/externalcontact/get_follow_user_list", follow_users, kinds=WORK),
    Route("GET", "/cgi-bin/externalcontact/list", list_customers, kinds=WORK, read=True),
    Route("GET", "/cgi-bin/externalcontact/get", get_customer, kinds=WORK, read=True),
    Route("POST", "/cgi-bin/externalcontact/batch/get_by_user", batch_by_user, kinds=WORK, read=True),
    Route("POST", "/cgi-bin/message/send", message_send, kinds=WORK),
]
