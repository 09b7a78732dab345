"""`tagcast broadcast senders|tasks|remind`: 企业微信 employees in the plan, their tasks, reminders."""

import typer

from tagcast import broadcasts
from tagcast.cli.broadcast import Number, app
from tagcast.cli.frame import Frame
from tagcast.kit import clock


@app.command()
def senders(ctx: typer.Context, broadcast: Number) -> None:
    """企业微信: how many customers each employee gets by the plan."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.planned_senders(work, broadcast)
    frame.table(
        [{"employee": name, "customers": size} for name, size in found.items()],
        ["employee", "customers"],
        none=(
            "The plan names no employee. Plan a broadcast of a 企业微信 account: tagcast broadcast plan ID",
            "计划中没有成员。请先为企业微信账号的群发生成计划：tagcast broadcast plan 编号",
        ),
    )


@app.command()
def tasks(ctx: typer.Context, broadcast: Number) -> None:
    """企业微信: what each employee's task came to, and who is still waited for."""
    frame = Frame.of(ctx)
    with frame.read() as work:
        found = broadcasts.employee_tasks(work, broadcast)
        waiting = broadcasts.waiting(work, broadcast)
    frame.table(
        [
            {
                "employee": one.employee,
                "customers": sum(one.states.values()),
                "delivered": one.states["delivered"],
                "failed": one.states["failed"],
                "cancelled": one.states["cancelled"],
                "in_doubt": one.states["in_doubt"],
                "confirmed_at": _moment(one.confirmed_at),
                "proven_at": _moment(one.proven_at),
                "reminders": len(one.reminders),
            }
            for one in found
        ],
        [
            "employee", "customers", "delivered", "failed", "cancelled", "in_doubt",
            "confirmed_at", "proven_at", "reminders",
        ],
        none=(
            "No task was made. Tasks are made when a broadcast of a 企业微信 account is sent.",
            "还没有任务。企业微信群发开始发送后才会生成任务。",
        ),
    )  # fmt: skip
    if waiting is not None and not frame.json:
        frame.say(
            f"Waiting for {waiting.employees} employees, {waiting.recipients} customers.",
            f"等待 {waiting.employees} 位成员确认，涉及 {waiting.recipients} 位客户。",
        )


@app.command()
def remind(ctx: typer.Context, broadcast: Number) -> None:
    """企业微信: remind employees who have not confirmed; the platform allows three in 24 hours."""
    frame = Frame.of(ctx)
    with frame.write() as work:
        frame.emit(broadcasts.remind(work, broadcast))


def _moment(ms: int | None) -> str:
    return "" if ms is None else clock.from_ms(ms).isoformat(timespec="seconds")
