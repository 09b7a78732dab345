"""The command: `python -m wechat_sandbox --port 0 --state FILE`."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wechat_sandbox.app import App
from wechat_sandbox.state import StateError, forget
from wechat_sandbox.world import World

_HELP = """Answers on 127.0.0.1 as api.weixin.qq.com and qyapi.weixin.qq.com do, and keeps a synthetic population whose
reaction to a message is known. One line of JSON on standard output says that it is ready: its address, its process id,
its health page. The page at / shows accounts, people, clock, faults and the ledger; the control API is under /sandbox.
SIGTERM or Ctrl-C ends it; started again with the same state file it goes on where it was."""
_FAILED = 2


def _protocol(app: App) -> type[asyncio.Protocol]:
    class Protocol(HttpToolsProtocol):
        """Tells the app about connections, so that faults can cut them."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class
            super().connection_made(transport)
            self.peer = tuple(transport.get_extra_info("peername")[:2])
            app.connections[self.peer] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            app.connections.pop(self.peer, None)

    return Protocol


class _Server(uvicorn.Server):
    """Prints one line of JSON when it answers."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        ready = {"url": self._address, "pid": os.getpid(), "health": f"{self._address}/sandbox/health"}
        sys.stdout.write(orjson.dumps(ready).decode() + "\n")
        sys.stdout.flush()


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="wechat_sandbox",
        description="A local imitation of WeChat's APIs with a simulated population.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument("--state", default="wechat-sandbox.db", help="SQLite file that keeps everything [%(default)s]")
    parser.add_argument("--fresh", action="store_true", help="forget what the state file has, and begin anew")
    parser.add_argument("--seed", type=int, help="decides everything drawn by chance [0, or that of the state file]")
    parser.add_argument(
        "--population", type=int, default=0, help="create so many people, unless the state file has some"
    )
    parser.add_argument("--clock", choices=("real", "virtual"), help="virtual: time stands still until it is moved")
    return parser.parse_args(argv)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every connection: head and body of an answer are two writes, and the second would wait up to 40 ms
    # for the caller to confirm the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def _world(options: argparse.Namespace) -> World:
    """The world of the state file, with its people; StateError when the file does not fit."""
    if options.fresh:
        forget(options.state)
    world = World(options.state, options.seed or 0)
    if options.seed is not None and options.seed != world.seed:
        raise StateError(f"{options.state} was begun with seed {world.seed}: give that, another file, or --fresh")
    people = world.population.people
    if options.population and not people.size:
        began = time.monotonic()
        _say(f"creating {options.population:,} people …")
        world.population.create(options.population, world.seed)
        _say(f"created in {time.monotonic() - began:.1f} s")
    elif options.population and people.size != options.population:
        _say(f"{options.state} has {people.size:,} people; --population is for a new state file (--fresh)")
    if options.clock:
        world.clock.set_mode(options.clock)
    return world


def _say(text: str) -> None:
    sys.stderr.write(f"wechat_sandbox: {text}\n")
    sys.stderr.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 at the end, 2 when the port or the state file cannot be used."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        return _serve(options)
    return 0


def _serve(options: argparse.Namespace) -> int:
    try:
        listener = _listen(options.port)
    except OSError as error:
        _say(f"cannot listen on 127.0.0.1:{options.port} ({error.strerror}): end the other program, or give --port 0")
        return _FAILED
    try:
        world = _world(options)
    except StateError as error:
        _say(str(error))
        listener.close()
        return _FAILED
    world.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = App(world)
    settings: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": 1,
        "timeout_keep_alive": 60,
    }
    config = uvicorn.Config(app, http=_protocol(app), ws="none", lifespan="on", **settings)
    _Server(config, world.address).run(sockets=[listener])
    return 0
