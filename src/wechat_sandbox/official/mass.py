"""Mass messages of 公众号 and 服务号: what may be asked, and what the platform refuses at once."""

import hashlib
from typing import Any

import orjson

from wechat_sandbox import media
from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.limits import day_of, month_start
from wechat_sandbox.official import articles, mass_jobs, tags
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.official.drafts import draft
from wechat_sandbox.official.users import follower
from wechat_sandbox.people.population import topic_of
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_HOUR_MS = 3_600_000
_FILES = ("image", "voice", "mpvideo", "video", "music")
_DATA_ID = 1_247_000_000


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
        texts = draft(world, call.account, ident)["articles"]
        text = "\n".join(f"{one['title']}\n{one.get('digest', '')}\n{one['content']}" for one in texts)
        link = next((one["content_source_url"] for one in texts if one.get("content_source_url")), "")
        return text, link or first_link(text), str(ident)
    if kind == "wxcard":
        raise ApiError(45113)
    if kind not in _FILES:
        raise ApiError(45162 if call.path.endswith("/mass/send") else 40008)
    return _files(world, call, kind), "", ""


def _files(world: World, call: Call, kind: str) -> str:
    """The message's media, all of which must live: 40007."""
    body = call.body
    if kind == "image" and isinstance(body.get("images"), dict):
        idents = body["images"].get("media_ids") or []
    else:
        name = "mpvideo" if kind == "video" and "mpvideo" in body else kind
        idents = [call.record(name, 40007).get("thumb_media_id" if kind == "music" else "media_id")]
    if not isinstance(idents, list) or not idents:
        raise ApiError(40007)
    for ident in idents:
        media.require_media(world, call.account, ident)
    return f"{kind}:{','.join(idents)}"


def _paced(world: World, call: Call) -> None:
    account, gap = call.account, world.limits["mass_gap_ms"]
    last = world.state.get("mass_last", str(account["id"])) or {"at": 0}
    if gap and world.now() - last["at"] < gap:
        raise ApiError(42010)
    world.state.put("mass_last", str(account["id"]), {"at": world.now()})
    if not world.windows.take(f"{account['id']}:mass", "minute", world.limits["mass_per_minute"], world.now()):
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


def _accept(world: World, call: Call, people: list[str], audience: str, *, to_all: bool) -> dict[str, Any]:
    text, link, source = _content(world, call)
    client = _client_id(world, call, audience, text)
    account, now = call.account, world.now()
    held = to_all and bool(account.get("api_mass_protection"))
    if held and mass_jobs.waiting(world, account):
        raise ApiError(89504)
    _check_quota(world, account, to_all)
    number = world.state.next_number("mass_message", 1_000_000_001)
    answer: dict[str, Any] = {"msg_id": number}
    if source:
        answer["msg_data_id"] = number + _DATA_ID
        link = link or articles.address(world, account, number + _DATA_ID, 1)
    job = {
        "msg_id": number,
        "data_id": number + _DATA_ID,
        "account": account["id"],
        "at": now,
        "status": "SENDING",
        "to_all": to_all,
        "waiting": held,
        "draft": source,
        "text": text[:20_000],
        "ignore": bool(call.body.get("send_ignore_reprint")),
        "message": list(Message(str(number), fingerprint(text), "mass", link, topic_of(text), client)),
        "articles": len(draft(world, account, source)["articles"]) if source else 0,
    }
    world.state.put("mass_client", f"{account['id']}:{client}", {"at": now, "answer": answer})
    mass_jobs.begin(world, account, job, people)
    return {"errcode": 0, "errmsg": "send job submission success", **answer}


def send_all(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/sendall: to all followers or to one tag (`group_id` is the field's former name)."""
    _paced(world, call)
    chosen, account = call.record("filter", 47001), call.account
    reach = world.reach_of(account)
    if chosen.get("is_to_all"):
        people = reach.ids.many(reach.following())
        return _accept(world, call, people, "all", to_all=True)
    tag = chosen.get("tag_id", chosen.get("group_id"))
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


def _job(world: World, call: Call) -> Document:
    ident = call.body.get("msg_id")
    job = world.state.get("mass", str(ident))
    if job is None or job["account"] != call.account["id"]:
        raise ApiError(40059)
    return job


def get(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/get: id and status, nothing else; 89504, 89505 for what the administrator holds."""
    job = _job(world, call)
    if job.get("waiting"):
        raise ApiError(89504)
    if job.get("refused"):
        raise ApiError(89505)
    return {"msg_id": job["msg_id"], "msg_status": job["status"]}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/mass/delete: pages of articles and videos, only after success; cards already shown stay."""
    if call.body.get("url") and not call.body.get("msg_id"):
        found = articles.find(world, call.account, str(call.body["url"]))
        if found is None:
            raise ApiError(40065)
        articles.delete(world, *found)
        return dict(OK)
    job, place = _job(world, call), call.number("article_idx", 0, 40060)
    video = job["text"].startswith(("mpvideo:", "video:"))
    if job["status"] != "SEND_SUCCESS" or not (job["articles"] or video):
        raise ApiError(40059)
    if not 0 <= place <= max(1, job["articles"]):
        raise ApiError(40060)
    entry = world.state.get("article", str(job["data_id"]))
    if entry is not None:
        articles.delete(world, entry, place)
    if entry is None or len(entry["deleted"]) == len(entry["texts"]):
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
    elif blacklisted(world, account, str(person)):
        raise ApiError(43019)
    text, link, _ = _content(world, call)
    number = world.state.next_number("mass_message", 1_000_000_001)
    message = Message(str(number), fingerprint(text), "preview", link, topic_of(text))
    world.ledger.write(account["id"], str(person), message, "asked", at=now)
    world.ledger.write(account["id"], str(person), message, "arrived", at=now)
    return {"errcode": 0, "errmsg": "preview success", "msg_id": number}


ROUTES = [
    Route("POST", "/cgi-bin/message/mass/sendall", send_all),
    Route("POST", "/cgi-bin/message/mass/send", send_list, kinds=("service",)),
    Route("POST", "/cgi-bin/message/mass/get", get),
    Route("POST", "/cgi-bin/message/mass/delete", delete),
    Route("POST", "/cgi-bin/message/mass/preview", preview),
]
