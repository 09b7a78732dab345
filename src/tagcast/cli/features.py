"""`tagcast features`: numbers and classes computed from behaviour."""

from datetime import datetime
from typing import Annotated

import typer

from tagcast import features
from tagcast.cli.frame import Frame
from tagcast.kit import clock

app = typer.Typer(no_args_is_help=True, help="Features 特征: RFM of the customers.")


@app.command()
def rfm(
    ctx: typer.Context,
    as_of: Annotated[datetime | None, typer.Option("--as-of", formats=["%Y-%m-%d"], help="Else today.")] = None,
    event: Annotated[str, typer.Option(help="Which events count.")] = "purchase",
) -> None:
    """Compute recency, frequency and money, with scores by quintile and the eight classes."""
    frame = Frame.of(ctx)
    zone = frame.settings().zone
    day = as_of.date() if as_of is not None else clock.local_day(clock.now(), zone)
    with frame.write() as work:
        _print(frame, features.compute_rfm(work, as_of=day, event=event, zone=zone))


@app.command()
def show(ctx: typer.Context) -> None:
    """The last computation: sizes of the classes, and of the 5 × 5 grid of R and F."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        _print(frame, features.table(work))


def _print(frame: Frame, table: features.RfmTable) -> None:
    if frame.json:
        frame.emit(table)
        return
    frame.table([{"class": name, "contacts": size} for name, size in table.classes.items()], ["class", "contacts"])
    cells = [
        {"R \\ F": f"R{r}", **{f"F{f}": size for f, size in enumerate(row, 1)}}
        for r, row in reversed(list(enumerate(table.grid, 1)))
    ]
    print()
    frame.table(cells, ["R \\ F", *(f"F{f}" for f in range(1, 6))])


@app.command()
def ls(ctx: typer.Context) -> None:
    """The features that a segment can use."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = list(features.names(work).values())
    frame.table(rows, ["name", "type", "label_zh", "label_en"])
