"""`tagcast broadcast`, around the plan: change a draft, look into a plan, approve it, see what is coming."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import orjson
import typer
from pyroaring import BitMap

from tagcast import accounts, broadcasts
from tagcast.cli.account import which
from tagcast.cli.broadcast import Number, app
from tagcast.cli.frame import Frame, created, read_text
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

Hash = Annotated[str, typer.Argument(metavar="HASH", help="From `plan`.")]
Note = Annotated[str, typer.Option(help="Why; it is kept.")]
Days = Annotated[int, typer.Option(min=1, max=broadcasts.MOST_DAYS, help="From now on.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write all of them to a new file.")]
LIST = 100
_NOTHING = ("Nothing is scheduled.", "没有已排期的群发。")
_NOBODY = ("Nobody.", "没有人。")


@app.command()
def show(ctx: typer.Context, broadcast: Number) -> None:
    """A broadcast as JSON, as `edit` and `draft` take it."""
    with Frame.of(ctx).read() as work:
        found = broadcasts.get(work, broadcast)
    given = {name: getattr(found, name) for name in broadcasts.GIVEN}
    print(orjson.dumps(given, option=orjson.OPT_INDENT_2).decode())


@app.command()
def edit(
    ctx: typer.Context,
    broadcast: Number,
    file: Annotated[Path, typer.Argument(help="JSON of what changes; - is stdin.")],
) -> None:
    """Change a draft; what the file does not name stays. Its plan dies."""
    try:
        given = orjson.loads(read_text(file))
    except orjson.JSONDecodeError as error:
        raise Invalid("cli.bad_json", file=str(file), reason=str(error)) from None
    if not isinstance(given, dict):
        raise Invalid("cli.bad_broadcast", file=str(file), known=", ".join(broadcasts.GIVEN))
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(broadcasts.edit(work, broadcast, given))


@app.command(name="copy")
def copy_(ctx: typer.Context, broadcast: Number, name: Annotated[str, typer.Option(help="Of the copy.")] = "") -> None:
    """A new draft that says the same to the same people."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(broadcasts.copy(work, broadcast, name))


@app.command()
def delete(ctx: typer.Context, broadcast: Number) -> None:
    """Delete a draft; `undo` brings it back."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        broadcasts.delete(work, broadcast)
    frame.done(
        f"Deleted. Take it back with: tagcast broadcast undo {broadcast}",
        f"已删除，可用 tagcast broadcast undo {broadcast} 恢复",
        id=broadcast,
    )


@app.command()
def undo(ctx: typer.Context, broadcast: Number) -> None:
    """Take the newest change of a draft back, or its deletion."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(broadcasts.undo(work, broadcast))


@app.command()
def moved(ctx: typer.Context, broadcast: Number) -> None:
    """What moved since the plan: how many, from which step to which, and some of them."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        before, found = broadcasts.moved(work, broadcast)
    if frame.json:
        frame.emit({"hash": before.hash, "moves": found})
        return
    rows = [
        {
            "before": broadcasts.label(move.before, frame.lang),
            "after": broadcasts.label(move.after, frame.lang),
            "contacts": move.count,
            "some": ", ".join(map(str, move.examples)),
        }
        for move in found
    ]
    none = ("Nobody moved since the plan.", "计划之后没有人变动。")
    frame.table(rows, ["before", "after", "contacts", "some"], of="plans", none=none)


@app.command(name="list")
def list_(
    ctx: typer.Context,
    broadcast: Number,
    name: Annotated[str, typer.Argument(help="A step of the plan (no_consent, yields, assigned …) or an outcome.")],
    file: Csv = None,
) -> None:
    """The contacts of a step or an outcome: the first hundred, or all as CSV with the reason."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        members = broadcasts.members(work, broadcast, name)
        if file is not None:
            with created(file) as out:
                out.writelines(broadcasts.members_csv(work, broadcast, name))
    if file is not None:
        frame.done(f"{len(members):,} lines.", f"{len(members):,} 行。", file=str(file), lines=len(members))
        return
    rows = [{"contact": number, "step": broadcasts.label(name, frame.lang)} for number in members[:LIST]]
    frame.table(rows, ["contact", "step"], of="plans", none=_NOBODY)
    _more(frame, len(members))


@app.command()
def approve(ctx: typer.Context, plan_hash: Hash, note: Note = "") -> None:
    """Approve a plan that another operator made."""
    _decide(Frame.of(ctx), plan_hash, note, approved=True)


@app.command()
def reject(ctx: typer.Context, plan_hash: Hash, note: Note = "") -> None:
    """Reject a plan; it cannot be sent, a new one can."""
    _decide(Frame.of(ctx), plan_hash, note, approved=False)


def _decide(frame: Frame, plan_hash: str, note: str, *, approved: bool) -> None:
    with frame.write() as work:
        frame.emit(broadcasts.decide(work, plan_hash, approved=approved, note=note), of="plans")


@app.command()
def approval(
    ctx: typer.Context,
    above: Annotated[int | None, typer.Option(help="Ask for more recipients than this; -1: at no size.")] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="Ask for this purpose; `-`: for none.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Ask for audiences of this tag; `-`: for none.")] = None,
) -> None:
    """When a second person has to approve; without options what is set."""
    given: dict[str, object] = {} if above is None else {"above": None if above == -1 else above}
    given |= {} if purpose is None else {"purposes": [one for one in purpose if one != "-"]}
    given |= {} if tag is None else {"tags": [one for one in tag if one != "-"]}
    frame = Frame.of(ctx)
    if given:
        with frame.write() as work:
            frame.emit(broadcasts.set_approval(work, given), of="plans")
        return
    with frame.read() as work:
        frame.emit(broadcasts.approval(work), of="plans")


@app.command()
def costs(
    ctx: typer.Context,
    of: Annotated[str, typer.Argument(help="<kind of account>.<kind of message>, to set it.")] = "",
    value: Annotated[float, typer.Option(help="What one message costs.")] = 0.0,
    currency: Annotated[str, typer.Option()] = "CNY",
    source: Annotated[str, typer.Option(help="Where the figure is from.")] = "",
) -> None:
    """What messages cost; with a kind, set it."""
    frame = Frame.of(ctx)
    if of:
        with frame.write() as work:
            found = broadcasts.set_cost(work, of, value, currency, source)
    else:
        with frame.read() as work:
            found = broadcasts.costs(work)
    rows = [{"kind": kind, **entry} for kind, entry in found.items()]
    frame.table(rows, ["kind", "value", "currency", "source", "date"], of="plans")


@app.command()
def calendar(ctx: typer.Context, days: Days = 31) -> None:
    """What is coming, by day and account."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.calendar(work, days)
    frame.table(found, ["day", "at", "account", "broadcast", "name", "size"], of="plans", none=_NOTHING)


@app.command()
def forecast(
    ctx: typer.Context,
    days: Days = 31,
    account: Annotated[str, typer.Option(help="With --day: who has no slot left.")] = "",
    day: Annotated[str, typer.Option(help="YYYY-MM-DD.")] = "",
    file: Csv = None,
) -> None:
    """How many have no slot left when what is coming is sent, by day and account; with --account and --day who."""
    frame = Frame.of(ctx)
    if account or day:
        _people(frame, file, lambda work: broadcasts.out_of_quota(work, _account(work, account), _day(day), days))
        return
    with frame.read() as work:
        found = broadcasts.forecast(work, days)
    columns = ["day", "account", "broadcasts", "messages", "people", "out", "new", "left", "account_left"]
    frame.table(found, columns, of="plans", none=_NOTHING)


@app.command()
def quota(
    ctx: typer.Context,
    account: str,
    left: Annotated[int | None, typer.Option(help="List who may still get so many this month; 3: or more.")] = None,
    file: Csv = None,
) -> None:
    """Sends of an account used and left, and how many of its people may still get 0, 1, 2, 3 or more this month."""
    frame = Frame.of(ctx)
    if left is not None:
        _people(frame, file, lambda work: broadcasts.with_left(work, which(account), left))
        return
    with frame.read() as work:
        found = broadcasts.quota(work, which(account))
    if frame.json:
        frame.emit(found)
        return
    frame.table(found.uses, ["period", "first", "last", "used", "scope", "limit", "left"], of="plans")
    print()
    names = [*map(str, range(broadcasts.MOST_LEFT)), f"{broadcasts.MOST_LEFT}+"]
    frame.table(
        [{"left": name, "people": count} for name, count in zip(names, found.left, strict=True)],
        ["left", "people"],
        of="plans",
    )


def _people(frame: Frame, file: Path | None, who: Callable[[Work], BitMap]) -> None:
    with frame.read() as work:
        members = who(work)
    if file is not None:
        with created(file) as out:
            out.write("contact\r\n")
            out.writelines(f"{number}\r\n" for number in members)
        frame.done(f"{len(members):,} lines.", f"{len(members):,} 行。", file=str(file), lines=len(members))
        return
    frame.table([{"contact": number} for number in members[:LIST]], ["contact"], of="plans", none=_NOBODY)
    _more(frame, len(members))


def _more(frame: Frame, size: int) -> None:
    if size > LIST:
        frame.say(f"… and {size - LIST:,} more: --csv FILE", f"…… 另有 {size - LIST:,} 人：--csv 文件")


def _account(work: Work, text: str) -> int:
    return accounts.get(work, which(text)).id


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("cli.bad_day", day=text) from None
