"""企业微信 群发助手: the record of mass messages, who has sent, and what became of each customer."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.contacts import limited, page
from wechat_sandbox.wecom.tasks import task_of
from wechat_sandbox.world import World

_MONTH_SECONDS = 31 * 86_400


def list_tasks(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_list_v2: at most a month; 41063 while a new task is being dispatched."""
    body, now = call.body, world.now()
    start, end = call.number("start_time", -1, 40058), call.number("end_time", -1, 40058)
    if start < 0 or end < start or end - start > _MONTH_SECONDS or body.get("chat_type") not in ("single", "group"):
        raise ApiError(40058)
    kinds = {0: (0,), 1: (1,), 2: (0, 1)}.get(call.number("filter_type", 2, 40058))
    if kinds is None:
        raise ApiError(40058, "filter_type")
    limit = limited(call, 50, world.limits["task_list_page"])
    tasks = [task for task in world.state.documents["task"].values() if task["account"] == call.account["id"]]
    tasks = [task for task in tasks if task.get("chat_type", "single") == body["chat_type"]]
    if any(now - task["at"] < world.settings["list_delay_seconds"] * 1000 for task in tasks):
        raise ApiError(41063)
    creator = body.get("creator")
    fits = [
        task
        for task in tasks
        if start <= task["at"] // 1000 <= end
        and (not creator or task["creator"] == creator)
        and task.get("create_type", 0) in kinds
    ]
    fits.sort(key=lambda task: int(task["at"]))
    begin, after = page(call, limit, len(fits))
    rows = [
        {
            "msgid": task["msgid"],
            "creator": task["creator"],
            "create_time": str(task["at"] // 1000),
            "create_type": task.get("create_type", 0),
            "text": task["text"],
            "attachments": task["attachments"],
        }
        for task in fits[begin : begin + limit]
    ]
    return {"next_cursor": after, "group_msg_list": rows}


def list_members(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_task: which members have sent (2) and which not (0)."""
    task, limit = task_of(world, call), limited(call, 500, world.limits["task_page"])
    start, after = page(call, limit, len(task["users"]))
    rows = []
    for userid in task["users"][start : start + limit]:
        part = world.state.documents["task_part"][f"{task['msgid']}|{userid}"]
        sent = {"send_time": part["send_time"]} if part["status"] == 2 else {}
        rows.append({"userid": userid, "status": part["status"], **sent})
    return {"next_cursor": after, "task_list": rows}


def _row(task: Document, part: Document, place: int) -> dict[str, Any]:
    name = "chat_id" if task.get("chat_type") == "group" else "external_userid"
    status = part["results"][place] if part["results"] else 0
    row = {name: part["people"][place], "userid": part["userid"], "status": status}
    return {**row, "send_time": part["send_time"]} if status == 1 else row


def list_results(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_send_result: per customer or chat of one member."""
    task, limit = task_of(world, call), limited(call, 500, world.limits["task_page"])
    part = world.state.get("task_part", f"{task['msgid']}|{call.body.get('userid')}")
    if part is None:
        raise ApiError(40003)
    start, after = page(call, limit, len(part["people"]))
    places = range(start, min(start + limit, len(part["people"])))
    return {"next_cursor": after, "send_list": [_row(task, part, place) for place in places]}


def old_result(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_group_msg_result, the older call: all results of all members (shape UNCONFIRMED)."""
    task = task_of(world, call)
    parts = [world.state.documents["task_part"][f"{task['msgid']}|{userid}"] for userid in task["users"]]
    rows = [_row(task, part, place) for part in parts for place in range(len(part["people"]))]
    return {"check_status": 1, "detail_list": rows}


_EXTERNAL = "/cgi-bin/externalcontact"
ROUTES = [
    Route("POST", f"{_EXTERNAL}/get_groupmsg_list_v2", list_tasks, kinds=WORK, lists="group_msg_list"),
    Route("POST", f"{_EXTERNAL}/get_groupmsg_task", list_members, kinds=WORK, lists="task_list"),
    Route("POST", f"{_EXTERNAL}/get_groupmsg_send_result", list_results, kinds=WORK, lists="send_list"),
    Route("POST", f"{_EXTERNAL}/get_group_msg_result", old_result, kinds=WORK),
]
