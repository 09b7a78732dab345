"""`tagcast broadcast`, the time of sending: schedule, unschedule, reschedule, moments."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from tagcast import broadcasts
from tagcast.cli.account import which
from tagcast.cli.broadcast import Number, app
from tagcast.cli.frame import Frame, read_text
from tagcast.kit.errors import Invalid

Count = Annotated[int, typer.Option(min=1, max=100, help="How many moments to come.")]


@app.command()
def schedule(
    ctx: typer.Context, plan_hash: Annotated[str, typer.Argument(metavar="HASH", help="From `plan`.")]
) -> None:
    """Send what was planned when its time comes, or a copy at each moment of its calendar."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        found = broadcasts.schedule(work, plan_hash)
    frame.emit({"id": found.id, "name": found.name, "state": found.state, "due_at": found.due_at})


@app.command()
def unschedule(ctx: typer.Context, broadcast: Number) -> None:
    """Back to a draft: nothing is sent by itself any more."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit({"id": broadcast, "state": broadcasts.unschedule(work, broadcast).state})


@app.command()
def reschedule(
    ctx: typer.Context,
    broadcast: Number,
    at: Annotated[str, typer.Option(help="Once, local time: 2026-12-01T10:00.")] = "",
    file: Annotated[Path | None, typer.Option(help="JSON of the schedule; - is stdin.")] = None,
) -> None:
    """Set another time and plan for it; a draft again if people moved since."""
    frame = Frame.of(ctx)
    section = {"at": at} if at else _read(file)
    with frame.write() as work:
        found, plan, changes = broadcasts.reschedule(work, broadcast, section)
    if changes:
        frame.say(
            f"It is a draft again: look at the plan, then run: tagcast broadcast schedule {plan.hash}",
            f"已变回草稿，请核对计划后运行：tagcast broadcast schedule {plan.hash}",
        )
    told = {"id": broadcast, "state": found.state, "due_at": found.due_at, "hash": plan.hash}
    frame.emit({**told, "moved": changes if frame.json else "; ".join(changes)}, of="schedule")


@app.command()
def moments(
    ctx: typer.Context,
    broadcast: Annotated[int | None, typer.Argument(help="The broadcast's number; or give --file.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON of a schedule to look at; - is stdin.")] = None,
    account: Annotated[str, typer.Option(help="Whose zone the file is in.")] = "",
    count: Count = 10,
) -> None:
    """When it is due next, and what became of the latest moments."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        if broadcast is None:
            _, coming = broadcasts.preview_schedule(work, which(account), _read(file), count)
            past = []
        else:
            coming = broadcasts.coming(work, broadcast, count)
            past = broadcasts.occurrences(work, broadcast)[:count]
    rows = [
        {"due": one.due, "verdict": one.verdict, "broadcast": one.made, "said": _said(one.said)}
        for one in reversed(past)
    ] + [{"due": one, "verdict": "to_come", "broadcast": None, "said": ""} for one in coming]
    none = ("It has no schedule, or its time has passed.", "没有设置发送时间，或时间已过。")
    frame.table(rows, ["due", "verdict", "broadcast", "said"], of="schedule", none=none)


def _said(said: dict[str, Any]) -> str:
    return "; ".join([str(said.get("code", "")), *said.get("moved", [])]).strip("; ")


def _read(file: Path | None) -> dict[str, Any]:
    text = "" if file is None else read_text(file)
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid("cli.bad_json", file=str(file or "--file"), reason=str(error)) from None
    return given if isinstance(given, dict) else {"schedule": given}
