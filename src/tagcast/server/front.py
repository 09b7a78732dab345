"""What stands before the API: routes that must be fast go past it, all others get limits, an id and safe headers."""

import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tagcast.kit import logs
from tagcast.kit.errors import Lang, TagcastError
from tagcast.server.problems import MAX_BODY, language, problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLOSE = {"Connection": "close"}
"""What is left of a body that is too large is not read."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

HEADERS: dict[bytes, bytes] = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""Set on every answer that does not set them itself."""


class Front:
    """`api` answers what no prefix of `fast` (path prefix -> app, with nothing in between) does."""

    def __init__(self, api: FastAPI, fast: dict[str, App], *, https: bool, lang: str) -> None:
        self.api = api
        self._fast = fast
        self._lang = lang
        self._headers = dict(HEADERS)
        if https:
            self._headers[b"strict-transport-security"] = b"max-age=63072000"
        self._log = logs.get("server")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass on what is none."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        path = scope["path"]
        for prefix, app in self._fast.items():
            if path.startswith(prefix):
                await app(scope, receive, send)
                return
        await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        identity = headers.get(b"x-request-id", b"")
        if _REQUEST_ID.fullmatch(identity) is None:
            identity = uuid.uuid4().hex.encode("ascii")
        scope.setdefault("state", {})["request_id"] = identity.decode("ascii")
        lang = language(headers.get(b"accept-language", b"").decode("latin-1"), self._lang)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = self._completed(message.get("headers", []), identity)
            await send(message)

        if _announced(headers) > MAX_BODY:
            too_large = TagcastError("server.body_too_large", limit=MAX_BODY)
            await problem(too_large, lang, status=413, headers=CLOSE)(scope, receive, answer)
            return
        try:
            await self.api(scope, _limited(receive), answer)
        except Exception:  # noqa: BLE001 - the last place that can turn a mistake of ours into an answer
            self._log.error(
                "request failed",
                request=identity.decode("ascii"),
                method=scope["method"],
                path=scope["path"],
                exc_info=True,
            )
            if not started:
                await self._failed(lang, identity)(scope, receive, answer)

    def _failed(self, lang: Lang, identity: bytes) -> App:
        return problem(TagcastError("server.unexpected", request=identity.decode("ascii")), lang)

    def _completed(self, given: list[tuple[bytes, bytes]], identity: bytes) -> list[tuple[bytes, bytes]]:
        names = {name.lower() for name, _ in given}
        added = [(name, value) for name, value in self._headers.items() if name not in names]
        return [*given, *added, (b"x-request-id", identity)]


def _announced(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            raise HTTPException(413, headers=CLOSE)
        return message

    return limited
