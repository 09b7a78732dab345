"""The platform's side of a callback: prepared deliveries, pushed over kept connections without pipelining."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tagcast.channels import CallbackKeys, encrypt, signature

CONNECTIONS = 64
_SUCCESS = b"success"


def prepare(keys: CallbackKeys, path: str, first: int, size: int) -> list[bytes]:
    """Whole HTTP requests of `size` text messages numbered from `first`, signed now."""
    made = []
    now = str(int(time.time()))
    for number in range(first, first + size):
        xml = (
            f"<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName><FromUserName><![CDATA[oQ7mT5{number:022d}]]>"
            f"</FromUserName><CreateTime>{now}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[想问问"
            f"周末的活动还有名额吗]]></Content><MsgId>{24_000_000_000_000_000 + number}</MsgId></xml>"
        )
        encrypted = encrypt(keys, xml.encode())
        nonce = str(1_000_000_000 + number)
        query = urlencode(
            {
                "signature": signature(keys.token, now, nonce),
                "timestamp": now,
                "nonce": nonce,
                "openid": f"oQ7mT5{number:022d}",
                "encrypt_type": "aes",
                "msg_signature": signature(keys.token, now, nonce, encrypted),
            }
        )
        body = (
            f"<xml>\n    <ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>\n"
            f"    <Encrypt><![CDATA[{encrypted}]]></Encrypt>\n</xml>\n"
        )
        made.append(
            f"POST {path}?{query} HTTP/1.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    return made


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of deliveries: how many were answered with success, and how long each took, in seconds."""

    succeeded: int
    seconds: float
    waits: list[float]

    def percentile(self, share: float) -> float:
        """The wait in seconds that a share of the deliveries stayed below."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(len(self.waits) * share))]


class _Pusher(asyncio.Protocol):
    def __init__(self, work: "_Work") -> None:
        self._work = work
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._work.free.append(self)

    def push(self, request: bytes, due: float) -> None:
        """Send one request; `due` is when it should have been sent."""
        self._due = due
        self._got = b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._work.answered(self, self._due, head.startswith(b"HTTP/1.1 200") and body == _SUCCESS)

    def connection_lost(self, _error: Exception | None) -> None:
        self._work.lost()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


class _Work:
    """Requests dealt out to free connections: at once, or at a steady rate whatever the server does."""

    def __init__(self, requests: Sequence[bytes], rate: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._rate = rate
        self._next = 0
        self.free: list[_Pusher] = []
        self.waits: list[float] = []
        self.succeeded = 0
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._started = 0.0

    def start(self) -> None:
        self._started = self._loop.time()
        self._deal()

    def _deal(self) -> None:
        now = self._loop.time()
        while self.free and self._next < len(self._requests):
            due = self._started + self._next / self._rate if self._rate else now
            if due > now:
                self._loop.call_at(due, self._deal)
                return
            self.free.pop().push(self._requests[self._next], due)
            self._next += 1

    def answered(self, pusher: _Pusher, due: float, success: bool) -> None:
        self.waits.append(self._loop.time() - due)
        self.succeeded += success
        if len(self.waits) == len(self._requests):
            self.done.set_result(None)
            return
        if self._rate:
            waiting = not self.free
            self.free.append(pusher)
            if waiting:
                self._deal()
        elif self._next < len(self._requests):
            pusher.push(self._requests[self._next], self._loop.time())
            self._next += 1

    def lost(self) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed a connection"))


async def push(port: int, requests: Sequence[bytes], *, rate: float = 0.0) -> Pushed:
    """Deliver over 64 connections; with a `rate` (a second) at fixed times, where a wait counts from its time."""
    loop = asyncio.get_running_loop()
    work = _Work(requests, rate)
    opened = [await loop.create_connection(lambda: _Pusher(work), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    work.start()
    await work.done
    seconds = time.perf_counter() - began
    for transport, _ in opened:
        transport.close()
    return Pushed(work.succeeded, seconds, work.waits)
