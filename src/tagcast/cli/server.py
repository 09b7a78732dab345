"""`tagcast serve`: the HTTP API and the routes of phones and platforms."""

from typing import Annotated

import typer

from tagcast import server
from tagcast.cli.frame import Frame
from tagcast.kit import logs


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Else TAGCAST_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Else TAGCAST_PORT; 0: any free one.")] = None,
) -> None:
    """Serve the HTTP API."""
    settings = Frame.of(ctx).settings(host=host, port=port)
    logs.configure(settings.log_level)
    server.serve(settings)
