"""A platform that only answers: `python -m bench.echo DELAY_MS [CERTIFICATE]` prints its port and serves.

It takes any template send and answers a message id that depends on all the call means, so that clients whose bodies
differ in spelling alone get the same answers (`msgid`). The delay stands for the way to a real platform and back.
The body {"report": true} is answered with what came since the last report (`Report`).
"""

import asyncio
import itertools
import resource
import ssl
import sys
import time
import zlib
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import httptools
import orjson
import uvloop

_TICK = 0.0005
_TOKEN = b'{"access_token":"%s","expires_in":7200}' % (b"T" * 136)


def msgid(body: Mapping[str, object]) -> int:
    """The id for a template send."""
    said = [body["touser"], body["template_id"], body["data"], body.get("url") or ""]
    return zlib.crc32(orjson.dumps(said, option=orjson.OPT_SORT_KEYS))


@dataclass(frozen=True, slots=True)
class Report:
    """Calls, people called (by their keys), seconds from the first to the last call, the most calls in any second,
    and the longest time without one, with how many calls had come before it.
    """

    calls: int
    people: int
    seconds: float
    busiest: int
    gap: float
    before_gap: int

    @classmethod
    def of(cls, times: Sequence[float], people: int) -> "Report":
        if len(times) < 2:
            return cls(len(times), people, 0.0, len(times), 0.0, 0)
        busiest = max(index + 1 - bisect_left(times, at - 1.0, 0, index) for index, at in enumerate(times))
        gap, before = max((later - at, index + 1) for index, (at, later) in enumerate(itertools.pairwise(times)))
        return cls(len(times), people, times[-1] - times[0], busiest, gap, before)


class _Seen:
    """When calls came, and their keys."""

    def __init__(self) -> None:
        self.times = array("d")
        self.people: set[str] = set()

    def report(self) -> Report:
        told = Report.of(self.times, len(self.people))
        self.__init__()  # type: ignore[misc] # as new
        return told


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
            if not transport.is_closing():
                transport.write(answer)
        if self._waiting:
            self._loop.call_later(max(self._waiting[0][0] - now, _TICK), self._due)


class _Connection(asyncio.Protocol):
    def __init__(self, late: _Late, seen: _Seen) -> None:
        self._late = late
        self._seen = seen

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
        if "report" in body:
            answer = orjson.dumps(asdict(self._seen.report()))
        elif "grant_type" in body:
            answer = _TOKEN
        else:
            self._seen.times.append(time.monotonic())
            self._seen.people.add(body.get("client_msg_id", body["touser"]))
            answer = b'{"errcode":0,"errmsg":"ok","msgid":%d}' % msgid(body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        self._late.write(self._transport, head + answer)


def many_files() -> None:
    """Let this process have the connections that the benchmark opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))


async def _main(delay: float, certificate: str) -> None:
    late, seen = _Late(delay), _Seen()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(late, seen), "127.0.0.1", 0, backlog=1024, ssl=tls
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    many_files()
    uvloop.run(_main(float(sys.argv[1]) / 1000, sys.argv[2] if len(sys.argv) > 2 else ""))
