"""`tagcast caps`: how often a person may hear from the workspace, and what somebody has had."""

from typing import Annotated, Literal

import typer

from tagcast import accounts, compliance
from tagcast.cli.account import which
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import Frame
from tagcast.kit.uow import Work

app = typer.Typer(no_args_is_help=True, help="Caps 上限: messages a person may get a day, week or month.")

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="all, kind:<kind> (wecom …), or account:<number or name>.")]
Period = Annotated[Literal["day", "week", "month"], typer.Argument(metavar="PERIOD", help="day, week or month.")]
Why = Annotated[str, typer.Option(help="Kept with it.")]


@app.command()
def ls(ctx: typer.Context) -> None:
    """The caps in force, beside what the accounts' own limits allow."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.table(compliance.caps(work), ["scope", "period", "value", "why", "who", "at"], of="caps")


@app.command(name="set")
def set_(
    ctx: typer.Context,
    scope: Scope,
    period: Period,
    value: Annotated[int, typer.Argument(help="Messages, from 0.")],
    why: Why = "",
) -> None:
    """Set a cap. It holds for what is planned and sent from now on; whoever has a slot keeps it."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(compliance.set_cap(work, _scope(work, scope), period, value, why), of="caps")


@app.command()
def unset(ctx: typer.Context, scope: Scope, period: Period) -> None:
    """Take a cap away; the monthly one over all accounts is the shipped one again."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        compliance.unset_cap(work, _scope(work, scope), period)
    frame.done(f"There is no own cap {scope} {period} any more.", f"已删除上限 {scope} {period}。", scope=scope)


@app.command()
def zone(
    ctx: typer.Context,
    whose: Annotated[
        Literal["account", "person"] | None, typer.Argument(help="Leave it out to see what is set.")
    ] = None,
    attribute: Annotated[str | None, typer.Option(help="The choice attribute with the person's IANA zone.")] = None,
    why: Why = "",
) -> None:
    """Whose calendar days and quiet hours count: the account's, or each person's own."""
    frame = Frame.of(ctx)
    if whose is None:
        with frame.read() as work:
            frame.emit(compliance.zones(work), of="caps")
        return
    with frame.write() as work:
        frame.emit(compliance.set_zones(work, whose, attribute, why=why), of="caps")


@app.command()
def used(
    ctx: typer.Context,
    who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")],
    account: Annotated[str, typer.Argument(help="Through which account: name or number.")],
) -> None:
    """What a person has had of each limit that a message through the account counts for."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = compliance.used(work, accounts.get(work, which(account)).id, number_of(work, who), work.now)
    frame.table(rows, ["name", "period", "used", "limit", "left", "first", "last", "zone"], of="caps")


def _scope(work: Work, text: str) -> str:
    """With an account's name as its number."""
    what, _, name = text.partition(":")
    named = what == "account" and name and not name.isdecimal()
    return f"account:{accounts.get(work, name).id}" if named else text
