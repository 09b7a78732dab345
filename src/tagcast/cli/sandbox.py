"""`tagcast sandbox`: start the local server that answers as the platforms do."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from tagcast.cli.frame import Frame


def sandbox(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="0: any free one.")] = 8400,
    state: Annotated[Path | None, typer.Option(help="Its SQLite file; else sandbox.db in the home.")] = None,
    population: Annotated[int, typer.Option(help="How many people, when the state has none yet.")] = 2000,
    seed: Annotated[int, typer.Option(help="Fixes everything about them.")] = 7,
) -> None:
    """Start the WeChat sandbox 沙箱; it prints its address as a line of JSON. Ctrl-C ends it."""
    file = state or Frame.of(ctx).settings().home / "sandbox.db"
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "wechat_sandbox", "--port", str(port), "--state", str(file)]
    started = subprocess.Popen([*command, "--population", str(population), "--seed", str(seed)])
    while True:
        try:
            code = started.wait()
        except KeyboardInterrupt:  # the sandbox got the signal too, and ends by itself
            continue
        raise typer.Exit(max(code, 0))
