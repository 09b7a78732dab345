"""One request to an imitated path, and the table of paths."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wechat_sandbox.errors import ApiError
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}


@dataclass
class Call:
    """A parsed request. `account` owns the token (empty for the token calls); `client` is the caller's address."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any] = field(default_factory=dict)
    account: Document = field(default_factory=dict)
    client: str = "127.0.0.1"

    def text(self, name: str, code: int) -> str:
        """A required text of the body; `code` when it is missing or no text."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise ApiError(code, f"{name} missing")
        return value

    def texts(self, name: str, code: int) -> list[str]:
        """A list of texts (empty when absent); `code` when it is something else."""
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ApiError(code, f"{name} invalid")
        return value

    def number(self, name: str, default: int, code: int) -> int:
        value = self.body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ApiError(code, f"{name} invalid")
        return value

    def record(self, name: str, code: int) -> dict[str, Any]:
        value = self.body.get(name)
        if not isinstance(value, dict):
            raise ApiError(code, f"{name} missing")
        return value


@dataclass(frozen=True)
class Raw:
    """An answer that is no JSON: a file, a picture, a page, a redirect."""

    content: bytes
    kind: str
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[World, Call], dict[str, Any] | Raw]


@dataclass(frozen=True)
class Route:
    """A path: who may call it, whether it needs a token, has a multipart body, counts as a customer read.

    `bare`: a POST without a body is allowed. `page`: for browsers, so the handler sees the headers.
    `refuse`: how a refusal looks where it is no errcode.
    `lists`: the list that an error answer carries empty.
    """

    method: str
    path: str
    handler: Handler
    kinds: tuple[str, ...] = ("official", "service")
    token: bool = True
    upload: bool = False
    read: bool = False
    bare: bool = False
    page: bool = False
    refuse: Callable[[ApiError], Raw] | None = None
    lists: str = ""


MP = ("official", "service")
MINI = ("mini",)
WORK = ("wecom",)
APPS = (*MP, *MINI)
ANY = (*MP, *WORK)
EVERY = (*ANY, *MINI)
