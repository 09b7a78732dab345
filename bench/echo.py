"""A platform that only answers: `python -m bench.echo DELAY_MS [CERTIFICATE]` prints its port and serves.

It takes any template send and answers a message id that depends on all the call means, so that clients whose bodies
differ in spelling alone get the same answers (`msgid`). The delay stands for the way to a real platform and back.
"""

import asyncio
import resource
import ssl
import sys
import zlib
from collections import deque
from collections.abc import Mapping

import httptools
import orjson
import uvloop

_TICK = 0.0005
_TOKEN = b'{"access_token":"%s","expires_in":7200}' % (b"T" * 136)


def msgid(body: Mapping[str, object]) -> int:
    """The id for a template send."""
    said = [body["touser"], body["template_id"], body["data"], body.get("url") or ""]
    return zlib.crc32(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))


class _Late:
    """Answers that wait for their time, looked at by one timer."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def write(self, transport: asyncio.Transport, answer: bytes) -> None:
        if not self._delay:
            transport.write(answer)
            return
        if not self._waiting:
            self._loop.call_later(self._delay, self._due)
        self._waiting.append((self._loop.time() + self._delay, transport, answer))

    def _due(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, transport, answer = self._waiting.popleft()
            transport.write(answer)
        if self._waiting:
            self._loop.call_later(max(self._waiting[0][0] - now, _TICK), self._due)


class _Connection(asyncio.Protocol):
    def __init__(self, late: _Late) -> None:
        self._late = late

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body: list[bytes] = []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = orjson.loads(b"".join(self._body))
        answer = _TOKEN if "grant_type" in body else b'{"errcode":0,"errmsg":"ok","msgid":%d}' % msgid(body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        self._late.write(self._transport, head + answer)


def many_files() -> None:
    """Let this process have the connections that the benchmark opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))


async def _main(delay: float, certificate: str) -> None:
    late = _Late(delay)
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(late), "127.0.0.1", 0, backlog=1024, ssl=tls
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    many_files()
    uvloop.run(_main(float(sys.argv[1]) / 1000, sys.argv[2] if len(sys.argv) > 2 else ""))
