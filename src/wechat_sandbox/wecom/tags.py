"""企业微信 customer tags: groups of tags per corp (企业标签) and per rule group (规则组标签)."""

from collections.abc import Callable, Iterable
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import marks
from wechat_sandbox.world import World

STRATEGIES = (1, 2)
"""The first-level rule groups that every corp has here; others are not imitated."""
_Chosen = Callable[[Document], bool]


def _corp(group: Document) -> bool:
    return not group.get("strategy_id")


def _strategy(group: Document) -> bool:
    return bool(group.get("strategy_id"))


def groups_of(world: World, account: Document, chosen: _Chosen = _corp, kind: str = "corp_group") -> list[Document]:
    """The groups of an account that are there (or, by `kind`, that were deleted), greatest order first."""
    found = [g for g in world.state.documents[kind].values() if g["account"] == account["id"] and chosen(g)]
    return sorted(found, key=lambda group: -int(group["order"]))


def _shown(group: Document, tags: Iterable[Document], *, gone: bool = False) -> dict[str, Any]:
    row = {name: group[name] for name in ("group_id", "group_name", "create_time", "order")}
    if group.get("strategy_id"):
        row["strategy_id"] = group["strategy_id"]
    rows = [{key: value for key, value in tag.items() if key != "by"} for tag in tags]
    row["tag"] = sorted(rows, key=lambda tag: -int(tag["order"]))
    return {**row, "deleted": True} if gone else row


def _found(world: World, call: Call, chosen: _Chosen) -> list[dict[str, Any]]:
    """Groups as asked: by group ids, else by tag ids (then what was deleted comes too), else all."""
    account = call.account
    groups, gone = groups_of(world, account, chosen), groups_of(world, account, chosen, "corp_group_gone")
    by_group, by_tag = set(call.texts("group_id", 40058)), set(call.texts("tag_id", 40058))
    if not by_group and not by_tag:
        return [_shown(group, group["tag"]) for group in groups]
    dead: dict[str, list[Document]] = {}
    for entry in world.state.documents["corp_tag_gone"].values():
        dead.setdefault(entry["group"], []).append({**entry["tag"], "deleted": True})
    rows = []
    for group, is_gone in [(group, False) for group in groups] + [(group, True) for group in gone]:
        whole = group["group_id"] in by_group
        tags = [tag for tag in group["tag"] if whole or (not by_group and tag["id"] in by_tag)]
        gone_tags = dead.get(group["group_id"], ())
        tags += [tag for tag in gone_tags if whole or (not by_group and tag["id"] in by_tag)]
        if tags or whole:
            rows.append(_shown(group, tags, gone=is_gone))
    return rows


def list_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_corp_tag_list: all, or by tag ids, or by group ids."""
    return {"tag_group": _found(world, call, _corp)}


def list_strategy_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_strategy_tag_list: of one rule group or all."""
    ident = call.number("strategy_id", 0, 40058)
    return {"tag_group": _found(world, call, lambda group: _strategy(group) and ident in (0, group["strategy_id"]))}


def _check_name(world: World, name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > world.limits["corp_tag_name_chars"]:
        raise ApiError(40072)
    return name


def _check_order(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ApiError(40058, "order")
    return value


def _target(world: World, call: Call, strategy: int) -> Document:
    """The group a new tag goes to: the one named by id, the one of that name, or a new one."""
    account, ident, name = call.account, call.body.get("group_id"), call.body.get("group_name")
    siblings = groups_of(world, account, lambda group: group.get("strategy_id", 0) == strategy)
    if ident:
        for group in siblings:
            if group["group_id"] == ident:
                return group
        raise ApiError(40068)
    name = _check_name(world, name)
    for group in siblings:
        if group["group_name"] == name:
            return group
    return new_group(world, account, name, _check_order(call.body.get("order", 0)), strategy=strategy)


def new_group(
    world: World, account: Document, name: str, order: int = 0, *, by: str = "api", strategy: int = 0
) -> Document:
    """A group that is not stored yet."""
    return {
        "account": account["id"],
        "group_id": f"et{world.fresh('corp_group', 28)}",
        "group_name": name,
        "create_time": world.now() // 1000,
        "order": order,
        "tag": [],
        "by": by,
        **({"strategy_id": strategy} if strategy else {}),
    }


def new_tag(world: World, group: Document, name: str, order: int = 0, *, by: str = "api") -> Document:
    """Add a tag to a group and store both."""
    tag: Document = {
        "id": f"et{world.fresh('corp_tag', 28)}",
        "name": name,
        "create_time": world.now() // 1000,
        "order": order,
        "by": by,
    }
    group["tag"].append(tag)
    world.state.put("corp_tag", tag["id"], {"group": group["group_id"]})
    world.state.put("corp_group", str(group["group_id"]), group)
    return tag


def _add(world: World, call: Call, strategy: int) -> dict[str, Any]:
    asked = call.body.get("tag")
    if not isinstance(asked, list) or not asked or not all(isinstance(entry, dict) for entry in asked):
        raise ApiError(40063)
    names = {_check_name(world, entry.get("name")): _check_order(entry.get("order", 0)) for entry in asked}
    group = _target(world, call, strategy)
    known = {tag["name"] for tag in group["tag"]}
    if call.body.get("group_id") and known & set(names):
        raise ApiError(40071)
    fresh = [name for name in names if name not in known]
    used = sum(len(other["tag"]) for other in groups_of(world, call.account, lambda _: True))
    if used + len(fresh) > world.limits["corp_tags"]:
        raise ApiError(40126)
    for name in fresh:
        new_tag(world, group, name, names[name])
    return {"tag_group": _shown(group, (tag for tag in group["tag"] if tag["name"] in names))}


def add_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_corp_tag: a new group or the existing one of that name; equal names become one tag."""
    return _add(world, call, 0)


def add_strategy_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_strategy_tag: the same inside a first-level rule group."""
    strategy = call.body.get("strategy_id")
    if strategy not in STRATEGIES:
        raise ApiError(40058, "strategy_id")
    return _add(world, call, int(strategy))


def _own(entry: Document) -> None:
    if entry.get("by", "api") != "api":
        raise ApiError(81011)


def rename(world: World, account: Document, ident: Any, name: str, chosen: _Chosen) -> tuple[Document, Document]:
    """Give a tag or group another name; (the group, the entry that changed). 40068 unknown, 40071 name taken."""
    group, entry = find(world, account, ident, chosen)
    field = "group_name" if entry is group else "name"
    siblings = groups_of(world, account, chosen) if entry is group else group["tag"]
    if any(other is not entry and other[field] == name for other in siblings):
        raise ApiError(40071)
    entry[field] = name
    world.state.put("corp_group", group["group_id"], group)
    return group, entry


def find(world: World, account: Document, ident: Any, chosen: _Chosen) -> tuple[Document, Document]:
    """A group and the entry of this id in it (the group itself or a tag); 40068 when there is none."""
    group = next((group for group in groups_of(world, account, chosen) if group["group_id"] == ident), None)
    if group is not None:
        return group, group
    group = marks.tag_group(world, account, ident)
    if not chosen(group):
        raise ApiError(40068)
    return group, next(tag for tag in group["tag"] if tag["id"] == ident)


def _edit(world: World, call: Call, chosen: _Chosen) -> dict[str, Any]:
    group, entry = find(world, call.account, call.body.get("id"), chosen)
    _own(entry)
    order = _check_order(call.body.get("order", entry["order"]))
    if "name" in call.body:
        rename(world, call.account, call.body["id"], _check_name(world, call.body["name"]), chosen)
    entry["order"] = order
    world.state.put("corp_group", group["group_id"], group)
    return {}


def edit_tag(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/edit_corp_tag: name or order of a tag or a group; 81011 when another made it."""
    return _edit(world, call, _corp)


def edit_strategy_tag(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/edit_strategy_tag."""
    return _edit(world, call, _strategy)


def remove(world: World, group: Document, tags: list[Document]) -> bool:
    """Delete tags of a group, their marks too; True when the group went with the last of them."""
    for tag in tags:
        group["tag"].remove(tag)
        world.state.remove("corp_tag", tag["id"])
        gone = {"account": group["account"], "group": group["group_id"], "tag": tag}
        world.state.put("corp_tag_gone", tag["id"], gone)
        world.state.unpair_all("mark", world.state.owners.get(("mark", tag["id"]), ()), tag["id"])
    if group["tag"]:
        world.state.put("corp_group", group["group_id"], group)
        return False
    world.state.remove("corp_group", group["group_id"])
    world.state.put("corp_group_gone", group["group_id"], group)
    return True


def _delete(world: World, call: Call, chosen: _Chosen) -> dict[str, Any]:
    idents, group_ids = call.texts("tag_id", 40058), call.texts("group_id", 40058)
    if not idents and not group_ids:
        raise ApiError(40063)
    for ident in idents + group_ids:
        group, entry = find(world, call.account, ident, chosen)
        _own(entry)
        if entry is group:
            for tag in group["tag"]:
                _own(tag)
    for group in groups_of(world, call.account, chosen):
        tags = [tag for tag in group["tag"] if group["group_id"] in group_ids or tag["id"] in idents]
        if tags:
            remove(world, group, tags)
    return {}


def delete_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/del_corp_tag: tags and groups; an emptied group disappears."""
    return _delete(world, call, _corp)


def delete_strategy_tags(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/del_strategy_tag."""
    return _delete(world, call, _strategy)


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/get_corp_tag_list", list_tags, kinds=WORK, lists="tag_group"),
    Route("POST", f"{_EXTERNAL}/add_corp_tag", add_tags, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/edit_corp_tag", edit_tag, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/del_corp_tag", delete_tags, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/get_strategy_tag_list", list_strategy_tags, kinds=WORK, lists="tag_group"),
    Route("POST", f"{_EXTERNAL}/add_strategy_tag", add_strategy_tags, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/edit_strategy_tag", edit_strategy_tag, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/del_strategy_tag", delete_strategy_tags, kinds=WORK),
]
