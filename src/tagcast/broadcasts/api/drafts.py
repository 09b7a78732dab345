"""Drafts over HTTP: make, list, show."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import drafting, store
from tagcast.broadcasts.store import Broadcast

router = APIRouter(prefix="/broadcasts")


class BroadcastIn(BaseModel):
    """A draft."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    account: int | str = Field(description="Id or name of the account.")
    audience: str | dict[str, Any] = Field(description="Segment expression, as text or JSON.")
    content: dict[str, Any] = Field(description="The message: `kind` and its fields.")
    purpose: str = Field("marketing", description="Purpose that the recipients consented to.")
    holdout_percent: float = Field(0.0, ge=0, le=50, description="Share held out to measure the effect.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Sections: variants, schedule, stages …")


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
    settings: dict[str, Any]
    plan: str | None
    created_at: datetime
    due_at: datetime | None
    deadline_at: datetime | None
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
            settings=broadcast.settings,
            plan=broadcast.plan_hash,
            created_at=broadcast.created_at,
            due_at=broadcast.due_at,
            deadline_at=broadcast.deadline_at,
            started_at=broadcast.started_at,
            sent_at=broadcast.sent_at,
            finished_at=broadcast.finished_at,
        )


class BroadcastsOut(BaseModel):
    """Broadcasts, the newest first."""

    items: list[BroadcastOut]


@router.post("", status_code=201, summary="新建群发草稿 · Draft a broadcast")
def create(entry: Guarded, body: BroadcastIn) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(drafting.draft(work, **body.model_dump())))


@router.get("", summary="群发列表 · List broadcasts")
def list_(entry: Guarded) -> BroadcastsOut:
    with entry.read() as work:
        return BroadcastsOut(items=[BroadcastOut.of(broadcast) for broadcast in store.all_(work)])


@router.get("/{broadcast}", summary="查看群发 · Show a broadcast")
def show(entry: Guarded, broadcast: int) -> BroadcastOut:
    with entry.read() as work:
        return BroadcastOut.of(store.get(work, broadcast))
