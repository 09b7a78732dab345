"""小程序: who logs in, and a telephone number that a person hands over. All numbers are invented."""

import base64
import secrets
from typing import Any

from wechat_sandbox import tokens
from wechat_sandbox.call import MINI, OK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.people.population import unit
from wechat_sandbox.world import World


def _code(world: World, body: dict[str, Any], kind: str) -> tuple[int, Any]:
    account = world.account(body.get("account"))
    if account["kind"] != "mini":
        raise ControlError(409, "the account is no mini program")
    index = world.population.find(str(body.get("person", "")), world.accounts())
    if index is None:
        raise ControlError(404, f"no person {body.get('person')}")
    code = secrets.token_hex(16)
    openid = world.reach_of(account).ids[index]
    entry = {"account": account["id"], "openid": openid, "kind": kind, "at": world.now(), "used": False}
    world.state.put("mini_code", code, entry)
    return 200, {"code": code, "openid": openid}


def login(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """Control: a person opens the mini program (wx.login): the `js_code`."""
    return _code(world, body, "login")


def phone(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """Control: a person agrees to hand over the telephone number: the `code`."""
    return _code(world, body, "phone")


def _redeem(world: World, account: int, code: Any, kind: str) -> dict[str, Any]:
    """The person behind a code, once and within five minutes: 40029, 40163."""
    entry = world.state.get("mini_code", code) if isinstance(code, str) else None
    if entry is None or entry["account"] != account or entry["kind"] != kind:
        raise ApiError(40029)
    if entry["used"]:
        raise ApiError(40163)
    if world.now() - entry["at"] >= world.limits["oauth_code_seconds"] * 1000:
        raise ApiError(40029)
    entry["used"] = True
    return world.state.put("mini_code", str(code), entry)


def session(world: World, call: Call) -> dict[str, Any]:
    """GET /sns/jscode2session: openid, session key and unionid."""
    query = call.query
    call.account = tokens.credentials(world, query.get("appid"), query.get("secret"))
    if call.account["kind"] != "mini":
        raise ApiError(48001)
    if query.get("grant_type") != "authorization_code":
        raise ApiError(40002)
    if not query.get("js_code"):
        raise ApiError(41008)
    entry = _redeem(world, call.account["id"], query["js_code"], "login")
    index = world.reach_of(call.account).index[entry["openid"]]
    return {
        "openid": entry["openid"],
        "session_key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "unionid": str(world.population.people.unionids[index]),
    }


def phone_of(world: World, index: int) -> str:
    """The invented number of a person."""
    return f"199{int(unit('phone', world.population.people.unionids[index]) * 10**8):08d}"


def number(world: World, call: Call) -> dict[str, Any]:
    """POST /wxa/business/getuserphonenumber: an invented number, the same for a person each time."""
    entry = _redeem(world, call.account["id"], call.body.get("code"), "phone")
    index = world.reach_of(call.account).index[entry["openid"]]
    digits = phone_of(world, index)
    info = {
        "phoneNumber": digits,
        "purePhoneNumber": digits,
        "countryCode": "86",
        "watermark": {"timestamp": world.now() // 1000, "appid": call.account["appid"]},
    }
    return {**OK, "phone_info": info}


ROUTES = [
    Route("GET", "/sns/jscode2session", session, kinds=MINI, token=False),
    Route("POST", "/wxa/business/getuserphonenumber", number, kinds=MINI),
]
CONTROL = {("POST", "people/login"): login, ("POST", "people/phone"): phone}
