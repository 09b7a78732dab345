"""Plans over HTTP: plan, what moved since, send what was planned, open a step, approve."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.broadcasts import actions, approving, store, views
from tagcast.broadcasts.api.drafts import BroadcastOut
from tagcast.broadcasts.store import Approval, SavedPlan
from tagcast.kit import clock
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")

CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


class StepOut(BaseModel):
    """A line of the waterfall."""

    name: str
    count: int
    label_zh: str
    label_en: str


class WarningOut(BaseModel):
    """What to look at before sending."""

    code: str
    zh: str
    en: str


class DurationOut(BaseModel):
    """The fewest calls and the least time at the account's rates, on so many calendar days."""

    calls: int
    per_minute: int | None
    seconds: float
    days: int


class CostOut(BaseModel):
    """What the messages cost together."""

    each: float
    total: float
    currency: str
    source: str


class UseOut(BaseModel):
    """Sends of an account on the days from `first` to `last`; `scope`: whom the limit counts for."""

    period: str
    first: date
    last: date
    used: int
    scope: str
    limit: int | None
    left: int | None


class LeftOut(BaseModel):
    """What is left before it is sent; `left`: how many recipients may get 0, 1, 2, and 3 or more that month."""

    uses: list[UseOut]
    left: list[int]


class SaidOut(BaseModel):
    """What a second person said about a plan."""

    plan: str
    approved: bool
    note: str
    who: str
    at: datetime

    @classmethod
    def of(cls, said: Approval) -> "SaidOut":
        """From what is kept."""
        return cls(plan=said.plan_hash, approved=said.approved, note=said.note, who=said.who, at=clock.from_ms(said.at))


class ApprovalOut(BaseModel):
    """Why a second person is needed (`above`, `purpose`, `tags`; empty: nobody is), and what was said."""

    needed: list[str]
    said: SaidOut | None


class PlanOut(BaseModel):
    """A plan: `hash` is what `send` asks for."""

    hash: str
    broadcast: int
    steps: list[StepOut]
    warnings: list[str]
    warning_texts: list[WarningOut]
    duration: DurationOut
    cost: CostOut | None
    quota: LeftOut
    approval: ApprovalOut
    made_at: datetime

    @classmethod
    def of(cls, work: Work, broadcast: int, plan: SavedPlan) -> "PlanOut":
        """With the words of each step."""
        steps = [
            StepOut(name=step.name, count=step.count, label_zh=step.label_zh, label_en=step.label_en)
            for step in views.waterfall(work, broadcast)
        ]
        said = store.approval_of(work, broadcast, plan.hash)
        approval = ApprovalOut(
            needed=approving.approval_reasons(work, store.get(work, broadcast), views.size(plan)),
            said=None if said is None else SaidOut.of(said),
        )
        words = {code: views.warning(code) for code in plan.warnings}
        return cls(
            hash=plan.hash,
            broadcast=broadcast,
            steps=steps,
            warnings=plan.warnings,
            warning_texts=[WarningOut(code=code, **word) for code, word in words.items()],
            duration=DurationOut(**plan.notes["duration"]),
            cost=None if plan.notes["cost"] is None else CostOut(**plan.notes["cost"]),
            quota=LeftOut(**plan.notes["quota"]),
            approval=approval,
            made_at=plan.made_at,
        )


class MoveOut(BaseModel):
    """People who were at the step `before` and are at `after`, with the first 20 of them."""

    before: str
    after: str
    count: int
    examples: list[int]


class MovedOut(BaseModel):
    """What moved since a plan was made; nothing: it can be sent as far as people are concerned."""

    hash: str
    moves: list[MoveOut]


class NoteIn(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=500)


class MembersOut(BaseModel):
    """Contacts of a step or an outcome, in order; `next` continues."""

    total: int
    contacts: list[int]
    next: int | None


@router.post("/{broadcast}/plan", summary="生成发送计划 · Plan a broadcast; nothing is sent")
def plan(entry: Guarded, broadcast: int) -> PlanOut:
    return entry.write(lambda work: PlanOut.of(work, broadcast, actions.plan(work, broadcast)))


@router.get("/{broadcast}/plan", summary="查看发送计划 · The newest plan")
def planned(entry: Guarded, broadcast: int) -> PlanOut:
    with entry.read() as work:
        name = store.get(work, broadcast).name
        found = store.plan_of(work, broadcast)
        if found is None:
            raise NotFound("broadcasts.no_plan", plan=f"{name} ({broadcast})")
        return PlanOut.of(work, broadcast, found)


@router.get("/{broadcast}/moved", summary="计划后的变动 · What moved since the plan")
def moved(entry: Guarded, broadcast: int) -> MovedOut:
    with entry.read() as work:
        before, found = actions.moved(work, broadcast)
        return MovedOut(hash=before.hash, moves=[MoveOut(**asdict(move)) for move in found])


@router.post("/plans/{plan_hash}/send", summary="按计划发送 · Send exactly what was planned")
def send(entry: Guarded, plan_hash: str) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.send(work, plan_hash)))


@router.post("/plans/{plan_hash}/approve", summary="批准计划 · Approve a plan, as another operator")
def approve(entry: Guarded, plan_hash: str, body: NoteIn) -> SaidOut:
    return entry.write(lambda work: SaidOut.of(approving.decide(work, plan_hash, approved=True, note=body.note)))


@router.post("/plans/{plan_hash}/reject", summary="驳回计划 · Reject a plan, as another operator")
def reject(entry: Guarded, plan_hash: str, body: NoteIn) -> SaidOut:
    return entry.write(lambda work: SaidOut.of(approving.decide(work, plan_hash, approved=False, note=body.note)))


@router.get(
    "/{broadcast}/sets/{name}",
    summary="某一步骤或结果的联系人 · Contacts of a step or an outcome",
    responses=CSV,
    response_model=MembersOut,
)
def members(
    entry: Guarded,
    broadcast: int,
    name: str,
    *,
    after: int = Query(0, ge=0, description="Contacts above this number."),
    limit: int = Query(100, ge=1, le=10_000),
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the word of the API
) -> Any:
    """A page of numbers; `?format=csv` gives all of them with the reason, a line each."""
    with entry.read() as work:
        if format == "csv":
            return Response("".join(views.members_csv(work, broadcast, name)), media_type="text/csv; charset=utf-8")
        found = views.members(work, broadcast, name)
        numbers, following = bitmaps.page(found, after, limit)
        return MembersOut(total=len(found), contacts=numbers, next=following)
