"""`tagcast serve` and `tagcast worker`: the two kinds of process that run."""

import signal
import threading
from typing import Annotated

import typer

from tagcast import server, worker
from tagcast.cli.frame import Frame
from tagcast.kit import logs


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Else TAGCAST_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Else TAGCAST_PORT; 0: any free one.")] = None,
    alone: Annotated[bool, typer.Option("--alone", help="Without a worker; run `tagcast worker` beside it.")] = False,
) -> None:
    """Serve the HTTP API and the routes of phones and platforms, with a worker beside it."""
    settings = Frame.of(ctx).settings(host=host, port=port)
    logs.configure(settings.log_level)
    server.serve(settings, background=None if alone else worker.run)


def run(ctx: typer.Context) -> None:
    """Send, settle and let events be followed, until SIGTERM or Ctrl-C; any number may run on PostgreSQL."""
    frame = Frame.of(ctx)
    logs.configure(frame.settings().log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with frame.runtime() as runtime:
        frame.say("The worker runs.", "工作进程已启动。")
        worker.run(runtime, stop)
