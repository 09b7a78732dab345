"""`/callback/{path}`: what the platforms push. Raw ASGI, because it must answer fast and a lot.

Order: account, size, shapes, signature, decryption, parsing, one durable write, answer. Every refusal looks the same,
so that a forger learns nothing; a repeated delivery gets the same answer as the first. The window of the timestamp and
the strict shapes are those of `channels.open_callback`.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tagcast import accounts
from tagcast.channels import (
    BadCallback,
    CallbackKeys,
    Platform,
    normalise,
    open_callback,
    open_echo,
    plain_echo,
    without_places,
)
from tagcast.inbox.actions import accept, platform_of
from tagcast.inbox.rules import dedupe
from tagcast.inbox.store import Delivery
from tagcast.kit.errors import Unavailable
from tagcast.kit.groupcommit import WAITING, GroupCommit
from tagcast.kit.uow import Runtime

MAX_BODY = 64 * 1024
"""Largest body read, in bytes."""
BODY_SECONDS = 5.0
"""How long a body may take to come; the platforms themselves give up an answer after five seconds."""
KNOWN_SECONDS = 5.0
"""How long an account's keys are believed without asking the database again."""
_AGAIN_SECONDS = 2.0
"""So long before its end an answer that is still used is asked for again, so that no callback waits for it."""
_MOST_KNOWN = 4096
_HEADERS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
_PATH = re.compile(r"/callback/([0-9a-f]{32})")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Door:
    """An account as its callbacks need it."""

    workspace: int
    account: int
    platform: Platform
    keys: CallbackKeys


class CallbackApp:
    """The ASGI application; `close` it when the server stops.

    `counts` of answers: accepted, duplicate, echo, refused, unknown, busy. It expects the whole path in the scope.
    Beyond `waiting` deliveries that wait for the disk, the platform is asked to come again (503).
    """

    def __init__(self, runtime: Runtime, *, waiting: int = WAITING, body_seconds: float = BODY_SECONDS) -> None:
        self._body_seconds = body_seconds
        self.counts: Counter[str] = Counter()
        self._runtime = runtime
        self._writer: GroupCommit[Delivery, bool] = GroupCommit("inbox", self._store, waiting=waiting)
        self._doors: dict[str, tuple[float, _Door | None]] = {}
        self._asking: dict[str, asyncio.Task[_Door | None]] = {}
        self._writer.start()

    def close(self) -> None:
        """Store what waits and stop the writer."""
        self._writer.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, body, outcome = await self._answer(scope, receive)
        self.counts[outcome] += 1
        await _respond(send, status, body)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, str]:
        match = _PATH.fullmatch(scope["path"])
        door = await self._door(match[1]) if match else None
        if door is None:
            return 404, b"not found", "unknown"
        try:
            if scope["method"] == "GET":
                return 200, _echo(door, scope["query_string"]), "echo"
            body = await _body(receive, self._body_seconds)
            new = await self._take(door, scope["query_string"], body)
        except (BadCallback, TimeoutError):
            return 400, b"bad request", "refused"
        except Unavailable:
            return 503, b"try again", "busy"
        return 200, b"success", "accepted" if new else "duplicate"

    async def _take(self, door: _Door, query: bytes, body: bytes) -> bool:
        callback = open_callback(door.keys, query, body, now=int(time.time()))
        fact = normalise(door.platform, callback.fields)
        body = orjson.dumps(without_places(callback.fields))
        delivery = Delivery(door.account, dedupe(fact), fact.kind, body)
        return await self._writer.submit(door.workspace, delivery)

    def _store(self, workspace: int, deliveries: Sequence[Delivery]) -> list[bool]:
        with self._runtime.work(workspace, "inbox") as work:
            return accept(work, deliveries)

    async def _door(self, path: str) -> _Door | None:
        known = self._doors.get(path)
        now = time.monotonic()
        if known is None or known[0] <= now:
            return await asyncio.shield(self._asked(path))
        if known[0] - now < _AGAIN_SECONDS:
            self._asked(path)
        return known[1]

    def _asked(self, path: str) -> "asyncio.Task[_Door | None]":
        """The one question about an address that is under way."""
        asking = self._asking.get(path)
        if asking is None:
            asking = self._asking[path] = asyncio.create_task(self._ask(path))
            asking.add_done_callback(_seen)
        return asking

    async def _ask(self, path: str) -> _Door | None:
        until = time.monotonic() + KNOWN_SECONDS
        try:
            door = await asyncio.to_thread(self._find, path)
        finally:
            del self._asking[path]
        if len(self._doors) >= _MOST_KNOWN:
            self._doors.clear()
        self._doors[path] = (until, door)
        return door

    def _find(self, path: str) -> _Door | None:
        found = accounts.at_callback_path(self._runtime, path)
        if found is None:
            return None
        workspace, account_id = found
        with self._runtime.read(workspace, "callback") as work:
            account = accounts.get(work, account_id)
            secrets = accounts.secrets(work, account_id)
        if not secrets.callback_token or not account.appid:
            return None
        keys = CallbackKeys(secrets.callback_token, secrets.encoding_aes_key, account.appid)
        return _Door(workspace, account_id, platform_of(account.kind), keys)


def _seen(asked: "asyncio.Task[_Door | None]") -> None:
    """Whoever waits is told of a failure; that nobody does is none of its own."""
    if not asked.cancelled():
        asked.exception()


def _echo(door: _Door, query: bytes) -> bytes:
    """The answer of a URL check: WeCom's `echostr` is encrypted, that of the others is signed only."""
    now = int(time.time())
    if door.platform == "wecom" or b"msg_signature=" in query:
        return open_echo(door.keys, query, now=now)
    return plain_echo(door.keys.token, query, now=now)


async def _body(receive: Receive, seconds: float) -> bytes:
    """The whole body, if it comes within `seconds`; one that came together with its head needs no timer."""
    first = _at_hand(receive)
    if first is not None and not first.get("more_body", False):
        return _piece(first)
    async with asyncio.timeout(seconds):
        pieces: list[bytes] = []
        size = 0
        message = first or await receive()
        while True:
            pieces.append(_piece(message))
            size += len(pieces[-1])
            if size > MAX_BODY:
                raise BadCallback
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()


def _at_hand(receive: Receive) -> Message | None:
    """The next message, if it is there without waiting."""
    asked = receive().__await__()
    try:
        next(asked)
    except StopIteration as there:
        message: Message = there.value
        return message
    asked.close()
    return None


def _piece(message: Message) -> bytes:
    if message["type"] != "http.request":
        raise BadCallback
    piece: bytes = message.get("body", b"")
    if len(piece) > MAX_BODY:
        raise BadCallback
    return piece


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
