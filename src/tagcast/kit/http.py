"""The only place that opens outbound connections.

Two promises. **Safe addresses**: every address is checked at the moment of connecting, after name resolution, so a name
that resolves to an inner address is refused however it is spelled; redirects are never followed. **Honest failures**: a
request that failed raises `NotSent` when no byte of it can have left this machine and `InDoubt` when some may have.
"""

import asyncio
import importlib.util
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from tagcast.kit.errors import Unavailable

MAX_BODY = 8 * 1024 * 1024
"""Largest answer read, in bytes, unless the transport is told otherwise."""

_MOST_KEPT = 1024
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_TUNNELS = (ipaddress.IPv6Network("2001::/23"), ipaddress.IPv6Network("2002::/16"))
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class HttpError(Exception):
    """A request without a usable answer. `reason` is a short word and never holds the URL (it carries tokens)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(HttpError):
    """Surely never left: repeating it cannot do anything twice."""


class InDoubt(HttpError):
    """The request, or a part of it, may have arrived."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of any status; `headers` are looked up without regard to case."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class Transport(Protocol):
    """What a client of a remote service needs of HTTP."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        timeout: float = 10.0,  # noqa: ASYNC109 - the limit must cover the wait for a free connection, and be told apart by phase
    ) -> Response:
        """Send one request and read its answer within `timeout` seconds. Raises exactly `NotSent` or `InDoubt`."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be connected to.

    Global unicast addresses always; any address when `allow_private`; and the `exceptions`, written "host:port", which
    an operator configured on purpose (a sandbox, an inner gateway).
    """

    allow_private: bool = False
    exceptions: frozenset[str] = frozenset()

    def permits(self, address: str, *, host: str, port: int) -> bool:
        """Whether `address`, which `host` stands for, may be connected to."""
        return self.allow_private or f"{host}:{port}" in self.exceptions or is_global(address)


def is_global(address: str) -> bool:
    """Whether the text is an ordinary address of the public Internet.

    IPv6 counts only inside 2000::/3 and outside the tunnels, so IPv4-mapped, NAT64 and 6to4 forms, which hide an IPv4
    address, are refused together with loopback, link-local, unique-local and multicast.
    Source: IANA special-purpose address registries (RFC 6890, RFC 4291).
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_multicast or not parsed.is_global:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed in _GLOBAL_IPV6 and not any(parsed in tunnel for tunnel in _TUNNELS)
    return True


class _AddressRefusedError(OSError):
    """The policy forbids an address."""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of (name, port). Raises OSError when there are none."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """What the system's name resolution says, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _CheckedResolver(AbstractResolver):
    """Resolves names and refuses a name as soon as one of its addresses is refused."""

    def __init__(self, policy: AddressPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._resolve(host, port)
        if not all(self._policy.permits(address, host=host, port=port) for address in addresses):
            raise _AddressRefusedError("address refused")
        results: list[ResolveResult] = []
        for address in addresses:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in (socket.AF_UNSPEC, kind):
                results.append(
                    {"hostname": host, "host": address, "port": port, "family": kind, "proto": 0,
                     "flags": socket.AI_NUMERICHOST}
                )  # fmt: skip
        return results

    async def close(self) -> None:
        """Nothing is held."""


@lru_cache(maxsize=64)
def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


@lru_cache(maxsize=256)
def is_literal(host: str) -> bool:
    """Whether a URL's host is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Connector(aiohttp.TCPConnector):
    """Knows which tasks have been given a connection; before that, nothing of a task's request can have been sent."""

    connected: set[asyncio.Task[object] | None]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the engine's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        self.connected.add(asyncio.current_task())
        return connection


class AiohttpTransport:
    """`Transport` over aiohttp; an async context manager that owns its connections.

    `connections` bounds the pool, `max_body` the size of an answer in bytes. `resolve` replaces the system's name
    resolution; its answers are checked all the same.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy = AddressPolicy(),
        connections: int = 64,
        max_body: int = MAX_BODY,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._policy = policy
        self._connections = connections
        self._max_body = max_body
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None
        self._connected: set[asyncio.Task[object] | None] = set()
        self._targets: dict[str, URL] = {}

    async def __aenter__(self) -> Self:
        connector = _Connector(resolver=_CheckedResolver(self._policy, self._resolve), limit=self._connections)
        connector.connected = self._connected
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "tagcast"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        if self._session is None:
            raise NotSent("transport closed")
        target = self._targets.get(url) or self._target(url)
        task = asyncio.current_task()
        try:
            async with self._session.request(
                method,
                target,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=_limit(timeout),
            ) as answer:
                return Response(answer.status, await self._read(answer), answer.headers)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            reason = _reason(error)
            if task in self._connected:
                raise InDoubt(reason) from None
            raise NotSent(reason) from None
        finally:
            self._connected.discard(task)

    def _target(self, url: str) -> URL:
        try:
            target = URL(url)
            port = target.port
        except ValueError:
            raise NotSent("bad url") from None
        if target.scheme not in {"http", "https"} or not target.raw_host or port is None:
            raise NotSent("bad url")
        if target.user is not None or target.password is not None:
            raise NotSent("credentials in url")
        host = target.raw_host
        if is_literal(host) and not self._policy.permits(host, host=host, port=port):
            raise NotSent("address refused")
        if len(self._targets) >= _MOST_KEPT:
            self._targets.clear()
        self._targets[url] = target
        return target

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await answer.content.readany():
            size += len(piece)
            if size > self._max_body:
                answer.close()
                raise InDoubt("answer too large")
            pieces.append(piece)
        return b"".join(pieces)


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "name not found"),
    (aiohttp.ClientSSLError, "tls failed"),
    (aiohttp.ClientConnectorError, "cannot connect"),
    (TimeoutError, "timeout"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientOSError, "disconnected"),
    (ConnectionError, "disconnected"),
    (aiohttp.ClientPayloadError, "answer cut short"),
    (aiohttp.ClientResponseError, "bad answer"),
)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, _AddressRefusedError):
            return "address refused"
        if isinstance(error.os_error, ConnectionRefusedError):
            return "connection refused"
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "request failed")


Choice = Literal["auto", "aiohttp", "fast"]


def open_transport(
    policy: AddressPolicy, *, connections: int = 64, max_body: int = MAX_BODY, choice: Choice = "aiohttp"
) -> AbstractAsyncContextManager[Transport]:
    """The transport that an operator chose: `aiohttp`, `fast` (pyreqwest), or `auto`: fast if installed.

    Raises Unavailable when the fast one is asked for and is not installed.
    """
    if choice == "aiohttp" or (choice == "auto" and importlib.util.find_spec("pyreqwest") is None):
        return AiohttpTransport(policy=policy, connections=connections, max_body=max_body)
    try:
        from tagcast.kit.fasthttp import FastTransport
    except ModuleNotFoundError as error:
        raise Unavailable("kit.no_fast_transport") from error
    return FastTransport(policy=policy, connections=connections, max_body=max_body)
