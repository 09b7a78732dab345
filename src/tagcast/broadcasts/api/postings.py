"""Postings over HTTP: messages to customer groups, and Moments."""

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import postings
from tagcast.kit import clock
from tagcast.kit.uow import Work

router = APIRouter(prefix="/postings")


class PostingIn(BaseModel):
    """A draft."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["groups", "moments"]
    name: str = Field(min_length=1, max_length=200)
    account: int | str = Field(description="Id or name of a 企业微信 account.")
    content: dict[str, Any] = Field(description="The message: `kind` and its fields, the same for everybody.")
    target: dict[str, Any] = Field(
        default_factory=dict,
        description="groups: owners, chats, audience with least members; moments: employees, audience.",
    )
    purpose: str = "marketing"
    within_hours: float = Field(72.0, gt=0, le=720, description="How long employees are waited for.")


class PostingOut(BaseModel):
    """A posting."""

    id: int
    kind: str
    name: str
    account: int
    purpose: str
    content: dict[str, Any]
    target: dict[str, Any]
    within_hours: float
    state: str
    reason: str | None
    plan: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, one: postings.Posting) -> "PostingOut":
        """From the stored one."""
        return cls(
            id=one.id,
            kind=one.kind,
            name=one.name,
            account=one.account,
            purpose=one.purpose,
            content=one.content,
            target=one.target,
            within_hours=one.within_hours,
            state=one.state,
            reason=one.reason,
            plan=one.plan_hash,
            created_at=one.created_at,
            started_at=one.started_at,
            finished_at=one.finished_at,
        )


class PostingsOut(BaseModel):
    """Postings, the newest first."""

    items: list[PostingOut]


class PostingLineOut(BaseModel):
    """A line of the waterfall."""

    name: str
    count: int
    label_zh: str
    label_en: str


class PostingPlanOut(BaseModel):
    """A plan; `shares`: employee → groups or customers."""

    hash: str
    posting: int
    lines: list[PostingLineOut]
    shares: dict[str, int]
    warnings: list[str]


class PostingOutcomeOut(BaseModel):
    """What became of a group, or of a Moment an employee."""

    recipient: str
    status: str
    reason: str
    at: datetime


class PostingStatusOut(BaseModel):
    """Where it stands."""

    id: int
    state: str
    reason: str | None
    states: dict[str, int]
    waiting: int
    outcomes: list[PostingOutcomeOut]


@router.post("", status_code=201, summary="新建客户群群发或朋友圈草稿 · Draft a posting")
def create_post(entry: Guarded, body: PostingIn) -> PostingOut:
    return entry.write(lambda work: PostingOut.of(postings.draft(work, **body.model_dump())))


@router.get("", summary="客户群群发与朋友圈列表 · List postings")
def list_posts(entry: Guarded) -> PostingsOut:
    with entry.read() as work:
        return PostingsOut(items=[PostingOut.of(one) for one in postings.list_(work)])


@router.post("/plans/{plan_hash}/send", summary="按计划发送 · Send exactly what was planned")
def send_post(entry: Guarded, plan_hash: str) -> PostingOut:
    return entry.write(lambda work: PostingOut.of(postings.send(work, plan_hash)))


@router.post("/{posting}/plan", summary="生成计划 · Plan a posting; nothing is sent")
def plan_post(entry: Guarded, posting: int) -> PostingPlanOut:
    def make(work: Work) -> PostingPlanOut:
        made = postings.plan(work, posting)
        lines = [
            PostingLineOut(name=line.name, count=line.count, label_zh=line.zh, label_en=line.en) for line in made.lines
        ]
        return PostingPlanOut(
            hash=made.hash, posting=posting, lines=lines, shares=dict(made.shares), warnings=made.warnings
        )

    return entry.write(make)


@router.get("/{posting}", summary="进度与结果 · Progress and outcomes")
def status(entry: Guarded, posting: int) -> PostingStatusOut:
    with entry.read() as work:
        now = postings.status(work, posting)
        outcomes = [
            PostingOutcomeOut(recipient=one.recipient, status=one.status, reason=one.reason, at=clock.from_ms(one.at))
            for one in now.outcomes
        ]
        return PostingStatusOut(
            id=now.id,
            state=now.state,
            reason=now.reason,
            states=dict(now.states),
            waiting=now.waiting,
            outcomes=outcomes,
        )


@router.post("/{posting}/cancel", summary="取消并核实 · Cancel what is unconfirmed, with proof")
def cancel_post(entry: Guarded, posting: int) -> PostingOut:
    return entry.write(lambda work: PostingOut.of(postings.cancel(work, posting)))


@router.post("/{posting}/resume", summary="继续 · Go on after a stop")
def resume_post(entry: Guarded, posting: int) -> PostingOut:
    return entry.write(lambda work: PostingOut.of(postings.resume(work, posting)))
