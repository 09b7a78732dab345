"""企业微信: what people do by hand in the platform's console and client; unlike API calls it sends events."""

from typing import Any

from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.people import relations
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends, marks, tags
from wechat_sandbox.wecom.contacts import member_number
from wechat_sandbox.world import World


def _event(world: World, account: Document, change: str, ident: str, kind: str) -> None:
    fields = {"ChangeType": change, "Id": ident, "TagType": kind}
    world.callbacks.send(account, "change_external_tag", "sys", fields, world.now())


def _everywhere(group: Document) -> bool:
    return not group.get("strategy_id")


def change_tags(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/console/tags: `action` create, rename, delete or shuffle.

    Tags made here are not the app's: it may mark with them, and not change them (81011).
    """
    account, action = world.account(body.get("account")), body.get("action")
    try:
        if action == "create":
            return 201, _create(world, account, body)
        if action == "rename":
            _, entry = tags.rename(world, account, body.get("id"), str(body.get("name") or ""), _everywhere)
            _event(world, account, "update", str(body["id"]), "tag_group" if "group_id" in entry else "tag")
            return 200, {"id": body["id"]}
        if action == "delete":
            return 200, _delete(world, account, body.get("id"))
        if action == "shuffle":
            group, _ = tags.find(world, account, body.get("id"), _everywhere)
            for place, tag in enumerate(reversed(group["tag"])):
                tag["order"] = place
            world.state.put("corp_group", group["group_id"], group)
            _event(world, account, "shuffle", group["group_id"], "tag_group")
            return 200, {"id": group["group_id"]}
    except ApiError as error:
        raise ControlError(
            404 if error.code == 40068 else 409, f"the platform's rules refuse it: {error.code}"
        ) from None
    raise ControlError(400, "action must be create, rename, delete or shuffle")


def _create(world: World, account: Document, body: dict[str, Any]) -> dict[str, Any]:
    name, names = str(body.get("group_name") or ""), [str(one) for one in body.get("tags") or []]
    if not name or not names:
        raise ControlError(400, "group_name and tags are needed")
    group = next((one for one in tags.groups_of(world, account) if one["group_name"] == name), None)
    if group is None:
        group = tags.new_group(world, account, name, by="console")
        _event(world, account, "create", group["group_id"], "tag_group")
    known = {tag["name"] for tag in group["tag"]}
    made = [tags.new_tag(world, group, one, by="console") for one in dict.fromkeys(names) if one not in known]
    for tag in made:
        _event(world, account, "create", tag["id"], "tag")
    return {"group_id": group["group_id"], "tags": {tag["name"]: tag["id"] for tag in made}}


def _delete(world: World, account: Document, ident: Any) -> dict[str, Any]:
    group, entry = tags.find(world, account, ident, _everywhere)
    chosen = list(group["tag"]) if entry is group else [entry]
    if tags.remove(world, group, chosen):
        _event(world, account, "delete", group["group_id"], "tag_group")
    if entry is not group:
        _event(world, account, "delete", str(ident), "tag")
    return {"deleted": [tag["id"] for tag in chosen]}


def edit_customers(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/console/customers: a member changes tags and remark of customers; edit_external_contact.

    `add_tag`, `remove_tag` name tags by id; `private_tags` replaces the member's own tags; `remark`, `mobiles`.
    """
    account = world.account(body.get("account"))
    number, userid = member_number(account, body.get("userid")), str(body.get("userid"))
    add, remove = list(body.get("add_tag") or []), list(body.get("remove_tag") or [])
    changes = {"private_tags": body.get("private_tags"), "remark": body.get("remark")}
    changes["remark_mobiles"] = body.get("mobiles")
    changes = {name: value for name, value in changes.items() if value is not None}
    found = relations.indexes(world, body.get("people") or [])
    try:
        for tag in add + remove:
            marks.known_tag(world, account, tag)
    except ApiError:
        raise ControlError(404, "no such tag") from None
    for index in found:
        if number not in friends.members_of(world, account, index):
            raise ControlError(409, f"{world.reach_of(account).ids[index]} is no customer of {userid}")
        marks.put(world, account, userid, world.reach_of(account).ids[index], (add, remove))
        friends.note(world, account, number, index, **changes)
        friends.event(world, account, number, index, "edit_external_contact")
    return 200, {"changed": len(found)}


def drop_customers(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/console/drop: a member deletes customers (del_external_contact), or they delete him.

    `by` customer: del_follow_user; the one-way friendship stays and messages fail.
    """
    account = world.account(body.get("account"))
    number, changed = member_number(account, body.get("userid")), 0
    for index in relations.indexes(world, body.get("people") or []):
        if number not in friends.members_of(world, account, index):
            continue
        changed += 1
        if body.get("by") == "customer":
            world.population.change(account, index, None, True)
            friends.event(world, account, number, index, "del_follow_user")
            continue
        marks.forget(world, account, world.reach_of(account).ids[index], str(body["userid"]))
        friends.part(world, account, number, index)
        friends.event(world, account, number, index, "del_external_contact")
    return 200, {"changed": changed}


def interact(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/interact: members and customers have to do with each other; `chat`: the customer writes."""
    account = world.account(body.get("account"))
    number = member_number(account, body.get("userid"))
    found = [
        index
        for index in relations.indexes(world, body.get("people") or [])
        if number in friends.members_of(world, account, index)
    ]
    for index in found:
        friends.touch(world, account, number, index, chat=bool(body.get("chat")))
    return 200, {"changed": len(found)}


ROUTES: list[Any] = []
CONTROL = {
    ("POST", "wecom/console/tags"): change_tags,
    ("POST", "wecom/console/customers"): edit_customers,
    ("POST", "wecom/console/drop"): drop_customers,
    ("POST", "wecom/interact"): interact,
}
