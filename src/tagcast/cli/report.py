"""`tagcast report`: what a broadcast did."""

from pathlib import Path
from typing import Annotated

import typer

from tagcast import access, reports
from tagcast.cli.contacts import write_to
from tagcast.cli.frame import Frame, actor, plain

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
) -> None:
    """Reached, opened, clicked, converted, and the effect against the holdout, each with its interval.

    A table as CSV; with --json all of it.
    """
    frame = Frame.of(ctx)
    zone = frame.settings().zone
    if html is not None:
        write_to(html)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        reports.catch_up(runtime, workspace, actor())
        with runtime.read(workspace, actor()) as work:
            made = [reports.broadcast_report(work, one, event=event, window_days=days) for one in numbers]
    if html is not None:
        html.write_text(reports.render_html(made, frame.lang, zone=zone), "utf-8")
        frame.say(f"Wrote {html}.", f"已写入 {html}。")
    frame.emit([plain(one) for one in made], text=lambda: reports.render_csv(made, frame.lang).rstrip())
