"""`tagcast post`: 企业微信 messages to customer groups, and Moments."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tagcast import broadcasts
from tagcast.cli.account import which
from tagcast.cli.frame import Frame, read_text
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

app = typer.Typer(no_args_is_help=True, help="Postings 客户群与朋友圈: draft, plan, send, status, cancel.")

Number = Annotated[int, typer.Argument(help="The posting's number.")]
FIELDS = ("kind", "name", "account", "content", "target", "purpose", "within_hours")


@app.command()
def draft(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="JSON: kind (groups, moments), name, account, content, target; - is stdin.")
    ],
) -> None:
    """Make a draft; nothing is sent."""
    frame = Frame.of(ctx)
    try:
        given = orjson.loads(read_text(file))
    except orjson.JSONDecodeError as error:
        raise Invalid("cli.bad_json", file=str(file), reason=str(error)) from None
    if not isinstance(given, dict) or set(given) - set(FIELDS) or {"kind", "name", "account", "content"} - set(given):
        raise Invalid("cli.bad_broadcast", file=str(file), known=", ".join(FIELDS))
    account = given["account"] if isinstance(given["account"], int) else which(given["account"])
    with frame.write() as work:
        frame.emit(broadcasts.postings.draft(work, **{**given, "account": account}))


@app.command()
def plan(ctx: typer.Context, posting: Number) -> None:
    """Which groups, or whose Moments; nothing is sent. Prints the hash that `send` asks for."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = broadcasts.postings.plan(work, posting)
    if frame.json:
        frame.emit(made)
        return
    zh = frame.lang == "zh"
    rows = [{"step": line.zh if zh else line.en, "count": line.count} for line in made.lines]
    frame.table(rows, ["step", "count"])
    frame.table([{"employee": name, "count": size} for name, size in made.shares.items()], ["employee", "count"])
    words = read_toml("broadcasts", "words.toml")["warning"]
    for warning in made.warnings:
        frame.say(f"! {words[warning]['en']}", f"! {words[warning]['zh']}")
    print(f"\n{made.hash}")


@app.command()
def send(ctx: typer.Context, plan_hash: Annotated[str, typer.Argument(metavar="HASH", help="From `plan`.")]) -> None:
    """Send exactly what was planned; refused when anything has moved since."""
    frame = Frame.of(ctx)
    frame.confirm(f"Send the plan {plan_hash} now?", f"现在发送计划 {plan_hash} 吗？")
    with frame.write() as work:
        sent = broadcasts.postings.send(work, plan_hash)
    frame.emit({"id": sent.id, "name": sent.name, "state": sent.state})


@app.command()
def ls(ctx: typer.Context) -> None:
    """All postings, the newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(
            broadcasts.postings.list_(work),
            ["id", "kind", "name", "account", "state", "started_at"],
            none=(
                "There is no posting yet. Write one as JSON and run: tagcast post draft FILE",
                "还没有客户群群发或朋友圈。请写成 JSON 后运行：tagcast post draft 文件",
            ),
        )


@app.command()
def status(ctx: typer.Context, posting: Number) -> None:
    """Where it stands, and what became of each group or employee."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        now = broadcasts.postings.status(work, posting)
    if frame.json:
        frame.emit(now)
        return
    frame.emit({"id": now.id, "state": now.state, "reason": now.reason, "waiting": now.waiting, **now.states})
    frame.table(now.outcomes, ["recipient", "status", "reason"])


@app.command()
def cancel(ctx: typer.Context, posting: Number) -> None:
    """Cancel what no employee has confirmed; what was sent stays, and is proven."""
    frame = Frame.of(ctx)
    frame.confirm(f"Cancel posting {posting}?", f"要取消 {posting} 吗？")
    with frame.write() as work:
        frame.emit({"id": posting, "state": broadcasts.postings.cancel(work, posting).state})


@app.command()
def resume(ctx: typer.Context, posting: Number) -> None:
    """Go on with one that stopped for a reason."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit({"id": posting, "state": broadcasts.postings.resume(work, posting).state})
