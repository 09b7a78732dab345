"""`tagcast tags`: the tree, who holds a tag, and every change of it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tagcast import accounts, bitmaps, contacts, files, tags, upkeep
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
Several = Annotated[list[str], typer.Argument(metavar="TAG…", help="Paths or numbers.")]
Below = Annotated[bool, typer.Option("--below", help="With the tags that stood below then.")]
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
    until: Annotated[datetime | None, typer.Option(help="Take it back then, in the workspace's zone.")] = None,
    forever: Annotated[bool, typer.Option("--forever", help="Not for the tag's own lifetime only.")] = False,
    why: Why = "by hand",
) -> None:
    """Give a tag to people, by number, identity or file."""
    frame = Frame.of(ctx)
    if (file is None) == (not contact):
        raise Invalid("cli.who", options="--contact, --file")
    moment = None if until is None else frame.moment(until)
    with frame.write() as work:
        found = find_tag(work, tag, account)
        if file is not None:
            at = found.account or 0 if kind in contacts.ACCOUNT_KINDS else 0
            source = tags.Source(file, column, kind, at)
            bad = refused or frame.settings().home / f"tag-{found.id}.refused.csv"
            frame.emit(tags.assign_file(work, found.id, source, refused=bad, why=why, until=moment))
            return
        members = bitmaps.pack([number_of(work, who) for who in contact or []])
        change = tags.assign(work, found.id, members, why=why, until=moment, forever=forever)
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
def history(
    ctx: typer.Context,
    tag: Path_,
    account: Account = None,
    limit: int = 20,
    before: Annotated[int | None, typer.Option(help="Go on below this seq.")] = None,
    who: Annotated[str | None, typer.Option(help="By whom, exactly.")] = None,
    reason: Annotated[str | None, typer.Option(help="A part of the reason.")] = None,
    op: Annotated[Literal["add", "remove"] | None, typer.Option(help="Which way.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Else all.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Else all.")] = None,
) -> None:
    """A tag's changes, newest first; all of them or some."""
    frame = Frame.of(ctx)
    only = bitmaps.Only(
        who, reason, op, *(None if one is None else clock.to_ms(frame.moment(one)) for one in (since, until))
    )
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
            for one in tags.history(work, find_tag(work, tag, account).id, limit=limit, before=before, only=only)
        ]
    frame.table(
        rows,
        ["seq", "at", "op", "size", "who", "why"],
        none=("There is no such change of the tag.", "该标签没有符合条件的变更。"),
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
    tag: Several,
    moment: Annotated[datetime, typer.Argument(help="2026-11-01T08:00:00, in the workspace's zone.")],
    account: Account = None,
    below: Below = False,
) -> None:
    """How many held a tag, or any of several, at a past moment."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        held = len(tags.as_of(work, _ids(work, tag, account), frame.moment(moment), below=below))
    frame.emit({"tag": "、".join(tag), "at": moment, "holders": held}, text=lambda: str(held))


@app.command()
def diff(
    ctx: typer.Context,
    tag: Several,
    since: Annotated[datetime, typer.Option(help="2026-11-01T08:00:00, in the workspace's zone.")],
    until: Annotated[datetime | None, typer.Option(help="Else now.")] = None,
    account: Account = None,
    below: Below = False,
    file: Annotated[Path | None, typer.Option(help="Write who came and who left, by number, as CSV.")] = None,
) -> None:
    """Who came to hold a tag, or any of several, between two moments, and who left."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        ids, end = _ids(work, tag, account), work.now if until is None else frame.moment(until)
        before = len(tags.as_of(work, ids, frame.moment(since), below=below))
        found = tags.diff(work, ids, frame.moment(since), end, below=below)
    if file is not None:
        sides = (("came", found.added), ("left", found.removed))
        files.write_csv(file, ["side", "number"], ((side, number) for side, some in sides for number in some))
    came, left = len(found.added), len(found.removed)
    frame.emit({"before": before, "came": came, "left": left, "after": before + came - left}, of="difference")


@app.command(name="set")
def set_(
    ctx: typer.Context,
    tag: Path_,
    account: Account = None,
    lifetime: Annotated[int | None, typer.Option(help="Days it is held when nothing else is said; 0: no end.")] = None,
    exclusive: Annotated[
        Literal["replace", "refuse", "no"] | None, typer.Option(help="A second tag below it: replaces, is refused.")
    ] = None,
) -> None:
    """Say how long a tag is held, and whether the tags below it shut each other out."""
    frame = Frame.of(ctx)
    days = tags.SAME if lifetime is None else lifetime or None
    how = tags.SAME if exclusive is None else None if exclusive == "no" else exclusive
    with frame.write() as work:
        made = tags.declare(work, find_tag(work, tag, account).id, lifetime_days=days, exclusive=how)
        twice = sum(len(one.contacts) for one in tags.violations(work) if one.tag.id == made.id)
    if twice:
        frame.say(
            f"{twice} contacts hold two already: tagcast upkeep apply settle:{made.id}",
            f"已有 {twice} 人同时持有两个：tagcast upkeep apply settle:{made.id}",
        )
    frame.emit(made)


@app.command()
def move(
    ctx: typer.Context,
    tag: Path_,
    to: Annotated[str | None, typer.Option(help="The tag above, path or number; else a root.")] = None,
    account: Account = None,
) -> None:
    """Put a tag, with all below it, under another."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        parent = None if to is None else find_tag(work, to, account).id
        frame.emit(tags.move(work, find_tag(work, tag, account).id, parent))


@app.command()
def rename(ctx: typer.Context, tag: Path_, name: str, account: Account = None) -> None:
    """Give a tag another name."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(tags.rename(work, find_tag(work, tag, account).id, name))


@app.command()
def archive(ctx: typer.Context, tag: Path_, account: Account = None) -> None:
    """Put a tag and all below it away; asks first if anything uses it."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = find_tag(work, tag, account)
        graph = upkeep.Graph(work)
        users = sorted({f"{use.kind} {use.name}" for one in tags.branch(work, found.id) for use in graph.live(one)})
    if users:
        listed = "、".join(users[:10])
        frame.confirm(f"{found.path} is used: {listed}. They will not work any more. Archive it all the same?",
                      f"“{found.path}”正被使用：{listed}。归档后这些将无法工作。仍要归档吗？")  # fmt: skip
    with frame.write() as work:
        frame.emit(tags.archive(work, found.id))


@app.command()
def restore(ctx: typer.Context, tag: Annotated[int, typer.Argument(help="Its number.")]) -> None:
    """Take an archived tag back, with those below that were archived with it."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(tags.restore(work, tag))


def _ids(work: Work, texts: list[str], account: str | None) -> list[int]:
    return [find_tag(work, text, account).id for text in texts]
