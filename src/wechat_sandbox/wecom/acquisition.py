"""企业微信 获客助手: links by which people become customers, and what came of them."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.people import relations
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends
from wechat_sandbox.wecom.access import employee
from wechat_sandbox.wecom.contacts import limited, page
from wechat_sandbox.wecom.statistics import span
from wechat_sandbox.world import World

_CHAT_KEY_MS = 30 * 60 * 1000
_YEAR = 365 * 86_400


def _check(world: World, call: Call) -> dict[str, Any]:
    """The fields of a link that can be written."""
    body, people = call.body, call.body.get("range")
    name = body.get("link_name")
    if not isinstance(name, str) or not name or len(name) > world.limits["state_chars"]:
        raise ApiError(40058, "link_name")
    users = people.get("user_list") or [] if isinstance(people, dict) else []
    parties = people.get("department_list") or [] if isinstance(people, dict) else []
    if not isinstance(users, list) or not isinstance(parties, list) or not (users or parties):
        raise ApiError(40058, "range")
    if len(users) > world.limits["acquisition_people"]:
        raise ApiError(40058, "range")
    for userid in users:
        employee(call.account, userid)
    return {
        "link_name": name,
        "range": {"user_list": users, "department_list": parties},
        "skip_verify": bool(body.get("skip_verify", True)),
        "priority_option": body.get("priority_option") or {},
        "mark_source": bool(body.get("mark_source", True)),
    }


def _links(world: World, account: Document) -> list[Document]:
    return [link for link in world.state.documents["acquisition"].values() if link["account"] == account["id"]]


def _link(world: World, call: Call) -> Document:
    link = world.state.get("acquisition", str(call.body.get("link_id")))
    if link is None or link["account"] != call.account["id"]:
        raise ApiError(40058, "link_id")
    return link


def _head(link: Document) -> dict[str, Any]:
    return {name: link[name] for name in ("link_id", "link_name", "url", "create_time")}


def create(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/create_link; 41095 above the number of links (ours)."""
    fields = _check(world, call)
    if len(_links(world, call.account)) >= world.limits["acquisition_links"]:
        raise ApiError(41095)
    ident = f"cawc{world.fresh('link', 16)}"
    link = {
        "link_id": ident,
        "account": call.account["id"],
        "url": f"https://work.weixin.qq.com/ca/{ident}",
        "create_time": world.now() // 1000,
        "clicks": [],
        "customers": [],
        **fields,
    }
    world.state.put("acquisition", ident, link)
    return {"link": _head(link)}


def get(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/get."""
    link = _link(world, call)
    names = ("range", "skip_verify", "priority_option", "mark_source")
    return {"link": {**_head(link), "skip_verify": link["skip_verify"]}, **{name: link[name] for name in names}}


def list_links(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/list_link."""
    links, limit = _links(world, call.account), limited(call, 100, 100)
    start, after = page(call, limit, len(links))
    return {"link_id_list": [link["link_id"] for link in links[start : start + limit]], "next_cursor": after}


def update(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/update_link: everything is overwritten."""
    link = _link(world, call)
    world.state.put("acquisition", link["link_id"], {**link, **_check(world, call)})
    return {}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/delete_link."""
    world.state.remove("acquisition", _link(world, call)["link_id"])
    return {}


def customers(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/customer: who came by a link; chat_status 1 once they have written."""
    link, limit = _link(world, call), limited(call, 1000, 1000)
    start, after = page(call, limit, len(link["customers"]))
    rows = []
    for entry in link["customers"][start : start + limit]:
        index = int(world.reach_of(call.account).index[entry["external_userid"]])
        number = call.account["employees"].index(entry["userid"])
        chatted = bool(friends.details(world, call.account, number, index).get("chatted"))
        names = ("external_userid", "userid", "state")
        rows.append({**{name: entry[name] for name in names}, "chat_status": int(chatted)})
    return {"customer_list": rows, "next_cursor": after}


def statistic(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/statistic: at most 30 days of the last 180."""
    link = _link(world, call)
    first, last = span(world, call.number("start_time", -1, 40058), call.number("end_time", -1, 40058))
    clicked = {entry["person"] for entry in link["clicks"] if first <= entry["at"] < last}
    added = sum(first <= entry["at"] < last for entry in link["customers"])
    return {"click_link_customer_cnt": len(clicked), "new_customer_cnt": added}


def quota(world: World, call: Call) -> dict[str, Any]:
    """GET customer_acquisition_quota: what was bought and is left."""
    total = world.limits["acquisition_quota"]
    used = sum(len(link["customers"]) for link in _links(world, call.account))
    expires = call.account["created"] // 1000 + _YEAR
    balance = max(0, total - used)
    return {"total": total, "balance": balance, "quota_list": [{"expire_date": expires, "balance": balance}]}


def chat_info(world: World, call: Call) -> dict[str, Any]:
    """POST customer_acquisition/get_chat_info: behind a chat_key of the last 30 minutes."""
    entry = world.state.get("acquisition_chat", str(call.body.get("chat_key")))
    late = entry is not None and world.now() - entry["at"] > _CHAT_KEY_MS
    if entry is None or entry["account"] != call.account["id"] or late:
        raise ApiError(40058, "chat_key")
    return {
        "userid": entry["userid"],
        "external_userid": entry["external_userid"],
        "chat_info": {"recv_msg_cnt": 1, "link_id": entry["link_id"], "state": entry["state"]},
    }


def visit(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/acquisition/visit: people open a link and, unless `adds` is false, add its member.

    `channel` is the link's customer_channel (64 bytes, cut); without quota nobody is added.
    """
    account, now = world.account(body.get("account")), world.now()
    link = world.state.get("acquisition", str(body.get("link_id")))
    if link is None or link["account"] != account["id"]:
        raise ControlError(404, f"no link {body.get('link_id')}")
    state = str(body.get("channel") or "").encode()[:64].decode(errors="ignore")
    members, rows = link["range"]["user_list"] or account["employees"], []
    left = world.limits["acquisition_quota"] - sum(len(one["customers"]) for one in _links(world, account))
    for index in relations.indexes(world, body.get("people") or []):
        ident = world.reach_of(account).ids[index]
        link["clicks"].append({"person": ident, "at": now // 1000})
        userid = members[int(unit(link["link_id"], index) * len(members))]
        number, row = account["employees"].index(userid), {"external_userid": ident, "added": False}
        rows.append(row)
        if (
            body.get("adds", True)
            and left > 0
            and friends.relate(world, account, number, index, add_way=16, state=state)
        ):
            left -= 1
            link["customers"].append({"external_userid": ident, "userid": userid, "state": state, "at": now // 1000})
            key = world.fresh("chat_key", 32)
            chat = {"account": account["id"], "link_id": link["link_id"], "userid": userid, "state": state, "at": now}
            world.state.put("acquisition_chat", key, {**chat, "external_userid": ident})
            code = friends.added(world, account, number, index)
            row |= {"added": True, "userid": userid, "welcome_code": code, "chat_key": key}
    world.state.put("acquisition", link["link_id"], link)
    return 200, {"visits": rows}


_EXTERNAL = "/cgi-bin/externalcontact"
_LINKS = f"{_EXTERNAL}/customer_acquisition"
ROUTES = [
    Route("POST", f"{_LINKS}/create_link", create, kinds=WORK),
    Route("POST", f"{_LINKS}/get", get, kinds=WORK),
    Route("POST", f"{_LINKS}/list_link", list_links, kinds=WORK, lists="link_id_list"),
    Route("POST", f"{_LINKS}/update_link", update, kinds=WORK),
    Route("POST", f"{_LINKS}/delete_link", delete, kinds=WORK),
    Route("POST", f"{_LINKS}/customer", customers, kinds=WORK, lists="customer_list"),
    Route("POST", f"{_LINKS}/statistic", statistic, kinds=WORK),
    Route("POST", f"{_LINKS}/get_chat_info", chat_info, kinds=WORK),
    Route("GET", f"{_EXTERNAL}/customer_acquisition_quota", quota, kinds=WORK),
]
CONTROL = {("POST", "wecom/acquisition/visit"): visit}
