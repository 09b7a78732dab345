"""Subscription messages: each needs a consent that the person gave (control call people/accept), and uses it up."""

import base64
import hashlib
import tomllib
from functools import partial
from importlib.resources import files
from typing import Any

import orjson

from wechat_sandbox.call import MINI, OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.official.template_list import own as own_templates
from wechat_sandbox.official.templates import check_values
from wechat_sandbox.official.users import follower
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_DATA: dict[str, Any] = tomllib.loads(files("wechat_sandbox.official").joinpath("subscriptions.toml").read_text())
_KINDS = ("official", "service", "mini")
_VIA = "subscribe"


def _own(world: World, account: Document) -> dict[str, Document]:
    """The account's subscription templates by id; a new account has the first of the library."""
    entry = world.state.get("newtmpl", str(account["id"]))
    if entry is None:
        entry = {"list": {}}
        first = _DATA["library"][0]
        _add(account, entry, first, [keyword["kid"] for keyword in first["keywords"]], "0")
        world.state.put("newtmpl", str(account["id"]), entry)
    found: dict[str, Document] = entry["list"]
    return found


def _add(account: Document, entry: Document, shape: Document, kids: list[int], seed: str) -> str:
    chosen = [keyword for keyword in shape["keywords"] if keyword["kid"] in kids]
    digest = hashlib.sha256(f"{account['appid']}:newtmpl:{seed}".encode()).digest()
    ident = base64.urlsafe_b64encode(digest).decode()[:43]
    names = [f"{keyword['rule']}{keyword['kid']}" for keyword in chosen]
    lines = [f"{keyword['name']}:{{{{{name}.DATA}}}}" for keyword, name in zip(chosen, names, strict=True)]
    examples = [f"{keyword['name']}:{keyword['example']}" for keyword in chosen]
    entry["list"][ident] = {
        "priTmplId": ident,
        "title": shape["title"],
        "content": "\n".join(lines),
        "example": "\n".join(examples),
        "type": shape["type"],
        "keywords": names,
    }
    return ident


def _consent(world: World, account: Document, person: str, template: str) -> None:
    """Use one consent up; 43101 when there is none left."""
    key = f"{account['id']}:{person}:{template}"
    known = world.state.get("consent", key)
    if known is None or known["left"] < 1:
        raise ApiError(43101)
    known["left"] -= 1
    world.state.put("consent", key, known)


def _deliver(world: World, call: Call, person: str, template: str, text: str) -> int:
    """Into the ledger, and its outcome later as the event subscribe_msg_sent_event."""
    account, now = call.account, world.now()
    link = call.body.get("page") or call.body.get("url") or ""
    link = link if isinstance(link, str) and link.startswith("http") else ""
    number = world.state.next_number("subscribe_message", 2_000_000_000_000_001)
    message = Message(str(number), fingerprint(f"{template}{text}"), _VIA, link, topic_of(text), template)
    reach = world.reach_of(account)
    reason = "blacklisted" if blacklisted(world, account, person) else ""
    if reach.blocks[reach.index[person]]:
        reason = "user_block"
    if reason:
        world.ledger.refused(account["id"], person, message, reason, now)
        raise ApiError(43101 if reason == "user_block" else 43019)
    _consent(world, account, person, template)
    world.ledger.write(account["id"], person, message, "asked", at=now)
    world.later(world.settings["template_finish_seconds"], partial(_settle, world, account["id"], person, message))
    return number


def _settle(world: World, ident: int, person: str, message: Message) -> None:
    broken = unit(world.seed, message.key, person) < world.settings["system_failed_share"]
    outcome = "failed:system_failed" if broken else "arrived"
    world.ledger.write(ident, person, message, outcome, at=world.now())
    row = {
        "TemplateId": message.client,
        "MsgID": int(message.key),
        "ErrorCode": -1 if broken else 0,
        "ErrorStatus": "system failed" if broken else "success",
    }
    fields = {"SubscribeMsgSentEvent": {"List": row}}
    world.callbacks.send(world.account(ident), "subscribe_msg_sent_event", person, fields, world.now())


def send(world: World, call: Call) -> dict[str, Any]:
    """POST message/subscribe/bizsend (公众号, 服务号) and message/subscribe/send (小程序): one per consent."""
    body, account = call.body, call.account
    person = body.get("touser")
    follower(world, account, person)
    template = body.get("template_id")
    entry = _own(world, account).get(template) if isinstance(template, str) else None
    if entry is None:
        raise ApiError(40037)
    if body.get("page") is not None and not isinstance(body["page"], str):
        raise ApiError(41030)
    check_values(entry["keywords"], body.get("data"))
    text = orjson.dumps(body["data"], option=orjson.OPT_SORT_KEYS).decode()
    _deliver(world, call, str(person), str(template), text)
    return dict(OK)


def send_once(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/template/subscribe (一次性订阅): title, scene and one text, for one consent."""
    body, account = call.body, call.account
    person, template, title = body.get("touser"), body.get("template_id"), body.get("title")
    follower(world, account, person)
    known = {**_own(world, account), **(own_templates(world, account) if account["kind"] == "service" else {})}
    if not isinstance(template, str) or template not in known:
        raise ApiError(40037)
    if not isinstance(title, str) or not 1 <= len(title) <= world.limits["subscribe_title_chars"]:
        raise ApiError(40062)
    scene = str(body.get("scene", ""))
    if not scene.isdecimal() or int(scene) > world.limits["subscribe_scene_max"]:
        raise ApiError(40097, "scene invalid")
    data = body.get("data")
    content = data.get("content") if isinstance(data, dict) else None
    if not isinstance(content, dict) or not isinstance(content.get("value"), str):
        raise ApiError(47003, "content.DATA is empty")
    _deliver(world, call, str(person), str(template), f"{title}\n{content['value']}")
    return dict(OK)


def add_template(world: World, call: Call) -> dict[str, Any]:
    """POST /wxaapi/newtmpl/addtemplate: from the library by `tid` and 2 to 5 keyword numbers."""
    shape = next((one for one in _DATA["library"] if str(one["tid"]) == str(call.body.get("tid"))), None)
    if shape is None:
        raise ApiError(200014)
    kids = call.body.get("kidList")
    known = [keyword["kid"] for keyword in shape["keywords"]]
    if not isinstance(kids, list) or not 2 <= len(kids) <= 5 or any(kid not in known for kid in kids):
        raise ApiError(200020)
    own = _own(world, call.account)
    if len(own) >= world.limits["templates_per_account"]:
        raise ApiError(200012)
    entry = world.state.documents["newtmpl"][str(call.account["id"])]
    ident = _add(call.account, entry, shape, kids, f"added:{world.state.next_number('template')}")
    world.state.put("newtmpl", str(call.account["id"]), entry)
    return {**OK, "priTmplId": ident}


def delete_template(world: World, call: Call) -> dict[str, Any]:
    """POST /wxaapi/newtmpl/deltemplate."""
    if _own(world, call.account).pop(str(call.body.get("priTmplId")), None) is None:
        raise ApiError(200014)
    world.state.put("newtmpl", str(call.account["id"]), world.state.documents["newtmpl"][str(call.account["id"])])
    return dict(OK)


def get_templates(world: World, call: Call) -> dict[str, Any]:
    """GET /wxaapi/newtmpl/gettemplate."""
    rows = _own(world, call.account).values()
    return {**OK, "data": [{name: row[name] for name in row if name != "keywords"} for row in rows]}


def categories(world: World, call: Call) -> dict[str, Any]:
    """GET /wxaapi/newtmpl/getcategory."""
    return {**OK, "data": _DATA["categories"]}


def public_titles(world: World, call: Call) -> dict[str, Any]:
    """GET /wxaapi/newtmpl/getpubtemplatetitles: the library of some categories, by pages of at most 30."""
    ids, start, limit = (call.query.get(name, "") for name in ("ids", "start", "limit"))
    if not ids:
        raise ApiError(200018)
    if not start.isdecimal():
        raise ApiError(200016)
    if not limit.isdecimal() or not 1 <= int(limit) <= 30:
        raise ApiError(200017)
    rows = [one for one in _DATA["library"] if one["category"] in ids.split(",")]
    names = (("tid", "tid"), ("title", "title"), ("type", "type"), ("categoryId", "category"))
    page = [{name: one[key] for name, key in names} for one in rows[int(start) : int(start) + int(limit)]]
    return {**OK, "count": len(rows), "data": page}


def public_keywords(world: World, call: Call) -> dict[str, Any]:
    """GET /wxaapi/newtmpl/getpubtemplatekeywords."""
    shape = next((one for one in _DATA["library"] if str(one["tid"]) == call.query.get("tid")), None)
    if shape is None:
        raise ApiError(200014)
    return {**OK, "count": len(shape["keywords"]), "data": shape["keywords"]}


def resume(world: World) -> None:
    """After a start: messages without an outcome get theirs."""
    for account, person, message, _ in world.ledger.unsettled(_VIA):
        world.later(world.settings["template_finish_seconds"], partial(_settle, world, account, person, message))


ROUTES = [
    Route("POST", "/cgi-bin/message/subscribe/bizsend", send),
    Route("POST", "/cgi-bin/message/subscribe/send", send, kinds=MINI),
    Route("POST", "/cgi-bin/message/template/subscribe", send_once),
    Route("POST", "/wxaapi/newtmpl/addtemplate", add_template, kinds=_KINDS),
    Route("POST", "/wxaapi/newtmpl/deltemplate", delete_template, kinds=_KINDS),
    Route("GET", "/wxaapi/newtmpl/gettemplate", get_templates, kinds=_KINDS),
    Route("GET", "/wxaapi/newtmpl/getcategory", categories, kinds=_KINDS),
    Route("GET", "/wxaapi/newtmpl/getpubtemplatetitles", public_titles, kinds=_KINDS),
    Route("GET", "/wxaapi/newtmpl/getpubtemplatekeywords", public_keywords, kinds=_KINDS),
]
