"""`Transport` over pyreqwest, a client in Rust: the promises of `kit.http` at a third of the CPU time a call.

**Safe addresses.** The engine would resolve names by itself, so it never gets the chance: a name is resolved here,
every address of it is checked, and the engine gets a client of its own for each origin, in which the name is pinned to
one checked address. Host header and TLS name stay the name's. URLs are taken apart by the engine's own parser, so that
what is checked is what is connected to.

**Honest failures.** The engine's exception classes say nothing about what was sent (a reset after the request is a
`ConnectError`), its list of causes does: a failure whose second cause is that of connecting was surely not sent.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Self

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BodyDecodeError,
    ClientClosedError,
    DecodeError,
    DetailedPyreqwestError,
    NetworkError,
    PyreqwestError,
    ReadError,
)
from pyreqwest.http import Url
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response as EngineResponse

from tagcast.kit.http import (
    MAX_BODY,
    NO_HEADERS,
    AddressPolicy,
    InDoubt,
    NotSent,
    Resolve,
    Response,
    is_literal,
    system_resolve,
)

PIN_SECONDS = 30.0
"""How long a checked address stands for its name."""
IDLE_SECONDS = 15.0
"""How long an unused connection is kept; longer only meets the server's own limit."""
_MOST_KEPT = 1024
_MOST_CLIENTS = 8
_CONNECTING = "client error (Connect)"
# The engine tells the phases of a time-out apart only when connecting has a limit of its own.
_CONNECT_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class _Target:
    """An address as the engine reads it. `host` is without brackets."""

    url: Url
    host: str
    port: int
    is_literal: bool
    origin: tuple[str, str, int]


@dataclass(slots=True)
class _Pin:
    """A name's checked addresses, the first of which is connected to; believed until `until` (monotonic seconds).

    `clients` by time limit, in seconds.
    """

    addresses: list[str]
    until: float
    clients: dict[float, Client] = field(default_factory=dict)

    def turn(self) -> None:
        """Connect to the next address from now on, to a freshly resolved one when there is no other."""
        self.addresses.append(self.addresses.pop(0))
        self.clients = {}
        if len(self.addresses) == 1:
            self.until = 0.0


class FastTransport:
    """`Transport` over pyreqwest; an async context manager that owns its connections.

    `connections` bounds the calls in flight, `max_body` the size of an answer in bytes. `resolve` replaces the system's
    name resolution; its answers are checked all the same, and believed for `pin_seconds`. Of one event loop.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        connections: int = 64,
        max_body: int = MAX_BODY,
        resolve: Resolve = system_resolve,
        pin_seconds: float = PIN_SECONDS,
    ) -> None:
        self._policy = policy
        self._connections = connections
        self._max_body = max_body
        self._resolve = resolve
        self._pin_seconds = pin_seconds
        self._slots: asyncio.Semaphore | None = None
        self._targets: dict[str, _Target] = {}
        self._pins: dict[tuple[str, str, int], _Pin] = {}
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(self._connections)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slots = None
        clients = [client for pin in self._pins.values() for client in pin.clients.values()]
        self._pins.clear()
        for client in clients:
            await client.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        timeout: float = 10.0,  # noqa: ASYNC109 - see Transport
    ) -> Response:
        """Send one request and read its answer. No redirect is followed. Raises exactly `NotSent` or `InDoubt`."""
        slots = self._slots
        if slots is None:
            raise NotSent("transport closed")
        target = self._targets.get(url) or self._target(url)
        now = time.monotonic()
        until, left = now + timeout, timeout
        if slots.locked():
            left = await _within(slots.acquire(), until)
        else:
            await slots.acquire()
        try:
            pin = self._pins.get(target.origin)
            if pin is None or pin.until < now:
                left = await _within(self._look_up(target), until)
                pin = self._pins[target.origin]
            client = pin.clients.get(timeout) or self._client(pin, target, timeout)
            try:
                builder = client.request(method, target.url).timeout(_limit(left))
                if headers:
                    builder = builder.headers(headers)
                if body is not None:
                    builder = builder.body_bytes(body)
                prepared = builder.build_streamed()
            except (PyreqwestError, ValueError):
                raise NotSent("request failed") from None
            return await self._exchange(prepared, pin)
        finally:
            slots.release()

    async def _exchange(self, prepared: StreamRequest, pin: _Pin) -> Response:
        is_answered = False
        try:
            async with prepared as answer:
                is_answered = True
                return Response(answer.status, await self._read(answer), answer.headers)
        except PyreqwestError as error:
            causes = _causes(error)
            if is_answered or causes[1:2] != [_CONNECTING]:
                raise InDoubt(_reason(error, causes)) from None
            pin.turn()
            raise NotSent(_reason(error, causes)) from None

    async def _read(self, answer: EngineResponse) -> bytes:
        length = answer.get_header("content-length")
        if length is not None and answer.get_header("transfer-encoding") is None and int(length) <= self._max_body:
            return (await answer.bytes()).to_bytes()
        pieces: list[bytes] = []
        size = 0
        while (piece := await answer.body_reader.read_chunk()) is not None:
            size += len(piece)
            if size > self._max_body:
                raise InDoubt("answer too large")
            pieces.append(piece.to_bytes())
        return b"".join(pieces)

    def _target(self, text: str) -> _Target:
        try:
            url = Url(text)
            host, port = (url.host_str or "").removeprefix("[").removesuffix("]"), url.port_or_known_default
        except ValueError:
            raise NotSent("bad url") from None
        if url.scheme not in {"http", "https"} or not host or port is None:
            raise NotSent("bad url")
        if url.username or url.password is not None:
            raise NotSent("credentials in url")
        target = _Target(url, host, port, is_literal(host), (url.scheme, host, port))
        if len(self._targets) >= _MOST_KEPT:
            self._targets.clear()
        self._targets[text] = target
        return target

    async def _look_up(self, target: _Target) -> None:
        """Pin the origin to its checked addresses; one request at a time asks for them. Raises `NotSent`."""
        async with self._looking:
            before = self._pins.get(target.origin)
            if before is not None and before.until >= time.monotonic():
                return
            if target.is_literal:
                addresses = [target.host]
            else:
                try:
                    addresses = list(await self._resolve(target.host, target.port))
                except (OSError, UnicodeError):
                    raise NotSent("name not found") from None
            if not addresses:
                raise NotSent("name not found")
            if not all(self._policy.permits(each, host=target.host, port=target.port) for each in addresses):
                raise NotSent("address refused")
            pin = _Pin(addresses, time.monotonic() + self._pin_seconds)
            if before is not None and before.addresses[0] in addresses:
                pin = _Pin(before.addresses, pin.until, before.clients)
            if len(self._pins) >= _MOST_KEPT:
                self._pins.clear()
            self._pins[target.origin] = pin

    def _client(self, pin: _Pin, target: _Target, timeout: float) -> Client:
        """The engine's client for an origin and a time limit, which knows the name by its pinned address only."""
        builder = (
            ClientBuilder()
            .no_proxy()
            .follow_redirects(False)
            .referer(False)
            .gzip(False)
            .brotli(False)
            .zstd(False)
            .deflate(False)
            .user_agent("tagcast")
            .default_headers({"Accept-Encoding": "identity"})
            .connect_timeout(timedelta(seconds=timeout * _CONNECT_SHARE))
            .pool_idle_timeout(timedelta(seconds=IDLE_SECONDS))
        )
        if not target.is_literal:
            builder = builder.resolve(target.host, pin.addresses[0], target.port)
        if len(pin.clients) >= _MOST_CLIENTS:
            pin.clients = {}
        client = pin.clients[timeout] = builder.build()
        return client


async def _within(wait: Awaitable[object], until: float) -> float:
    """Wait for what comes before sending; the seconds left. Raises `NotSent` at `until`."""
    try:
        async with asyncio.timeout(until - time.monotonic()):
            await wait
    except TimeoutError:
        raise NotSent("timeout") from None
    return max(0.001, until - time.monotonic())


@lru_cache(maxsize=64)
def _limit(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _causes(error: PyreqwestError) -> list[str]:
    details = error.details if isinstance(error, DetailedPyreqwestError) else None
    return [cause["message"] for cause in (details["causes"] if details else None) or []]


def _reason(error: PyreqwestError, causes: Sequence[str]) -> str:
    """A word for people; what was sent is not read from it."""
    if any(cause in {"operation timed out", "deadline has elapsed"} for cause in causes[1:]):
        return "timeout"
    if _CONNECTING in causes[1:2]:
        return "connection refused" if causes[-1].startswith("Connection refused") else "cannot connect"
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "request failed")


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (BodyDecodeError, "answer cut short"),
    (ReadError, "answer cut short"),
    (DecodeError, "bad answer"),
    (NetworkError, "disconnected"),
    (ClientClosedError, "transport closed"),
)
