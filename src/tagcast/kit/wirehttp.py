"""`Transport` on bare sockets: HTTP/1.1 as the platforms' APIs need it and no more, parsed by httptools.

Promises as in `kit.http`. It connects to addresses that it resolved and checked itself, and it knows exactly whether a
byte of a request was handed to a connection. One request at a time on a connection, no pipelining, no repetition.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

import httptools
from yarl import URL

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

IDLE_SECONDS = 15.0
"""How long an unused connection is kept; longer only meets the server's own limit."""
_MOST_KEPT = 1024
_ALWAYS = b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: tagcast\r\n"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL leads, and the part of a request's head that it fixes."""

    origin: tuple[str, str, int]
    path: bytes


class _Headers(dict[str, str]):
    """Headers by lower-case name, looked up without regard to case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override] # text only
        return super().get(name.lower(), default)


class _Connection(asyncio.Protocol):
    """One connection: at most one request in flight, whose answer or failure goes to `answer`."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._answer: asyncio.Future[Response] | None = None
        self.idle_since = 0.0
        self.is_reusable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # a stream's transport is one

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent on it."""
        return self.is_reusable and self._answer is None and not self._transport.is_closing()

    def send(self, request: bytes, *, is_head: bool) -> "asyncio.Future[Response]":
        """Hand a request to the socket; from here on it may have arrived."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers = _Headers()
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_head = is_head
        self._has_head = False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Drop the connection, whatever is in flight."""
        self.is_reusable = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("bad answer")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_reusable = False
        if self._answer is None:
            return
        until_the_end = self._has_head and not {"content-length", "transfer-encoding"} & self._headers.keys()
        if error is None and until_the_end:
            self._finish()
        else:
            self._fail("answer cut short" if self._has_head else "disconnected")

    def on_message_begin(self) -> None:
        if self._answer is None:  # more than was asked for
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200
        if self._has_head and self._is_head:
            self._finish()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._max_body:
            self._fail("answer too large")
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if not self._has_head:  # 1xx: the answer is still to come
            self._headers = _Headers()
            return
        self.is_reusable = self._parser.should_keep_alive() and not self._is_head
        self._finish()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(Response(self._parser.get_status_code(), b"".join(self._pieces), self._headers))

    def _fail(self, reason: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(InDoubt(reason))
        self.close()

    def give_up(self) -> None:
        """The answer has not come in time."""
        self._fail("timeout")


@dataclass(slots=True)
class _Pool:
    idle: deque[_Connection] = field(default_factory=deque)


class WireTransport:
    """`Transport` on bare sockets; an async context manager that owns its connections.

    `connections` bounds the calls in flight, `max_body` the size of an answer in bytes. `resolve` replaces the system's
    name resolution; its answers are checked all the same. Of one event loop.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        connections: int = 64,
        max_body: int = MAX_BODY,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._policy = policy
        self._connections = connections
        self._max_body = max_body
        self._resolve = resolve
        self._slots: asyncio.Semaphore | None = None
        self._tls: ssl.SSLContext | None = None
        self._targets: dict[str, _Target] = {}
        self._pools: dict[tuple[str, str, int], _Pool] = {}
        self._open: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(self._connections)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slots = None
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._pools.clear()
        await asyncio.sleep(0)

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
        request = _request(method, target, headers, body)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        connection = None
        if not slots.locked():
            await slots.acquire()
        else:
            await _slot(slots, timeout)
        try:
            connection = self._kept(target) or await self._connect(target, until)
            answer = connection.send(request, is_head=method == "HEAD")
            timer = loop.call_at(until, connection.give_up)
            try:
                return await answer
            finally:
                timer.cancel()
        finally:
            slots.release()
            if connection is not None:
                self._keep(target, connection)

    def _kept(self, target: _Target) -> _Connection | None:
        pool = self._pools.get(target.origin)
        while pool is not None and pool.idle:
            connection = pool.idle.pop()
            if connection.is_usable and time.monotonic() - connection.idle_since < IDLE_SECONDS:
                return connection
            self._drop(connection)
        return None

    def _keep(self, target: _Target, connection: _Connection) -> None:
        if not connection.is_usable or self._slots is None:
            self._drop(connection)
            return
        connection.idle_since = time.monotonic()
        self._pools.setdefault(target.origin, _Pool()).idle.append(connection)

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.close()

    async def _connect(self, target: _Target, until: float) -> _Connection:
        """A new connection to a checked address. Raises `NotSent`."""
        scheme, host, port = target.origin
        try:
            async with asyncio.timeout_at(until):
                failure = "name not found"
                for address in await self._addresses(host, port):
                    try:
                        return await self._connect_to(address, scheme, host, port)
                    except ConnectionRefusedError:
                        failure = "connection refused"
                    except ssl.SSLError:
                        failure = "tls failed"
                    except OSError as error:
                        failure = "timeout" if isinstance(error, TimeoutError) else "cannot connect"
        except TimeoutError:
            failure = "timeout"
        raise NotSent(failure)

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = [host] if is_literal(host) else list(await self._resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise NotSent("timeout" if isinstance(error, TimeoutError) else "name not found") from None
        if not all(self._policy.permits(address, host=host, port=port) for address in found):
            raise NotSent("address refused")
        return found

    async def _connect_to(self, address: str, scheme: str, host: str, port: int) -> _Connection:
        tls = None
        if scheme == "https":
            tls = self._tls = self._tls or ssl.create_default_context()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._max_body),
            address,
            port,
            ssl=tls,
            server_hostname=host if tls is not None else None,
        )
        self._open.add(connection)
        return connection

    def _target(self, text: str) -> _Target:
        try:
            url = URL(text)
            port = url.port
        except ValueError:
            raise NotSent("bad url") from None
        if url.scheme not in {"http", "https"} or not url.raw_host or port is None:
            raise NotSent("bad url")
        if url.user is not None or url.password is not None:
            raise NotSent("credentials in url")
        host = f"[{url.raw_host}]" if ":" in url.raw_host else url.raw_host
        named = host if url.is_default_port() else f"{host}:{port}"
        path = f"{url.raw_path_qs} HTTP/1.1\r\nHost: {named}\r\n"
        if not path.isascii() or path.count("\r\n") != 2 or path.count(" ") != 2:
            raise NotSent("bad url")
        target = _Target((url.scheme, url.raw_host, port), path.encode("ascii") + _ALWAYS)
        if len(self._targets) >= _MOST_KEPT:
            self._targets.clear()
        self._targets[text] = target
        return target


async def _slot(slots: asyncio.Semaphore, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await slots.acquire()
    except TimeoutError:
        raise NotSent("timeout") from None


def _request(method: str, target: _Target, headers: Mapping[str, str], body: bytes | None) -> bytes:
    if method not in _METHODS:
        raise NotSent("request failed")
    length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    parts = [method.encode(), b" ", target.path, _encoded(tuple(headers.items())), length, b"\r\n", body or b""]
    return b"".join(parts)


@lru_cache(maxsize=256)
def _encoded(headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise NotSent("request failed")
    try:
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    except UnicodeEncodeError:
        raise NotSent("request failed") from None
