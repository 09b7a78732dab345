"""Running the server: bind, announce, serve, and end in order."""

import gc
import signal
import sys
import threading
from collections.abc import Callable
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket

import orjson
import uvicorn

from tagcast import access
from tagcast.kit import logs
from tagcast.kit.errors import Unavailable
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime
from tagcast.server.app import create_app
from tagcast.server.patience import Patience

Background = Callable[[Runtime, threading.Event], None]
"""Runs beside the server until the event is set."""

GRACE = 10
"""Seconds that open requests get to end, and then the background."""


GARBAGE = 20_000
"""Objects that pile up between two collections; with Python's 700 they take a twentieth of a callback's time."""


def serve(settings: Settings, *, background: Background | None = None) -> None:
    """Serve until SIGTERM or SIGINT, with `background` (the worker) in a thread. Prints one line when ready.

    The line is JSON unless a person reads it. Raises what opening the home raises, and Unavailable when the port is
    taken or the background died.
    """
    runtime = access.open_home(settings)
    try:
        run(runtime, background=background)
    finally:
        runtime.close()


def run(runtime: Runtime, *, background: Background | None = None) -> None:
    """`serve` on a runtime that is open."""
    listener = _listen(runtime.settings.host, runtime.settings.port)
    config = uvicorn.Config(
        create_app(runtime),
        http=Patience,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )
    server = _Announcing(config)
    beside = _Beside(runtime, background, server)
    # uvicorn raises the signal again once it has ended; by then it has done its work.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    beside.start()
    try:
        server.run([listener])
    finally:
        beside.end()
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()
    if beside.failure is not None:
        raise Unavailable("server.worker_died", reason=type(beside.failure).__name__) from beside.failure


def _ignore(_number: int, _frame: object) -> None:
    return


def _listen(host: str, port: int) -> socket:
    family = AF_INET6 if ":" in host else AF_INET
    try:
        listener = create_server((host, port), family=family, backlog=2048)
        # Inherited by every connection: head and body of an answer are two writes, and the second would wait up to
        # 40 ms for the caller to confirm the first. asyncio sets it only on sockets that name their protocol.
        listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise Unavailable(
            "server.port_taken", host=host, port=port, reason=(error.strerror or "").partition(" (")[0]
        ) from error


def _settle() -> None:
    """Spare the collector what lives as long as the process, and let it look for the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        _settle()
        if sockets and not self.should_exit:
            host, port = sockets[0].getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            line = f"Tagcast: {url}" if sys.stdout.isatty() else orjson.dumps({"url": url}).decode()
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


class _Beside:
    """The background thread: ended with the server, and ending it when it fails."""

    def __init__(self, runtime: Runtime, background: Background | None, server: uvicorn.Server) -> None:
        self.failure: BaseException | None = None
        self._runtime = runtime
        self._background = background
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(GRACE)

    def _work(self) -> None:
        if self._background is None:
            return
        try:
            self._background(self._runtime, self._stop)
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it; `run` raises this again
            logs.get("server").error("background died", exc_info=True)
            self.failure = error
            self._server.should_exit = True
