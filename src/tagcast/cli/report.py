"""`tagcast report`: what a broadcast did."""

from pathlib import Path
from typing import Annotated

import typer

from tagcast import access, reports
from tagcast.cli.contacts import write_to
from tagcast.cli.frame import Frame, actor, plain

COLUMNS = ["figure", "value", "interval", "of"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def report() -> None:
    """Reports 报告: what broadcasts did."""


@app.command()
def broadcast(
    ctx: typer.Context,
    numbers: Annotated[list[int], typer.Argument(help="One or several numbers.")],
    event: Annotated[str, typer.Option(help="What counts as a conversion.")] = "purchase",
    days: Annotated[int, typer.Option(help="Days after the start that count.")] = 7,
    html: Annotated[Path | None, typer.Option(help="Write it as a page with charts.")] = None,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the figures as CSV.")] = None,
) -> None:
    """Reached, opened, clicked, converted, and the effect against the holdout, each with its interval.

    With --json all of it.
    """
    frame = Frame.of(ctx)
    zone = frame.settings().zone
    for file in (html, table):
        if file is not None:
            write_to(file)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        reports.catch_up(runtime, workspace, actor())
        with runtime.read(workspace, actor()) as work:
            made = [reports.broadcast_report(work, one, event=event, window_days=days) for one in numbers]
    if html is not None:
        html.write_text(reports.render_html(made, frame.lang, zone=zone), "utf-8")
        frame.say(f"Wrote {html}.", f"已写入 {html}。")
    if table is not None:
        table.write_text(reports.render_csv(made, frame.lang), "utf-8-sig", newline="")
        frame.say(f"Wrote {table}.", f"已写入 {table}。")
    if frame.json:
        frame.emit([plain(one) for one in made])
        return
    for one in made:
        print(f"{one.id} · {one.name}")
        rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in reports.lines(one, frame.lang)]
        frame.table(rows, COLUMNS)
        print(f"{reports.sentence(one, frame.lang)}\n")
