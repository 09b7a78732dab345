"""`tagcast segment`: expressions, counted, kept, explained, exported, used for tagging."""

from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer

from tagcast import audiences, contacts, tags
from tagcast.cli.contacts import write_to
from tagcast.cli.frame import Frame, read_text
from tagcast.cli.tags import find_tag
from tagcast.kit.errors import Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work

app = typer.Typer(no_args_is_help=True, help="Segments 人群: count, keep, explain, export.")

Which = Annotated[
    str,
    typer.Argument(
        metavar="SEGMENT", help="An expression as text, @file.json, @file.txt or @- (stdin), or =NAME of a kept one."
    ),
]


def expression(work: Work, given: str) -> audiences.Expression:
    """What is meant: a kept segment, a file, or text. Raises Invalid, NotFound, Refused."""
    if given.startswith("="):
        return audiences.find(work, given[1:]).expression
    if given.startswith("@"):
        file = Path(given[1:])
        text = read_text(file)
        if file.suffix != ".json":
            return audiences.parse(text)
        try:
            return audiences.from_json(orjson.loads(text))
        except orjson.JSONDecodeError as error:
            raise Invalid("cli.bad_json", file=str(file), reason=str(error)) from None
    try:
        return audiences.parse(given)
    except TagcastError:
        if given in {one.name for one in audiences.every(work)}:
            raise Invalid("cli.segment_name", name=given) from None
        raise


@app.command()
def count(ctx: typer.Context, segment: Which) -> None:
    """How many contacts it stands for."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        meant = expression(work, segment)
        total = audiences.count(work, meant)
    frame.emit(
        {"count": total, "text": audiences.to_text(meant), "json": audiences.to_json(meant)}, text=lambda: str(total)
    )


@app.command()
def save(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument()],
    segment: Which,
    about: Annotated[str, typer.Option(help="A line for others.")] = "",
) -> None:
    """Keep it under a name, or change the one of that name."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        meant = expression(work, segment)
        known = {one.name: one for one in audiences.every(work)}
        if name in known:
            made = audiences.update(work, known[name].id, meant, description=about or None)
        else:
            made = audiences.create(work, name, meant, description=about)
        total = audiences.count(work, meant)
    frame.emit({"id": made.id, "name": made.name, "version": made.version, "count": total})


@app.command()
def ls(ctx: typer.Context) -> None:
    """The kept segments with their size now."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "count": audiences.count(work, one.expression),
                "text": audiences.to_text(one.expression),
                "description": one.description,
                "version": one.version,
                "refresh": one.refresh,
                "fresh_at": one.fresh_at,
            }
            for one in audiences.every(work)
        ]
    frame.table(
        rows,
        ["id", "name", "count", "refresh", "text", "description"],
        of="segment",
        none=(
            "No segment is kept yet. Keep one: tagcast segment save NAME 'region = \"华东\"'",
            "还没有保存的人群。请先保存：tagcast segment save 名称 'region = \"华东\"'",
        ),
    )


@app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument()]) -> None:
    """A kept segment: what it says, how it is kept, what names it."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        one = audiences.find(work, name)
        found = {
            "id": one.id,
            "name": one.name,
            "text": audiences.to_text(one.expression),
            "description": one.description,
            "version": one.version,
            "count": audiences.count(work, one.expression),
            "refresh": one.refresh,
            "every_hours": one.every_hours,
            "fresh_at": one.fresh_at,
            "kept": work.bitmaps.count(one.key) if one.fresh_at is not None else None,
            "used_by": audiences.uses(work, name),
        }
    frame.emit(found, of="segment")


@app.command()
def rename(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument()],
    new: Annotated[str, typer.Argument(help="The new name.")],
) -> None:
    """Give a kept segment another name; what names it follows."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = audiences.rename(work, audiences.find(work, name).id, new)
    frame.done(f"{name} is now {made.name}.", f"{name} 已重命名为 {made.name}。", id=made.id, name=made.name)


@app.command()
def rm(ctx: typer.Context, name: Annotated[str, typer.Argument()]) -> None:
    """Delete a kept segment that nothing stands on; `restore` takes it back."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        audiences.delete(work, audiences.find(work, name).id)
    frame.done(f"Deleted {name}.", f"已删除 {name}。", deleted=name)


@app.command()
def restore(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="Nothing: list what can be restored.")] = ""
) -> None:
    """Take back the segment of a name that was deleted last."""
    frame = Frame.of(ctx)
    if not name:
        with frame.read() as work:
            rows = [
                {"id": one.id, "name": one.name, "text": audiences.to_text(one.expression), "deleted_at": at}
                for one, at in audiences.deleted(work)
            ]
        none = ("No segment was deleted.", "没有已删除的人群。")
        frame.table(rows, ["id", "name", "text", "deleted_at"], none=none, of="segment")
        return
    with frame.write() as work:
        found = next((one for one, _ in audiences.deleted(work) if one.name == name), None)
        if found is None:
            raise NotFound("audiences.no_segment", segment=name)
        audiences.restore(work, found.id)
    frame.done(f"{name} is back.", f"已恢复 {name}。", restored=name)


@app.command()
def keep(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument()],
    every: Annotated[int, typer.Option(help="Hours between rounds: 1, 2, 3, 4, 6, 8, 12 or 24.")] = 0,
    live: Annotated[bool, typer.Option("--live", help="True with every change, kept by the worker.")] = False,
) -> None:
    """Keep its members as a set, on a schedule or live; without an option work it out whenever it is asked."""
    frame = Frame.of(ctx)
    refresh: Literal["asked", "scheduled", "live"] = "live" if live else "scheduled" if every else "asked"
    with frame.write() as work:
        made = audiences.keep(work, audiences.find(work, name).id, refresh, every_hours=every)
        kept = work.bitmaps.count(made.key)
    told = {"name": made.name, "refresh": made.refresh, "every_hours": made.every_hours, "fresh_at": made.fresh_at}
    frame.emit({**told, "kept": kept}, of="segment")


@app.command()
def renew(ctx: typer.Context, name: Annotated[str, typer.Argument()]) -> None:
    """Work a scheduled segment out now."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        made = audiences.renew(work, audiences.find(work, name).id)
        kept = work.bitmaps.count(made.key)
    frame.emit({"name": made.name, "fresh_at": made.fresh_at, "kept": kept}, of="segment")


@app.command()
def export(
    ctx: typer.Context,
    segment: Which,
    file: Annotated[Path, typer.Argument(help="Where to write; .parquet for Parquet, else CSV.")],
    columns: Annotated[str, typer.Option(help="number, identity:<kind>, attribute:<name>, by commas.")] = "number",
) -> None:
    """Write its members as a file."""
    frame = Frame.of(ctx)
    form = write_to(file)
    with frame.read() as work:
        members = audiences.members(work, expression(work, segment))
        rows = contacts.export(work, members, columns.split(","), file, format=form)
    frame.emit({"file": file, "rows": rows})


@app.command()
def tag(
    ctx: typer.Context,
    segment: Which,
    tag: Annotated[str, typer.Argument(metavar="TAG", help="Its path or number.")],
    account: Annotated[str | None, typer.Option(help="Name or number; else the workspace's own tags.")] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by segment",
) -> None:
    """Give a tag to everyone in it, all or none."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        found = find_tag(work, tag, account)
        change = audiences.tag_segment(work, expression(work, segment), found.id, why=why)
        held = len(tags.holders(work, found.id, below=False))
    frame.emit(
        {
            "tag": found.path,
            "size": change.size if change else 0,
            "seq": change.seq if change else None,
            "holders": held,
        }
    )
