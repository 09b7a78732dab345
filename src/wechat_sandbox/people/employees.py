"""Control calls of WeCom members: which tasks wait for them, and how each of them confirms."""

from typing import Any

from wechat_sandbox.errors import ControlError
from wechat_sandbox.people.phone import rendered
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

Answer = tuple[int, Any]


def _account(world: World, ident: Any) -> Document:
    account = world.account(ident)
    if account["kind"] != "wecom":
        raise ControlError(409, "only WeCom accounts have members")
    return account


def show(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """The members of an account: how they confirm, and the tasks that wait for them."""
    account = _account(world, query.get("account"))
    waiting: dict[str, list[dict[str, Any]]] = {}
    tasks = world.state.documents["task"]
    for part in world.state.documents["task_part"].values():
        task = tasks.get(part["msgid"])
        if task is None or task["account"] != account["id"] or task["cancelled"] or part["status"] != 0:
            continue
        lines = rendered((task.get("text") or {}).get("content", ""))["lines"]
        entry = {"msgid": part["msgid"], "at": task["at"], "people": len(part["people"]), "lines": lines}
        waiting.setdefault(part["userid"], []).append(entry)
    rows = []
    for userid in account["employees"]:
        own = world.state.get("employee", f"{account['id']}:{userid}") or {}
        habit = {"share": own.get("share"), "seconds": own.get("seconds")}
        rows.append({"userid": userid, **habit, "waiting": waiting.get(userid, [])})
    return 200, {"employees": rows}


def habits(world: World, query: dict[str, str], body: dict[str, Any]) -> Answer:
    """How a member (`userid`; without it all) confirms from now on: `share` of tasks, after `seconds`; null: as set."""
    account = _account(world, body.get("account"))
    userids = [body["userid"]] if body.get("userid") else account["employees"]
    share, seconds = body.get("share"), body.get("seconds")
    if share is not None and not 0 <= float(share) <= 1:
        raise ControlError(400, "share must be between 0 (never confirms) and 1")
    if seconds is not None and float(seconds) < 0:
        raise ControlError(400, "seconds must be 0 or more")
    for userid in userids:
        if userid not in account["employees"]:
            raise ControlError(404, f"no member {userid}")
        world.state.put("employee", f"{account['id']}:{userid}", {"share": share, "seconds": seconds})
    return show(world, {"account": str(account["id"])}, {})


CONTROL = {("GET", "employees"): show, ("POST", "employees"): habits}
