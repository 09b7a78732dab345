"""User tags of 公众号 and 服务号: flat, 100 per account, 20 per user."""

from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.official.users import follower, own_follower, tag_numbers
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_SYSTEM = {0: "", 1: "黑名单", 2: "星标组"}
_FIRST = 100
_WRITES_KEPT = 10_000
_WRITTEN: dict[str, int] = {}


def tags_of(world: World, account: Document) -> dict[int, Document]:
    """The account's tags by id."""
    prefix = f"{account['id']}:"
    return {tag["id"]: tag for key, tag in world.state.documents["tag"].items() if key.startswith(prefix)}


def members(world: World, account: Document, tag: int) -> list[str]:
    """Openids that bear a tag, in the order they got it."""
    return list(world.state.members.get(("tag", f"{account['id']}:{tag}"), ()))


def forget(world: World, account: Document, openid: str) -> None:
    """A follower left: his tags go."""
    prefix = f"{account['id']}:"
    owners = [owner for owner in world.state.owners.get(("tag", openid), ()) if owner.startswith(prefix)]
    world.state.unpair_all("tag", owners, openid)


def _check_name(world: World, account: Document, name: Any, but: int | None = None) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ApiError(45157)
    if len(name.encode()) > world.limits["tag_name_bytes"]:
        raise ApiError(45158)
    if (
        any(tag["name"] == name and tag["id"] != but for tag in tags_of(world, account).values())
        or name in _SYSTEM.values()
    ):
        raise ApiError(45157)
    return name


def _known(world: World, account: Document, ident: Any, code: int) -> Document:
    tag = tags_of(world, account).get(ident) if isinstance(ident, int) else None
    if tag is None:
        raise ApiError(code)
    return tag


def create(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/create."""
    name = _check_name(world, call.account, call.record("tag", 44002).get("name"))
    if len(tags_of(world, call.account)) >= world.limits["tags_per_account"]:
        raise ApiError(45056)
    ident = world.state.next_number(f"tag:{call.account['id']}", _FIRST)
    world.state.put("tag", f"{call.account['id']}:{ident}", {"id": ident, "name": name})
    return {"tag": {"id": ident, "name": name}}


def get(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/tags/get."""
    system = [{"id": 2, "name": _SYSTEM[2], "count": 0}]
    own = [
        {**tag, "count": len(members(world, call.account, ident))}
        for ident, tag in sorted(tags_of(world, call.account).items())
    ]
    return {"tags": system + own}


def update(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/update."""
    asked = call.record("tag", 44002)
    if asked.get("id") in tuple(_SYSTEM):
        raise ApiError(45058)
    tag = _known(world, call.account, asked.get("id"), 45159)
    tag["name"] = _check_name(world, call.account, asked.get("name"), but=tag["id"])
    world.state.put("tag", f"{call.account['id']}:{tag['id']}", tag)
    return dict(OK)


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/delete."""
    asked = call.record("tag", 44002)
    if asked.get("id") in tuple(_SYSTEM):
        raise ApiError(45058)
    tag = _known(world, call.account, asked.get("id"), 45159)
    bearers = members(world, call.account, tag["id"])
    if len(bearers) > world.limits["tag_delete_fans"]:
        raise ApiError(45057)
    key = f"{call.account['id']}:{tag['id']}"
    for openid in bearers:
        world.state.unpair("tag", key, openid)
    world.state.remove("tag", key)
    return dict(OK)


def bearers(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/user/tag/get: openids of a tag by pages."""
    tag = _known(world, call.account, call.body.get("tagid"), 45159)
    people, page = members(world, call.account, tag["id"]), world.limits["user_page"]
    after = call.body.get("next_openid") or ""
    if after and after not in people:
        raise ApiError(40003)
    start = people.index(after) + 1 if after else 0
    found = people[start : start + page]
    if not found:
        return {"count": 0}
    return {"count": len(found), "data": {"openid": found}, "next_openid": found[-1]}


def _batch(world: World, call: Call) -> tuple[list[str], str]:
    openids = call.texts("openid_list", 40032)
    if not openids or len(openids) > world.limits["tag_batch"]:
        raise ApiError(40032)
    tag = _known(world, call.account, call.body.get("tagid"), 45159)
    for openid in openids:
        own_follower(world, call.account, openid)
    _lock(world, call.account, openids)
    return openids, f"{call.account['id']}:{tag['id']}"


def _lock(world: World, account: Document, openids: list[str]) -> None:
    """45169 when one of the openids was written less than `tag_lock_ms` ago (calls never overlap here)."""
    lock, now = world.limits["tag_lock_ms"], world.now()
    if not lock:
        return
    keys = [f"{account['id']}:{openid}" for openid in openids]
    if any(now - _WRITTEN.get(key, 0) < lock for key in keys):
        raise ApiError(45169)
    for key in keys:
        _WRITTEN.pop(key, None)
        _WRITTEN[key] = now
    while len(_WRITTEN) > _WRITES_KEPT:
        del _WRITTEN[next(iter(_WRITTEN))]


def tag_people(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/members/batchtagging: all, or those that can be with 45171 and the others."""
    openids, key = _batch(world, call)
    reach = world.reach_of(call.account)
    strangers = [openid for openid in openids if not reach.follows[reach.index[openid]]]
    full = [
        openid
        for openid in openids
        if key not in world.state.owners.get(("tag", openid), ())
        and len(tag_numbers(world, call.account, openid)) >= world.limits["tags_per_user"]
    ]
    failed = list(dict.fromkeys(strangers + full))
    if len(failed) == len(set(openids)):
        raise ApiError(50005 if strangers else 45059)
    for openid in openids:
        if openid not in failed:
            world.state.pair("tag", key, openid)
    if failed:
        raise ApiError(45171, fail_openid_list=failed)
    return dict(OK)


def untag_people(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/members/batchuntagging."""
    openids, key = _batch(world, call)
    for openid in openids:
        world.state.unpair("tag", key, openid)
    return dict(OK)


def ids_of(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/tags/getidlist."""
    openid = call.body.get("openid")
    follower(world, call.account, openid)
    return {"tagid_list": tag_numbers(world, call.account, str(openid))}


ROUTES = [
    Route("POST", "/cgi-bin/tags/create", create),
    Route("GET", "/cgi-bin/tags/get", get),
    Route("POST", "/cgi-bin/tags/update", update),
    Route("POST", "/cgi-bin/tags/delete", delete),
    Route("POST", "/cgi-bin/user/tag/get", bearers),
    Route("POST", "/cgi-bin/tags/members/batchtagging", tag_people),
    Route("POST", "/cgi-bin/tags/members/batchuntagging", untag_people),
    Route("POST", "/cgi-bin/tags/getidlist", ids_of),
]
