"""`tagcast upkeep`: where tags are used, what is worth a look, cleaning up with a preview and an undo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tagcast import tags, upkeep
from tagcast.cli.frame import Frame, created
from tagcast.cli.tags import Account, Path_, find_tag
from tagcast.kit.errors import Invalid
from tagcast.upkeep import Effect, Operation

app = typer.Typer(no_args_is_help=True, help="Upkeep 标签体检: uses, report, clean-ups that can be undone.")

Operations = Annotated[
    list[str], typer.Argument(metavar="OPERATION…", help="archive:TAG, merge:TAG:INTO, empty:TAG, settle:TAG.")
]


def operation(text: str) -> Operation:
    """What `do:TAG[:INTO[:MEMBERS]]` says. Raises Invalid."""
    do, _, rest = text.partition(":")
    parts = rest.split(":")
    if not parts[0].isdecimal() or (len(parts) > 1 and not parts[1].isdecimal()) or len(parts) > 3:
        raise Invalid("upkeep.bad_operation", given=text)
    into = int(parts[1]) if len(parts) > 1 else None
    return Operation(do, int(parts[0]), into, parts[2] if len(parts) > 2 else "unite")  # type: ignore[arg-type]  # checked by upkeep


@app.command()
def report(
    ctx: typer.Context,
    kind: Annotated[list[str] | None, typer.Option(help=f"Only: {', '.join(upkeep.KINDS)}; repeatable.")] = None,
    file: Annotated[Path | None, typer.Option(help="Write it as CSV.")] = None,
) -> None:
    """What is worth a look: unused, stale, tiny, nearly equal, contradictory, drifting tags, and limits."""
    frame = Frame.of(ctx)
    if unknown := sorted(set(kind or []) - set(upkeep.KINDS)):
        raise Invalid("upkeep.unknown_do", do=unknown[0], known=", ".join(upkeep.KINDS))
    with frame.read() as work, frame.progress("report") as told:
        found = upkeep.report(work, kinds=kind or (), progress=told)
        paths = {number: tag.path for number, tag in tags.every(work).items()}
    if file is not None:
        with created(file) as out:
            out.write(upkeep.render_csv(found, paths, frame.lang))
    rows: list[dict[str, Any]] = [
        {
            "kind": upkeep.kind(one.kind, frame.lang) if not frame.json else one.kind,
            "paths": "、".join(one.paths),
            "found": upkeep.sentence(one, frame.lang),
            "suggested": _text(one.suggested),
            "facts": one.facts,
        }
        for one in found
    ]
    nothing = ("Nothing is worth a look.", "没有需要处理的标签。")
    frame.table(rows, ["kind", "paths", "found", "suggested"], of="upkeep", none=nothing)


@app.command()
def uses(ctx: typer.Context, tag: Path_, account: Account = None) -> None:
    """Where a tag is used: by its name, by a tag above, through segments."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = upkeep.Graph(work).of(find_tag(work, tag, account).id)
    nowhere = "没有任何地方使用它。" if frame.lang == "zh" else "Nothing uses it."
    frame.emit(found, text=lambda: "\n".join(upkeep.used_lines(found, frame.lang)) or nowhere)


@app.command()
def preview(ctx: typer.Context, operations: Operations) -> None:
    """What operations would do, exactly; nothing is changed."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        effects = upkeep.preview(work, [operation(text) for text in operations])
    _show(frame, effects)


@app.command()
def apply(
    ctx: typer.Context,
    operations: Operations,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "upkeep",
) -> None:
    """Carry operations out, all or none; can be taken back as a whole."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        act = upkeep.apply(work, [operation(text) for text in operations], why=why)
    _show(frame, act.effects)
    frame.done(
        f"Clean-up {act.id} is done. Take it back: tagcast upkeep undo {act.id}",
        f"清理 {act.id} 已完成。撤销：tagcast upkeep undo {act.id}",
        id=act.id,
    )


@app.command()
def undo(ctx: typer.Context, act: Annotated[int, typer.Argument(help="Its number.")]) -> None:
    """Take a clean-up back as a whole: holders, tree and uses."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        upkeep.undo(work, act)
    frame.done(f"Clean-up {act} is taken back.", f"清理 {act} 已撤销。", undone=act)


@app.command()
def ls(ctx: typer.Context, limit: int = 20) -> None:
    """Clean-ups, newest first."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [
            {
                "id": one.id, "at": one.at, "who": one.who, "why": one.why, "undone_at": one.undone_at,
                "operations": ", ".join(_text(effect.operation) for effect in one.effects),
            }
            for one in upkeep.acts(work, limit=limit)
        ]  # fmt: skip
    frame.table(
        rows,
        ["id", "at", "who", "why", "operations", "undone_at"],
        of="upkeep",
        none=("There was no clean-up yet.", "还没有清理记录。"),
    )


@app.command()
def thresholds(
    ctx: typer.Context,
    change: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="Without a value: as shipped.")
    ] = None,
) -> None:
    """Show from when on a tag is worth a look, or change that."""
    frame = Frame.of(ctx)
    if not change:
        with frame.read() as work:
            frame.emit(upkeep.thresholds(work), of="upkeep")
        return
    given = {name: _number(name, value) for name, _, value in (one.partition("=") for one in change)}
    with frame.write() as work:
        frame.emit(upkeep.set_thresholds(work, given), of="upkeep")


def _number(name: str, text: str) -> float | None:
    try:
        return None if not text else float(text) if "." in text else int(text)
    except ValueError:
        raise Invalid("upkeep.bad_threshold", name=name, value=text, most="1000000") from None


def _text(one: Operation | None) -> str:
    if one is None:
        return ""
    members = "" if one.members == "unite" else f":{one.members}"
    return f"{one.do}:{one.tag}" + ("" if one.into is None else f":{one.into}") + members


def _show(frame: Frame, effects: Sequence[Effect]) -> None:
    rows: list[dict[str, Any]] = []
    for effect in effects:
        does = _text(effect.operation)
        rows += [
            {"does": does, "path": one.path, "before": one.before, "after": one.after, "came": one.gained,
             "lost": one.lost}
            for one in effect.sizes
        ]  # fmt: skip
        rows += [{"does": does, "path": f"- {path}"} for path in effect.archived]
        rows += [{"does": does, "path": f"→ {path}"} for path in effect.moved]
        rows += [{"does": does, "path": f"{kind} {name}"} for kind, name in effect.uses]
    nothing = ("Nothing would change.", "没有变化。")
    frame.table(rows, ["does", "path", "before", "after", "came", "lost"], of="upkeep", none=nothing)
