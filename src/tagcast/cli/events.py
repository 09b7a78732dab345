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
    properties: Annotated[str, typer.Option(help="name:kind by commas; text, number or flag.")] = "",
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
        ["name", "purpose", "properties", "zone"],
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


@app.command()
def record(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--type", help="A declared type.")],
    contact: Annotated[str, typer.Option(help="A number, or kind:value such as customer_id:C1001.")],
    at: Annotated[str, typer.Option(help="A day, ISO 8601 or an epoch; else now.")] = "",
    amount: Annotated[str, typer.Option(help="At most two decimals.")] = "0",
    quantity: Annotated[int, typer.Option(min=0)] = 1,
    properties: Annotated[list[str] | None, typer.Option("--property", help="name=value; again for more.")] = None,
    id_: Annotated[str, typer.Option("--id", help="The event's own: the same again changes nothing.")] = "",
) -> None:
    """Record one event."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        declared = behaviour.find_type(work, name)
        told = (text.partition("=") for text in properties or [])
        values = {key: behaviour.parse_value(declared, key, value) for key, _, value in told}
        event = behaviour.sent(name, contact, at or str(work.now_ms), amount, quantity, properties=values, id_=id_)
        frame.emit(behaviour.take_one(work, event))


@app.command()
def rebuild(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A declared type; else all.")] = None,
) -> None:
    """Count days anew from all events, in the present time zone. Changes nothing that was right."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        names = list(behaviour.event_types(work)) if name is None else [behaviour.find_type(work, name).name]
    if not names:
        frame.say("No type of event is declared yet.", "还没有声明事件类型。")
    for one in names:
        # One type a transaction, so that others may write in between.
        with frame.progress(one) as bar, frame.write() as work:
            count = behaviour.rebuild(work, one, zone=work.zone, progress=bar)
        frame.done(f"{one}: {count} events.", f"{one}：{count} 个事件。", type=one, events=count)
