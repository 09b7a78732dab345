"""第三方: a receiver of webhooks (Standard Webhooks 1.0.0), as a company's own system would be one.

An account of the kind `custom` has a secret and members. A delivery whose `webhook-id` was seen is answered as before;
one with other words or people under the same id is answered 409, with those who were refused the first time.
"""

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

import orjson

from wechat_sandbox.call import Call, Raw, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.ledger import Message, fingerprint
from wechat_sandbox.people.population import topic_of
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

PATH = "/webhook/in"
_TOLERANCE_SECONDS = 300
_MOST = 10_000


def receive(world: World, call: Call) -> Raw:
    """POST /webhook/in?account=N: 401 for a signature or a time that does not fit, 404 for an unknown account."""
    account = world.state.get("account", call.query.get("account", ""))
    if account is None or account["kind"] != "custom":
        return _answer(404, {"error": "no custom account of this number"})
    if not _signed(account["secret"], call):
        return _answer(401, {"error": "the signature or the time does not fit"})
    name = f"{account['id']}:{call.headers['webhook-id']}"
    digest = hashlib.blake2b(call.raw, digest_size=16).hexdigest()
    seen = world.state.get("webhook", name)
    if seen is not None and seen["digest"] != digest:
        return _answer(409, {"error": "another delivery had this id", "refused": seen["body"].get("refused", [])})
    if seen is not None:
        return _answer(seen["status"], seen["body"])
    status, body = _take(world, account, call)
    world.state.put("webhook", name, {"status": status, "body": body, "digest": digest})
    return _answer(status, body)


def _signed(secret: str, call: Call) -> bool:
    headers = call.headers
    try:
        ident, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        fresh = abs(time.time() - int(stamp)) <= _TOLERANCE_SECONDS
    except (KeyError, ValueError, binascii.Error):
        return False
    digest = hmac.digest(key, f"{ident}.{stamp}.".encode() + call.raw, "sha256")
    ours = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split(b" ")
    return fresh and any(hmac.compare_digest(ours, one) for one in given)


def _take(world: World, account: Document, call: Call) -> tuple[int, dict[str, Any]]:
    """What a delivery does: an entry in the ledger per member; the others are refused by name."""
    try:
        body = orjson.loads(call.raw)
        if body["type"] == "ping":
            return 200, {}
        message = body["message"]
        people = [(str(one["id"]), str(one.get("url", "")), one.get("message")) for one in body["recipients"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return 400, {"error": "no delivery"}
    if not isinstance(message, dict) or len(people) > _MOST:
        return 400, {"error": "no message, or too many recipients"}
    if any(own is not None and not isinstance(own, dict) for _, _, own in people):
        return 400, {"error": "a recipient's own message is an object of fields"}
    key = call.headers["webhook-id"]
    shared = _said(message)
    reach, now, refused = world.reach_of(account), world.now(), []
    for person, link, own in people:
        said, topic = _said({**message, **own}) if own else shared
        one = Message(key, said, "webhook", link, topic, key)
        index = reach.index.get(person)
        reason = "unknown" if index is None else "left" if not reach.follows[index] else ""
        if reason:
            world.ledger.refused(account["id"], person, one, reason, now)
            refused.append({"id": person, "reason": reason})
            continue
        assert index is not None
        world.ledger.write(account["id"], person, one, "asked", at=now)
        outcome = "failed:user_block" if reach.blocks[index] else "arrived"
        world.ledger.write(account["id"], person, one, outcome, at=now)
    return 202, {"refused": refused} if refused else {}


def _said(message: dict[str, Any]) -> tuple[str, str]:
    """(fingerprint, topic) of a message."""
    text = orjson.dumps(message, option=orjson.OPT_SORT_KEYS).decode()
    return fingerprint(text), topic_of(text)


def _answer(status: int, body: dict[str, Any]) -> Raw:
    return Raw(orjson.dumps(body), "application/json", status)


def _refuse(error: ApiError) -> Raw:
    """How a fault looks here: a busy or an exhausted receiver says so by its status, any other by its own."""
    if error.code == 45009:
        return Raw(b'{"error":"slow down"}', "application/json", 429, ((b"retry-after", b"1"),))
    own = error.code if 400 <= error.code <= 599 else 400
    return _answer(503 if error.code == -1 else own, {"error": str(error.code)})


ROUTES = [Route("POST", PATH, receive, kinds=("custom",), token=False, upload=True, refuse=_refuse)]
