"""企业微信: messages of the app to members of the corp, and their recall."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import fingerprint
from wechat_sandbox.limits import day_of
from wechat_sandbox.media import require_media
from wechat_sandbox.state import Document
from wechat_sandbox.wecom.access import visible
from wechat_sandbox.world import World

_KINDS = (
    "text",
    "image",
    "voice",
    "video",
    "file",
    "textcard",
    "news",
    "mpnews",
    "markdown",
    "miniprogram_notice",
    "template_card",
)
_REQUIRED = {
    "textcard": {"title": 128, "description": 512, "url": 2048},
    "text": {"content": 2048},
    "markdown": {"content": 2048},
    "miniprogram_notice": {"appid": 64, "title": 128},
    "template_card": {"card_type": 64},
}
_DAY_MS = 86_400_000


def _check(world: World, call: Call, kind: str, part: dict[str, Any]) -> None:
    """44004 for a missing text, 45002 for a long one, 40007 for a bad media, 40058 for another bad field."""
    for name, most in _REQUIRED.get(kind, {}).items():
        value = part.get(name)
        if not isinstance(value, str) or not value:
            raise ApiError(44004 if name == "content" else 40058, f"{kind}.{name}")
        if len(value.encode()) > most:
            raise ApiError(45002 if name == "content" else 40058, f"{kind}.{name}")
    if kind in ("image", "voice", "video", "file"):
        require_media(world, call.account, part.get("media_id"))
    if kind in ("news", "mpnews"):
        articles = part.get("articles")
        if not isinstance(articles, list) or not 1 <= len(articles) <= 8:
            raise ApiError(40058, f"{kind}.articles")
        for article in articles:
            _check_article(world, call, kind, article)


def _check_article(world: World, call: Call, kind: str, article: Any) -> None:
    if not isinstance(article, dict) or not article.get("title"):
        raise ApiError(40058, f"{kind}.articles.title")
    if kind == "news" and not article.get("url") and not article.get("pagepath"):
        raise ApiError(40058, "news.articles.url")
    if kind == "mpnews":
        require_media(world, call.account, article.get("thumb_media_id"))
        if not article.get("content"):
            raise ApiError(40058, "mpnews.articles.content")


def _receivers(world: World, call: Call) -> tuple[list[str], list[str], dict[str, str]]:
    """Members who get it, userids that are none, and the invalid parties and tags.

    The corp has one department, number 1, with everybody; it has no tags of members.
    """
    body, seen = call.body, visible(call.account)
    asked = {name: body.get(name) or "" for name in ("touser", "toparty", "totag")}
    if not all(isinstance(value, str) for value in asked.values()):
        raise ApiError(40058)
    if not any(asked.values()):
        raise ApiError(82001)
    split = {name: [part.strip() for part in value.split("|") if part.strip()] for name, value in asked.items()}
    if len(split["touser"]) > world.limits["member_message_users"]:
        raise ApiError(40032)
    if len(split["toparty"]) > 100 or len(split["totag"]) > 100:
        raise ApiError(81017)
    everybody = asked["touser"] == "@all" or "1" in split["toparty"]
    names = [] if asked["touser"] == "@all" else split["touser"]
    known = seen if everybody else [name for name in dict.fromkeys(names) if name in seen]
    invalid = {
        "invalidparty": "|".join(party for party in split["toparty"] if party != "1"),
        "invalidtag": "|".join(split["totag"]),
    }
    return known, [name for name in dict.fromkeys(names) if name not in seen], invalid


def send(world: World, call: Call) -> dict[str, Any]:
    """POST message/send: to members; what is too much for one member is dropped silently."""
    body, account, now = call.body, call.account, world.now()
    if body.get("agentid") != account["agentid"] and str(body.get("agentid")) != str(account["agentid"]):
        raise ApiError(301002)
    kind = body.get("msgtype")
    if kind not in _KINDS or not isinstance(body.get(kind), dict):
        raise ApiError(40058)
    known, unknown, invalid = _receivers(world, call)
    _check(world, call, kind, body[kind])
    if not known:
        raise ApiError(81013)
    _count(world, account, len(known))
    answer = {"invaliduser": "|".join(unknown), **invalid, "msgid": world.fresh("member_message", 32)}
    if _repeated(world, call, kind, now):
        return answer
    if kind == "template_card":
        answer["response_code"] = world.fresh("response", 32)
    for name in known:
        _deliver(world, call, name, str(answer["msgid"]))
    return answer


def _count(world: World, account: Document, receivers: int) -> None:
    """45009 above 200 person-times a day for each member that the corp has."""
    subject, now = f"{account['id']}:member_messages", world.now()
    used = world.windows.used_today(subject, now) + receivers
    if used > len(account["employees"]) * world.limits["member_message_daily_per_member"]:
        raise ApiError(45009)
    world.state.put("window", subject, {"day": day_of(now), "n": used})


def _repeated(world: World, call: Call, kind: str, now: int) -> bool:
    """Whether `enable_duplicate_check` keeps this message back; the answer is that of a success."""
    body = call.body
    if not body.get("enable_duplicate_check"):
        return False
    lasts = call.number("duplicate_check_interval", 1800, 40058) * 1000
    to = [body.get(name) for name in ("touser", "toparty", "totag")]
    key = f"{call.account['id']}:{fingerprint(f'{to}|{kind}|{body[kind]}')}"
    before = world.state.get("member_duplicate", key)
    if before is not None and now - before["at"] < lasts:
        return True
    world.state.put("member_duplicate", key, {"at": now})
    return False


def _deliver(world: World, call: Call, name: str, msgid: str) -> None:
    account, body, now = call.account, call.body, world.now()
    subject = f"{account['id']}:message:{name}"
    fits = world.windows.take(subject, "minute", world.limits["member_message_per_minute"], now)
    if not fits or not world.windows.take(subject, "hour", world.limits["member_message_per_hour"], now):
        return
    kind = body["msgtype"]
    entry: Document = {
        "account": account["id"],
        "userid": name,
        "msgid": msgid,
        "msgtype": kind,
        "content": fingerprint(str(body[kind])),
        "at": now,
        "body": body[kind],
    }
    world.state.put("member_message", str(world.state.next_number("member_message")), entry)


def recall(world: World, call: Call) -> dict[str, Any]:
    """POST message/recall: within 24 hours (UNCONFIRMED); 40058 for a msgid that is unknown or too old."""
    ident, rows = call.body.get("msgid"), world.state.documents["member_message"]
    found = [
        (key, entry) for key, entry in rows.items() if (entry["account"], entry["msgid"]) == (call.account["id"], ident)
    ]
    if not found or world.now() - found[0][1]["at"] > _DAY_MS:
        raise ApiError(40058, "msgid")
    for key, entry in found:
        world.state.put("member_message", key, {**entry, "recalled": True})
    return {}


ROUTES = [
    Route("POST", "/cgi-bin/message/send", send, kinds=WORK),
    Route("POST", "/cgi-bin/message/recall", recall, kinds=WORK),
]
