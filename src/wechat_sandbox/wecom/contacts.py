"""企业微信: members with customers, customers, remarks."""

from typing import Any

import numpy as np

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends
from wechat_sandbox.wecom.access import employee, visible
from wechat_sandbox.world import World

_GENDER = {"男": 1, "女": 2, "未知": 0}
_REMARKS = {"remark": "remark_chars", "description": "description_chars", "remark_company": "remark_chars"}


def customer(world: World, account: Document, ident: Any) -> int:
    """Index of a customer: 40096 unknown id, 84061 nobody here has him."""
    reach = world.reach_of(account)
    index = reach.index.get(ident) if isinstance(ident, str) else None
    if index is None:
        raise ApiError(40096)
    if not reach.follows[index]:
        raise ApiError(84061)
    return int(index)


def relation(world: World, account: Document, userid: Any, ident: Any) -> tuple[int, int]:
    """Number of a member and index of his customer; 84061 when they are no friends."""
    number = employee(account, userid)
    index = customer(world, account, ident)
    if number not in friends.members_of(world, account, index):
        raise ApiError(84061)
    return number, index


def marks(world: World, account: Document, userid: str, ident: str) -> list[str]:
    """Corp and strategy tag ids that a member put on a customer."""
    return list(world.state.members.get(("mark", f"{account['id']}:{userid}:{ident}"), ()))


def _follow_info(world: World, account: Document, number: int, index: int) -> dict[str, Any]:
    known = friends.details(world, account, number, index)
    userid = account["employees"][number]
    entry = {
        "userid": userid,
        "remark": known.get("remark", world.population.people.names[index]),
        "description": known.get("description", ""),
        "createtime": friends.since(world, account, number, index),
        "remark_corp_name": known.get("remark_company", ""),
        "remark_mobiles": known.get("remark_mobiles", []),
        "oper_userid": known.get("oper_userid", userid),
        "add_way": known.get("add_way", 1),
        "state": known.get("state", ""),
    }
    if known.get("add_way") == 10:
        entry["wechat_channels"] = {"nickname": "视频号", "source": 1}
    return entry


def _contact(world: World, account: Document, index: int) -> dict[str, Any]:
    people = world.population.people
    entry = {
        "external_userid": world.reach_of(account).ids[index],
        "name": people.names[index],
        "avatar": "",
        "type": 1,
        "gender": _GENDER[people.traits["sex"][index]],
    }
    if account.get("unionid_bound") is not False:
        entry["unionid"] = people.unionids[index]
    return entry


def _tags(world: World, account: Document, number: int, index: int) -> list[dict[str, Any]]:
    """The tags of one relation: corp (1), private (2, without an id), strategy (3)."""
    userid, ident = account["employees"][number], world.reach_of(account).ids[index]
    rows: list[dict[str, Any]] = []
    for tag in marks(world, account, userid, ident):
        group = world.state.get("corp_group", world.state.documents["corp_tag"][tag]["group"])
        if group is not None:
            name = next(entry["name"] for entry in group["tag"] if entry["id"] == tag)
            kind = 3 if group.get("strategy_id") else 1
            rows.append({"group_name": group["group_name"], "tag_name": name, "tag_id": tag, "type": kind})
    private = friends.details(world, account, number, index).get("private_tags", ())
    return rows + [{"group_name": "", "tag_name": name, "type": 2} for name in private]


def follow_users(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/get_follow_user_list: members inside the visible range."""
    return {"follow_user": visible(call.account)}


def list_customers(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/list: all customers of one member."""
    number = employee(call.account, call.query.get("userid"), 40003)
    ids = world.reach_of(call.account).ids
    found = friends.customers_of(world, call.account, number)
    if not found:
        raise ApiError(84061)
    return {"external_userid": ids.many(np.array(found))}


def get_customer(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/get: the customer and, per visible member, remark and tags; pages of 500 members."""
    account, seen = call.account, visible(call.account)
    index = customer(world, account, call.query.get("external_userid"))
    numbers = [n for n in friends.members_of(world, account, index) if account["employees"][n] in seen]
    if not numbers:
        raise ApiError(60011)
    most = world.limits["get_followers_page"]
    start, after = _page(call.query.get("cursor"), most, len(numbers))
    rows = []
    for number in numbers[start : start + most]:
        entry = _follow_info(world, account, number, index)
        entry["tags"] = _tags(world, account, number, index)
        rows.append(entry)
    answer = {"external_contact": _contact(world, account, index), "follow_user": rows}
    return {**answer, "next_cursor": after} if len(numbers) > most else answer


def batch_by_user(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/batch/get_by_user: customers of up to 100 members, ids of corp and strategy tags only."""
    account = call.account
    userids = call.texts("userid_list", 40032)
    if not userids or len(userids) > world.limits["by_user_batch"]:
        raise ApiError(40032)
    limit = call.number("limit", 50, 40058)
    if not 1 <= limit <= world.limits["by_user_batch"]:
        raise ApiError(40058)
    people = [(n, friends.customers_of(world, account, n)) for n in (employee(account, one) for one in userids)]
    start, after = page(call, limit, sum(len(found) for _, found in people))
    rows = []
    for number, index in _some(people, start, limit):
        info = _follow_info(world, account, number, index)
        info["tag_id"] = marks(world, account, info["userid"], world.reach_of(account).ids[index])
        rows.append({"external_contact": _contact(world, account, index), "follow_info": info})
    return {"external_contact_list": rows, "next_cursor": after, "fail_info": {"unlicensed_userid_list": []}}


def _some(people: list[tuple[int, list[int]]], start: int, limit: int) -> list[tuple[int, int]]:
    """The pairs of member and customer from a place on."""
    pairs: list[tuple[int, int]] = []
    for number, found in people:
        pairs += [(number, index) for index in found[max(start, 0) : max(start, 0) + limit - len(pairs)]]
        start -= len(found)
        if len(pairs) >= limit:
            break
    return pairs


def _page(cursor: Any, limit: int, total: int) -> tuple[int, str]:
    cursor = cursor or "0"
    if not isinstance(cursor, str) or not cursor.isdigit() or int(cursor) > total:
        raise ApiError(50100)
    start = int(cursor)
    return start, str(start + limit) if start + limit < total else ""


def page(call: Call, limit: int, total: int) -> tuple[int, str]:
    """Start of the page that the body's cursor names, and the next cursor (empty at the end)."""
    return _page(call.body.get("cursor"), limit, total)


def limited(call: Call, default: int, most: int) -> int:
    """The `limit` of a body; 40058 outside 1 to `most`."""
    limit = call.number("limit", default, 40058)
    if not 1 <= limit <= most:
        raise ApiError(40058, "limit")
    return limit


def remark(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/remark. Too long is 40058 (UNCONFIRMED: the page names the lengths, not the code)."""
    body = call.body
    number, index = relation(world, call.account, body.get("userid"), body.get("external_userid"))
    changes: dict[str, Any] = {}
    for name, limit in _REMARKS.items():
        if name in body:
            if not isinstance(body[name], str) or len(body[name]) > world.limits[limit]:
                raise ApiError(40058, name)
            changes[name] = body[name]
    if "remark_mobiles" in body:
        changes["remark_mobiles"] = [number for number in call.texts("remark_mobiles", 40058) if number]
    if not changes and "remark_pic_mediaid" not in body:
        raise ApiError(40063)
    friends.note(world, call.account, number, index, **changes)
    return {}


def member_number(account: Document, userid: Any) -> int:
    """Number of a member for a control call; ControlError 404 for none."""
    if userid not in account["employees"]:
        raise ControlError(404, f"no member {userid}")
    return int(account["employees"].index(userid))


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("GET", f"{_EXTERNAL}/get_follow_user_list", follow_users, kinds=WORK, lists="follow_user"),
    Route("GET", f"{_EXTERNAL}/list", list_customers, kinds=WORK, read=True, lists="external_userid"),
    Route("GET", f"{_EXTERNAL}/get", get_customer, kinds=WORK, read=True, lists="follow_user"),
    Route(
        "POST",
        f"{_EXTERNAL}/batch/get_by_user",
        batch_by_user,
        kinds=WORK,
        read=True,
        lists="external_contact_list",
    ),
    Route("POST", f"{_EXTERNAL}/remark", remark, kinds=WORK),
]
