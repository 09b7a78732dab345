"""A broadcast that is being sent, over HTTP: progress, pause, resume, cancel, why."""

from fastapi import APIRouter
from pydantic import BaseModel

from tagcast.access import Guarded
from tagcast.broadcasts import actions, views
from tagcast.broadcasts.api.drafts import BroadcastOut

router = APIRouter(prefix="/broadcasts")


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
