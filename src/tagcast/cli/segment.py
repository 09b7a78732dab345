"""`tagcast segment`: expressions, counted, kept, explained, exported, used for tagging."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from tagcast import audiences, contacts, tags
from tagcast.cli.contacts import number_of, write_to
from tagcast.cli.frame import Frame, read_text
from tagcast.cli.tags import find_tag
from tagcast.kit.errors import Invalid
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
    return audiences.parse(given)


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
            }
            for one in audiences.every(work)
        ]
    frame.table(
        rows,
        ["id", "name", "count", "text", "description"],
        none=(
            "No segment is kept yet. Keep one: tagcast segment save NAME 'region = \"华东\"'",
            "还没有保存的人群。请先保存：tagcast segment save 名称 'region = \"华东\"'",
        ),
    )


@app.command()
def rm(ctx: typer.Context, name: Annotated[str, typer.Argument()]) -> None:
    """Delete a kept segment on which no other stands."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        audiences.delete(work, audiences.find(work, name).id)
    frame.done(f"Deleted {name}.", f"已删除 {name}。", deleted=name)


@app.command()
def explain(
    ctx: typer.Context, segment: Which, who: Annotated[str, typer.Argument(help="Number, or <kind>:<value>.")]
) -> None:
    """Which parts hold for one contact."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = audiences.explain(work, expression(work, segment), number_of(work, who))
    frame.emit(found, text=lambda: "\n".join(_lines(found, 0)))


def _lines(part: audiences.Explained, depth: int) -> list[str]:
    mine = f"{'  ' * depth}{'✓' if part.holds else '✗'} {part.text}"
    return [mine, *(line for below in part.parts for line in _lines(below, depth + 1))]


@app.command()
def overlap(ctx: typer.Context, a: Which, b: Which) -> None:
    """How many are in one, in the other, in both."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        frame.emit(audiences.overlap(work, expression(work, a), expression(work, b)))


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
