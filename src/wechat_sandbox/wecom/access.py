"""企业微信: the token of an app, and who may call what: trusted addresses, permissions, the app's visible range."""

import ipaddress
from typing import Any

from wechat_sandbox import tokens
from wechat_sandbox.call import OK, WORK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

PERMISSIONS = ("externalcontact", "message", "msgaudit")
"""What an app may be allowed to call; an account without the setting may call everything."""
_NEEDS = {
    "/cgi-bin/externalcontact/": "externalcontact",
    "/cgi-bin/idconvert/": "externalcontact",
    "/cgi-bin/message/": "message",
    "/cgi-bin/msgaudit/": "msgaudit",
}
_BAD_TRIES = "gettoken:bad"


def admit(world: World, call: Call) -> None:
    """Refuse a call from an address that is not trusted (60020) or outside the app's permissions (48002)."""
    trusted = call.account.get("trusted_ips")
    if trusted and not _trusts(trusted, call.client):
        raise ApiError(60020)
    allowed = call.account.get("permissions")
    if allowed is not None:
        needed = next((name for prefix, name in _NEEDS.items() if call.path.startswith(prefix)), None)
        if needed is not None and needed not in allowed:
            raise ApiError(48002)


def _trusts(trusted: list[str], client: str) -> bool:
    try:
        address = ipaddress.ip_address(client)
        return any(address in ipaddress.ip_network(str(entry), strict=False) for entry in trusted)
    except ValueError:
        return client in trusted


def resigned(account: Document, userid: str) -> bool:
    """Whether a member has left the corp."""
    return userid in account.get("resigned", ())


def visible(account: Document) -> list[str]:
    """userids inside the app's visible range, in the order of the corp; those who resigned are not."""
    chosen, gone = account.get("visible"), account.get("resigned", ())
    return [name for name in account["employees"] if (chosen is None or name in chosen) and name not in gone]


def employee(account: Document, userid: Any, code: int = 60111) -> int:
    """Number of a member by userid: `code` for an unknown one, 60011 for one outside the visible range."""
    if not isinstance(userid, str) or userid not in account["employees"] or resigned(account, userid):
        raise ApiError(code)
    chosen = account.get("visible")
    if chosen is not None and userid not in chosen:
        raise ApiError(60011)
    number: int = account["employees"].index(userid)
    return number


def gettoken(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/gettoken: the app's one token while it lives; a caller who fails too often is blocked for an hour.

    The code of the block (45009) is UNCONFIRMED: only the rule of about 2,000 failures an hour is known.
    """
    subject, now = f"{_BAD_TRIES}:{call.client}", world.now()
    most = world.limits["gettoken_failures_per_hour"]
    if world.windows.blocked(subject, "hour", now):
        raise ApiError(45009)
    try:
        account = _credentials(world, call.query.get("corpid"), call.query.get("corpsecret"))
    except ApiError:
        world.windows.take_or_block(subject, "hour", most, now)
        raise
    return {**OK, **tokens.app_token(world, account)}


def _credentials(world: World, corpid: str | None, secret: str | None) -> Document:
    if not corpid:
        raise ApiError(41002)
    if not secret:
        raise ApiError(41004)
    corps = [account for account in world.accounts() if account["kind"] == "wecom"]
    same = [account for account in corps if account["corpid"] == corpid]
    if not same:
        raise ApiError(40013)
    for account in same:
        if account["secret"] == secret:
            return account
    raise ApiError(40091 if any(account["secret"] == secret for account in corps) else 40001)


ROUTES = [Route("GET", "/cgi-bin/gettoken", gettoken, kinds=WORK, token=False)]
