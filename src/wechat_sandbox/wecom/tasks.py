"""企业微信 群发助手: a call makes a task; nothing is sent until each member confirms; results only by polling."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.limits import month_start
from wechat_sandbox.people import relations
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import content, friends, groups
from wechat_sandbox.wecom.access import employee, visible
from wechat_sandbox.wecom.contacts import member_number
from wechat_sandbox.wecom.marks import filtered
from wechat_sandbox.world import World

_DAY_MS = 86_400_000
_ZONE_MS = 8 * 3_600_000
_STATUS = {"arrived": 1, "failed:not_friend": 2, "failed:over_limit": 3}
_Parts = dict[int, list[str]]


def _single(world: World, call: Call) -> tuple[_Parts, list[str]]:
    """Customers per member number, each customer once, and the fail_list.

    Of several members of a customer the one who last interacted gets the job.
    """
    body, account, reach = call.body, call.account, world.reach_of(call.account)
    sender = employee(account, body["sender"]) if body.get("sender") else None
    chosen, failed, parts = call.texts("external_userid", 40096), list[str](), _Parts()
    if len(chosen) > world.limits["task_customers"]:
        raise ApiError(40032)
    if chosen:
        for ident in dict.fromkeys(chosen):
            index = reach.index.get(ident)
            number = None if index is None else _sender(world, account, int(index), sender)
            if number is None:
                failed.append(ident)
            else:
                parts.setdefault(number, []).append(ident)
    elif body.get("tag_filter"):
        for index, numbers in filtered(world, call).items():
            fits = [number for number in numbers if sender in (None, number)]
            if fits:
                number = max(fits, key=lambda one: friends.last_contact(world, account, one, index))
                parts.setdefault(number, []).append(reach.ids[index])
    elif sender is not None:
        found = [reach.ids[index] for index in friends.customers_of(world, account, sender)]
        parts = {sender: found} if found else {}
    else:
        raise ApiError(40063)
    return dict(sorted(parts.items())), failed


def _sender(world: World, account: Document, index: int, wanted: int | None) -> int | None:
    """The visible member who sends to a customer: the one wanted, else who last interacted; None when nobody can."""
    seen = visible(account)
    numbers = [n for n in friends.members_of(world, account, index) if account["employees"][n] in seen]
    if wanted is not None:
        return wanted if wanted in numbers else None
    if len(numbers) < 2:
        return numbers[0] if numbers else None
    return max(numbers, key=lambda number: friends.last_contact(world, account, number, index))


def _group(world: World, call: Call) -> tuple[_Parts, list[str]]:
    """Chats of the sender, and the fail_list."""
    if not call.body.get("sender"):
        raise ApiError(40063, "sender")
    number = employee(call.account, call.body["sender"])
    chosen = call.texts("chat_id_list", 40058)
    if len(chosen) > world.limits["task_chats"]:
        raise ApiError(40032)
    mine = [chat["chat_id"] for chat in groups.chats(world, call.account) if chat["owner"] == call.body["sender"]]
    wanted = list(dict.fromkeys(chosen)) or mine
    good = [ident for ident in wanted if ident in mine]
    return ({number: good} if good else {}), [ident for ident in wanted if ident not in mine]


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_msg_template. A repeat makes a second task: the platform does not de-duplicate."""
    kind = call.body.get("chat_type") or "single"
    if kind not in ("single", "group"):
        raise ApiError(40058, "chat_type")
    message = content.check(world, call, "task" if kind == "single" else "group")
    account, now = call.account, world.now()
    parts, failed = _single(world, call) if kind == "single" else _group(world, call)
    for ident in failed:
        known = kind == "group" or world.reach_of(account).index.get(ident) is not None
        world.ledger.refused(account["id"], ident, message, "not_friend" if known else "invalid_openid", now)
    if not parts:
        raise ApiError(41048, fail_list=failed)
    creator = call.body.get("sender") or account["employees"][0]
    task = _create(world, account, message, parts, {"creator": creator, "chat_type": kind, "body": call.body})
    for userid in task["users"]:
        _schedule(world, world.state.documents["task_part"][f"{task['msgid']}|{userid}"])
    return {"fail_list": failed, "msgid": task["msgid"]}


def _create(world: World, account: Document, message: Message, parts: _Parts, about: dict[str, Any]) -> Document:
    now, msgid, body = world.now(), f"msg{world.fresh('task', 28)}", about["body"]
    message = message._replace(key=msgid)
    task = {
        "msgid": msgid,
        "account": account["id"],
        "creator": about["creator"],
        "chat_type": about["chat_type"],
        "create_type": about.get("create_type", 0),
        "at": now,
        "cancelled": False,
        "reminders": [],
        "message": list(message),
        "text": body.get("text") or {},
        "attachments": content.attached(body) or [],
        "users": [account["employees"][number] for number in parts],
    }
    world.state.put("task", msgid, task)
    for number, people in parts.items():
        userid = account["employees"][number]
        part = {"msgid": msgid, "userid": userid, "people": people, "status": 0, "send_time": 0, "results": []}
        world.state.put("task_part", f"{msgid}|{userid}", part)
        world.ledger.write_many(account["id"], people, message, "asked", at=now)
    return task


def _schedule(world: World, part: Document) -> None:
    """The member confirms after a while, or never."""
    draw = unit(world.seed, part["msgid"], part["userid"])
    account = world.state.documents["task"][part["msgid"]]["account"]
    delay = world.confirms_after(account, part["userid"], draw)
    if delay is not None:
        world.later(delay, partial(confirm, world, part))


def _over_limit(account: Document, got: list[int], now: int) -> bool:
    """The reception rule of the corp: as many a month as it has days, 7 a week, or 1 a day."""
    if not got:
        return False
    if account["reception"] == "day":
        since, most = (now + _ZONE_MS) // _DAY_MS * _DAY_MS - _ZONE_MS, 1
    elif account["reception"] == "week":
        days = (now + _ZONE_MS) // _DAY_MS
        since, most = (days - (days + 3) % 7) * _DAY_MS - _ZONE_MS, 7
    else:
        since = month_start(now)
        local = datetime.fromtimestamp(since / 1000, UTC) + timedelta(hours=8)
        most = ((local + timedelta(days=32)).replace(day=1) - local).days
    return sum(at >= since for at in got) >= most


def _outcome(world: World, account: Document, part: Document, ident: str, now: int) -> str:
    """What becomes of the message at one customer."""
    reach = world.reach_of(account)
    index = int(reach.index[ident])
    number = account["employees"].index(part["userid"])
    if number not in friends.members_of(world, account, index) or reach.blocks[index]:
        return "failed:not_friend"
    if _over_limit(account, world.ledger.received.get((account["id"], ident)) or [], now):
        return "failed:over_limit"
    return "arrived"


def _group_outcome(world: World, account: Document, ident: str, now: int) -> str:
    """What becomes of the message in one chat, which counts what it receives like a customer."""
    chat = world.state.get("chat", ident)
    if chat is None or chat["dismissed"]:
        return "failed:not_friend"
    if _over_limit(account, chat["received"], now):
        return "failed:over_limit"
    world.state.put("chat", ident, {**chat, "received": [*chat["received"], now][-62:]})
    return "arrived"


def confirm(world: World, part: Document) -> bool:
    """The member presses send: every customer of this part gets a result. False when there was nothing to do."""
    task = world.state.documents["task"][part["msgid"]]
    if part["status"] != 0 or task["cancelled"]:
        return False
    account, message, now = world.account(task["account"]), Message(*task["message"]), world.now()
    found: dict[str, list[str]] = {}
    for ident in part["people"]:
        if task.get("chat_type") == "group":
            outcome = _group_outcome(world, account, ident, now)
        else:
            outcome = _outcome(world, account, part, ident, now)
        part["results"].append(_STATUS[outcome])
        found.setdefault(outcome, []).append(ident)
    for outcome, people in found.items():
        world.ledger.write_many(account["id"], people, message, outcome, at=now)
    part["status"], part["send_time"] = 2, now // 1000
    world.state.put("task_part", f"{part['msgid']}|{part['userid']}", part)
    return True


def task_of(world: World, call: Call) -> Document:
    """The task a body names; 41046 without a name, 41047 for none of this account."""
    ident = call.body.get("msgid")
    if not ident:
        raise ApiError(41046)
    task = world.state.get("task", str(ident))
    if task is None or task["account"] != call.account["id"]:
        raise ApiError(41047)
    return task


def remind(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/remind_groupmsg_send: 3 in 24 h; a reminded member may confirm after all."""
    task, now = task_of(world, call), world.now()
    if task["cancelled"]:
        raise ApiError(41093)
    recent = [at for at in task["reminders"] if now - at < _DAY_MS]
    if len(recent) >= world.limits["remind_per_day"]:
        raise ApiError(41094)
    task["reminders"] = [*recent, now]
    world.state.put("task", task["msgid"], task)
    for userid in task["users"]:
        part = world.state.documents["task_part"][f"{task['msgid']}|{userid}"]
        delay = world.confirms_after(task["account"], userid, unit(world.seed, task["msgid"], userid, len(recent)))
        if part["status"] == 0 and delay is not None:
            world.later(delay, partial(confirm, world, part))
    return {}


def cancel(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/cancel_groupmsg_send: what is not sent yet stays unsent."""
    task, now = task_of(world, call), world.now()
    if task["cancelled"]:
        raise ApiError(41093)
    task["cancelled"] = True
    world.state.put("task", task["msgid"], task)
    message = Message(*task["message"])
    for userid in task["users"]:
        part = world.state.documents["task_part"][f"{task['msgid']}|{userid}"]
        if part["status"] == 0:
            for ident in part["people"]:
                world.ledger.write(task["account"], ident, message, "failed:not_confirmed", at=now)
    return {}


def confirm_all(world: World, account: int, msgid: str | None, userid: str | None) -> int:
    """Control API: the waiting members confirm now."""
    done = 0
    for part in list(world.state.documents["task_part"].values()):
        task = world.state.documents["task"][part["msgid"]]
        if task["account"] == account and msgid in (None, part["msgid"]) and userid in (None, part["userid"]):
            done += confirm(world, part)
    return done


def personal(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/tasks/personal: a member sends a mass message of his own, in the client, at once."""
    account = world.account(body.get("account"))
    number, text = member_number(account, body.get("userid")), str(body.get("text") or "")
    if not text:
        raise ControlError(400, "text is needed")
    reach, group = world.reach_of(account), bool(body.get("chats"))
    if group:
        people = [str(ident) for ident in body["chats"]]
    elif body.get("people"):
        people = [reach.ids[index] for index in relations.indexes(world, body["people"])]
    else:
        people = [reach.ids[index] for index in friends.customers_of(world, account, number)]
    message = Message("", fingerprint(text), "group" if group else "task", first_link(text), topic_of(text))
    about = {
        "creator": body["userid"],
        "chat_type": "group" if group else "single",
        "create_type": 1,
        "body": {"text": {"content": text}},
    }
    task = _create(world, account, message, {number: people}, about)
    confirm(world, world.state.documents["task_part"][f"{task['msgid']}|{body['userid']}"])
    return 201, {"msgid": task["msgid"], "people": len(people)}


def resume(world: World) -> None:
    """After a start: members that had not confirmed yet may do so."""
    for part in world.state.documents["task_part"].values():
        if part["status"] == 0:
            _schedule(world, part)


ROUTES = [
    Route("POST", "/cgi-bin/externalcontact/add_msg_template", add, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/remind_groupmsg_send", remind, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/cancel_groupmsg_send", cancel, kinds=WORK),
]
CONTROL = {("POST", "wecom/tasks/personal"): personal}
