"""`tagcast lake`: where the events of all time lie: state, order, damage, versions."""

from typing import Annotated

import typer

from tagcast import access, behaviour
from tagcast.cli.frame import FAILED, Frame
from tagcast.kit.errors import TagcastError

app = typer.Typer(no_args_is_help=True, help="The lake 数据湖 of events: status, compact, verify, history.")


@app.command()
def status(ctx: typer.Context) -> None:
    """What the lake holds of each type of event, and how many batches wait to be brought into it."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = behaviour.moving.status(work)
        frame.say(
            f"In {work.lake.place}, asked by {work.lake.engine}.",
            f"位置 {work.lake.place}，查询引擎 {work.lake.engine}。",
        )
    frame.table(
        rows,
        ["type", "rows", "files", "bytes", "first_ms", "last_ms", "upto", "waiting", "agrees", "damaged", "version"],
        none=(
            "No type of event is declared yet. Declare one: tagcast events declare purchase --purpose …",
            "还没有声明事件类型。请先声明：tagcast events declare purchase --purpose …",
        ),
        of="lake",
    )
    if any(one.damaged for one in rows):
        frame.say(
            "Where `damaged` is yes, the log of the lake cannot be believed: a worker mends it within a minute, or "
            "`tagcast lake verify --repair` does.",
            "“已损坏”为是的类型：数据湖日志不可信。工作进程会在一分钟内修复，也可运行 `tagcast lake verify --repair`。",
        )
    if not all(one.agrees or one.damaged for one in rows):
        frame.say(
            "Where `agrees` is no, the lake holds another history than the database, as after a backup was restored: "
            "a worker takes it back within a minute, or `tagcast lake compact` does. If it stays so, put the lake's "
            "folder back from the same backup.",
            "“与数据库一致”为否的类型：数据湖与数据库的历史不同（例如恢复了数据库备份）。工作进程会在一分钟内自动回退，"
            "也可运行 `tagcast lake compact`；若仍为否，请用同一备份恢复数据湖目录。",
        )


@app.command()
def compact(ctx: typer.Context) -> None:
    """Bring in what waits, make one file of each month's, and remove files that were replaced long enough ago.

    Exit code 1 when a type of event cannot be brought on; the others are.
    """
    frame = Frame.of(ctx)
    stuck: dict[str, TagcastError] = {}

    def told(name: str, error: TagcastError) -> None:
        stuck.setdefault(name, error)

    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        moved = behaviour.moving.bring(runtime, workspace, stuck=told)
        fewer = behaviour.moving.tidy(runtime, workspace, everything=True, stuck=told)
    frame.done(
        f"Brought in {moved:,} events; {fewer} files fewer.", f"已移入 {moved:,} 条事件；减少 {fewer} 个文件。",
        moved=moved, fewer=fewer,
    )  # fmt: skip
    for error in stuck.values():
        frame.problem(error)
    if stuck:
        raise typer.Exit(FAILED)


@app.command()
def verify(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Write anew what the database still has.")] = False,
) -> None:
    """Read every file and compare it with what was written. Exit code 1 when something is damaged and not repaired."""
    frame = Frame.of(ctx)
    with frame.runtime() as runtime, frame.progress("types") as bar:
        found = behaviour.mending.verify(runtime, access.only_workspace(runtime), repair=repair, progress=bar)
    frame.table(
        found,
        ["type", "file", "rows", "first_ms", "last_ms", "repaired"],
        none=("Every file holds what was written.", "所有文件内容完好。"),
        of="lake",
    )
    if any(not one.repaired for one in found):
        frame.say(
            "Answers that need a damaged file are wrong or fail: repair it, or put it back from a backup.",
            "需要损坏文件的查询会出错：请修复，或从备份恢复。",
        )
        raise typer.Exit(FAILED)


@app.command()
def history(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A type of event.")],
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
) -> None:
    """The commits of a type's lake, newest first: what each did and how many rows it brought or took."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = behaviour.moving.versions(work, name, limit)
    frame.table(
        rows,
        ["version", "at_ms", "what", "rows", "upto"],
        none=("Nothing is in the lake yet.", "数据湖中还没有数据。"),
        of="lake",
    )
