"""Plans over HTTP: plan, send what was planned, open a step."""

from datetime import datetime

from fastapi import APIRouter, Query
from pydantic import BaseModel

from tagcast.access import Guarded
from tagcast.broadcasts import actions, views
from tagcast.broadcasts.api.drafts import BroadcastOut
from tagcast.broadcasts.store import SavedPlan
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")


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


class MembersOut(BaseModel):
    """Contacts of a step or an outcome, in order; `next` continues."""

    total: int
    contacts: list[int]
    next: int | None


@router.post("/{broadcast}/plan", summary="生成发送计划 · Plan a broadcast; nothing is sent")
def plan(entry: Guarded, broadcast: int) -> PlanOut:
    return entry.write(lambda work: PlanOut.of(work, broadcast, actions.plan(work, broadcast)))


@router.post("/plans/{plan_hash}/send", summary="按计划发送 · Send exactly what was planned")
def send(entry: Guarded, plan_hash: str) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.send(work, plan_hash)))


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
