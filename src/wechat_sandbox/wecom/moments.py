"""企业微信 客户朋友圈: a job makes a moment, members publish it or do not, customers see, like and comment."""

from functools import partial
from typing import Any

import orjson

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.limits import month_start
from wechat_sandbox.media import require_media
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import friends, marks
from wechat_sandbox.wecom.access import visible
from wechat_sandbox.wecom.contacts import member_number
from wechat_sandbox.world import World

_HOUR_MS = 3_600_000
_PARTS = {"image": 9, "video": 1, "link": 1}


def _check(world: World, call: Call) -> Message:
    """The message of a moment: text and up to 9 images, or 1 video, or 1 link; never mixed."""
    body, limits = call.body, world.limits
    text = body["text"].get("content", "") if isinstance(body.get("text"), dict) else ""
    attachments = body.get("attachments") or []
    if not isinstance(text, str) or not isinstance(attachments, list) or (not text and not attachments):
        raise ApiError(41086)
    if len(text) > limits["moment_text_chars"] or len(text.encode()) > limits["task_text_bytes"]:
        raise ApiError(41088)
    kinds = {str(entry.get("msgtype")) if isinstance(entry, dict) else "" for entry in attachments}
    if len(kinds) > 1 or not kinds <= set(_PARTS):
        raise ApiError(41090)
    if kinds and len(attachments) > _PARTS[next(iter(kinds))]:
        raise ApiError(41089)
    link = first_link(text)
    for entry in attachments:
        part = entry.get(entry["msgtype"])
        if not isinstance(part, dict):
            raise ApiError(41090)
        link = _check_part(world, call, entry["msgtype"], part) or link
    whole = text + orjson.dumps(attachments).decode() if attachments else text
    return Message("", fingerprint(whole), "moment", link, topic_of(whole))


def _check_part(world: World, call: Call, kind: str, part: dict[str, Any]) -> str:
    """The link of a part, if it is one; 40007 unless its media came from upload_attachment for moments."""
    if kind == "link":
        title, url = str(part.get("title") or ""), str(part.get("url") or "")
        if not url or len(url.encode()) > 2048 or len(title.encode()) > 64:
            raise ApiError(40058, "link")
    if kind != "link" or part.get("media_id"):
        require_media(world, call.account, part.get("media_id"))
        if world.state.documents["media"][part["media_id"]].get("attachment") != "1":
            raise ApiError(40007)
    return str(part["url"]) if kind == "link" else ""


def add(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/add_moment_task: a job; 10 a minute, 100,000 a month; 41078 while too many run."""
    account, now, limits = call.account, world.now(), world.limits
    message = _check(world, call)
    subject = f"{account['corpid']}:moment"
    if not world.windows.take_or_block(subject, "minute", limits["moments_per_minute"], now):
        raise ApiError(45009)
    jobs = [job for job in world.state.documents["moment_job"].values() if job["account"] == account["id"]]
    if sum(job["at"] >= month_start(now) for job in jobs) >= limits["moments_monthly"]:
        raise ApiError(45009)
    if sum(not job["result"] for job in jobs) >= limits["moment_jobs"]:
        raise ApiError(41078)
    ident = world.fresh("moment_job", 32)
    chosen = call.body.get("visible_range") or {}
    if not isinstance(chosen, dict):
        raise ApiError(40058, "visible_range")
    job = {
        "jobid": ident,
        "account": account["id"],
        "at": now,
        "result": None,
        "message": list(message),
        "text": call.body.get("text") or {},
        "attachments": call.body.get("attachments") or [],
        "senders": (chosen.get("sender_list") or {}).get("user_list"),
        "departments": (chosen.get("sender_list") or {}).get("department_list") or [],
        "tags": (chosen.get("external_contact_list") or {}).get("tag_list"),
    }
    world.state.put("moment_job", ident, job)
    world.later(limits["moment_job_ms"] / 1000, partial(_run, world, ident))
    return {"jobid": ident}


def _run(world: World, jobid: str) -> None:
    """The job: the moment and each member's part."""
    job = world.state.documents["moment_job"][jobid]
    if job["result"]:
        return
    account, seen = world.account(job["account"]), visible(world.account(job["account"]))
    wanted = job["senders"] if job["senders"] or job["departments"] else None
    everybody = wanted is None or 1 in job["departments"]
    senders = seen if everybody else [name for name in dict.fromkeys(wanted or ()) if name in seen]
    good, bad = _known(world, account, job["tags"] or [])
    result: dict[str, Any] = {
        "errcode": 0,
        "errmsg": "ok",
        "moment_id": "",
        "invalid_sender_list": {
            "user_list": [name for name in job["senders"] or () if name not in seen],
            "department_list": [number for number in job["departments"] if number != 1],
        },
        "invalid_external_contact_list": {"tag_list": bad},
    }
    if not senders or (job["tags"] and not good):
        result |= {"errcode": 41084 if not senders else 41085, "errmsg": "nobody to publish or to see"}
    else:
        result["moment_id"] = _publishable(world, account, job, senders, good)["moment_id"]
    world.state.put("moment_job", jobid, {**job, "result": result})


def _known(world: World, account: Document, tags: list[Any]) -> tuple[list[str], list[Any]]:
    """Corp tags that exist, and the others; tags of rule groups do not count."""
    good = []
    for tag in tags:
        entry = world.state.get("corp_tag", tag) if isinstance(tag, str) else None
        group = world.state.get("corp_group", entry["group"]) if entry else None
        if group is not None and group["account"] == account["id"] and not group.get("strategy_id"):
            good.append(tag)
    return good, [tag for tag in tags if tag not in good]


def _publishable(world: World, account: Document, job: Document, senders: list[str], tags: list[str]) -> Document:
    """Store the moment and, per member, which customers may see it; they are asked in the ledger."""
    ident, now = f"mom{world.fresh('moment', 24)}", world.now()
    moment = {
        "moment_id": ident,
        "account": account["id"],
        "creator": job.get("creator", ""),
        "create_type": job.get("create_type", 0),
        "at": now,
        "visible_type": 0 if tags else 1,
        "cancelled": False,
        "users": senders,
        **{name: job[name] for name in ("text", "attachments")},
        "message": [ident, *job["message"][1:]],
    }
    world.state.put("moment", ident, moment)
    ids, message = world.reach_of(account).ids, Message(*moment["message"])
    pairs = marks.marked(world, account, tags) if tags else None
    for name in senders:
        found = friends.customers_of(world, account, account["employees"].index(name))
        people = [ids[index] for index in found]
        if pairs is not None:
            people = [person for person in people if f"{account['id']}:{name}:{person}" in pairs]
        part = {"moment_id": ident, "userid": name, "people": people, "status": 0, "at": 0, "reached": []}
        world.state.put("moment_part", f"{ident}|{name}", part)
        for person in people:
            world.ledger.write(account["id"], person, message, "asked", at=now)
        _schedule(world, part)
    return moment


def _schedule(world: World, part: Document) -> None:
    """The member publishes after a while, or never; as he confirms mass messages."""
    account = world.state.documents["moment"][part["moment_id"]]["account"]
    delay = world.confirms_after(account, part["userid"], unit(world.seed, part["moment_id"], part["userid"]))
    if delay is not None:
        world.later(delay, partial(publish, world, f"{part['moment_id']}|{part['userid']}"))


def publish(world: World, key: str) -> bool:
    """The member publishes: friends who do not refuse him see it. False when there was nothing to do."""
    part = world.state.documents["moment_part"][key]
    moment = world.state.documents["moment"][part["moment_id"]]
    if part["status"] or moment["cancelled"]:
        return False
    account, now, message = world.account(moment["account"]), world.now(), Message(*moment["message"])
    reach, number, reached = world.reach_of(account), account["employees"].index(part["userid"]), []
    for person in part["people"]:
        index = int(reach.index[person])
        sees = number in friends.members_of(world, account, index) and not reach.blocks[index]
        if sees:
            reached.append(person)
        world.ledger.write(account["id"], person, message, "arrived" if sees else "failed:not_friend", at=now)
    world.state.put("moment_part", key, {**part, "status": 1, "at": now, "reached": reached})
    return True


def confirm(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/moments/confirm: the waiting members publish now."""
    account, done = world.account(body.get("account")), 0
    for key, part in list(world.state.documents["moment_part"].items()):
        moment = world.state.documents["moment"][part["moment_id"]]
        fits = body.get("moment_id") in (None, part["moment_id"]) and body.get("userid") in (None, part["userid"])
        if moment["account"] == account["id"] and fits:
            done += publish(world, key)
    return 200, {"confirmed": done}


def personal(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """POST /sandbox/wecom/moments/personal: a member publishes a moment of his own, at once."""
    account, text = world.account(body.get("account")), str(body.get("text") or "")
    member_number(account, body.get("userid"))
    if not text:
        raise ControlError(400, "text is needed")
    about = {
        "creator": body["userid"],
        "create_type": 1,
        "text": {"content": text},
        "attachments": [],
        "message": ["", fingerprint(text), "moment", first_link(text), topic_of(text), ""],
    }
    moment = _publishable(world, account, about, [body["userid"]], [])
    publish(world, f"{moment['moment_id']}|{body['userid']}")
    return 201, {"moment_id": moment["moment_id"]}


def cancel(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/cancel_moment_task: what is not published yet stays unpublished."""
    moment, now = moment_of(world, call), world.now()
    if moment["cancelled"]:
        raise ApiError(41067)
    world.state.put("moment", moment["moment_id"], {**moment, "cancelled": True})
    message = Message(*moment["message"])
    for name in moment["users"]:
        part = world.state.documents["moment_part"][f"{moment['moment_id']}|{name}"]
        for person in part["people"] if not part["status"] else ():
            world.ledger.write(moment["account"], person, message, "failed:not_confirmed", at=now)
    return {}


def moment_of(world: World, call: Call) -> Document:
    """The moment a body names; 41059 without a name, 41060 for none of this account."""
    ident = call.body.get("moment_id")
    if not ident:
        raise ApiError(41059)
    moment = world.state.get("moment", str(ident))
    if moment is None or moment["account"] != call.account["id"]:
        raise ApiError(41060)
    return moment


def resume(world: World) -> None:
    """After a start: jobs go on, and members that had not published yet may do so."""
    for jobid, job in world.state.documents["moment_job"].items():
        if not job["result"]:
            world.later(0, partial(_run, world, jobid))
    for part in world.state.documents["moment_part"].values():
        if not part["status"]:
            _schedule(world, part)


ROUTES = [
    Route("POST", "/cgi-bin/externalcontact/add_moment_task", add, kinds=WORK),
    Route("POST", "/cgi-bin/externalcontact/cancel_moment_task", cancel, kinds=WORK),
]
CONTROL = {("POST", "wecom/moments/confirm"): confirm, ("POST", "wecom/moments/personal"): personal}
