"""What the demo plays on: the sandbox and the server as processes of their own, spoken to over HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import orjson

from tagcast.kit.errors import Unavailable
from tagcast.kit.http import AddressPolicy, AiohttpTransport, NotSent

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Http:
    """A small JSON client of one server on this machine."""

    base: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One call; the answer's JSON. Raises Unavailable for any answer that is no success."""
        return asyncio.run(self._call(method, path, None if body is None else orjson.dumps(body)))

    def get(self, path: str) -> Any:
        """Read."""
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Any:
        """Write."""
        return self.call("POST", path, body if body is not None else {})

    def lines(self, path: str) -> list[dict[str, Any]]:
        """Read JSON lines."""
        return [orjson.loads(line) for line in asyncio.run(self._bytes("GET", path, None)).splitlines()]

    async def _call(self, method: str, path: str, body: bytes | None) -> Any:
        data = await self._bytes(method, path, body)
        return orjson.loads(data) if data else None

    async def _bytes(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {"Content-Type": "application/json", **self.headers}
        async with AiohttpTransport(policy=AddressPolicy(allow_private=True), max_body=1 << 30) as transport:
            answer = await transport.request(method, self.base + path, body=body, headers=headers, timeout=120)
        if answer.status >= 300:
            text = answer.body.decode(errors="replace")[:500]
            raise Unavailable("cli.demo_call_failed", method=method, path=path, status=answer.status, answer=text)
        return answer.body


def free_port() -> int:
    """A port that is free now on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def process(*arguments: str, log: Path, environment: Mapping[str, str] = _NO_HEADERS) -> Iterator[dict[str, Any]]:
    """Run a Python module beside us until the block ends; yields the line of JSON that it prints when it is ready."""
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **environment},
        )
        try:
            assert child.stdout is not None
            yield _ready(child.stdout, child, arguments[0], log)
        finally:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(15)
            if child.poll() is None:
                child.kill()
                child.wait()
            assert child.stdout is not None
            child.stdout.close()


def _ready(out: IO[bytes], child: "subprocess.Popen[bytes]", name: str, log: Path) -> dict[str, Any]:
    line = out.readline()
    try:
        found: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        child.wait(START_SECONDS)
        tail = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
        raise Unavailable("cli.demo_not_started", name=name, log=str(log), reason=" ".join(tail)) from None
    return found


def wait_for(question: Any, *, seconds: float) -> Any:
    """Ask until the answer is true, at most `seconds`; the last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = None
        with contextlib.suppress(NotSent):
            answer = question()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.2)
