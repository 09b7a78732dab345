"""Drafts over HTTP: make, list, show."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast.access import Guarded
from tagcast.broadcasts import drafting, store
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work

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


class BroadcastEdit(BaseModel):
    """What changes of a draft; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "会员日", "holdout_percent": 10}})

    name: str | None = Field(None, min_length=1, max_length=200)
    account: int | str | None = None
    audience: str | dict[str, Any] | None = None
    content: dict[str, Any] | None = None
    purpose: str | None = None
    holdout_percent: float | None = Field(None, ge=0, le=50)
    settings: dict[str, Any] | None = Field(None, description="All sections; those that are not named are gone.")


class CopyIn(BaseModel):
    """The name of the copy; without one a number is put behind the old one."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200)


class DeletedOut(BaseModel):
    """What was deleted; `undo` brings it back."""

    id: int
    deleted: bool = True


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


@router.patch("/{broadcast}", summary="修改草稿 · Change a draft; its plan dies")
def edit(entry: Guarded, broadcast: int, body: BroadcastEdit) -> BroadcastOut:
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    return entry.write(lambda work: BroadcastOut.of(drafting.edit(work, broadcast, changes)))


@router.post("/{broadcast}/copy", status_code=201, summary="复制群发 · A new draft that says the same")
def copy(entry: Guarded, broadcast: int, body: CopyIn) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(drafting.copy(work, broadcast, body.name)))


@router.delete("/{broadcast}", summary="删除草稿 · Delete a draft")
def delete(entry: Guarded, broadcast: int) -> DeletedOut:
    def gone(work: Work) -> DeletedOut:
        drafting.delete(work, broadcast)
        return DeletedOut(id=broadcast)

    return entry.write(gone)


@router.post("/{broadcast}/undo", summary="撤销修改或删除 · Take the newest change of a draft back")
def undo(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(drafting.undo(work, broadcast)))
