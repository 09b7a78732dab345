"""`tagcast tags sync`: tags and their people, both ways, with the platform of an account."""

import asyncio
from typing import Annotated

import typer

from tagcast import access, accounts, tags
from tagcast.cli.account import which
from tagcast.cli.frame import Frame, actor
from tagcast.kit.errors import Conflict, Refused
from tagcast.kit.uow import Runtime
from tagcast.tags import sync
from tagcast.tags.sync import shapes

app = typer.Typer(no_args_is_help=True, help="Synchronise with the platform's own tags 标签同步: plan, run, settings.")

Account = Annotated[str, typer.Argument(help="Its name or number.")]
Full = Annotated[
    bool | None, typer.Option("--full/--changed", help="Read everything, or what may have changed; else by its age.")
]
_COLUMNS = ["do", "tag", "path", "name", "add_here", "drop_here", "add_there", "drop_there"]
_CONFLICTS = ["kind", "path", "ours", "theirs", "rule", "does", "people"]
_RUNS = ["id", "state", "plan", "full", "done", "total", "started_at", "ended_at"]


def _id(frame: Frame, account: str) -> int:
    with frame.read() as work:
        return accounts.get(work, which(account)).id


@app.command()
def plan(ctx: typer.Context, account: Account, full: Full = None) -> None:
    """What a synchronisation would do on either side. Changes nothing."""
    frame = Frame.of(ctx)
    number = _id(frame, account)
    with frame.runtime() as runtime:
        made = asyncio.run(sync.make(runtime, access.only_workspace(runtime), number, full=full))
    _show(frame, made.plan)


@app.command()
def run(
    ctx: typer.Context,
    account: Account,
    plan: Annotated[
        str | None, typer.Option(help="Just this plan, by its hash; else a new one is made and shown.")
    ] = None,
    full: Full = None,
) -> None:
    """Carry a plan out, and wait for it; interrupted, it goes on with the next `run` or a worker.

    With --yes nothing is asked, and what both sides changed since the plan is taken in too.
    """
    frame = Frame.of(ctx)
    number = _id(frame, account)
    with frame.runtime() as runtime:
        workspace = access.only_workspace(runtime)
        begun = _under_way(runtime, workspace, number)
        if begun is None:
            begun = _begin(frame, runtime, number, plan=plan, full=full)
        with frame.progress("tags") as bar:
            ended = asyncio.run(
                sync.follow(runtime, workspace, begun.id, progress=lambda one: bar(one.done, one.total or None))
            )
    _end(frame, ended)


def _under_way(runtime: Runtime, workspace: int, account: int) -> sync.Run | None:
    """A run that was interrupted is gone on with before another is begun."""
    with runtime.read(workspace, actor()) as work:
        return next((one for one in sync.runs(work, account, limit=1) if one.state in sync.OPEN), None)


def _begin(frame: Frame, runtime: Runtime, account: int, *, plan: str | None, full: bool | None) -> sync.Run:
    workspace = access.only_workspace(runtime)
    if plan is None:
        made = asyncio.run(sync.make(runtime, workspace, account, full=full)).plan
        if not frame.yes:
            _show(frame, made)
        if made.refusals:
            first = made.refusals[0]
            raise Refused(
                "tags.sync_over_limit", limit=first.limit, count=first.count, most=first.most, path=first.path or "–",
                source=first.source,
            )  # fmt: skip
        if made.steps:
            frame.confirm("Carry this plan out on both sides?", "要在两侧执行这个计划吗？")
        plan = made.hash
    with runtime.work(workspace, actor()) as work:
        return sync.start(work, account, plan, anew=frame.yes, full=full)


def _end(frame: Frame, ended: sync.Run) -> None:
    told = ended.told
    match ended.state:
        case "stale":
            moved = "; ".join(
                f"{one['do']} {one['path']}: {one['before']} → {one['after']}" for one in told["moved"][:5]
            )
            raise Conflict("tags.sync_stale", run=ended.id, plan=told["plan"], moved=moved)
        case "refused":
            first = told["refusals"][0]
            raise Refused(
                "tags.sync_over_limit", limit=first["limit"], count=first["count"], most=first["most"],
                path=first["path"] or "–", source=first["source"],
            )  # fmt: skip
        case "failed":
            raise Refused("tags.sync_failed", run=ended.id, problem=told["problem"])
    frame.emit(shapes.run_out(ended).model_dump(), of="sync")


def _show(frame: Frame, made: sync.Plan) -> None:
    shown = shapes.plan_out(made)
    if frame.json:
        frame.emit(shown.model_dump())
        return
    frame.table(
        [one.model_dump() for one in shown.steps],
        _COLUMNS,
        none=("Both sides are the same.", "两侧一致，无需同步。"),
        of="sync",
    )
    if shown.conflicts:
        frame.table([one.model_dump() for one in shown.conflicts], _CONFLICTS, of="sync")
    for one in shown.refusals:
        frame.say(
            f"Too many: {one.limit} {one.where} {one.path}: {one.count}, at most {one.most} ({one.source}).",
            f"超出限额：{one.limit}（{one.where}）{one.path}：{one.count}，最多 {one.most}（{one.source}）。",
        )
    for path, people in shown.left_out.items():
        frame.say(
            f"{path}: {people} people have as many tags there as a person can, and are left out.",
            f"{path}：{people} 人在平台上的标签数已满，不再添加。",
        )
    if shown.strangers:
        frame.say(
            f"{shown.strangers} people there are no contacts yet: `tagcast account sync` reads them.",
            f"平台上有 {shown.strangers} 人还不是联系人，请先用 `tagcast account sync` 读取。",
        )
    frame.say(
        f"Plan {shown.plan}: {shown.calls} calls, about {shown.seconds:g} s.",
        f"计划 {shown.plan}：{shown.calls} 次调用，约 {shown.seconds:g} 秒。",
    )


@app.command()
def ls(ctx: typer.Context, account: Account, limit: int = 20) -> None:
    """The newest runs."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = sync.runs(work, accounts.get(work, which(account)).id, limit=limit)
    frame.table(
        [shapes.run_out(one).model_dump() for one in rows],
        _RUNS,
        none=("Nothing was synchronised yet: tagcast tags sync plan.", "还没有同步过，请先用 tagcast tags sync plan。"),
        of="sync",
    )


@app.command()
def show(ctx: typer.Context, account: Account, run: Annotated[int, typer.Argument(help="From `ls`.")]) -> None:
    """One run, with what it has to tell."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = sync.run(work, accounts.get(work, which(account)).id, run)
    frame.emit(shapes.run_out(found).model_dump(), of="sync")


@app.command()
def cancel(ctx: typer.Context, account: Account, run: Annotated[int, typer.Argument(help="From `ls`.")]) -> None:
    """End a run where it is; what it has done stands."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        found = sync.cancel(work, accounts.get(work, which(account)).id, run)
    frame.emit(shapes.run_out(found).model_dump(), of="sync")


@app.command()
def rules(
    ctx: typer.Context,
    account: Account,
    names: Annotated[str | None, typer.Option(help="Two new names: platform, ours, ask.")] = None,
    members: Annotated[str | None, typer.Option(help="Two sets that meet first: union, ours, platform, ask.")] = None,
    deletions: Annotated[str | None, typer.Option(help="Gone on one side: ask, ours, platform, keep.")] = None,
    employees: Annotated[str | None, typer.Option(help="wecom: who marks a customer: all, one.")] = None,
    daily: Annotated[bool | None, typer.Option("--daily/--no-daily", help="Once a day, everything.")] = None,
) -> None:
    """See or change the rules of an account."""
    frame = Frame.of(ctx)
    number = _id(frame, account)
    with frame.write() as work:
        state = sync.change(
            work, number, names=names, members=members, deletions=deletions, employees=employees, daily=daily
        )
    frame.emit(shapes.state_out(state).model_dump(), of="sync")


@app.command()
def direct(
    ctx: typer.Context,
    account: Account,
    direction: Annotated[str, typer.Argument(help="both, to, from, off; or inherit: as the tag above.")],
    tag: Annotated[int, typer.Argument(help="Its number; 0: all of the account's own.")] = 0,
) -> None:
    """Say which way a tag and those below it go."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        number = accounts.get(work, which(account)).id
        sync.direct(work, number, tag, None if direction == "inherit" else direction)
        path = tags.get(work, tag).path if tag else ""
    what = (path, path) if tag else ("The account's own tags", "账号自己的标签")
    frame.done(f"{what[0]}: {direction}.", f"{what[1]}：{direction}。", tag=tag, direction=direction)


@app.command()
def directions(ctx: typer.Context, account: Account) -> None:
    """Which way each tag goes, and what it is called on the platform."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        rows = [shapes.way_out(one).model_dump() for one in sync.ways(work, accounts.get(work, which(account)).id)]
    frame.table(
        rows,
        ["tag", "account", "path", "direction", "own", "group", "name"],
        none=(
            "There is no tag yet. Make one with `tagcast tags add`, or see `tagcast tags sync plan`.",
            "还没有标签。请用 `tagcast tags add` 新建，或查看 `tagcast tags sync plan`。",
        ),
        of="sync",
    )
