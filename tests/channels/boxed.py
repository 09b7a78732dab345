"""A running sandbox for the tests of the channels: accounts, their people, their clients, the callbacks it sends."""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from tagcast.channels import (
    CallbackKeys,
    Inbound,
    OfficialClient,
    WecomClient,
    get_token,
    normalise,
    open_callback,
    stable_token,
)
from tagcast.kit.http import AddressPolicy, AiohttpTransport

T = TypeVar("T")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@dataclass
class Sandbox:
    """A running sandbox with one account of each kind, and the callbacks that it has sent."""

    url: str
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    delivered: list[tuple[int, bytes, bytes]] = field(default_factory=list)

    def control(self, path: str, body: object = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/sandbox/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        return json.loads(lines[0]) if len(lines) == 1 else [json.loads(line) for line in lines]

    def ids(self, kind: str, *, follows: bool = True) -> list[str]:
        account = self.accounts[kind]["id"]
        name = "external_userid" if kind == "wecom" else "openid"
        people = self.control("people?limit=1000")
        mine = [person["ids"][str(account)] for person in people]
        return [each[name] for each in mine if each["follows"] is follows and not each["blocks"]]

    def official(self, kind: str, use: Callable[[OfficialClient], Awaitable[T]]) -> T:
        account = self.accounts[kind]

        async def run(transport: AiohttpTransport) -> T:
            async def token() -> str:
                return (await stable_token(transport, self.url, account["appid"], account["secret"])).value

            return await use(OfficialClient(transport, self.url, token))

        return self.run(run)

    def wecom(self, use: Callable[[WecomClient], Awaitable[T]]) -> T:
        account = self.accounts["wecom"]

        async def run(transport: AiohttpTransport) -> T:
            got = await get_token(transport, self.url, account["corpid"], account["secret"])

            async def token() -> str:
                return got.value

            return await use(WecomClient(transport, self.url, token))

        return self.run(run)

    def run(self, use: Callable[[AiohttpTransport], Awaitable[T]]) -> T:
        async def run() -> T:
            policy = AddressPolicy(exceptions=frozenset({self.url.removeprefix("http://")}))
            async with AiohttpTransport(policy=policy) as transport:
                return await use(transport)

        return asyncio.run(run())

    def facts(self, kind: str, *, wanted: int, of: str, seconds: float = 10) -> list[Inbound]:
        """Wait for callbacks of one kind of fact; every delivery must open."""
        account = self.accounts[kind]
        keys = CallbackKeys(account["token"], account["encoding_aes_key"], account["appid"] or account["corpid"])
        platform = "wecom" if kind == "wecom" else "official"
        deadline = time.monotonic() + seconds
        while True:
            opened = [
                normalise(platform, open_callback(keys, query, body, now=int(time.time())).fields)  # type: ignore[arg-type]  # one of two words
                for owner, query, body in self.delivered
                if owner == account["id"]
            ]
            found = [fact for fact in opened if fact.kind == of]
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.05)


@contextmanager
def receiving(running: Sandbox) -> Iterator[str]:
    """A server that keeps the callbacks which come; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _receiver(running))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _receiver(running: Sandbox) -> type[BaseHTTPRequestHandler]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.delivered.append((int(path.strip("/")), query.encode(), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            return

    return Receiver
