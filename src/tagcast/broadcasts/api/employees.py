"""企业微信 over HTTP: customers per employee in the plan, the tasks of employees, reminders."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from tagcast.access import Guarded
from tagcast.broadcasts import employees
from tagcast.kit import clock
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")


class ShareOut(BaseModel):
    """How many customers an employee gets."""

    employee: str
    customers: int


class SharesOut(BaseModel):
    """Customers per employee by the newest plan, the most first."""

    items: list[ShareOut]


class ReminderOut(BaseModel):
    """A reminder: asked, calling, sent, lost, or `refused:<reason>`."""

    state: str
    asked_at: datetime
    asked_by: str
    at: datetime | None


class TaskOut(BaseModel):
    """An employee's task. `proven_at`: its results were read after it was cancelled."""

    employee: str
    msgid: str | None
    made_at: datetime | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    proven_at: datetime | None
    states: dict[str, int]
    reminders: list[ReminderOut]


class TasksOut(BaseModel):
    """Tasks, and for whom the broadcast still waits."""

    waiting_employees: int
    waiting_recipients: int
    items: list[TaskOut]


class RemindedOut(BaseModel):
    """How many tasks are reminded of; `enough` had all the reminders of 24 hours."""

    tasks: int
    enough: int


@router.get("/{broadcast}/senders", summary="计划中每位成员的客户数 · Customers per employee in the plan")
def senders(entry: Guarded, broadcast: int) -> SharesOut:
    with entry.read() as work:
        found = employees.planned_senders(work, broadcast)
        return SharesOut(items=[ShareOut(employee=name, customers=size) for name, size in found.items()])


@router.get("/{broadcast}/tasks", summary="成员任务 · Tasks of employees")
def tasks(entry: Guarded, broadcast: int) -> TasksOut:
    with entry.read() as work:
        waiting = employees.waiting(work, broadcast)
        return TasksOut(
            waiting_employees=waiting.employees if waiting else 0,
            waiting_recipients=waiting.recipients if waiting else 0,
            items=[_task(one) for one in employees.employee_tasks(work, broadcast)],
        )


@router.post("/{broadcast}/remind", summary="提醒未确认的成员 · Remind employees who have not confirmed")
def remind(entry: Guarded, broadcast: int) -> RemindedOut:
    def ask(work: Work) -> RemindedOut:
        made = employees.remind(work, broadcast)
        return RemindedOut(tasks=made.tasks, enough=made.enough)

    return entry.write(ask)


def _task(one: employees.EmployeeTask) -> TaskOut:
    return TaskOut(
        employee=one.employee,
        msgid=one.msgid,
        made_at=_moment(one.made_at),
        confirmed_at=_moment(one.confirmed_at),
        cancelled_at=_moment(one.cancelled_at),
        proven_at=_moment(one.proven_at),
        states=dict(one.states),
        reminders=[
            ReminderOut(
                state=told.state,
                asked_at=clock.from_ms(told.asked_at),
                asked_by=told.asked_by,
                at=_moment(told.at),
            )
            for told in one.reminders
        ],
    )


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)
