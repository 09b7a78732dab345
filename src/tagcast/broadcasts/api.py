"""HTTP routes of broadcasts."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import actions, store, views
from tagcast.broadcasts.store import Broadcast, SavedPlan
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts", tags=["broadcasts"])


class BroadcastIn(BaseModel):
    """A draft."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    account: int | str = Field(description="Id or name of the account.")
    audience: str | dict[str, Any] = Field(description="Segment expression, as text or JSON.")
    content: dict[str, Any] = Field(description="The message: `kind` and its fields.")
    purpose: str = Field("marketing", description="Purpose that the recipients consented to.")
    holdout_percent: float = Field(0.0, ge=0, le=50, description="Share held out to measure the effect.")


class BroadcastOut(BaseModel):
    """A broadcast."""

    id: int
    name: str
    account: int
    purpose: str
    route: str
    state: str
    reason: str | None
    audience: dict[str, Any]
    content: dict[str, Any]
    holdout_percent: float
    plan: str | None
    created_at: datetime
    started_at: datetime | None
    sent_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, broadcast: Broadcast) -> "BroadcastOut":
        """From the stored one."""
        return cls(
            id=broadcast.id,
            name=broadcast.name,
            account=broadcast.account,
            purpose=broadcast.purpose,
            route=broadcast.route,
            state=broadcast.state,
            reason=broadcast.reason,
            audience=broadcast.audience,
            content=broadcast.content,
            holdout_percent=broadcast.holdout_percent,
            plan=broadcast.plan_hash,
            created_at=broadcast.created_at,
            started_at=broadcast.started_at,
            sent_at=broadcast.sent_at,
            finished_at=broadcast.finished_at,
        )


class BroadcastsOut(BaseModel):
    """Broadcasts, the newest first."""

    items: list[BroadcastOut]


class StepOut(BaseModel):
    """A line of the waterfall."""

    name: str
    count: int
    label_zh: str
    label_en: str


class PlanOut(BaseModel):
    """A plan: `hash` is what `send` asks for."""

    hash: str
    broadcast: int
    steps: list[StepOut]
    warnings: list[str]
    made_at: datetime

    @classmethod
    def of(cls, work: Work, broadcast: int, plan: SavedPlan) -> "PlanOut":
        """With the words of each step."""
        steps = [
            StepOut(name=step.name, count=step.count, label_zh=step.label_zh, label_en=step.label_en)
            for step in views.waterfall(work, broadcast)
        ]
        return cls(hash=plan.hash, broadcast=broadcast, steps=steps, warnings=plan.warnings, made_at=plan.made_at)


class ProgressOut(BaseModel):
    """Where a broadcast stands; the states sum to `assigned`."""

    id: int
    state: str
    reason: str | None
    reason_zh: str
    reason_en: str
    assigned: int
    holdout: int
    states: dict[str, int]
    failures: list["FailureOut"]


class FailureOut(BaseModel):
    """Why recipients were not reached."""

    reason: str
    count: int
    sentence_zh: str
    sentence_en: str


class WhyOut(BaseModel):
    """What a broadcast meant for one contact."""

    word: str
    zh: str
    en: str


class MembersOut(BaseModel):
    """Contacts of a step or an outcome, in order; `next` continues."""

    total: int
    contacts: list[int]
    next: int | None


@router.post("", status_code=201, summary="新建群发草稿 · Draft a broadcast")
def create(entry: Guarded, body: BroadcastIn) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.draft(work, **body.model_dump())))


@router.get("", summary="群发列表 · List broadcasts")
def list_(entry: Guarded) -> BroadcastsOut:
    with entry.read() as work:
        return BroadcastsOut(items=[BroadcastOut.of(broadcast) for broadcast in store.all_(work)])


@router.get("/{broadcast}", summary="查看群发 · Show a broadcast")
def show(entry: Guarded, broadcast: int) -> BroadcastOut:
    with entry.read() as work:
        return BroadcastOut.of(store.get(work, broadcast))


@router.post("/{broadcast}/plan", summary="生成发送计划 · Plan a broadcast; nothing is sent")
def plan(entry: Guarded, broadcast: int) -> PlanOut:
    return entry.write(lambda work: PlanOut.of(work, broadcast, actions.plan(work, broadcast)))


@router.post("/plans/{plan_hash}/send", summary="按计划发送 · Send exactly what was planned")
def send(entry: Guarded, plan_hash: str) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.send(work, plan_hash)))


@router.post("/{broadcast}/pause", summary="暂停 · Pause")
def pause(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.pause(work, broadcast)))


@router.post("/{broadcast}/resume", summary="继续 · Resume")
def resume(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.resume(work, broadcast)))


@router.post("/{broadcast}/cancel", summary="取消 · Cancel what was not called yet")
def cancel(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.cancel(work, broadcast)))


@router.get("/{broadcast}/progress", summary="进度 · Progress")
def progress(entry: Guarded, broadcast: int) -> ProgressOut:
    with entry.read() as work:
        now = views.progress(work, broadcast)
        failures = [
            FailureOut(
                reason=failure.reason,
                count=failure.count,
                sentence_zh=failure.sentence_zh,
                sentence_en=failure.sentence_en,
            )
            for failure in views.failures(work, broadcast)
        ]
        return ProgressOut(
            id=broadcast,
            state=now.state,
            reason=now.reason,
            reason_zh=now.reason_zh,
            reason_en=now.reason_en,
            assigned=now.assigned,
            holdout=now.holdout,
            states=dict(now.states),
            failures=failures,
        )


@router.get("/{broadcast}/why/{contact}", summary="此人为何收到或未收到 · Why a contact did or did not get it")
def why(entry: Guarded, broadcast: int, contact: int) -> WhyOut:
    with entry.read() as work:
        word, zh, en = views.why(work, broadcast, contact)
        return WhyOut(word=word, zh=zh, en=en)


@router.get("/{broadcast}/sets/{name}", summary="某一步骤或结果的联系人 · Contacts of a step or an outcome")
def members(
    entry: Guarded,
    broadcast: int,
    name: str,
    after: int = Query(0, ge=0, description="Contacts above this number."),
    limit: int = Query(100, ge=1, le=10_000),
) -> MembersOut:
    with entry.read() as work:
        found = views.members(work, broadcast, name)
        start = found.rank(after)
        page = list(found[start : start + limit])
        return MembersOut(total=len(found), contacts=page, next=page[-1] if start + limit < len(found) else None)
