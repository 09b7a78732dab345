"""A broadcast that is being sent, over HTTP: progress, pause, resume, cancel, why."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tagcast import accounts
from tagcast.access import Guarded
from tagcast.broadcasts import actions, consents, running, views, watching
from tagcast.broadcasts.api.drafts import BroadcastOut

router = APIRouter(prefix="/broadcasts")


class StuckOut(BaseModel):
    """Why nothing moves, since when, and when it goes on by itself, if it does."""

    word: str
    zh: str
    en: str
    since: datetime
    until: datetime | None


class ProgressOut(BaseModel):
    """Where a broadcast stands; the states sum to `assigned`. Ask with `after` = `version` to be told of the change."""

    id: int
    state: str
    reason: str | None
    reason_zh: str
    reason_en: str
    assigned: int
    holdout: int
    states: dict[str, int]
    stage: int
    stages: int
    waits_until: datetime | None
    breaker: dict[str, Any] | None
    rate: float | None
    seconds_left: float | None
    moved_at: datetime | None
    stuck: StuckOut | None
    waiting_employees: int
    waiting_recipients: int
    version: str
    failures: list["FailureOut"]


class PartOut(BaseModel):
    """A chunk with the states of its people."""

    no: int
    stage: int
    sender: str
    done: bool
    moved_at: datetime | None
    states: dict[str, int]
    trouble: str | None
    trouble_zh: str
    trouble_en: str


class PartsOut(BaseModel):
    """Chunks in order; `next` continues."""

    items: list[PartOut]
    next: int | None


class RetryIn(BaseModel):
    """Which of those who failed are tried again."""

    model_config = ConfigDict(extra="forbid")

    reasons: list[str] = Field(min_length=1, description="Reasons as `progress` names them.")


class RetriedOut(BaseModel):
    """How many are tried again."""

    retried: int


class ConsentsOut(BaseModel):
    """Consents for subscription messages that are left, by template."""

    items: list["ConsentOut"]


class ConsentOut(BaseModel):
    """People who have a consent left, and how many they have together."""

    template: str
    people: int
    consents: int


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


@router.post("/{broadcast}/pause", summary="暂停 · Pause")
def pause(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.pause(work, broadcast)))


@router.post("/{broadcast}/resume", summary="继续 · Resume")
def resume(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.resume(work, broadcast)))


@router.post("/{broadcast}/cancel", summary="取消 · Cancel what was not called yet")
def cancel(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(actions.cancel(work, broadcast)))


@router.post("/{broadcast}/continue", summary="继续下一阶段 · Go on after the breaker, or to the next stage at once")
def proceed(entry: Guarded, broadcast: int) -> BroadcastOut:
    return entry.write(lambda work: BroadcastOut.of(running.proceed(work, broadcast)))


@router.post("/{broadcast}/retry", summary="按原因重试失败的人 · Try those again who failed for certain reasons")
def retry(entry: Guarded, broadcast: int, body: RetryIn) -> RetriedOut:
    return entry.write(lambda work: RetriedOut(retried=running.retry(work, broadcast, body.reasons)))


@router.get("/{broadcast}/progress", summary="进度 · Progress; with `after` it is answered when it has changed")
def progress(
    entry: Guarded,
    broadcast: int,
    after: str = Query("", max_length=16, description="The version that is known; empty: answer at once."),
    seconds: float = Query(watching.LONGEST_SECONDS, ge=0, le=watching.LONGEST_SECONDS, description="Wait at most."),
) -> ProgressOut:
    now = watching.wait_for_change(entry.read, broadcast, after, seconds)
    with entry.read() as work:
        failures = [FailureOut(**asdict(failure)) for failure in views.failures(work, broadcast)]
    return ProgressOut(id=broadcast, failures=failures, **watching.as_json(now))


@router.get("/{broadcast}/chunks", summary="分块状态 · The chunks with the states of their people")
def chunks(
    entry: Guarded,
    broadcast: int,
    after: int = Query(-1, ge=-1, description="Chunks above this number."),
    limit: int = Query(100, ge=1, le=1000),
) -> PartsOut:
    with entry.read() as work:
        found = watching.parts(work, broadcast, after=after, limit=limit)
    items = [PartOut(**asdict(one)) for one in found]
    return PartsOut(items=items, next=items[-1].no if len(items) == limit else None)


@router.get("/subscriptions/{account}", summary="剩余的订阅授权 · Consents left for subscription messages")
def subscriptions(entry: Guarded, account: int) -> ConsentsOut:
    with entry.read() as work:
        known = consents.counts(work, accounts.get(work, account).id)
    items = [
        ConsentOut(template=template, people=people, consents=count) for template, (people, count) in known.items()
    ]
    return ConsentsOut(items=items)


@router.get("/{broadcast}/why/{contact}", summary="此人为何收到或未收到 · Why a contact did or did not get it")
def why(entry: Guarded, broadcast: int, contact: int) -> WhyOut:
    with entry.read() as work:
        word, zh, en = views.why(work, broadcast, contact)
        return WhyOut(word=word, zh=zh, en=en)
