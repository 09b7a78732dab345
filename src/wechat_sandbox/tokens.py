"""Access tokens of both platforms, and the small calls around them."""

import secrets
from typing import Any

from wechat_sandbox.call import APPS, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World


def owner(world: World, token: str | None, wecom: bool) -> Document:
    """The account of a token; the platforms' errors for a missing, unknown, replaced or expired one."""
    if not token:
        raise ApiError(41001)
    entry = world.state.documents["token"].get(token)
    if entry is None:
        raise ApiError(40014)
    now = world.now()
    if now >= entry["dead"]:
        raise ApiError(40014 if entry["kind"] == "work" else 40001)
    if now >= entry["expires"]:
        raise ApiError(42001)
    if (entry["kind"] == "work") != wecom:
        raise ApiError(40014)
    return world.state.documents["account"][str(entry["account"])]


def belongs_to_wecom(world: World, token: str | None) -> bool:
    """Which platform a path shared by both means: that of the token's account."""
    entry = world.state.documents["token"].get(token or "")
    return entry is not None and entry["kind"] == "work"


def _issue(world: World, account: Document, kind: str) -> Document:
    now = world.now()
    life = world.limits["token_seconds"] * 1000
    token = secrets.token_urlsafe(96)
    entry = {"account": account["id"], "kind": kind, "expires": now + life, "dead": 2**62, "token": token}
    for old in [name for name, other in world.state.documents["token"].items() if other["expires"] < now - 86_400_000]:
        world.state.remove("token", old)
    world.state.put("token", token, entry)
    world.state.put("current", f"{account['id']}:{kind}", {"token": token})
    return entry


def _current(world: World, account: Document, kind: str) -> Document | None:
    known = world.state.get("current", f"{account['id']}:{kind}")
    entry = world.state.get("token", known["token"]) if known else None
    return entry if entry is not None and entry["dead"] > world.now() else None


def _kill(world: World, entry: Document | None, at: int) -> None:
    if entry is not None:
        entry["dead"] = min(entry["dead"], at)
        world.state.put("token", entry["token"], entry)


def _answer(world: World, entry: Document) -> dict[str, Any]:
    return {"access_token": entry["token"], "expires_in": max(0, (entry["expires"] - world.now()) // 1000)}


def _granted(grant: Any) -> None:
    if grant != "client_credential":
        raise ApiError(40002)


def credentials(world: World, appid: Any, secret: Any) -> Document:
    """The account of an appid and its secret; 41002, 41004, 40013, 40125."""
    if not appid:
        raise ApiError(41002)
    if not secret:
        raise ApiError(41004)
    for account in world.state.documents["account"].values():
        if account["appid"] == appid:
            if account["secret"] != secret:
                raise ApiError(40125)
            return account
    raise ApiError(40013)


def _allowed(account: Document, call: Call) -> Document:
    """The account, or 40164 when it has an allow-list (`trusted_ips`) without the caller's address."""
    known = account.get("trusted_ips")
    if known and call.client not in known:
        raise ApiError(40164, f"{call.client} ipv6 ::ffff:{call.client}, not in whitelist")
    return account


def token(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/token: a new token each time; the former lives on for the overlap."""
    query = call.query
    _granted(query.get("grant_type"))
    account = _allowed(credentials(world, query.get("appid"), query.get("secret")), call)
    _kill(world, _current(world, account, "classic"), world.now() + world.limits["token_overlap_seconds"] * 1000)
    return _answer(world, _issue(world, account, "classic"))


def stable_token(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/stable_token: the living token, renewed near its end or by force."""
    body, now = call.body, world.now()
    _granted(body.get("grant_type"))
    account = _allowed(credentials(world, body.get("appid"), body.get("secret")), call)
    subject = f"{account['id']}:{call.path}"
    if not world.windows.take(subject, "minute", world.limits["stable_token_per_minute"], now):
        raise ApiError(45011)
    if not world.windows.take(subject, "day", world.limits["stable_token_daily"], now):
        raise ApiError(45009)
    entry = _current(world, account, "stable")
    if body.get("force_refresh"):
        last = world.state.get("forced", str(account["id"]))
        if last and now - last["at"] < world.limits["force_refresh_gap_seconds"] * 1000:
            raise ApiError(45011)
        if not world.windows.take(f"{account['id']}:force_refresh", "day", world.limits["force_refresh_daily"], now):
            raise ApiError(45009)
        world.state.put("forced", str(account["id"]), {"at": now})
        _kill(world, entry, now)
        return _answer(world, _issue(world, account, "stable"))
    if entry is None or entry["expires"] - now < world.limits["token_overlap_seconds"] * 1000:
        entry = _issue(world, account, "stable")
    return _answer(world, entry)


def app_token(world: World, account: Document) -> dict[str, Any]:
    """The one token of a WeCom app while it lives, else a new one."""
    entry = _current(world, account, "work")
    if entry is None or entry["expires"] <= world.now():
        entry = _issue(world, account, "work")
    return _answer(world, entry)


def drop(world: World, account: int | None) -> int:
    """Control API: end all tokens, or one account's, at once."""
    dropped = 0
    for entry in list(world.state.documents["token"].values()):
        if (account is None or entry["account"] == account) and entry["dead"] > world.now():
            _kill(world, entry, world.now())
            dropped += 1
    return dropped


ROUTES = [
    Route("GET", "/cgi-bin/token", token, kinds=APPS, token=False),
    Route("POST", "/cgi-bin/stable_token", stable_token, kinds=APPS, token=False),
]
