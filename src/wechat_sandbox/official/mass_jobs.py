"""The life of a mass message: accepted, perhaps held for the administrator, sent at the account's speed, told of.

The end is the event MASSSENDJOBFINISH: `send success`, or `err(N)` for what the review or the administrator refused.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.ledger import Message
from wechat_sandbox.limits import month_start
from wechat_sandbox.official import articles, review
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.people.population import unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_FILTERED = ("not_follower", "user_block", "over_limit", "blacklisted")
_LOST = "failed:system_failed"
_REFUSED, _LATE = 40001, 40002


def seconds(world: World, account: Document, people: int) -> float:
    """How long a job of so many recipients takes: the base time and its share of the account's speed."""
    per_minute = world.limits[f"mass_speed_{speed_of(world, account)}"]
    return float(world.settings["mass_finish_seconds"] + world.settings["mass_pace"] * people / per_minute * 60)


def speed_of(world: World, account: Document) -> int:
    """The account's speed, 0 (fastest) to 4."""
    return int((world.state.get("mass_speed", str(account["id"])) or {"speed": 0})["speed"])


def begin(world: World, account: Document, job: Document, people: list[str]) -> None:
    """Let the job run, or hold it while the administrator has not answered."""
    world.state.put("mass", str(job["msg_id"]), job)
    job["seconds"] = seconds(world, account, len(people))
    message = Message(*job["message"])
    world.ledger.write_many(account["id"], people, message, "asked", at=job["at"])
    _schedule(world, job)


def _schedule(world: World, job: Document) -> None:
    if job.get("waiting"):
        due = job["at"] + world.limits["mass_confirm_minutes"] * 60_000
        world.later(max(0, due - world.now()) / 1000, partial(_answer, world, job, _LATE), f"mass:{job['msg_id']}")
    else:
        world.later(job["seconds"], partial(finish, world, job))


def waiting(world: World, account: Document) -> list[Document]:
    """Jobs of the account that wait for the administrator."""
    jobs = world.state.documents["mass"].values()
    return [job for job in jobs if job["account"] == account["id"] and job.get("waiting")]


def _answer(world: World, job: Document, code: int) -> None:
    """The administrator said yes (0), no, or nothing in time."""
    if not job.get("waiting"):
        return
    job["waiting"] = False
    world.cancel(f"mass:{job['msg_id']}")
    world.state.put("mass", str(job["msg_id"]), job)
    if code:
        job["refused"] = code == _REFUSED
        _fail(world, job, code, {"Count": 0, "ResultList": [], "CheckState": 0})
    else:
        world.later(job["seconds"], partial(finish, world, job))


def confirm(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """Control: the administrator answers for jobs of an account (`msg_id`: one) that wait: `accept`, default true."""
    account, ident = world.account(body.get("account")), body.get("msg_id")
    found = [job for job in waiting(world, account) if ident is None or str(job["msg_id"]) == str(ident)]
    if ident is not None and not found:
        raise ControlError(404, f"no mass message {ident} waits for the administrator")
    for job in found:
        _answer(world, job, 0 if body.get("accept", True) else _REFUSED)
    return 200, {"answered": len(found)}


def outcomes(world: World, account: Document, people: Sequence[str], key: str, since: int) -> dict[str, list[str]]:
    """What becomes of the recipients: outcome → whose it is."""
    reach, share = world.reach_of(account), world.settings["system_failed_share"]
    index = reach.ids.find_many(people)
    follows = np.frombuffer(reach.follows, dtype=np.uint8)[index]
    blocks = np.frombuffer(reach.blocks, dtype=np.uint8)[index]
    found = ["arrived" if not share or unit(world.seed, key, person) >= share else _LOST for person in people]
    if account["kind"] == "service":
        received, most = world.ledger.received, world.limits["service_user_monthly"]
        for at, person in enumerate(people):
            if sum(moment >= since for moment in received.get((account["id"], person), ())) >= most:
                found[at] = "failed:over_limit"
    if world.state.members.get(("black", str(account["id"]))):
        for at, person in enumerate(people):
            if blacklisted(world, account, person):
                found[at] = "failed:blacklisted"
    for at in np.flatnonzero(blocks).tolist():
        found[at] = "failed:user_block"
    for at in np.flatnonzero(follows == 0).tolist():
        found[at] = "failed:not_follower"
    return {what: [who for who, his in zip(people, found, strict=True) if his == what] for what in sorted(set(found))}


def finish(world: World, job: Document) -> None:
    """The sending begins: the review first, then the recipients, slice by slice."""
    if job["status"] != "SENDING":
        return
    texts = _texts(world, job)
    check, code = review.copyright_check([f"{text['title']}\n{text['content']}" for text in texts], job["ignore"])
    code = review.verdict("mass", job["text"]) or code
    if code:
        _fail(world, job, code, check)
    else:
        _slice(world, job, world.ledger.asked_for(str(job["msg_id"])), check)


def _texts(world: World, job: Document) -> list[Document]:
    draft = world.state.get("draft", job["draft"]) if job["draft"] else None
    return draft["articles"] if draft is not None else []


def _slice(world: World, job: Document, people: list[str], check: dict[str, Any]) -> None:
    """The next recipients' outcomes; what is done is in the same commit as they, so that a kill repeats none."""
    account, message, now = world.account(job["account"]), Message(*job["message"]), world.now()
    since, counts, done = month_start(now), job.setdefault("counts", {}), int(job.get("done", 0))
    end = done + world.limits["mass_slice"]
    for what, who in outcomes(world, account, people[done:end], message.key, since).items():
        counts[what] = counts.get(what, 0) + len(who)
        world.ledger.write_many(account["id"], who, message, what, at=now)
    job["done"] = end
    if end < len(people):
        world.state.put("mass", str(job["msg_id"]), job)
        world.later(0, partial(_slice, world, job, people, check))
        return
    texts = _texts(world, job)
    job["status"] = "SEND_SUCCESS"
    world.state.put("mass", str(job["msg_id"]), job)
    if texts:
        articles.create(world, account, texts, job["data_id"], via="mass")
        world.state.remove("draft", job["draft"])
    filtered = sum(counts.get(f"failed:{reason}", 0) for reason in _FILTERED)
    numbers = (len(people), len(people) - filtered, counts.get("arrived", 0), counts.get("failed:system_failed", 0))
    _tell(world, job, "send success", numbers, check)


def _fail(world: World, job: Document, code: int, check: dict[str, Any]) -> None:
    """Nobody got it: err(N)."""
    message, now = Message(*job["message"]), world.now()
    people = world.ledger.asked_for(message.key)
    world.ledger.write_many(job["account"], people, message, "failed:rejected", at=now)
    job["status"] = "SEND_FAIL"
    world.state.put("mass", str(job["msg_id"]), job)
    _tell(world, job, f"err({code})", (len(people), 0, 0, 0), check)


def _tell(world: World, job: Document, status: str, counts: tuple[int, int, int, int], check: dict[str, Any]) -> None:
    account = world.account(job["account"])
    names = ("TotalCount", "FilterCount", "SentCount", "ErrorCount")
    fields: dict[str, Any] = {"MsgID": job["msg_id"], "Status": status, **dict(zip(names, counts, strict=True))}
    fields["CopyrightCheckResult"] = check
    places = range(1, job["articles"] + 1) if job["status"] == "SEND_SUCCESS" else ()
    links = [
        {"ArticleIdx": place, "ArticleUrl": articles.address(world, account, job["data_id"], place)} for place in places
    ]
    fields["ArticleUrlResult"] = {"Count": len(links), "ResultList": links}
    world.callbacks.send(account, "MASSSENDJOBFINISH", "mphelper", fields, world.now())


def speed_get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/speed/get: the speed and what it means, in 10,000 a minute."""
    speed = speed_of(world, call.account)
    return {"speed": speed, "realspeed": world.limits[f"mass_speed_{speed}"] // 10_000}


def speed_set(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/speed/set: 0 to 4."""
    if "speed" not in call.body:
        raise ApiError(45084)
    speed = call.number("speed", -1, 45083)
    if not 0 <= speed <= 4:
        raise ApiError(45083)
    world.state.put("mass_speed", str(call.account["id"]), {"speed": speed})
    return dict(OK)


def resume(world: World) -> None:
    """After a start: unfinished jobs go on."""
    start: Callable[[Document], None] = partial(_schedule, world)
    for job in world.state.documents["mass"].values():
        if job["status"] == "SENDING":
            start(job)


ROUTES = [
    Route("POST", "/cgi-bin/message/mass/speed/get", speed_get, bare=True),
    Route("POST", "/cgi-bin/message/mass/speed/set", speed_set),
]
CONTROL = {("POST", "mass/confirm"): confirm}
