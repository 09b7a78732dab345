"""Template messages of service accounts: accepted now, their outcome later by TEMPLATESENDJOBFINISH."""

import re
from functools import partial
from typing import Any

import orjson

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.official.template_list import DATA, own
from wechat_sandbox.people.population import topic_of, unit
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_RULES = {prefix: re.compile(rule, re.DOTALL) for prefix, rule in DATA["rules"].items()}
_MARKETING = re.compile("|".join(map(re.escape, DATA["marketing_words"])))
_STATUS = {
    "arrived": "success",
    "failed:user_block": "failed:user block",
    "failed:system_failed": "failed: system failed",
}
SEND = "/cgi-bin/message/template/send"
_KNOWN_CLIENTS = 400_000


def check_values(keywords: list[str], data: Any) -> None:
    """Every keyword of the template has a value that fits its type: 47003, 40249."""
    if not isinstance(data, dict):
        raise ApiError(47003, "data invalid")
    for keyword in keywords:
        entry = data.get(keyword)
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, str) or not value:
            raise ApiError(47003, f"{keyword}.DATA is empty")
        rule = _RULES.get(keyword.rstrip("0123456789"))
        if rule is not None and rule.fullmatch(value) is None:
            raise ApiError(47003, f"{keyword}.DATA invalid")
        if _MARKETING.search(value):
            raise ApiError(40249, f"{keyword}.DATA")


def send(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/template/send."""
    body, account = call.body, call.account
    template = body.get("template_id")
    entry = own(world, account).get(template) if isinstance(template, str) else None
    if entry is None:
        raise ApiError(40037)
    if entry.get("restricted"):
        raise ApiError(43116)
    person, reach, now = body.get("touser"), world.reach_of(account), world.now()
    index = reach.index.get(person) if isinstance(person, str) else None
    data, link, client = body.get("data"), body.get("url") or "", body.get("client_msg_id") or ""
    if not isinstance(link, str) or len(link) > 2048:
        raise ApiError(40039)
    text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()
    message = Message("", fingerprint(f"{template}{text}"), "template", link, topic_of(text), str(client))
    if index is None or not isinstance(person, str):
        if isinstance(person, str):
            world.ledger.refused(account["id"], person, message, "invalid_openid", now)
        raise ApiError(40003)
    check_values(entry["keywords"], data)
    dedupe = (account["id"], person, message.client)
    if client:
        known = world.sent_clients.get(dedupe)
        if known is not None and now - known[1] < world.limits["client_msg_id_seconds"] * 1000:
            return {**OK, "msgid": known[0]}
    if not reach.follows[index]:
        world.ledger.refused(account["id"], person, message, "not_follower", now)
        raise ApiError(43004)
    if blacklisted(world, account, person):
        world.ledger.refused(account["id"], person, message, "blacklisted", now)
        raise ApiError(43019)
    if not world.windows.take(f"{account['id']}:{call.path}", "day", world.limits["template_daily"], now):
        raise ApiError(45009)
    number = world.state.next_number("template_message", 3_000_000_000_000_000_001)
    message = message._replace(key=str(number))
    world.ledger.write(account["id"], person, message, "asked", at=now)
    if client:
        _remember(world, dedupe, number, now)
    world.templates_due.append((now + int(world.settings["template_finish_seconds"] * 1000), account, person, message))
    return {**OK, "msgid": number}


def _remember(world: World, dedupe: tuple[int, str, str], number: int, now: int) -> None:
    known = world.sent_clients
    known.pop(dedupe, None)
    known[dedupe] = (number, now)
    if len(known) > _KNOWN_CLIENTS:
        oldest = now - world.limits["client_msg_id_seconds"] * 1000
        for old in [key for key, (_, at) in known.items() if at < oldest]:
            del known[old]


def settle(world: World, account: Document, person: str, message: Message) -> None:
    """The outcome of one accepted message: entry in the ledger and callback."""
    reach = world.reach_of(account)
    index = reach.index[person]
    if reach.blocks[index]:
        outcome = "failed:user_block"
    elif not reach.follows[index] or unit(world.seed, message.key) < world.settings["system_failed_share"]:
        outcome = "failed:system_failed"
    else:
        outcome = "arrived"
    now = world.now()
    world.ledger.write(account["id"], person, message, outcome, at=now)
    world.callbacks.send(
        account, "TEMPLATESENDJOBFINISH", person, {"MsgID": int(message.key), "Status": _STATUS[outcome]}, now
    )


def resume(world: World) -> None:
    """After a start: the hook that settles, known client ids, and accepted messages without an outcome."""
    world.settle_template = partial(settle, world)
    now = world.now()
    since = now - world.limits["client_msg_id_seconds"] * 1000
    for account, person, client, key, at in world.ledger.clients_since("template", since):
        world.sent_clients.setdefault((account, person, client), (int(key), at))
    for account, person, message, _ in world.ledger.unsettled("template"):
        world.templates_due.append((now, world.account(account), person, message))


ROUTES = [
    Route("POST", SEND, send, kinds=("service",)),
]
