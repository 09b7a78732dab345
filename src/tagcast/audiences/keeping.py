"""Segments that are kept as a set: worked out on a schedule and true as of then. Live ones are `live`'s."""

import asyncio
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from tagcast.audiences import actions, sizes, store
from tagcast.audiences.store import Refresh, Segment
from tagcast.kit import clock, leases, logs
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

log = logs.get("segments")

KIND = "audiences.follow"
"""Work for a worker: what is due of schedules and of the day's sizes."""

HOURS = (1, 2, 3, 4, 6, 8, 12, 24)
"""The rhythms that divide a day: rounds begin at local midnight."""


def keep(work: Work, segment_id: int, refresh: Refresh, *, every_hours: int = 0) -> Segment:
    """Say how a segment is kept; a scheduled one is worked out at once, a live one is filled by whoever keeps it.

    Raises NotFound, Invalid for a rhythm that does not divide a day.
    """
    if (refresh == "scheduled") != (every_hours != 0) or (every_hours and every_hours not in HOURS):
        raise Invalid("audiences.bad_rhythm", hours=every_hours, known=", ".join(map(str, HOURS)))
    store.lock(work)
    segment = actions.get(work, segment_id)
    if (segment.refresh, segment.every_hours) == (refresh, every_hours):
        return segment
    store.put_refresh(work, segment_id, refresh, every_hours)
    if refresh == "scheduled":
        return actions.renew(work, segment_id)
    if refresh == "asked":
        work.bitmaps.replace(segment.key, BitMap(), why="segment no longer kept")
    return actions.get(work, segment_id)


def due(work: Work) -> list[Segment]:
    """The scheduled segments whose round has begun since they were worked out."""
    kept = [one for one in store.every(work) if one.refresh == "scheduled"]
    return [one for one in kept if one.fresh_at is None or one.fresh_at < _round_ms(work, one.every_hours)]


def waiting(work: Work) -> bool:
    """Whether a scheduled segment or a size of the day is due."""
    return bool(due(work) or sizes.missing(work))


def start_due(work: Work) -> None:
    """Ask a worker for what is due."""
    leases.enqueue(work, KIND, "")


async def work_off(runtime: Runtime, lease: Lease) -> None:
    """What a worker does: each segment in a transaction of its own. One that cannot be worked out stays as it was."""
    await asyncio.to_thread(_work_off, runtime, lease)


def _work_off(runtime: Runtime, lease: Lease) -> None:
    for name, error in renew_due(runtime, lease.workspace).items():
        log.warning("scheduled segment cannot be worked out", segment=name, code=error.code)
    sizes.record_due(runtime, lease.workspace)
    with runtime.work(lease.workspace, "schedule") as work:
        leases.complete(work.connection, lease)


def renew_due(runtime: Runtime, workspace: int) -> dict[str, TagcastError]:
    """Work out what is due, one transaction each; returns what could not be, by name, as it was before."""
    with runtime.read(workspace, "schedule") as work:
        listed = due(work)
    failed: dict[str, TagcastError] = {}
    for segment in listed:
        try:
            with runtime.work(workspace, "schedule") as work:
                if any(one.id == segment.id for one in due(work)):
                    actions.renew(work, segment.id)
        except TagcastError as error:
            failed[segment.name] = error
    return failed


def _round_ms(work: Work, hours: int) -> int:
    """When the present round began: local midnight and every so many hours of the clock after it."""
    local = work.now.astimezone(ZoneInfo(work.zone))
    begun = local.replace(hour=local.hour - local.hour % hours, minute=0, second=0, microsecond=0)
    return clock.to_ms(begun)
