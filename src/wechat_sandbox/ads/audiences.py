"""腾讯广告 custom audiences: made, filled by files of hashed ids, matched against the simulated people.

The numbers of the error codes are ours: the platform publishes no list. Everything else follows its pages.
"""

import hashlib
import io
import re
import time
import zipfile
from collections.abc import Callable
from typing import Any

import orjson

from wechat_sandbox.call import Call, Raw, Route
from wechat_sandbox.errors import ApiError
from wechat_sandbox.media import part
from wechat_sandbox.official.mini import phone_of
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_BAD_TOKEN, _BAD_CALL, _BAD_FIELD, _NO_SUCH = 11000, 11001, 11002, 11003
_MAX_ZIP = 100 * 1024 * 1024
_NONCES = 200_000
_HEX = {"HASH_MOBILE_PHONE": (32, "md5"), "SHA256_MOBILE_PHONE": (64, "sha256")}
_LINE = re.compile(r"[\w\-]{1,128}")


class AdsError(Exception):
    """A refusal: its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


Handler = Callable[[World, Document, Call], dict[str, Any]]


def _guarded(handler: Handler) -> Callable[[World, Call], Raw]:
    """The common part of every call: token, time, nonce, advertiser; and the answer's envelope."""

    def answer(world: World, call: Call) -> Raw:
        try:
            data = handler(world, _admitted(world, call), call)
            return _envelope(0, "", data)
        except AdsError as error:
            return _envelope(error.code, str(error), {})

    return answer


def _envelope(code: int, text: str, data: dict[str, Any]) -> Raw:
    return Raw(orjson.dumps({"code": code, "message": text, "message_cn": text, "data": data}), "application/json")


def _admitted(world: World, call: Call) -> Document:
    accounts = [one for one in world.accounts() if one["kind"] == "ads"]
    found = next((one for one in accounts if one["secret"] == call.query.get("access_token")), None)
    if found is None:
        raise AdsError(_BAD_TOKEN, "access_token is invalid")
    stamp, nonce = call.query.get("timestamp", ""), call.query.get("nonce", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > 300:
        raise AdsError(_BAD_CALL, "timestamp differs by more than 300 seconds")
    if not 0 < len(nonce) <= 32 or nonce in world.ads_nonces:
        raise AdsError(_BAD_CALL, "nonce is missing, too long or used")
    if len(world.ads_nonces) >= _NONCES:
        world.ads_nonces.clear()
    world.ads_nonces.add(nonce)
    return found


def _body(call: Call) -> dict[str, Any]:
    try:
        body = orjson.loads(call.raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise AdsError(_BAD_FIELD, "the body is no JSON object")
    return body


def _advertiser(account: Document, value: Any) -> None:
    if str(value) != str(account["advertiser"]):
        raise AdsError(_BAD_FIELD, "account_id is not the advertiser's")


def _audience(world: World, account: Document, value: Any) -> Document:
    found = world.state.get("audience", str(value))
    if found is None or found["account"] != account["id"]:
        raise AdsError(_NO_SUCH, "audience_id does not exist")
    return found


def add(world: World, account: Document, call: Call) -> dict[str, Any]:
    """POST custom_audiences/add; only audiences that files fill are imitated."""
    body = _body(call)
    _advertiser(account, body.get("account_id"))
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise AdsError(_BAD_FIELD, "name is missing")
    if body.get("type") != "CUSTOMER_FILE":
        raise AdsError(_BAD_FIELD, "the sandbox imitates type CUSTOMER_FILE only")
    number = world.state.next_number("audience", 7_000_001)
    made = {
        "account": account["id"],
        "audience_id": number,
        "name": name,
        "type": "CUSTOMER_FILE",
        "description": str(body.get("description", "")),
        "outer_audience_id": str(body.get("outer_audience_id", "")),
        "created_time": world.now() // 1000,
        "last_modified_time": world.now() // 1000,
        "people": [],
        "status": "PENDING",
    }
    world.state.put("audience", str(number), made)
    return {"audience_id": number}


def update(world: World, account: Document, call: Call) -> dict[str, Any]:
    """POST custom_audiences/update."""
    body = _body(call)
    _advertiser(account, body.get("account_id"))
    found = _audience(world, account, body.get("audience_id"))
    changed: dict[str, Any] = {name: str(body[name]) for name in ("name", "description") if body.get(name)}
    world.state.put(
        "audience", str(found["audience_id"]), found | changed | {"last_modified_time": world.now() // 1000}
    )
    return {"audience_id": found["audience_id"]}


def delete(world: World, account: Document, call: Call) -> dict[str, Any]:
    """POST custom_audiences/delete."""
    body = _body(call)
    _advertiser(account, body.get("account_id"))
    found = _audience(world, account, body.get("audience_id"))
    world.state.remove("audience", str(found["audience_id"]))
    return {"audience_id": found["audience_id"]}


def get(world: World, account: Document, call: Call) -> dict[str, Any]:
    """GET custom_audiences/get."""
    _advertiser(account, call.query.get("account_id"))
    rows = [one for one in world.state.documents["audience"].values() if one["account"] == account["id"]]
    shown = [{name: value for name, value in one.items() if name not in ("account", "people")} for one in rows]
    for one, row in zip(rows, shown, strict=True):
        row |= {"user_count": len(one["people"]), "online_status": "OFFLINE", "error_code": 0}
    return _page(call, shown)


def estimate(world: World, account: Document, call: Call) -> dict[str, Any]:
    """GET custom_audience_estimations/get."""
    _advertiser(account, call.query.get("account_id"))
    return {"user_count": len(_audience(world, account, call.query.get("audience_id"))["people"])}


def upload(world: World, account: Document, call: Call) -> dict[str, Any]:
    """POST custom_audience_files/add: taken now, matched when `ads_file_seconds` have gone."""
    text = {name: (part(call, name) or ("", b""))[1].decode("utf-8", "replace") for name in _FIELDS}
    _advertiser(account, text["account_id"])
    found, packed = _audience(world, account, text["audience_id"]), part(call, "file")
    if text["user_id_type"] not in {*_HEX, "WECHAT_OPENID", "WX_UNIONID"}:
        raise AdsError(_BAD_FIELD, "user_id_type is not imitated")
    if (text["user_id_type"] == "WECHAT_OPENID") != bool(text["open_app_id"]):
        raise AdsError(_BAD_FIELD, "open_app_id belongs to WECHAT_OPENID, and to nothing else")
    if text["operation_type"] not in ("", "APPEND", "REDUCE"):
        raise AdsError(_BAD_FIELD, "operation_type must be APPEND or REDUCE")
    if packed is None or len(packed[1]) > _MAX_ZIP:
        raise AdsError(_BAD_FIELD, "file is missing or larger than 100 MB")
    number = world.state.next_number("audience_file", 9_000_001)
    entry = {
        "account": account["id"],
        "audience_id": found["audience_id"],
        "custom_audience_file_id": number,
        "name": packed[0],
        "user_id_type": text["user_id_type"],
        "operation_type": text["operation_type"] or "APPEND",
        "process_status": "PENDING",
        "process_code": 0,
        "error_message": "",
        "line_count": 0,
        "valid_line_count": 0,
        "user_count": 0,
        "size": len(packed[1]),
        "created_time": world.now() // 1000,
    }
    world.state.put("audience_file", str(number), entry)
    content, app = packed[1], text["open_app_id"]
    world.later(world.settings["ads_file_seconds"], lambda: _match(world, str(number), content, app))
    return {"custom_audience_file_id": number}


_FIELDS = ("account_id", "audience_id", "user_id_type", "operation_type", "open_app_id")


def _match(world: World, number: str, content: bytes, app: str) -> None:
    """Read a file, find its people, change the audience."""
    entry, found = world.state.get("audience_file", number), None
    if entry is not None:
        found = world.state.get("audience", str(entry["audience_id"]))
    if entry is None or found is None:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            lines = archive.read(archive.namelist()[0]).decode("utf-8").splitlines()
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError, ValueError) as error:
        problem = {"process_status": "ERROR", "process_code": 1, "error_message": str(error)}
        world.state.put("audience_file", number, entry | problem)
        return
    valid = [line for line in lines if _fits(entry["user_id_type"], line)]
    people = _people(world, entry["user_id_type"], valid, app)
    known = set(found["people"])
    known = known - people if entry["operation_type"] == "REDUCE" else known | people
    counts = {"line_count": len(lines), "valid_line_count": len(valid), "user_count": len(people)}
    world.state.put("audience_file", number, entry | counts | {"process_status": "SUCCESS"})
    changed = {"people": sorted(known), "status": "SUCCESS", "last_modified_time": world.now() // 1000}
    world.state.put("audience", str(found["audience_id"]), found | changed)


def _fits(kind: str, line: str) -> bool:
    if kind in _HEX:
        return len(line) == _HEX[kind][0] and all(one in "0123456789abcdefABCDEF" for one in line)
    return _LINE.fullmatch(line) is not None


def _people(world: World, kind: str, lines: list[str], app: str) -> set[int]:
    """Indexes of the people whom the lines name."""
    people = world.population.people
    if kind in _HEX:
        digest, wanted = getattr(hashlib, _HEX[kind][1]), {line.lower() for line in lines}
        return {index for index in range(people.size) if digest(phone_of(world, index).encode()).hexdigest() in wanted}
    if kind == "WX_UNIONID":
        find = people.index.get
    else:
        account = next((one for one in world.accounts() if one["appid"] == app), None)
        if account is None:
            return set()
        find = world.reach_of(account).index.get
    return {index for line in lines if (index := find(line)) is not None}


def files(world: World, account: Document, call: Call) -> dict[str, Any]:
    """GET custom_audience_files/get."""
    _advertiser(account, call.query.get("account_id"))
    rows = [one for one in world.state.documents["audience_file"].values() if one["account"] == account["id"]]
    for name in ("audience_id", "custom_audience_file_id"):
        if call.query.get(name):
            rows = [one for one in rows if str(one[name]) == call.query[name]]
    return _page(call, [{name: value for name, value in one.items() if name != "account"} for one in rows])


def _page(call: Call, rows: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        number, size = int(call.query.get("page", "1")), int(call.query.get("page_size", "10"))
    except ValueError:
        raise AdsError(_BAD_FIELD, "page and page_size are numbers") from None
    if number < 1 or not 1 <= size <= 100:
        raise AdsError(_BAD_FIELD, "page from 1, page_size 1 to 100")
    shown = rows[(number - 1) * size : number * size]
    pages = max(1, -(-len(rows) // size))
    return {
        "list": shown,
        "page_info": {"page": number, "page_size": size, "total_number": len(rows), "total_page": pages},
    }


def _refuse(error: ApiError) -> Raw:
    return _envelope(_BAD_CALL, f"refused ({error.code})", {})


ROUTES = [
    Route(method, f"/v3.0/{name}", _guarded(handler), kinds=("ads",), token=False, upload=True, refuse=_refuse)
    for method, name, handler in (
        ("POST", "custom_audiences/add", add),
        ("POST", "custom_audiences/update", update),
        ("POST", "custom_audiences/delete", delete),
        ("GET", "custom_audiences/get", get),
        ("GET", "custom_audience_estimations/get", estimate),
        ("POST", "custom_audience_files/add", upload),
        ("GET", "custom_audience_files/get", files),
    )
]
