"""Errors as the platforms write them: code, text, and a tail that names the request."""

import secrets
import time
import tomllib
from importlib.resources import files
from typing import Any

_TABLE: dict[str, dict[str, str]] = tomllib.loads(files("wechat_sandbox").joinpath("errcodes.toml").read_text("utf-8"))


class ApiError(Exception):
    """A platform error: `detail` is appended to the table's text, `extra` are further fields of the answer."""

    def __init__(self, code: int, detail: str = "", **extra: Any) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.extra = extra
        self.text = ""


class ControlError(Exception):
    """An error of the control API: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def official_rid() -> str:
    """The request id that ends a 公众号 / 服务号 error text."""
    noise = secrets.token_hex(8)
    return f"rid: {int(time.time()):08x}-{noise[:8]}-{noise[8:]}"


def body(platform: str, error: ApiError, client: str = "127.0.0.1") -> dict[str, Any]:
    """The error answer of `official` or `wecom`; `client` is the caller's address, which WeCom repeats."""
    text = error.text or _TABLE[platform].get(str(error.code), "error")
    if error.detail:
        text = f"{text} {error.detail}"
    if platform == "official":
        tail = f" {official_rid()}"
    else:
        hint = f"{int(time.time())}_{secrets.randbelow(900) + 100}_{secrets.token_hex(16)}"
        tail = f", hint: [{hint}], from ip: {client}, more info at https://open.work.weixin.qq.com/devtool/query?e={error.code}"
    return {"errcode": error.code, "errmsg": text + tail, **error.extra}
