"""`tagcast quiet`: the hours in which nobody is written to."""

from typing import Annotated

import typer

from tagcast import accounts, compliance, contacts
from tagcast.cli.account import which
from tagcast.cli.frame import Frame

app = typer.Typer(no_args_is_help=True, help="Quiet hours 免打扰时段: when nobody is written to.")

Why = Annotated[str, typer.Option(help="Kept with it.")]


@app.command()
def show(ctx: typer.Context) -> None:
    """The hours, the purposes they do not hold for, and where they come from."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.emit(compliance.quiet_hours(work), of="quiet")


@app.command(name="set")
def set_(
    ctx: typer.Context,
    start: Annotated[str, typer.Argument(help="22:00; on a quarter hour.")],
    end: Annotated[str, typer.Argument(help="08:00; on a quarter hour.")],
    exempt: Annotated[
        list[str] | None, typer.Option(help="A purpose written for at any hour, e.g. service; repeatable.")
    ] = None,
    why: Why = "",
) -> None:
    """Set the hours, of the clock by which `tagcast caps zone` says; in force at once. Exempt purposes are replaced."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(compliance.set_quiet_hours(work, start=start, end=end, exempt=exempt or [], why=why), of="quiet")


@app.command()
def off(ctx: typer.Context, why: Annotated[str, typer.Option(help="Who decided it, and why.")]) -> None:
    """People may be written to at any hour."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(compliance.set_quiet_hours(work, on=False, why=why), of="quiet")


@app.command()
def on(ctx: typer.Context, why: Why = "") -> None:
    """The hours hold again."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(compliance.set_quiet_hours(work, on=True, why=why), of="quiet")


@app.command(name="next")
def next_(
    ctx: typer.Context,
    account: Annotated[str, typer.Argument(help="Name or number.")],
    purpose: Annotated[str | None, typer.Option(help="For a message of this purpose.")] = None,
) -> None:
    """For how many it is quiet now, and when the first may be written to."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        if purpose is not None:
            compliance.check_purpose(purpose)
        at = accounts.get(work, which(account)).id
        silent = compliance.quiet(work, at, contacts.everyone(work), work.now, purpose=purpose)
        opens = compliance.next_open(work, at, work.now, purpose=purpose)
    frame.emit({"quiet": len(silent), "next_open": opens}, of="quiet")
