"""A loopback server that answers what a test tells it to, and remembers what it was asked."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from tagcast.channels import OfficialClient, WecomClient
from tagcast.kit.http import AddressPolicy, AiohttpTransport

T = TypeVar("T")
CUT = "cut the connection after reading the request"
HANG = "never answer"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Canned:
    """Answers in order, the last one again and again: a dict (JSON), bytes, (status, bytes), CUT or HANG."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def official(self, use: Callable[[OfficialClient], Awaitable[T]], *answers: object) -> T:
        return self.talk(lambda transport, url: use(OfficialClient(transport, url, _token)), *answers)

    def wecom(self, use: Callable[[WecomClient], Awaitable[T]], *answers: object) -> T:
        return self.talk(lambda transport, url: use(WecomClient(transport, url, _token)), *answers)

    def talk(self, use: Callable[[AiohttpTransport, str], Awaitable[T]], *answers: object) -> T:
        queue = list(answers)

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            self.seen.append(Seen(request.method, request.path, dict(request.query), dict(request.headers), body))
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
            if answer in (CUT, HANG):
                if answer == HANG:
                    await asyncio.sleep(30)
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            if isinstance(answer, tuple):
                return web.Response(status=answer[0], body=answer[1])
            content = answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False).encode()
            return web.Response(body=content, content_type="text/plain")

        async def run() -> T:
            app = web.Application()
            app.router.add_route("*", "/{anything:.*}", handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[0][1]
            policy = AddressPolicy(exceptions=frozenset({f"127.0.0.1:{port}"}))
            try:
                async with AiohttpTransport(policy=policy, max_body=1_000_000) as transport:
                    return await use(transport, f"http://127.0.0.1:{port}")
            finally:
                await runner.cleanup()

        return asyncio.run(run())


async def _token() -> str:
    return "TOKEN-1"
