"""企业微信 customer tags: groups of tags per corp, put on (member, customer) pairs."""

import secrets
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.contacts import customer, employee, marks
from wechat_sandbox.world import World


def _groups(world: World, account: Document) -> list[Document]:
    return [group for group in world.state.documents["corp_group"].values() if group["account"] == account["id"]]


def _shown(group: Document, only: set[str] | None = None) -> dict[str, Any]:
    rows = [dict(tag) for tag in group["tag"] if only is None or tag["id"] in only]
    return {
        "group_id": group["group_id"],
        "group_name": group["group_name"],
        "create_time": group["create_time"],
        "order": group["order"],
        "tag": rows,
    }


def _tag_group(world: World, account: Document, ident: Any) -> Document:
    """The group of a tag id; 40068 when there is no such tag."""
    entry = world.state.get("corp_tag", ident) if isinstance(ident, str) else None
    group = world.state.get("corp_group", entry["group"]) if entry else None
    if group is None or group["account"] != account["id"]:
        raise ApiError(40068)
    return group


def known_tag(world: World, account: Document, ident: Any) -> str:
    """The id of a corp tag that exists; the platform's error for another."""
    _tag_group(world, account, ident)
    return str(ident)


def list_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_corp_tag_list: all, or by tag ids, or by group ids."""
    groups = _groups(world, call.account)
    by_group, by_tag = set(call.texts("group_id", 40058)), set(call.texts("tag_id", 40058))
    if by_group:
        return {"tag_group": [_shown(group) for group in groups if group["group_id"] in by_group]}
    if by_tag:
        found = [_shown(group, by_tag) for group in groups]
        return {"tag_group": [group for group in found if group["tag"]]}
    return {"tag_group": [_shown(group) for group in groups]}


def _check_name(world: World, name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > world.limits["corp_tag_name_chars"]:
        raise ApiError(40072)
    return name


def _target_group(world: World, call: Call) -> Document:
    account = call.account
    ident, name = call.body.get("group_id"), call.body.get("group_name")
    if ident:
        for group in _groups(world, account):
            if group["group_id"] == ident:
                return group
        raise ApiError(40068)
    name = _check_name(world, name)
    for group in _groups(world, account):
        if group["group_name"] == name:
            return group
    order = call.number("order", 0, 40058)
    return {
        "account": account["id"],
        "group_id": f"et{secrets.token_urlsafe(21)}",
        "group_name": name,
        "create_time": world.now() // 1000,
        "order": order,
        "tag": [],
    }


def add_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_corp_tag: a new group or the existing one of that name; equal names become one tag."""
    asked = call.body.get("tag")
    if not isinstance(asked, list) or not asked or not all(isinstance(entry, dict) for entry in asked):
        raise ApiError(40063)
    names = {_check_name(world, entry.get("name")): entry for entry in asked}
    group = _target_group(world, call)
    known = {tag["name"] for tag in group["tag"]}
    if call.body.get("group_id") and known & set(names):
        raise ApiError(40071)
    fresh = [name for name in names if name not in known]
    used = sum(len(other["tag"]) for other in _groups(world, call.account))
    if used + len(fresh) > world.limits["corp_tags"]:
        raise ApiError(40126)
    for name in fresh:
        tag = {
            "id": f"et{secrets.token_urlsafe(21)}",
            "name": name,
            "create_time": world.now() // 1000,
            "order": names[name].get("order", 0),
        }
        group["tag"].append(tag)
        world.state.put("corp_tag", tag["id"], {"group": group["group_id"]})
    world.state.put("corp_group", group["group_id"], group)
    return {"tag_group": _shown(group, {tag["id"] for tag in group["tag"] if tag["name"] in names})}


def edit_tag(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/edit_corp_tag: name or order of a tag or a group."""
    ident = call.body.get("id")
    group = next((group for group in _groups(world, call.account) if group["group_id"] == ident), None)
    if group is not None:
        siblings, entry, field = _groups(world, call.account), group, "group_name"
    else:
        group = _tag_group(world, call.account, ident)
        siblings, field = group["tag"], "name"
        entry = next(tag for tag in siblings if tag["id"] == ident)
    if "name" in call.body:
        name = _check_name(world, call.body["name"])
        if any(other is not entry and other[field] == name for other in siblings):
            raise ApiError(40071)
        entry[field] = name
    entry["order"] = call.number("order", entry["order"], 40058)
    world.state.put("corp_group", group["group_id"], group)
    return {}


def delete_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/del_corp_tag: tags and groups; an emptied group disappears."""
    idents, group_ids = call.texts("tag_id", 40058), set(call.texts("group_id", 40058))
    if not idents and not group_ids:
        raise ApiError(40063)
    for ident in idents:
        _tag_group(world, call.account, ident)
    for group in _groups(world, call.account):
        whole = group["group_id"] in group_ids
        gone = [tag for tag in group["tag"] if whole or tag["id"] in idents]
        for tag in gone:
            group["tag"].remove(tag)
            world.state.remove("corp_tag", tag["id"])
            world.state.unpair_all("mark", world.state.owners.get(("mark", tag["id"]), ()), tag["id"])
        if not group["tag"]:
            world.state.remove("corp_group", group["group_id"])
        elif gone:
            world.state.put("corp_group", group["group_id"], group)
    return {}


def mark(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/mark_tag: one member, one customer."""
    account, userid, ident = call.account, call.body.get("userid"), call.body.get("external_userid")
    number = employee(account, userid)
    index = customer(world, account, ident)
    if number not in world.reach_of(account).staff[index]:
        raise ApiError(84061)
    add, remove = call.texts("add_tag", 40058), call.texts("remove_tag", 40058)
    if not add and not remove:
        raise ApiError(40063)
    for tag in add + remove:
        known_tag(world, account, tag)
    owner = f"{account['id']}:{userid}:{ident}"
    if len(set(marks(world, account, str(userid), str(ident))) | set(add)) > world.limits["member_customer_tags"]:
        raise ApiError(40126)
    for tag in add:
        world.state.pair("mark", owner, tag)
    for tag in remove:
        world.state.unpair("mark", owner, tag)
    return {}


def forget(world: World, account: Document, ident: str) -> None:
    """A customer is no longer one: the marks on him go."""
    for userid in account["employees"]:
        owner = f"{account['id']}:{userid}:{ident}"
        for tag in list(world.state.members.get(("mark", owner), ())):
            world.state.unpair("mark", owner, tag)


ROUTES = [
    Route("POST", "/cgi-bin/externalcontact/get_corp_tag_list", list_tags, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/add_corp_tag", add_tags, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/edit_corp_tag", edit_tag, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/del_corp_tag", delete_tags, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/mark_tag", mark, kinds=WORK),
]
