"""`tagcast demo`: the main job, end to end, on real purchases and a made-up WeChat."""

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tagcast.cli.frame import FAILED, Frame
from tagcast.kit.errors import Conflict

DEFAULT_FOLDER = Path(".tagcast-demo")


def demo(
    ctx: typer.Context,
    folder: Annotated[Path | None, typer.Option(help="A new folder for everything that the demo makes.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is made up.")] = 7,
) -> None:
    """Import real purchases, tag, choose a crowd, broadcast on three kinds of account, measure, check itself.

    Needs no WeChat account: a sandbox on this machine answers as the platforms do.
    """
    from tagcast.cli.demo import people
    from tagcast.cli.demo.story import Story

    frame = Frame.of(ctx)
    people.purchase_history()
    place = folder or DEFAULT_FOLDER / f"{datetime.now():%Y%m%d-%H%M%S}"  # noqa: DTZ005 - a folder's name
    if place.exists():
        raise Conflict("cli.folder_exists", folder=str(place))
    place.mkdir(parents=True)
    started = time.monotonic()
    outcome = Story(frame, place.absolute(), seed).tell()
    frame.emit({**outcome, "seconds": round(time.monotonic() - started, 1)}, text=lambda: "")
    if not outcome["ok"]:
        raise typer.Exit(FAILED)
