"""`tagcast tags`: the tree, who holds a tag, and every change of it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tagcast import accounts, bitmaps, contacts, tags
from tagcast.cli.account import which
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import Frame
from tagcast.cli.tag_sync import app as sync_app
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

app = typer.Typer(no_args_is_help=True, help="Tags 标签: the tree, tagging, history, undo, synchronisation.")
app.add_typer(sync_app, name="sync")

Account = Annotated[str | None, typer.Option("--account", help="Name or number; else the workspace's own tags.")]
Path_ = Annotated[str, typer.Argument(metavar="TAG", help='"会员/金卡", or its number.')]
Why = Annotated[str, typer.Option(help="Kept in the history.")]


def _account(work: Work, account: str | None) -> int | None:
    return None if account is None else accounts.get(work, which(account)).id


def find_tag(work: Work, text: str, account: str | None) -> tags.Tag:
    """A tag by its number or path. Raises NotFound."""
    if text.isascii() and text.isdigit():
        return tags.get(work, int(text))
    return tags.find(work, text, account=_account(work, account))


@app.command()
def ls(ctx: typer.Context, account: Account = None) -> None:
    """The tree with its holders."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {"id": node.tag.id, "path": node.tag.path, "own": node.own, "below": node.below, "depth": node.tag.depth}
            for node in tags.tree(work, _account(work, account))
        ]
    frame.table(
        rows,
        ["id", "path", "own", "below"],
        none=(
            "There is no tag here yet. Make one: tagcast tags add 会员/金卡 --parents (tags of an account: --account).",
            "这里还没有标签。请先新建：tagcast tags add 会员/金卡 --parents（账号的标签加 --account）。",
        ),
    )


@app.command()
def add(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help='"会员/金卡"')],
    account: Account = None,
    parents: Annotated[bool, typer.Option("--parents", help="Make what is missing on the way.")] = False,
) -> None:
    """Make a tag."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(tags.create(work, path, account=_account(work, account), parents=parents))


@app.command()
def apply(
    ctx: typer.Context,
    tag: Path_,
    account: Account = None,
    contact: Annotated[list[str] | None, typer.Option(help="Number or <kind>:<value>; repeatable.")] = None,
    file: Annotated[Path | None, typer.Option(help="CSV or Parquet of those to tag.")] = None,
    column: Annotated[str, typer.Option(help="Its column.")] = "customer_id",
    kind: Annotated[str, typer.Option(help="What the column holds: customer_id, openid …")] = "customer_id",
    refused: Annotated[Path | None, typer.Option(help="Where rows go that name nobody; else into the home.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Take it back then (UTC).")] = None,
    why: Why = "by hand",
) -> None:
    """Give a tag to people, by number, identity or file."""
    frame = Frame.of(ctx)
    if (file is None) == (not contact):
        raise Invalid("cli.who", options="--contact, --file")
    moment = None if until is None else until.astimezone(clock.now().tzinfo)
    with frame.write() as work:
        found = find_tag(work, tag, account)
        if file is not None:
            at = found.account or 0 if kind in contacts.ACCOUNT_KINDS else 0
            source = tags.Source(file, column, kind, at)
            bad = refused or frame.settings().home / f"tag-{found.id}.refused.csv"
            frame.emit(tags.assign_file(work, found.id, source, refused=bad, why=why, until=moment))
            return
        members = bitmaps.pack([number_of(work, who) for who in contact or []])
        change = tags.assign(work, found.id, members, why=why, until=moment)
    _changed(frame, change)


@app.command()
def remove(
    ctx: typer.Context,
    tag: Path_,
    contact: Annotated[list[str], typer.Option(help="Number or <kind>:<value>; repeatable.")],
    account: Account = None,
    why: Why = "by hand",
) -> None:
    """Take a tag from people."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        members = bitmaps.pack([number_of(work, who) for who in contact])
        change = tags.remove(work, find_tag(work, tag, account).id, members, why=why)
    _changed(frame, change)


def _changed(frame: Frame, change: bitmaps.Change | None) -> None:
    if change is None:
        frame.say("Nothing changed.", "没有变化。")
    frame.emit({"size": change.size if change else 0, "seq": change.seq if change else None})


@app.command()
def history(ctx: typer.Context, tag: Path_, account: Account = None, limit: int = 20) -> None:
    """A tag's changes, newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {
                "seq": one.seq,
                "at": clock.from_ms(one.at_ms),
                "op": one.op,
                "size": one.size,
                "who": one.who,
                "why": one.why,
            }
            for one in tags.history(work, find_tag(work, tag, account).id, limit=limit)
        ]
    frame.table(
        rows,
        ["seq", "at", "op", "size", "who", "why"],
        none=("The tag was never given to anybody.", "该标签还没有打给任何人。"),
    )


@app.command()
def undo(ctx: typer.Context, seq: Annotated[int, typer.Argument(help="From the history.")], why: Why = "undo") -> None:
    """Take back what still stands of one change."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        change = tags.undo(work, seq, why=why)
    _changed(frame, change)


@app.command(name="as-of")
def as_of(
    ctx: typer.Context,
    tag: Path_,
    moment: Annotated[datetime, typer.Argument(help="2026-11-01T08:00:00, UTC.")],
    account: Account = None,
) -> None:
    """How many held a tag at a past moment."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        held = len(tags.as_of(work, find_tag(work, tag, account).id, moment.replace(tzinfo=clock.now().tzinfo)))
    frame.emit({"tag": tag, "at": moment, "holders": held}, text=lambda: str(held))


@app.command()
def rename(ctx: typer.Context, tag: Path_, name: str, account: Account = None) -> None:
    """Give a tag another name."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(tags.rename(work, find_tag(work, tag, account).id, name))


@app.command()
def archive(ctx: typer.Context, tag: Path_, account: Account = None) -> None:
    """Put a tag and all below it away."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(tags.archive(work, find_tag(work, tag, account).id))
