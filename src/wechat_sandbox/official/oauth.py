"""Web OAuth of 服务号: the page that asks, the code, and the tokens that tell who somebody is.

The page answers for the person named by `as` (unionid or openid) or by the cookie of an earlier choice; without one
it lets you choose. It leads back to addresses of this machine only.
"""

import html
import secrets
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode

from wechat_sandbox import tokens
from wechat_sandbox.call import OK, Call, Raw, Route
from wechat_sandbox.callbacks import loopback
from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_SCOPES = ("snsapi_base", "snsapi_userinfo")
_COOKIE = "sandbox_person"
_SHOWN = 50
_HTML = "text/html; charset=utf-8"
_DAY_MS = 86_400_000


def _problem(text: str) -> Raw:
    return Raw(f"<!doctype html><meta charset=utf-8><title>{text}</title><p>{text}</p>".encode(), _HTML)


def authorize(world: World, call: Call) -> Raw:
    """GET /connect/oauth2/authorize: back to `redirect_uri` with `code` and `state`."""
    query = call.query
    account = next((one for one in world.accounts() if one["appid"] and one["appid"] == query.get("appid")), None)
    if account is None:
        return _problem("AppID 参数错误")
    if account["kind"] != "service" or query.get("scope") not in _SCOPES or query.get("response_type") != "code":
        return _problem("Scope 参数错误或没有 Scope 权限")
    target = query.get("redirect_uri", "")
    if not loopback(target):
        return _problem("redirect_uri 参数错误")
    cookie = SimpleCookie(call.headers.get("cookie", "")).get(_COOKIE)
    person = query.get("as") or (cookie.value if cookie else "")
    index = world.population.find(person, world.accounts()) if person else None
    if index is None:
        return _choice(world, call)
    code = secrets.token_hex(16)
    entry = {
        "account": account["id"],
        "openid": world.reach_of(account).ids[index],
        "scope": query["scope"],
        "at": world.now(),
        "used": False,
    }
    world.state.put("oauth_code", code, entry)
    place, _, fragment = target.partition("#")
    words = urlencode({"code": code, "state": query.get("state", "")})
    place += ("&" if "?" in place else "?") + words + (f"#{fragment}" if fragment else "")
    remembered = f"{_COOKIE}={quote(person)}; Path=/connect; HttpOnly; SameSite=Lax"
    return Raw(b"", _HTML, 302, ((b"location", place.encode()), (b"set-cookie", remembered.encode())))


def _choice(world: World, call: Call) -> Raw:
    people = world.population.people
    rows = "".join(
        f'<li><a href="?{html.escape(urlencode({**call.query, "as": str(people.unionids[index])}))}">'
        f"{html.escape(str(people.names[index]))}</a></li>"
        for index in range(min(people.size, _SHOWN))
    )
    return Raw(f"<!doctype html><meta charset=utf-8><title>授权</title><ul>{rows}</ul>".encode(), _HTML)


def _paced(world: World, call: Call, account: int) -> None:
    if not world.windows.take(f"{account}:{call.path}", "minute", world.limits["oauth_per_minute"], world.now()):
        raise ApiError(45011)


def _tokens(world: World, entry: Document, refresh: str) -> dict[str, Any]:
    """New tokens: the access token for two hours, the refresh token as given."""
    token, now = secrets.token_urlsafe(64), world.now()
    life = world.limits["token_seconds"]
    world.state.put("oauth_token", token, {**entry, "expires": now + life * 1000})
    answer = {
        "access_token": token,
        "expires_in": life,
        "refresh_token": refresh,
        "openid": entry["openid"],
        "scope": entry["scope"],
    }
    if entry["scope"] == "snsapi_userinfo":
        answer["unionid"] = _unionid(world, entry)
    return answer


def _unionid(world: World, entry: Document) -> str:
    reach = world.reach_of(world.account(entry["account"]))
    return str(world.population.people.unionids[reach.index[entry["openid"]]])


def access_token(world: World, call: Call) -> dict[str, Any]:
    """GET /sns/oauth2/access_token: the code, once and within five minutes; 40029, 40163."""
    query = call.query
    call.account = tokens.credentials(world, query.get("appid"), query.get("secret"))
    _paced(world, call, call.account["id"])
    if query.get("grant_type") != "authorization_code":
        raise ApiError(40002)
    if not query.get("code"):
        raise ApiError(41008)
    entry = world.state.get("oauth_code", query["code"])
    if entry is None or entry["account"] != call.account["id"]:
        raise ApiError(40029)
    if entry["used"]:
        raise ApiError(40163)
    if world.now() - entry["at"] >= world.limits["oauth_code_seconds"] * 1000:
        raise ApiError(40029)
    entry["used"] = True
    world.state.put("oauth_code", query["code"], entry)
    known = {name: entry[name] for name in ("account", "openid", "scope")}
    return _tokens(world, known, _refresh(world, known))


def _refresh(world: World, known: Document) -> str:
    refresh = secrets.token_urlsafe(64)
    ends = world.now() + world.limits["oauth_refresh_days"] * _DAY_MS
    world.state.put("oauth_refresh", refresh, {**known, "expires": ends})
    return refresh


def refresh_token(world: World, call: Call) -> dict[str, Any]:
    """GET /sns/oauth2/refresh_token: 30 days; the token changes with each use."""
    query = call.query
    if not query.get("refresh_token"):
        raise ApiError(41003)
    entry = world.state.get("oauth_refresh", query["refresh_token"])
    account = world.account(entry["account"]) if entry is not None else None
    if entry is None or account is None:
        raise ApiError(40030)
    if account["appid"] != query.get("appid"):
        raise ApiError(40013)
    _paced(world, call, account["id"])
    if world.now() >= entry["expires"]:
        raise ApiError(42002)
    world.state.remove("oauth_refresh", query["refresh_token"])
    known = {name: entry[name] for name in ("account", "openid", "scope")}
    return _tokens(world, known, _refresh(world, known))


def _known(world: World, call: Call) -> Document:
    """What an OAuth token stands for: 41001, 40001, 42001, and 40003 for another's openid."""
    token = call.query.get("access_token")
    if not token:
        raise ApiError(41001)
    entry = world.state.get("oauth_token", token)
    if entry is None:
        raise ApiError(40001)
    _paced(world, call, entry["account"])
    if world.now() >= entry["expires"]:
        raise ApiError(42001)
    if call.query.get("openid") != entry["openid"]:
        raise ApiError(40003)
    return entry


def userinfo(world: World, call: Call) -> dict[str, Any]:
    """GET /sns/userinfo: name and picture, for the scope snsapi_userinfo (48001 otherwise)."""
    entry = _known(world, call)
    if entry["scope"] != "snsapi_userinfo":
        raise ApiError(48001)
    people = world.population.people
    unionid = _unionid(world, entry)
    return {
        "openid": entry["openid"],
        "nickname": str(people.names[people.index[unionid]]),
        "sex": 0,
        "province": "",
        "city": "",
        "country": "",
        "headimgurl": "https://thirdwx.qlogo.cn/mmopen/sandbox/132",
        "privilege": [],
        "unionid": unionid,
    }


def auth(world: World, call: Call) -> dict[str, Any]:
    """GET /sns/auth: whether the token is good for this openid."""
    _known(world, call)
    return dict(OK)


ROUTES = [
    Route("GET", "/connect/oauth2/authorize", authorize, kinds=("service",), token=False, page=True),
    Route("GET", "/sns/oauth2/access_token", access_token, kinds=("service",), token=False),
    Route("GET", "/sns/oauth2/refresh_token", refresh_token, kinds=("service",), token=False),
    Route("GET", "/sns/userinfo", userinfo, kinds=("service",), token=False),
    Route("GET", "/sns/auth", auth, kinds=("service",), token=False),
]
