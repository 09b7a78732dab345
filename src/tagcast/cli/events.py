"""`tagcast events`: what contacts did: purchases, views, clicks."""

from pathlib import Path
from typing import Annotated

import typer

from tagcast import access, behaviour, contacts, files
from tagcast.cli.contacts import reading, tell
from tagcast.cli.frame import Frame, actor, readable

app = typer.Typer(no_args_is_help=True, help="Events 行为: declare a type, import a file.")


@app.command()
def declare(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="purchase, view …")],
    purpose: Annotated[str, typer.Option(help="What it is collected for.")],
    properties: Annotated[str, typer.Option(help="Names, by commas.")] = "",
) -> None:
    """Declare a type of event, before the first import."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(behaviour.declare_event(work, name, purpose, [one for one in properties.split(",") if one]))


@app.command()
def ls(ctx: typer.Context) -> None:
    """The declared types."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = list(behaviour.event_types(work).values())
    frame.table(
        rows,
        ["name", "purpose", "properties"],
        none=(
            "No type of event is declared yet. Declare one: tagcast events declare purchase --purpose …",
            "还没有声明事件类型。请先声明：tagcast events declare purchase --purpose …",
        ),
    )


@app.command(name="import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet; - is stdin.")],
    name: Annotated[str, typer.Option("--type", help="A declared type.")],
    mapping: Annotated[Path, typer.Option("--map", help='column = "contact:customer_id", "at", "amount" …')],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check all, change nothing.")] = False,
    errors: Annotated[Path | None, typer.Option(help="Copy the refused rows with their reasons here.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Else found out: UTF-8, GB18030 …")] = None,
) -> None:
    """Import events of contacts that are there. Running it again goes on, or changes nothing."""
    frame = Frame.of(ctx)
    targets = contacts.load_mapping(mapping)
    with readable(file) as source, frame.runtime() as runtime, reading(frame, file) as progress:
        table = files.open_table(source, encoding=encoding)
        result = behaviour.import_events(
            runtime, access.only_workspace(runtime), table, name, targets, actor=actor(), dry_run=dry_run,
            progress=progress,
        )  # fmt: skip
    tell(frame, result, errors)
