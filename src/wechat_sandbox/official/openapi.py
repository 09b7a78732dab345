"""The calls about calls: addresses, the day's quota of an API, its clearing, and the request behind a `rid`."""

import re
from typing import Any

from wechat_sandbox import tokens
from wechat_sandbox.call import APPS, EVERY, OK, Call, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.limits import month_start
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_RID = re.compile(r"rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})$")
_SHAPE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}")
_SECRET = re.compile(r"((?:access_token|secret|appsecret)=)[^&]+")
_KEPT = 20_000
_BODY = 4000
_DAY_MS = 86_400_000
_DAILY = {
    "/cgi-bin/message/template/send": "template_daily",
    "/cgi-bin/stable_token": "stable_token_daily",
    "/cgi-bin/message/subscribe/send": "subscribe_send_daily",
}


def take_month(world: World, subject: str, maximum: int) -> bool:
    """Count one use in this calendar month; False, and not counted, when the month is full."""
    start = month_start(world.now())
    used = world.state.get("month", subject)
    count = int(used["n"]) if used is not None and used["start"] == start else 0
    if count >= maximum:
        return False
    world.state.put("month", subject, {"start": start, "n": count + 1})
    return True


def remember(world: World, call: Call, answer: dict[str, Any], started: int) -> None:
    """Keep a refused request under its `rid`, for `openapi/rid/get`; secrets are masked."""
    found = _RID.search(str(answer.get("errmsg", "")))
    if found is None:
        return
    query = "&".join(f"{name}={value}" for name, value in call.query.items())
    known = world.state.documents["request"]
    while len(known) >= _KEPT:
        world.state.remove("request", next(iter(known)))
    entry = {
        "account": call.account.get("id", 0),
        "invoke_time": started // 1000,
        "cost_in_ms": world.now() - started,
        "request_url": _SECRET.sub(r"\1***", f"{world.address}{call.path}?{query}"),
        "request_body": call.raw[:_BODY].decode("utf-8", "replace"),
        "response_body": f'{{"errcode":{answer["errcode"]},"errmsg":"{answer["errmsg"]}"}}',
        "client_ip": "127.0.0.1",
    }
    world.state.put("request", found.group(1), entry)


def find_request(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/openapi/rid/get: what was asked and answered under a rid, for seven days."""
    rid = call.body.get("rid")
    if not isinstance(rid, str) or _SHAPE.fullmatch(rid) is None:
        raise ApiError(76002)
    entry = world.state.get("request", rid)
    if entry is None or not entry["account"]:
        raise ApiError(76001)
    if entry["account"] != call.account["id"]:
        raise ApiError(76003)
    if world.now() - entry["invoke_time"] * 1000 > world.limits["rid_days"] * _DAY_MS:
        raise ApiError(76004)
    return {**OK, "request": {name: value for name, value in entry.items() if name != "account"}}


def _path(world: World, call: Call) -> str:
    """The body's `cgi_path`: 76021 when there is none such, 76022 when the account may not ask."""
    path = call.body.get("cgi_path")
    kinds = world.official_paths.get(path) if isinstance(path, str) else None
    if isinstance(path, str) and path.startswith("/sns/"):
        raise ApiError(76022)
    if kinds is None:
        raise ApiError(76021)
    if call.account["kind"] not in kinds:
        raise ApiError(76022)
    return str(path)


def quota(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/openapi/quota/get: the day's calls of one path."""
    path = _path(world, call)
    limit = world.limits[_DAILY.get(path, "mp_api_daily")]
    used = world.windows.used_today(f"{call.account['id']}:{path}", world.now())
    answer: dict[str, Any] = {**OK, "quota": {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}}
    if path.startswith("/cgi-bin/message/mass/"):
        answer["rate_limit"] = {"call_count": world.limits["mass_per_minute"], "refresh_second": 60}
    return answer


def clear_path(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/openapi/quota/clear: one API's count back to 0, 50 times a month."""
    path = _path(world, call)
    if not take_month(world, f"{call.account['id']}:quota_clear", world.limits["quota_clear_monthly"]):
        raise ApiError(48006)
    world.state.remove("window", f"{call.account['id']}:{path}")
    return dict(OK)


def _clear_all(world: World, account: Document) -> dict[str, Any]:
    if not take_month(world, f"{account['id']}:clear_quota", world.limits["clear_quota_monthly"]):
        raise ApiError(48006)
    for subject in [name for name in world.state.documents["window"] if name.startswith(f"{account['id']}:/")]:
        world.state.remove("window", subject)
    return dict(OK)


def clear(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/clear_quota: all of the account's daily counts, 10 times a month."""
    if call.body.get("appid") != call.account["appid"]:
        raise ApiError(40013)
    return _clear_all(world, call.account)


def clear_by_secret(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/clear_quota/v2: the same without a token, out of the same 10."""
    return _clear_all(world, tokens.credentials(world, call.body.get("appid"), call.body.get("appsecret")))


def callback_ips(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/getcallbackip: the addresses that callbacks come from."""
    addresses = {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}
    return {**OK, **addresses} if call.account["kind"] == "wecom" else addresses


def api_ips(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/get_api_domain_ip: the addresses of the API."""
    addresses = {"ip_list": ["127.0.0.1"]}
    return {**OK, **addresses} if call.account["kind"] == "wecom" else addresses


ROUTES = [
    Route("GET", "/cgi-bin/getcallbackip", callback_ips, kinds=EVERY),
    Route("GET", "/cgi-bin/get_api_domain_ip", api_ips, kinds=EVERY),
    Route("POST", "/cgi-bin/openapi/quota/get", quota, kinds=APPS),
    Route("POST", "/cgi-bin/openapi/quota/clear", clear_path, kinds=APPS),
    Route("POST", "/cgi-bin/openapi/rid/get", find_request, kinds=APPS),
    Route("POST", "/cgi-bin/clear_quota", clear, kinds=APPS),
    Route("POST", "/cgi-bin/clear_quota/v2", clear_by_secret, kinds=APPS, token=False),
]
