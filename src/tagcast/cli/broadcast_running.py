"""`tagcast broadcast continue`, `retry`, `chunks`, `consents`: a broadcast on its way."""

from typing import Annotated

import typer

from tagcast import accounts, broadcasts
from tagcast.cli.account import which
from tagcast.cli.broadcast import Number, app
from tagcast.cli.frame import Frame


@app.command("continue")
def proceed(ctx: typer.Context, broadcast: Number) -> None:
    """Go on after the breaker stopped it, or to the next stage without waiting. To stop for good: `cancel`."""
    frame = Frame.of(ctx)
    frame.confirm(f"Go on with broadcast {broadcast}?", f"要继续群发 {broadcast} 吗？")
    with frame.write() as work:
        frame.emit({"id": broadcast, "state": broadcasts.proceed(work, broadcast).state})


@app.command()
def retry(
    ctx: typer.Context,
    broadcast: Number,
    reasons: Annotated[list[str], typer.Argument(help="Reasons as `status --json` names them.")],
) -> None:
    """Try those again who failed for these reasons. Caps, consent and suppression are asked anew."""
    frame = Frame.of(ctx)
    frame.confirm(f"Try broadcast {broadcast} again for {', '.join(reasons)}?", f"要重试群发 {broadcast} 中的失败吗？")
    with frame.write() as work:
        count = broadcasts.retry(work, broadcast, reasons)
    frame.emit({"id": broadcast, "retried": count})


@app.command()
def chunks(ctx: typer.Context, broadcast: Number) -> None:
    """The pieces in which it is sent, each with what became of its people."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.parts(work, broadcast, limit=100_000)
    rows = [
        {
            "no": one.no,
            "stage": one.stage + 1,
            "employee": one.sender,
            "done": one.done,
            "states": one.states if frame.json else ", ".join(f"{word} {count}" for word, count in one.states.items()),
            "moved_at": one.moved_at,
            "reason": one.trouble if frame.json else one.trouble_zh if frame.lang == "zh" else one.trouble_en,
        }
        for one in found
    ]
    none = ("Nothing is sent yet; a draft has no pieces.", "尚未发送，草稿没有分块。")
    frame.table(rows, ["no", "stage", "employee", "done", "states", "moved_at", "reason"], none=none, of="running")


@app.command()
def consents(ctx: typer.Context, account: Annotated[str, typer.Argument(help="Number or name.")]) -> None:
    """Consents for subscription messages that people gave and that are left, by template."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        known = broadcasts.consents_left(work, accounts.get(work, which(account)).id)
    rows = [{"template_id": template, "people": people, "consents": left} for template, (people, left) in known.items()]
    none = ("Nobody has given one yet; they come as callbacks.", "还没有人授权订阅消息；授权通过回调记录。")
    frame.table(rows, ["template_id", "people", "consents"], none=none, of="running")
