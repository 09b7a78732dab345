"""企业微信 客户朋友圈: the result of a job, the record of moments, who published, who saw, liked and commented."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.contacts import limited, page
from wechat_sandbox.wecom.moments import moment_of
from wechat_sandbox.world import World

_DAY = 86_400
_COMMENTED_WITHIN = 3600


def job_result(world: World, call: Call) -> dict[str, Any]:
    """GET externalcontact/get_moment_task_result: 1 started, 2 running, 3 done; the job is known for 24 hours."""
    job, now = world.state.get("moment_job", call.query.get("jobid", "")), world.now()
    if job is None or job["account"] != call.account["id"] or now - job["at"] > _DAY * 1000:
        raise ApiError(41087)
    if job["result"]:
        return {"status": 3, "type": "add_moment_task", "result": job["result"]}
    early = now - job["at"] < world.limits["moment_job_ms"] / 2
    return {"status": 1 if early else 2, "type": "add_moment_task"}


def _row(moment: Document) -> dict[str, Any]:
    row = {
        "moment_id": moment["moment_id"],
        "creator": moment["creator"],
        "create_time": str(moment["at"] // 1000),
        "create_type": moment["create_type"],
        "visible_type": moment["visible_type"],
    }
    if moment["text"]:
        row["text"] = moment["text"]
    images = [entry["image"] for entry in moment["attachments"] if entry["msgtype"] == "image"]
    others = {entry["msgtype"]: entry[entry["msgtype"]] for entry in moment["attachments"]}
    return {**row, **({"image": images} if images else others)}


def list_moments(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_moment_list: at most 30 days, 20 a page."""
    start, end = call.number("start_time", -1, 40058), call.number("end_time", -1, 40058)
    if start < 0 or end < start or end - start > 30 * _DAY:
        raise ApiError(40058)
    kinds = {0: (0,), 1: (1,), 2: (0, 1)}.get(call.number("filter_type", 2, 40058))
    if kinds is None:
        raise ApiError(40058, "filter_type")
    limit, creator = limited(call, 20, world.limits["moment_list_page"]), call.body.get("creator")
    fits = [
        moment
        for moment in world.state.documents["moment"].values()
        if moment["account"] == call.account["id"]
        and start <= moment["at"] // 1000 <= end
        and moment["create_type"] in kinds
        and (not creator or moment["creator"] == creator)
    ]
    fits.sort(key=lambda moment: int(moment["at"]))
    begin, after = page(call, limit, len(fits))
    return {"moment_list": [_row(moment) for moment in fits[begin : begin + limit]], "next_cursor": after}


def _settled(world: World, call: Call) -> Document:
    """The moment of a body; 41079 while it is just being given to the members."""
    moment = moment_of(world, call)
    if world.now() - moment["at"] < world.settings["list_delay_seconds"] * 1000:
        raise ApiError(41079)
    return moment


def _part(world: World, call: Call, moment: Document) -> Document:
    part = world.state.get("moment_part", f"{moment['moment_id']}|{call.body.get('userid')}")
    if part is None:
        raise ApiError(41062)
    return part


def list_members(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_moment_task: which members have published."""
    moment, limit = _settled(world, call), limited(call, 500, world.limits["task_page"])
    start, after = page(call, limit, len(moment["users"]))
    rows = []
    for name in moment["users"][start : start + limit]:
        part = world.state.documents["moment_part"][f"{moment['moment_id']}|{name}"]
        rows.append({"userid": name, "publish_status": part["status"]})
    return {"task_list": rows, "next_cursor": after}


def list_customers(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_moment_customer_list: who was chosen to see a member's moment."""
    part, limit = _part(world, call, _settled(world, call)), limited(call, 500, world.limits["task_page"])
    start, after = page(call, limit, len(part["people"]))
    rows = [{"userid": part["userid"], "external_userid": person} for person in part["people"][start : start + limit]]
    return {"customer_list": rows, "next_cursor": after}


def list_reached(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_moment_send_result: who can see it now."""
    limit = limited(call, 3000, world.limits["moment_result_page"])
    part = _part(world, call, _settled(world, call))
    start, after = page(call, limit, len(part["reached"]))
    rows = [{"external_userid": person} for person in part["reached"][start : start + limit]]
    return {"customer_list": rows, "next_cursor": after}


def comments(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_moment_comments: those who saw it like and comment by chance, within an hour."""
    part, now = _part(world, call, _settled(world, call)), world.now()
    found: dict[str, list[dict[str, Any]]] = {"comment_list": [], "like_list": []}
    for name, limit in (("comment_list", "moment_comments_permille"), ("like_list", "moment_likes_permille")):
        for person in part["reached"]:
            draw = unit(world.seed, part["moment_id"], part["userid"], person, name)
            share = world.limits[limit] / 1000
            at = part["at"] + int(draw / share * _COMMENTED_WITHIN * 1000) if draw < share else 0
            if at and at <= now:
                found[name].append({"external_userid": person, "create_time": at // 1000})
    return dict(found)


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("GET", f"{_EXTERNAL}/get_moment_task_result", job_result, kinds=WORK),
    Route("POST", f"{_EXTERNAL}/get_moment_list", list_moments, kinds=WORK, lists="moment_list"),
    Route("POST", f"{_EXTERNAL}/get_moment_task", list_members, kinds=WORK, lists="task_list"),
    Route("POST", f"{_EXTERNAL}/get_moment_customer_list", list_customers, kinds=WORK, lists="customer_list"),
    Route("POST", f"{_EXTERNAL}/get_moment_send_result", list_reached, kinds=WORK, lists="customer_list"),
    Route("POST", f"{_EXTERNAL}/get_moment_comments", comments, kinds=WORK),
]
