"""Whatever a body holds, the official side answers with a code of its table."""

import http.client
import itertools
import json
import re
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.wechat_sandbox.conftest import Client, Sandbox

import wechat_sandbox
from wechat_sandbox.app import ROUTES

_ROOT = Path(wechat_sandbox.__file__).parent
_SOURCES = [*sorted((_ROOT / "official").glob("*.py")), _ROOT / "tokens.py", _ROOT / "media.py"]
_TEXTS = tomllib.loads(files("wechat_sandbox").joinpath("errcodes.toml").read_text("utf-8"))["official"]
_VALUES: tuple[Any, ...] = (5, 1.5, "", True, None, [], [5], ["x"], {}, {"x": 5}, [{"x": 5}], "9" * 400)

# Deeper fields, filled with each value.
_DEEP: dict[str, Callable[[Any], dict[str, Any]]] = {
    "/cgi-bin/tags/create": lambda value: {"tag": {"name": value}},
    "/cgi-bin/tags/update": lambda value: {"tag": {"id": value, "name": value}},
    "/cgi-bin/tags/delete": lambda value: {"tag": {"id": value}},
    "/cgi-bin/user/info/batchget": lambda value: {"user_list": [{"openid": value}]},
    "/cgi-bin/draft/add": lambda value: {
        "articles": [{"title": "x", "content": "x", "author": value, "thumb_media_id": value, "image_info": value}]
    },
    "/cgi-bin/qrcode/create": lambda value: {
        "action_name": "QR_STR_SCENE",
        "action_info": {"scene": {"scene_str": value}},
    },
    "/cgi-bin/message/mass/sendall": lambda value: {
        "filter": {"tag_id": value, "is_to_all": True},
        "msgtype": "image",
        "image": {"media_id": value},
        "images": {"media_ids": value},
    },
    "/wxaapi/newtmpl/addtemplate": lambda value: {"tid": "401", "kidList": [value, value]},
}


def test_every_code_has_its_text() -> None:
    used = set()
    for source in _SOURCES:
        for arguments in re.findall(r"ApiError\(([^)]*)", source.read_text("utf-8")):
            used |= set(re.findall(r"\b\d{5,9}\b", arguments))
    assert len(used) > 60
    assert used - set(_TEXTS) == set()


def _names(path: str) -> list[str]:
    """The fields that the handler's module reads."""
    module = ROUTES[path].handler.__module__.rpartition(".")[2]
    source = next((file for file in _SOURCES if file.stem == module), _SOURCES[0]).read_text("utf-8")
    read = r'(?:body|found|info|asked|chosen|article|data)(?:\.get|\.record|\.texts|\.number|\.text)?[(\[]"(\w+)"'
    return sorted(
        set(re.findall(read, source)) | set(re.findall(r'call\.(?:record|texts|number|text)\("(\w+)"', source))
    )


def _bodies(client: Client, path: str) -> list[dict[str, Any]]:
    names = _names(path)
    usual = {"touser": client.reachable()[0], "msgtype": "text", "filter": {"is_to_all": False}}
    every = [dict.fromkeys(names, value) for value in _VALUES]
    single = [{**usual, name: value} for name, value in itertools.product(names, _VALUES)]
    deep = _DEEP.get(path, lambda value: {"x": value})
    return [{}, *every, *single, *map(deep, _VALUES)]


def test_wrong_types_are_refused_and_break_nothing(sandbox: Sandbox) -> None:
    clients = {kind: sandbox.account(kind, reach=1) for kind in ("service", "official", "mini")}
    sandbox.post("/sandbox/limits", {"mass_per_minute": 1_000_000})
    broken, line = [], http.client.HTTPConnection(sandbox.url.removeprefix("http://"), timeout=20)
    for path, route in ROUTES.items():
        client = next((clients[kind] for kind in clients if kind in route.kinds), None)
        if client is None or route.method != "POST" or route.upload or "quota" in path:
            continue
        for body in _bodies(client, path):
            line.request("POST", f"{path}?access_token={client.token}", json.dumps(body))
            with line.getresponse() as answer:
                content = answer.read()
            code = json.loads(content).get("errcode", 0) if answer.status == 200 else answer.status
            if str(code) not in (*_TEXTS, "0"):
                broken.append((path, body, code))
    sandbox.post("/sandbox/limits", {"mass_per_minute": 60})
    line.close()
    assert broken == []
    for client in clients.values():
        assert "ip_list" in client.get("getcallbackip")
