"""When broadcasts are sent, over HTTP: schedule a plan, take it back, set another time, look at the moments."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import store
from tagcast.broadcasts.api.drafts import BroadcastOut
from tagcast.broadcasts.timing import scheduling
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")


class ScheduleIn(BaseModel):
    """Another time."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"schedule": {"rule": {"every": "workday", "time": "10:00"}}}},
    )

    schedule: dict[str, Any] = Field(description="`at` once; `rule` or `cron` again and again; see the how-to.")


class PreviewIn(ScheduleIn):
    """A schedule to look at."""

    account: int | str = Field(description="Whose zone it is in, unless it says one.")


class RescheduledOut(BaseModel):
    """The broadcast, its new plan, and what moved: then it is a draft again, and the plan is to be scheduled anew."""

    broadcast: BroadcastOut
    plan: str
    moved: list[str]


class OccurrenceOut(BaseModel):
    """What became of a moment: send, ask, skip or expired; `broadcast`: the copy that came of one that recurs."""

    due: datetime
    verdict: str
    broadcast: int | None
    said: dict[str, Any]
    at: datetime


class ScheduleOut(BaseModel):
    """The next moments of a broadcast, and what became of the latest."""

    schedule: dict[str, Any] | None
    due_at: datetime | None
    deadline_at: datetime | None
    coming: list[datetime]
    occurrences: list[OccurrenceOut]


class PreviewOut(BaseModel):
    """A schedule in its normal form, with its next moments."""

    schedule: dict[str, Any]
    coming: list[datetime]


@router.post("/schedules/preview", summary="预览发送时刻 · Preview the moments of a schedule")
def preview_schedule(entry: Guarded, body: PreviewIn, count: int = Query(10, ge=1, le=100)) -> PreviewOut:
    with entry.read() as work:
        section, coming = scheduling.preview(work, body.account, body.schedule, count)
        return PreviewOut(schedule=section, coming=coming)


@router.post("/plans/{plan_hash}/schedule", summary="按计划排期 · Send what was planned when its time comes")
def schedule(entry: Guarded, plan_hash: str) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(scheduling.schedule(work, plan_hash)))


@router.post("/{broadcast}/unschedule", summary="取消排期 · Back to a draft")
def unschedule(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(scheduling.unschedule(work, broadcast)))


@router.put("/{broadcast}/schedule", summary="修改发送时间 · Set another time and plan for it")
def reschedule(entry: Guarded, broadcast: int, body: ScheduleIn) -> RescheduledOut:
    def use_case(work: Work) -> RescheduledOut:
        found, plan, changes = scheduling.reschedule(work, broadcast, body.schedule)
        return RescheduledOut(broadcast=BroadcastOut.of(found), plan=plan.hash, moved=changes)

    return entry.write(use_case)


@router.get("/{broadcast}/schedule", summary="发送时刻与结果 · The moments of a broadcast and what became of them")
def moments(entry: Guarded, broadcast: int, count: int = Query(10, ge=1, le=100)) -> ScheduleOut:
    with entry.read() as work:
        found = store.get(work, broadcast)
        return ScheduleOut(
            schedule=found.settings.get("schedule"),
            due_at=found.due_at,
            deadline_at=found.deadline_at,
            coming=scheduling.coming(work, broadcast, count),
            occurrences=[
                OccurrenceOut(due=one.due, verdict=one.verdict, broadcast=one.made, said=one.said, at=one.at)
                for one in store.occurrences(work, broadcast, count)
            ],
        )
