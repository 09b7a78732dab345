"""The templates of a service account: industries, its own list of at most 25, and the library they come from."""

import base64
import hashlib
import re
import tomllib
from importlib.resources import files
from typing import Any

from wechat_sandbox.call import OK, Call, Route
from wechat_sandbox.errors import ApiError, ControlError
from wechat_sandbox.official.openapi import take_month
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

DATA: dict[str, Any] = tomllib.loads(files("wechat_sandbox.official").joinpath("templates.toml").read_text("utf-8"))
_KEYWORD = re.compile(r"\{\{(\w+)\.DATA\}\}")
_SERVICE = ("service",)
_FIRST = (1, 31)


def own(world: World, account: Document) -> dict[str, Document]:
    """The account's templates by id: at first those of the data file."""
    entry = world.state.get("templates", str(account["id"]))
    if entry is None:
        entry = {"industry": list(_FIRST), "list": {}}
        for number, shape in enumerate(DATA["templates"]):
            _add(account, entry, str(number), shape)
        world.state.put("templates", str(account["id"]), entry)
    found: dict[str, Document] = entry["list"]
    return found


def _add(account: Document, entry: Document, seed: str, shape: Document) -> str:
    digest = hashlib.sha256(f"{account['appid']}:{seed}".encode()).digest()
    ident = base64.urlsafe_b64encode(digest).decode()[:43]
    entry["list"][ident] = {
        "title": shape["title"],
        "content": shape["content"],
        "keywords": _KEYWORD.findall(shape["content"]),
        "industry": entry["industry"][0],
    }
    return ident


def _entry(world: World, account: Document) -> Document:
    own(world, account)
    return world.state.documents["templates"][str(account["id"])]


def get_all(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/template/get_all_private_template (no errcode on success)."""
    rows = [
        {
            "template_id": ident,
            "title": entry["title"],
            "primary_industry": DATA["industries"][entry["industry"] - 1].partition(" ")[0],
            "deputy_industry": DATA["industries"][entry["industry"] - 1].partition(" ")[2],
            "content": entry["content"],
            "example": "",
        }
        for ident, entry in own(world, call.account).items()
    ]
    return {"template_list": rows}


def add(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/template/api_add_template: from the library, by `TM…` or number and keywords."""
    short = call.body.get("template_id_short")
    shape = next((one for one in DATA["library"] if one["id"] == short), None)
    if shape is None:
        raise ApiError(40037)
    names = call.texts("keyword_name_list", 40246)
    if names and shape.get("keywords"):
        if len(names) > len(shape["keywords"]):
            raise ApiError(40246)
        if any(name not in shape["keywords"] for name in names):
            raise ApiError(40247)
        lines = [line for line in shape["content"].split("\n") if line.partition("：")[0] in names]
        shape = {**shape, "content": "\n".join(lines)}
    elif shape.get("keywords"):
        raise ApiError(40246)
    entry = _entry(world, call.account)
    if len(entry["list"]) >= world.limits["templates_per_account"]:
        raise ApiError(45026)
    seed = f"added:{world.state.next_number('template')}"
    ident = _add(call.account, entry, seed, shape)
    world.state.put("templates", str(call.account["id"]), entry)
    return {**OK, "template_id": ident}


def delete(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/template/del_private_template."""
    entry = _entry(world, call.account)
    if entry["list"].pop(str(call.body.get("template_id")), None) is None:
        raise ApiError(40037)
    world.state.put("templates", str(call.account["id"]), entry)
    return dict(OK)


def _industry(value: Any) -> int:
    if not str(value).isdecimal() or not 1 <= int(value) <= len(DATA["industries"]):
        raise ApiError(40097, "industry_id invalid")
    return int(value)


def set_industry(world: World, call: Call) -> dict[str, Any]:
    """POST /cgi-bin/template/api_set_industry: once a month; the templates of an industry given up go with it."""
    chosen = [_industry(call.body.get(name)) for name in ("industry_id1", "industry_id2")]
    if not take_month(world, f"{call.account['id']}:industry", world.limits["industry_changes_monthly"]):
        raise ApiError(43100)
    entry = _entry(world, call.account)
    entry["industry"] = chosen
    entry["list"] = {ident: one for ident, one in entry["list"].items() if one["industry"] in chosen}
    world.state.put("templates", str(call.account["id"]), entry)
    return dict(OK)


def get_industry(world: World, call: Call) -> dict[str, Any]:
    """GET /cgi-bin/template/get_industry."""
    names = [DATA["industries"][number - 1].partition(" ") for number in _entry(world, call.account)["industry"]]
    pairs = [{"first_class": first, "second_class": second} for first, _, second in names]
    return {"primary_industry": pairs[0], "secondary_industry": pairs[1]}


def blocked(world: World, call: Call) -> dict[str, Any]:
    """POST /wxa/sec/queryblocktmplmsg: messages that the platform stopped; here always none (shape UNCONFIRMED)."""
    if not 1 <= call.number("limit", 100, 40097) <= 100:
        raise ApiError(40097)
    return {**OK, "msginfo": []}


def restrict(world: World, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    """Control: the platform restricts a template (43116), or `restricted` false: no longer."""
    account = world.account(body.get("account"))
    found = own(world, account).get(str(body.get("template_id")))
    if found is None:
        raise ControlError(404, "no such template at this account")
    found["restricted"] = bool(body.get("restricted", True))
    world.state.put("templates", str(account["id"]), _entry(world, account))
    return 200, {"template_id": body["template_id"], "restricted": found["restricted"]}


ROUTES = [
    Route("GET", "/cgi-bin/template/get_all_private_template", get_all, kinds=_SERVICE),
    Route("POST", "/cgi-bin/template/api_add_template", add, kinds=_SERVICE),
    Route("POST", "/cgi-bin/template/del_private_template", delete, kinds=_SERVICE),
    Route("POST", "/cgi-bin/template/api_set_industry", set_industry, kinds=_SERVICE),
    Route("GET", "/cgi-bin/template/get_industry", get_industry, kinds=_SERVICE),
    Route("POST", "/wxa/sec/queryblocktmplmsg", blocked, kinds=_SERVICE),
]
CONTROL = {("POST", "templates/restrict"): restrict}
