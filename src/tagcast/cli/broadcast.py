"""`tagcast broadcast`: draft, plan, send, watch, stop."""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any

import orjson
import typer

from tagcast import broadcasts
from tagcast.cli.account import which
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import PARTLY_SENT, Frame, read_text
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

app = typer.Typer(no_args_is_help=True, help="Broadcasts 群发: draft, plan, send, status.")

Number = Annotated[int, typer.Argument(help="The broadcast's number.")]
FIELDS: dict[str, type | UnionType] = {
    "name": str,
    "account": int | str,
    "audience": str | dict,
    "content": dict,
    "purpose": str,
    "holdout_percent": int | float,
    "settings": dict,
}
OVER = ("finished", "cancelled", "expired")


@app.command()
def draft(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="JSON: name, account, audience, content, and what the how-to lists; - is stdin."),
    ],
) -> None:
    """Make a draft; nothing is sent."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(broadcasts.draft(work, **_read(file)))


def _read(file: Path) -> dict[str, Any]:
    try:
        given = orjson.loads(read_text(file))
    except orjson.JSONDecodeError as error:
        raise Invalid("cli.bad_json", file=str(file), reason=str(error)) from None
    missing = {"name", "account", "audience", "content"} - set(given if isinstance(given, dict) else ())
    if missing or set(given) - set(FIELDS):
        raise Invalid("cli.bad_broadcast", file=str(file), known=", ".join(sorted(FIELDS)))
    for field, value in given.items():
        if not isinstance(value, FIELDS[field]) or isinstance(value, bool):
            raise Invalid("cli.bad_field", file=str(file), field=field)
    return given if isinstance(given["account"], int) else {**given, "account": which(given["account"])}


@app.command()
def plan(ctx: typer.Context, broadcast: Number) -> None:
    """Who would get it, who is left out and why; nothing is sent. Prints the plan's hash, which `send` asks for."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = broadcasts.plan(work, broadcast)
        steps = broadcasts.waterfall(work, broadcast)
        size = next(step.count for step in steps if step.name == "assigned")
        approval = broadcasts.approval_reasons(work, broadcasts.get(work, broadcast), size)
    if frame.json:
        found = {"hash": made.hash, "broadcast": broadcast, "steps": steps, "warnings": made.warnings}
        frame.emit({**found, **made.notes, "approval": approval})
        return
    label = "label_zh" if frame.lang == "zh" else "label_en"
    frame.table([{"step": getattr(step, label), "contacts": step.count} for step in steps], ["step", "contacts"])
    took, cost = made.notes["duration"], made.notes["cost"]
    frame.say(
        f"Takes at least {took['seconds']:,.0f} s: {took['calls']:,} calls.",
        f"至少需要 {took['seconds']:,.0f} 秒：{took['calls']:,} 次调用。",
    )
    last = made.notes["quota"]["left"][1]
    if last:
        frame.say(f"It is the last message of the month for {last:,}.", f"对其中 {last:,} 人是本月最后一次。")
    if cost is not None and cost["total"]:
        frame.say(f"Costs {cost['total']:,.2f} {cost['currency']}.", f"费用 {cost['total']:,.2f} {cost['currency']}。")
    words = read_toml("broadcasts", "words.toml")["warning"]
    for warning in [*made.warnings, *(["approval"] if approval else [])]:
        frame.say(f"! {words[warning]['en']}", f"! {words[warning]['zh']}")
    print(f"\n{made.hash}")


@app.command()
def send(ctx: typer.Context, plan_hash: Annotated[str, typer.Argument(metavar="HASH", help="From `plan`.")]) -> None:
    """Send exactly what was planned; refused when anything has moved since.

    `tagcast serve` or `tagcast worker` does the sending.
    """
    frame = Frame.of(ctx)
    frame.confirm(f"Send the plan {plan_hash} now?", f"现在发送计划 {plan_hash} 吗？")
    with frame.write() as work:
        sent = broadcasts.send(work, plan_hash)
    frame.say(f"{sent.name} is being sent.", f"{sent.name} 正在发送。")
    frame.emit({"id": sent.id, "name": sent.name, "state": sent.state})


@app.command()
def ls(ctx: typer.Context) -> None:
    """All broadcasts, the newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(
            broadcasts.all_(work),
            ["id", "name", "account", "route", "state", "purpose", "started_at"],
            none=(
                "There is no broadcast yet. Write one as JSON and run: tagcast broadcast draft FILE",
                "还没有群发。请写成 JSON 后运行：tagcast broadcast draft 文件",
            ),
        )


@app.command()
def status(
    ctx: typer.Context,
    broadcast: Number,
    watch: Annotated[bool, typer.Option("--watch", help="Until it is over; with --json one object a line.")] = False,
) -> None:
    """Where it stands. Exit code 3 when it is over and some were not reached."""
    frame = Frame.of(ctx)
    version = ""
    while True:
        now = broadcasts.wait_for_change(frame.read, broadcast, version)
        with frame.read() as work:
            failures = broadcasts.failures(work, broadcast)
        if now.version != version:
            frame.emit(_standing(frame, broadcast, now, failures))
        version = now.version
        if not watch or now.state in OVER:
            break
    reached = now.states.get("accepted", 0) + now.states.get("delivered", 0)
    if now.state in OVER and reached < now.assigned:
        raise typer.Exit(PARTLY_SENT)


def _standing(
    frame: Frame, broadcast: int, now: broadcasts.Progress, failures: Sequence[broadcasts.Failure]
) -> dict[str, Any]:
    """What `status` shows; what has no value is left out, but for a machine."""
    zh = frame.lang == "zh"
    shown: dict[str, Any] = {
        "id": broadcast,
        "state": now.state,
        "reason": now.reason if frame.json or now.reason is None else now.reason_zh if zh else now.reason_en,
        "assigned": now.assigned,
        "holdout": now.holdout,
        **now.states,
    }
    more: dict[str, Any] = {
        "stage": f"{now.stage}/{now.stages}" if now.stages else None,
        "waits_until": now.waits_until,
        "rate": now.rate,
        "seconds_left": now.seconds_left,
        "waiting_employees": now.waiting_employees or None,
        "waiting_recipients": now.waiting_recipients or None,
        "stuck": None if now.stuck is None else now.stuck.word if frame.json else now.stuck.zh if zh else now.stuck.en,
    }
    shown |= {name: value for name, value in more.items() if frame.json or value is not None}
    told = {one.reason if frame.json else one.sentence_zh if zh else one.sentence_en: one.count for one in failures}
    return {**shown, "failures": told}


@app.command()
def pause(ctx: typer.Context, broadcast: Number) -> None:
    """Stop calling; what is in flight is recorded."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit({"id": broadcast, "state": broadcasts.pause(work, broadcast).state})


@app.command()
def resume(ctx: typer.Context, broadcast: Number) -> None:
    """Go on with a paused one."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit({"id": broadcast, "state": broadcasts.resume(work, broadcast).state})


@app.command()
def cancel(ctx: typer.Context, broadcast: Number) -> None:
    """Stop for good; who was called stays called."""
    frame = Frame.of(ctx)
    frame.confirm(f"Cancel broadcast {broadcast}?", f"要取消群发 {broadcast} 吗？")
    with frame.write() as work:
        frame.emit({"id": broadcast, "state": broadcasts.cancel(work, broadcast).state})


@app.command()
def why(
    ctx: typer.Context, broadcast: Number, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]
) -> None:
    """Why one contact got it, or did not."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        word, zh, en = broadcasts.why(work, broadcast, number_of(work, who))
    frame.emit({"word": word, "zh": zh, "en": en}, text=lambda: zh if frame.lang == "zh" else en)
