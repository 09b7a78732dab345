"""企业微信 群发助手: a call makes a task; nothing is sent until each member confirms; results only by polling."""

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.limits import month_start
from wechat_sandbox.media import require_media
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.contacts import customers_of, employee, page
from wechat_sandbox.wecom.tags import known_tag
from wechat_sandbox.world import World

_ATTACHMENTS = ("image", "link", "miniprogram", "video", "file")
_DAY_MS = 86_400_000
_ZONE_MS = 8 * 3_600_000
_STATUS = {"arrived": 1, "failed:not_friend": 2, "failed:over_limit": 3}


def _check_content(world: World, call: Call) -> Message:
    """The message of an add_msg_template body, checked against the platform's limits."""
    body, limits = call.body, world.limits
    text = body["text"].get("content", "") if isinstance(body.get("text"), dict) else ""
    attachments = body.get("attachments") or []
    if not isinstance(text, str) or not isinstance(attachments, list) or (not text and not attachments):
        raise ApiError(44004)
    if len(text.encode()) > limits["task_text_bytes"]:
        raise ApiError(45002)
    if len(attachments) > limits["task_attachments"]:
        raise ApiError(41064)
    link = first_link(text)
    for entry in attachments:
        kind = str(entry.get("msgtype")) if isinstance(entry, dict) else ""
        part = entry.get(kind) if kind in _ATTACHMENTS else None
        if not isinstance(part, dict):
            raise ApiError(41065)
        link = _check_attachment(world, call, kind, part) or link
    whole = text + orjson.dumps(attachments).decode() if attachments else text
    return Message("", fingerprint(whole), "task", link, topic_of(whole))


def _check_attachment(world: World, call: Call, kind: str, part: dict[str, Any]) -> str:
    """The link of an attachment, if it is one; 40058 for a missing or too long field, 40007 for a bad media."""
    required = {
        "link": {"title": 128, "url": 2048},
        "miniprogram": {"title": 64, "pic_media_id": 512, "appid": 64, "page": 1024},
    }.get(kind, {})
    for name, most in required.items():
        value = part.get(name)
        if not isinstance(value, str) or not value or len(value.encode()) > most:
            raise ApiError(40058, f"{kind}.{name}")
    if len(str(part.get("desc", "")).encode()) > 512:
        raise ApiError(40058, f"{kind}.desc")
    if kind == "image" and not part.get("media_id") and part.get("pic_url"):
        return ""
    if kind in ("image", "video", "file"):
        require_media(world, call.account, part.get("media_id"))
    if kind == "miniprogram":
        require_media(world, call.account, part.get("pic_media_id"))
    return str(part["url"]) if kind == "link" else ""


def _filtered(world: World, call: Call) -> list[tuple[int, str]]:
    """(member number, external_userid) pairs that the tag filter matches."""
    account, groups = call.account, call.record("tag_filter", 40058).get("group_list")
    if not isinstance(groups, list) or not groups:
        raise ApiError(40058, "tag_filter")
    matched: set[str] | None = None
    for group in groups:
        tags = group.get("tag_list") if isinstance(group, dict) else None
        if not isinstance(tags, list) or not tags or len(tags) > world.limits["task_filter_tags"]:
            raise ApiError(40058, "tag_list")
        owners = {
            owner for tag in tags for owner in world.state.owners.get(("mark", known_tag(world, account, tag)), ())
        }
        matched = owners if matched is None else matched & owners
    pairs = (owner.split(":", 2) for owner in matched or ())
    return sorted((account["employees"].index(userid), ident) for _, userid, ident in pairs)


def _recipients(world: World, call: Call) -> tuple[dict[int, list[str]], list[str]]:
    """Customers per member number, each customer once, and the fail_list."""
    body, account, reach = call.body, call.account, world.reach_of(call.account)
    sender = employee(account, body["sender"]) if body.get("sender") else None
    chosen, failed, parts = call.texts("external_userid", 40096), [], dict[int, list[str]]()
    if len(chosen) > world.limits["task_customers"]:
        raise ApiError(40032)
    if chosen:
        for ident in dict.fromkeys(chosen):
            index = reach.index.get(ident)
            staff = reach.staff[index] if index is not None and reach.follows[index] else ()
            if not staff or (sender is not None and sender not in staff):
                failed.append(ident)
            else:
                parts.setdefault(staff[0] if sender is None else sender, []).append(ident)
    elif body.get("tag_filter"):
        taken: set[str] = set()
        for number, ident in _filtered(world, call):
            if ident not in taken and (sender is None or number == sender):
                taken.add(ident)
                parts.setdefault(number, []).append(ident)
    elif sender is not None:
        found = [reach.ids[index] for index in customers_of(world, account, sender)]
        parts = {sender: found} if found else {}
    else:
        raise ApiError(40063)
    return parts, failed


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_msg_template. A repeat makes a second task: the platform does not de-duplicate."""
    if call.body.get("chat_type", "single") != "single":
        raise ApiError(40058, "chat_type")
    message = _check_content(world, call)
    account, now = call.account, world.now()
    parts, failed = _recipients(world, call)
    for ident in failed:
        index = world.reach_of(account).index.get(ident)
        world.ledger.refused(account["id"], ident, message, "invalid_openid" if index is None else "not_friend", now)
    if not parts:
        raise ApiError(41048, fail_list=failed)
    msgid = f"msg{secrets.token_urlsafe(21)}"
    message = message._replace(key=msgid)
    task = {
        "msgid": msgid,
        "account": account["id"],
        "creator": call.body.get("sender") or account["employees"][0],
        "at": now,
        "cancelled": False,
        "reminders": [],
        "message": list(message),
        "text": call.body.get("text") or {},
        "attachments": call.body.get("attachments") or [],
        "users": [account["employees"][number] for number in parts],
    }
    world.state.put("task", msgid, task)
    for number, people in parts.items():
        userid = account["employees"][number]
        part = {"msgid": msgid, "userid": userid, "people": people, "status": 0, "send_time": 0, "results": []}
        world.state.put("task_part", f"{msgid}|{userid}", part)
        for ident in people:
            world.ledger.write(account["id"], ident, message, "asked", at=now)
        _schedule(world, part)
    return {"fail_list": failed, "msgid": msgid}


def _schedule(world: World, part: Document) -> None:
    """The member confirms after a while, or never."""
    draw = unit(world.seed, part["msgid"], part["userid"])
    share = world.settings["confirm_share"]
    if draw < share:
        delay = world.settings["confirm_seconds"] * (0.5 + draw / share)
        world.later(delay, partial(confirm, world, part))


def _over_limit(world: World, account: Document, ident: str, now: int) -> bool:
    """The reception rule of the corp: as many a month as it has days, 7 a week, or 1 a day."""
    got = world.ledger.received.get((account["id"], ident))
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


def confirm(world: World, part: Document) -> bool:
    """The member presses send: every customer of this part gets a result. False when there was nothing to do."""
    task = world.state.documents["task"][part["msgid"]]
    if part["status"] != 0 or task["cancelled"]:
        return False
    account, message, now = world.account(task["account"]), Message(*task["message"]), world.now()
    reach = world.reach_of(account)
    for ident in part["people"]:
        index = reach.index[ident]
        if not reach.follows[index] or reach.blocks[index]:
            outcome = "failed:not_friend"
        elif _over_limit(world, account, ident, now):
            outcome = "failed:over_limit"
        else:
            outcome = "arrived"
        part["results"].append(_STATUS[outcome])
        world.ledger.write(account["id"], ident, message, outcome, at=now)
    part["status"], part["send_time"] = 2, now // 1000
    world.state.put("task_part", f"{part['msgid']}|{part['userid']}", part)
    return True


def _task(world: World, call: Call) -> Document:
    ident = call.body.get("msgid")
    if not ident:
        raise ApiError(41046)
    task = world.state.get("task", str(ident))
    if task is None or task["account"] != call.account["id"]:
        raise ApiError(41047)
    return task


def list_tasks(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_list_v2: at most a month; 41063 while a new task is being dispatched."""
    body, now = call.body, world.now()
    start, end = call.number("start_time", -1, 40058), call.number("end_time", -1, 40058)
    if start < 0 or end < start or end - start > 31 * 86400 or body.get("chat_type") not in ("single", "group"):
        raise ApiError(40058)
    limit = call.number("limit", 50, 40058)
    if not 1 <= limit <= world.limits["task_list_page"]:
        raise ApiError(40058)
    tasks = [task for task in world.state.documents["task"].values() if task["account"] == call.account["id"]]
    if any(now - task["at"] < world.settings["list_delay_seconds"] * 1000 for task in tasks):
        raise ApiError(41063, group_msg_list=[])
    creator = body.get("creator")
    fits = [
        task for task in tasks if start <= task["at"] // 1000 <= end and (not creator or task["creator"] == creator)
    ]
    if body.get("filter_type") == 1 or body["chat_type"] == "group":
        fits = []
    fits.sort(key=lambda task: int(task["at"]))
    begin, after = page(call, limit, len(fits))
    rows = [
        {
            "msgid": task["msgid"],
            "creator": task["creator"],
            "create_time": str(task["at"] // 1000),
            "create_type": 0,
            "text": task["text"],
            "attachments": task["attachments"],
        }
        for task in fits[begin : begin + limit]
    ]
    return {"next_cursor": after, "group_msg_list": rows}


def _limit(world: World, call: Call) -> int:
    limit = call.number("limit", 500, 40058)
    if not 1 <= limit <= world.limits["task_page"]:
        raise ApiError(40058)
    return limit


def list_members(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_task: which members have sent (2) and which not (0)."""
    task, limit = _task(world, call), _limit(world, call)
    start, after = page(call, limit, len(task["users"]))
    rows = []
    for userid in task["users"][start : start + limit]:
        part = world.state.documents["task_part"][f"{task['msgid']}|{userid}"]
        rows.append(
            {
                "userid": userid,
                "status": part["status"],
                **({"send_time": part["send_time"]} if part["status"] == 2 else {}),
            }
        )
    return {"next_cursor": after, "task_list": rows}


def list_results(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/get_groupmsg_send_result: per customer of one member."""
    task, limit = _task(world, call), _limit(world, call)
    userid = call.body.get("userid")
    part = world.state.get("task_part", f"{task['msgid']}|{userid}")
    if part is None:
        raise ApiError(40003)
    start, after = page(call, limit, len(part["people"]))
    rows = []
    for place in range(start, min(start + limit, len(part["people"]))):
        row = {
            "external_userid": part["people"][place],
            "userid": userid,
            "status": part["results"][place] if part["results"] else 0,
        }
        if row["status"] == 1:
            row["send_time"] = part["send_time"]
        rows.append(row)
    return {"next_cursor": after, "send_list": rows}


def remind(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/remind_groupmsg_send: 3 in 24 h; a reminded member may confirm after all."""
    task, now = _task(world, call), world.now()
    if task["cancelled"]:
        raise ApiError(41093)
    recent = [at for at in task["reminders"] if now - at < _DAY_MS]
    if len(recent) >= world.limits["remind_per_day"]:
        raise ApiError(41094)
    task["reminders"] = [*recent, now]
    world.state.put("task", task["msgid"], task)
    for userid in task["users"]:
        part = world.state.documents["task_part"][f"{task['msgid']}|{userid}"]
        if (
            part["status"] == 0
            and unit(world.seed, task["msgid"], userid, len(recent)) < world.settings["confirm_share"]
        ):
            world.later(world.settings["confirm_seconds"], partial(confirm, world, part))
    return {}


def cancel(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/cancel_groupmsg_send: what is not sent yet stays unsent."""
    task, now = _task(world, call), world.now()
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


def resume(world: World) -> None:
    """After a start: members that had not confirmed yet may do so."""
    for part in world.state.documents["task_part"].values():
        if part["status"] == 0:
            _schedule(world, part)


ROUTES = [
    Route("POST", "/cgi-bin/externalcontact/add_msg_template", add, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/get_groupmsg_list_v2", list_tasks, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/get_groupmsg_task", list_members, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/get_groupmsg_send_result", list_results, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/remind_groupmsg_send", remind, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/cancel_groupmsg_send", cancel, kinds=WORK),
]
