"""Mass messages of 公众号 and 服务号: a job accepted now, finished later by MASSSENDJOBFINISH."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from wechat_sandbox import media
from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.limits import day_of
from wechat_sandbox.official import tags
from wechat_sandbox.official.users import follower
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_HOUR_MS = 3_600_000
_FILTERED = ("not_follower", "user_block", "over_limit")


def month_start(now_ms: int) -> int:
    """First millisecond of the calendar month in Asia/Shanghai."""
    zone = timedelta(hours=8)
    local = datetime.fromtimestamp(now_ms / 1000, UTC) + zone
    return int((local.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - zone).timestamp() * 1000)


def _content(world: World, call: Call) -> tuple[str, str, str]:
    """Text to read (topic, hash), link, and the draft's id of the message in the body."""
    body, kind = call.body, call.body.get("msgtype")
    if kind == "text":
        text = body.get("text", {}).get("content") if isinstance(body.get("text"), dict) else None
        if not isinstance(text, str) or not text:
            raise ApiError(44004)
        return text, first_link(text), ""
    if kind == "mpnews":
        ident = call.record("mpnews", 40007).get("media_id")
        articles = media.draft(world, call.account, ident)["articles"]
        text = "\n".join(
            f"{article['title']}\n{article.get('digest', '')}\n{article['content']}" for article in articles
        )
        link = next((article["content_source_url"] for article in articles if article.get("content_source_url")), "")
        return text, link or first_link(text), str(ident)
    if kind == "image" and isinstance(body.get("images"), dict):
        idents = body["images"].get("media_ids") or []
    elif kind in ("image", "voice", "mpvideo"):
        idents = [call.record(kind, 40007).get("media_id")]
    else:
        raise ApiError(40008)
    if not idents:
        raise ApiError(40007)
    for ident in idents:
        media.require_media(world, call.account, ident)
    return f"{kind}:{','.join(idents)}", "", ""


def _paced(world: World, call: Call) -> None:
    if not world.windows.take(f"{call.account['id']}:mass", "minute", world.limits["mass_per_minute"], world.now()):
        raise ApiError(45011)


def _client_id(world: World, call: Call, audience: str, text: str) -> str:
    """The call's `clientmsgid` or a digest of audience and content; 45065 to 45067."""
    client = call.body.get("clientmsgid")
    if client is None:
        client = hashlib.md5(f"{audience}|{text}".encode(), usedforsecurity=False).hexdigest()
    if not isinstance(client, str) or len(client.encode()) > world.limits["clientmsgid_bytes"]:
        raise ApiError(45067)
    known = world.state.get("mass_client", f"{call.account['id']}:{client}")
    if known is not None and world.now() - known["at"] < world.limits["clientmsgid_hours"] * _HOUR_MS:
        if world.now() - known["at"] < world.limits["clientmsgid_gap_ms"]:
            raise ApiError(45066)
        raise ApiError(45065, **known["answer"])
    return client


def _jobs(world: World, account: Document, since: int) -> list[Document]:
    jobs = world.state.documents["mass"].values()
    return [
        job for job in jobs if job["account"] == account["id"] and job["at"] >= since and job["status"] != "SEND_FAIL"
    ]


def _check_quota(world: World, account: Document, to_all: bool) -> None:
    """45028: one a day for 公众号; for 服务号 only sends to all are counted per account."""
    now, limits = world.now(), world.limits
    month = _jobs(world, account, month_start(now))
    today = [job for job in month if day_of(job["at"]) == day_of(now)]
    if account["kind"] == "official":
        full = len(today) >= limits["official_mass_daily"]
    else:
        whole = [job for job in month if job["to_all"]]
        whole_today = [job for job in today if job["to_all"]]
        full = to_all and (
            len(whole) >= limits["service_all_monthly"] or len(whole_today) >= limits["service_all_daily"]
        )
    if full:
        raise ApiError(45028)


def _accept(world: World, call: Call, people: list[str], audience: str, to_all: bool) -> dict[str, Any]:
    text, link, draft = _content(world, call)
    client = _client_id(world, call, audience, text)
    account, now = call.account, world.now()
    _check_quota(world, account, to_all)
    number = world.state.next_number("mass_message", 1_000_000_001)
    answer: dict[str, Any] = {"msg_id": number}
    if draft:
        answer["msg_data_id"] = number + 1_247_000_000
    message = Message(str(number), fingerprint(text), "mass", link, topic_of(text), client)
    job = {
        "msg_id": number,
        "account": account["id"],
        "at": now,
        "status": "SENDING",
        "to_all": to_all,
        "draft": draft,
        "message": list(message),
        "articles": len(media.draft(world, account, draft)["articles"]) if draft else 0,
    }
    world.state.put("mass", str(number), job)
    world.state.put("mass_client", f"{account['id']}:{client}", {"at": now, "answer": answer})
    for person in people:
        world.ledger.write(account["id"], person, message, "asked", at=now)
    world.later(world.settings["mass_finish_seconds"], partial(finish, world, job))
    return {"errcode": 0, "errmsg": "send job submission success", **answer}


def send_all(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/sendall: to all followers or to one tag."""
    _paced(world, call)
    chosen, account = call.record("filter", 47001), call.account
    reach = world.reach_of(account)
    if chosen.get("is_to_all"):
        people = [ident for ident, follows in zip(reach.ids, reach.follows, strict=True) if follows]
        return _accept(world, call, people, "all", to_all=True)
    tag = chosen.get("tag_id")
    if tag not in tags.tags_of(world, account):
        raise ApiError(40152)
    return _accept(world, call, tags.members(world, account, tag), f"tag:{tag}", to_all=False)


def send_list(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/send: to 2..10000 openids (服务号)."""
    _paced(world, call)
    people = list(dict.fromkeys(call.texts("touser", 40031)))
    if len(people) < world.limits["mass_list_min"]:
        raise ApiError(40130)
    if len(people) > world.limits["mass_list_max"]:
        raise ApiError(40032)
    for person in people:
        follower(world, call.account, person)
    return _accept(world, call, people, orjson.dumps(people).decode(), to_all=False)


def _outcome(world: World, account: Document, person: str, key: str, since: int) -> str:
    reach = world.reach_of(account)
    index = reach.index[person]
    if not reach.follows[index]:
        return "failed:not_follower"
    if reach.blocks[index]:
        return "failed:user_block"
    if account["kind"] == "service":
        got = [at for at in world.ledger.received.get((account["id"], person), ()) if at >= since]
        if len(got) >= world.limits["service_user_monthly"]:
            return "failed:over_limit"
    return (
        "failed:system_failed" if unit(world.seed, key, person) < world.settings["system_failed_share"] else "arrived"
    )


def finish(world: World, job: Document) -> None:
    """The job ran: outcomes into the ledger, the draft is used up, the event goes out."""
    if job["status"] != "SENDING":
        return
    account, message, now = world.account(job["account"]), Message(*job["message"]), world.now()
    counts = {"arrived": 0, "failed:system_failed": 0}
    people, since = world.ledger.asked_for(message.key), month_start(now)
    for person in people:
        outcome = _outcome(world, account, person, message.key, since)
        counts[outcome] = counts.get(outcome, 0) + 1
        world.ledger.write(account["id"], person, message, outcome, at=now)
    job["status"] = "SEND_SUCCESS"
    world.state.put("mass", str(job["msg_id"]), job)
    if job["draft"]:
        world.state.remove("draft", job["draft"])
    fields: dict[str, Any] = {
        "MsgID": job["msg_id"],
        "Status": "send success",
        "TotalCount": len(people),
        "FilterCount": len(people) - sum(counts.get(f"failed:{reason}", 0) for reason in _FILTERED),
        "SentCount": counts["arrived"],
        "ErrorCount": counts["failed:system_failed"],
        "CopyrightCheckResult": {"Count": 0, "ResultList": [], "CheckState": 0},
    }
    links = [{"ArticleIdx": number, "ArticleUrl": f"{message.link}"} for number in range(1, job["articles"] + 1)]
    fields["ArticleUrlResult"] = {"Count": len(links), "ResultList": links}
    world.callbacks.send(account, "MASSSENDJOBFINISH", "mphelper", fields, now)


def _job(world: World, call: Call) -> Document:
    ident = call.body.get("msg_id")
    job = world.state.get("mass", str(ident))
    if job is None or job["account"] != call.account["id"]:
        raise ApiError(40059)
    return job


def get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/get: id and status, nothing else."""
    job = _job(world, call)
    return {"msg_id": job["msg_id"], "msg_status": job["status"]}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/delete: only after success; cards already shown stay."""
    job = _job(world, call)
    if job["status"] != "SEND_SUCCESS" or not job["articles"]:
        raise ApiError(40059)
    job["status"] = "DELETE"
    world.state.put("mass", str(job["msg_id"]), job)
    return dict(OK)


def preview(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/preview: one recipient, not counted against any quota."""
    _paced(world, call)
    account, now = call.account, world.now()
    person = call.body.get("touser")
    if person is None and call.body.get("towxname"):
        if not world.windows.take(f"{account['id']}:preview", "day", world.limits["preview_wxname_daily"], now):
            raise ApiError(45009)
        person = call.body["towxname"]
    elif not world.reach_of(account).follows[follower(world, account, person)]:
        raise ApiError(43004)
    text, link, _ = _content(world, call)
    number = world.state.next_number("mass_message", 1_000_000_001)
    message = Message(str(number), fingerprint(text), "preview", link, topic_of(text))
    world.ledger.write(account["id"], str(person), message, "asked", at=now)
    world.ledger.write(account["id"], str(person), message, "arrived", at=now)
    return {"errcode": 0, "errmsg": "preview success", "msg_id": number}


def resume(world: World) -> None:
    """After a start: unfinished jobs go on."""
    for job in world.state.documents["mass"].values():
        if job["status"] == "SENDING":
            world.later(world.settings["mass_finish_seconds"], partial(finish, world, job))


ROUTES = [
    Route("POST", "/cgi-bin/message/mass/sendall", send_all),
    Route("POST", "/cgi-bin/message/mass/send", send_list, kinds=("service",)),
    Route("POST", "/cgi-bin/message/mass/get", get),
    Route("POST", "/cgi-bin/message/mass/delete", delete),
    Route("POST", "/cgi-bin/message/mass/preview", preview),
]
