"""Followers of 公众号 and 服务号: lists and details."""

from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_SCENES = ("ADD_SCENE_QR_CODE", "ADD_SCENE_SEARCH", "ADD_SCENE_PROFILE_CARD", "ADD_SCENE_OTHERS")


def follower(world: World, account: Document, openid: Any) -> int:
    """Index of a person by openid; 40003 when the account never saw it."""
    index = world.reach_of(account).index.get(openid) if isinstance(openid, str) else None
    if index is None:
        raise ApiError(40003)
    return index


def own_follower(world: World, account: Document, openid: Any) -> int:
    """As `follower`, with 49003 for an openid that another account knows."""
    index = world.reach_of(account).index.get(openid) if isinstance(openid, str) else None
    if index is None:
        others = (other for other in world.accounts() if other["kind"] != "wecom" and other["id"] != account["id"])
        raise ApiError(49003 if any(openid in world.reach_of(other).index for other in others) else 40003)
    return index


def tag_numbers(world: World, account: Document, openid: str) -> list[int]:
    """Tag ids of a follower, ascending."""
    prefix = f"{account['id']}:"
    return sorted(
        int(owner[len(prefix) :]) for owner in world.state.owners.get(("tag", openid), ()) if owner.startswith(prefix)
    )


def get(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/user/get: followers by pages."""
    reach, page = world.reach_of(call.account), world.limits["user_page"]
    after = call.query.get("next_openid") or ""
    start = follower(world, call.account, after) + 1 if after else 0
    found = reach.page(start, page)
    answer: dict[str, Any] = {"total": reach.follows.count(1), "count": len(found)}
    if found:
        answer["data"] = {"openid": found}
    answer["next_openid"] = found[-1] if found else ""
    return answer


def _details(world: World, account: Document, openid: Any) -> dict[str, Any]:
    index = follower(world, account, openid)
    reach, people = world.reach_of(account), world.population.people
    if not reach.follows[index]:
        return {"subscribe": 0, "openid": openid, "unionid": people.unionids[index]}
    draw = unit(account["id"], openid)
    tags = tag_numbers(world, account, openid)
    usual = {
        "subscribe_time": account["created"] // 1000 - int(draw * 400 * 86400),
        "remark": "",
        "subscribe_scene": _SCENES[int(draw * len(_SCENES))],
        "qr_scene": 0,
        "qr_scene_str": "",
    }
    known = {**usual, **(world.state.get("follower", f"{account['id']}:{openid}") or {})}
    return {
        "subscribe": 1,
        "openid": openid,
        "language": "zh_CN",
        "subscribe_time": known["subscribe_time"],
        "unionid": people.unionids[index],
        "remark": known["remark"],
        "groupid": tags[0] if tags else 0,
        "tagid_list": tags,
        **{name: known[name] for name in ("subscribe_scene", "qr_scene", "qr_scene_str")},
    }


def info(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/user/info."""
    return _details(world, call.account, call.query.get("openid"))


def info_batch(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/user/info/batchget: at most 100."""
    asked = call.body.get("user_list")
    if not isinstance(asked, list) or not asked or len(asked) > world.limits["user_info_batch"]:
        raise ApiError(40032)
    return {
        "user_info_list": [
            _details(world, call.account, entry.get("openid") if isinstance(entry, dict) else None) for entry in asked
        ]
    }


def remark(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/user/info/updateremark: a name of the account's own for a follower, less than 30 bytes."""
    openid, text = call.body.get("openid"), call.body.get("remark")
    index = follower(world, call.account, openid)
    if not isinstance(text, str) or len(text.encode()) >= world.limits["remark_bytes"]:
        raise ApiError(40092)
    if not world.reach_of(call.account).follows[index]:
        raise ApiError(43004)
    key = f"{call.account['id']}:{openid}"
    world.state.put("follower", key, {**(world.state.get("follower", key) or {}), "remark": text})
    return dict(OK)


ROUTES = [
    Route("GET", "/cgi-bin/user/get", get),
    Route("GET", "/cgi-bin/user/info", info),
    Route("POST", "/cgi-bin/user/info/batchget", info_batch),
    Route("POST", "/cgi-bin/user/info/updateremark", remark),
]
