"""企业微信: the welcome code of a new customer, good for 20 seconds and one message."""

from typing import Any

from wechat_sandbox.call import WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.wecom import content
from wechat_sandbox.world import World

EVERYBODY = "*"
"""In the account's `own_welcome`: all members have a welcome message set in the console."""


def issue(world: World, account: Document, userid: str, ident: str) -> str:
    """A new code; empty when the console has a welcome message for this member."""
    own = account.get("own_welcome") or ()
    if EVERYBODY in own or userid in own:
        return ""
    code = world.fresh("welcome", 32)
    entry = {"account": account["id"], "userid": userid, "person": ident, "at": world.now(), "used": False}
    world.state.put("welcome", code, entry)
    return code


def begin_chat(world: World, account: Document, userid: str, ident: str) -> None:
    """They talk: a code of theirs that was not used is worth nothing any more."""
    for code, entry in world.state.documents["welcome"].items():
        if (entry["account"], entry["userid"], entry["person"]) == (account["id"], userid, ident):
            world.state.put("welcome", code, {**entry, "used": True})


def send(world: World, call: Call) -> dict[str, Any]:
    """POST externalcontact/send_welcome_msg: once, within 20 seconds."""
    code, account, now = call.body.get("welcome_code"), call.account, world.now()
    if not code:
        raise ApiError(41049)
    entry = world.state.get("welcome", str(code))
    late = entry is not None and now - entry["at"] > world.limits["welcome_seconds"] * 1000
    if entry is None or entry["account"] != account["id"] or late:
        raise ApiError(41050)
    if entry["used"]:
        raise ApiError(41051)
    message = content.check(world, call, "welcome")._replace(key=f"welcome:{code}")
    world.state.put("welcome", str(code), {**entry, "used": True})
    index = world.reach_of(account).index[entry["person"]]
    arrives = not world.reach_of(account).blocks[index]
    world.ledger.write(account["id"], entry["person"], message, "asked", at=now)
    outcome = "arrived" if arrives else "failed:not_friend"
    world.ledger.write(account["id"], entry["person"], message, outcome, at=now)
    return {}


ROUTES = [Route("POST", "/cgi-bin/externalcontact/send_welcome_msg", send, kinds=WORK)]
