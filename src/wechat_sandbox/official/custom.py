"""Customer-service messages (客服消息): to one person, inside the window that this person opened."""

from typing import Any

import orjson

from wechat_sandbox import media
from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint, first_link
from wechat_sandbox.official import interact
from wechat_sandbox.official.blacklist import blacklisted
from wechat_sandbox.official.drafts import draft
from wechat_sandbox.official.users import follower
from wechat_sandbox.people.population import topic_of
from wechat_sandbox.world import World

# Per type: texts that must be there, and the fields that name a living media.
_TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text": (("content",), ()),
    "image": ((), ("media_id",)),
    "voice": ((), ("media_id",)),
    "video": ((), ("media_id",)),
    "music": (("musicurl",), ("thumb_media_id",)),
    "news": ((), ()),
    "mpnews": (("media_id",), ()),
    "mpnewsarticle": (("article_id",), ()),
    "msgmenu": ((), ()),
    "wxcard": (("card_id",), ()),
    "miniprogrampage": (("title", "appid", "pagepath"), ("thumb_media_id",)),
}


def _content(world: World, call: Call) -> str:
    """The message's object as text: 40008 for the type, 44004, 45008, 40007, 53600 for what is in it."""
    kind = call.body.get("msgtype")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ApiError(40008)
    found = call.record(kind, 44004)
    texts, files = _TYPES[kind]
    for name in texts:
        if not isinstance(found.get(name), str) or not found[name]:
            raise ApiError(44004)
    for name in files:
        media.require_media(world, call.account, found.get(name))
    if kind == "news":
        articles = found.get("articles")
        if not isinstance(articles, list) or not articles:
            raise ApiError(44003)
        if len(articles) > 1:
            raise ApiError(45008)
    elif kind == "mpnews":
        draft(world, call.account, found["media_id"])
    elif kind == "mpnewsarticle" and world.state.get("published", found["article_id"]) is None:
        raise ApiError(53600)
    elif kind == "msgmenu" and not isinstance(found.get("list"), list):
        raise ApiError(44004)
    return found["content"] if kind == "text" else orjson.dumps({kind: found}).decode()


def send(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/message/custom/send: 45015 without an open window, 45047 when it is used up."""
    account, person, now = call.account, call.body.get("touser"), world.now()
    index = follower(world, account, person)
    text = _content(world, call)
    number = world.state.next_number("custom_message", 5_000_000_001)
    message = Message(f"custom{number}", fingerprint(text), "custom", first_link(text), topic_of(text))
    reach, openid = world.reach_of(account), str(person)
    refusals = (
        (not reach.follows[index], "not_follower", 43004),
        (blacklisted(world, account, openid), "blacklisted", 43019),
        (bool(reach.blocks[index]), "user_block", 48002),
    )
    for holds, reason, code in refusals:
        if holds:
            world.ledger.refused(account["id"], openid, message, reason, now)
            raise ApiError(code)
    try:
        interact.take_window(world, account, openid)
    except ApiError:
        world.ledger.refused(account["id"], openid, message, "window_closed", now)
        raise
    for outcome in ("asked", "arrived"):
        world.ledger.write(account["id"], openid, message, outcome, at=now)
    return dict(OK)


ROUTES = [Route("POST", "/cgi-bin/message/custom/send", send)]
