"""The command: `python -m wechat_sandbox --port 0 --state FILE`."""

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from wechat_sandbox.app import App
from wechat_sandbox.world import World


def _protocol(app: App) -> type[asyncio.Protocol]:
    class Protocol(H11Protocol):
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


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 at the end."""
    parser = argparse.ArgumentParser(
        prog="wechat_sandbox", description="A local imitation of WeChat's APIs with a simulated population."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--state", default="wechat-sandbox.db", help="SQLite file that keeps the state")
    parser.add_argument("--seed", type=int, default=0, help="decides everything drawn by chance")
    parser.add_argument(
        "--population", type=int, default=0, help="create so many people unless the state file has some"
    )
    options = parser.parse_args(argv)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    world = World(options.state, options.seed)
    if options.population and not world.population.people.size:
        world.population.create(options.population, world.seed)
    world.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = App(world)
    settings: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "timeout_graceful_shutdown": 1,
        "timeout_keep_alive": 60,
    }
    config = uvicorn.Config(app, http=_protocol(app), ws="none", lifespan="on", **settings)
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, world.address).run(sockets=[listener])
    return 0
