"""Slow heads, and answers in few pieces, on real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

from tagcast.server.patience import Patience


class Quick(Patience):
    head_seconds = 0.3


async def hello(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    if scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await asyncio.sleep(0.3)
    for piece in (b"a", b"b", b"c" * 100_000):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port() -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(hello, port=0, http=Quick, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def held(port: int, pieces: list[bytes], pause: float) -> float:
    """Seconds until the server closes a connection on which the pieces are sent with pauses; 5 when it does not."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(pause)
            while client.recv(1000):
                pass
        except TimeoutError:
            return 5.0
        except OSError:
            pass
    return time.monotonic() - began


WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [[b""], [b"GET / HT"], [bytes([one]) for one in WHOLE], [WHOLE, *([b"\r\n"] * 30)], [WHOLE, *([b"X"] * 30)]],
    ids=["nothing", "half a head", "byte by byte", "empty lines afterwards", "a second head byte by byte"],
)
def test_a_slow_head_is_cut_off(port: int, pieces: list[bytes]) -> None:
    assert 0.25 < held(port, pieces, 0.1) < 3.5


def test_an_ordinary_client_keeps_its_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for _ in range(8):
            client.sendall(WHOLE)
            assert client.recv(1000).endswith(b"ok")
            time.sleep(0.1)
        for half in (WHOLE[:10], WHOLE[10:]):
            client.sendall(half)
            time.sleep(0.1)
        assert client.recv(1000).endswith(b"ok")


def test_a_short_answer_comes_in_one_piece(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        for _ in range(50):
            client.sendall(WHOLE)
            head, _, body = client.recv(1000).partition(b"\r\n\r\n")
            assert (head[:15], body) == (b"HTTP/1.1 200 OK", b"ok")


def test_an_answer_that_takes_its_time_is_not_held_back(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(WHOLE.replace(b"/", b"/slow", 1))
        began = time.monotonic()
        got = client.recv(1000)
        assert time.monotonic() - began < 0.25
        assert got.endswith(b"\r\n\r\n")
        while more := client.recv(100_000):
            got += more
    body = got.partition(b"\r\n\r\n")[2]
    assert body == b"1\r\na\r\n1\r\nb\r\n186a0\r\n" + b"c" * 100_000 + b"\r\n0\r\n\r\n"
