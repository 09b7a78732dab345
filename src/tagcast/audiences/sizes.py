"""How large segments are over time: recorded every local day and on demand, told again from the change log before."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tagcast.audiences import actions, bounds, compiler, past, store
from tagcast.audiences.store import Segment
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.uow import Runtime, Work

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Size:
    """The exact size at a moment (epoch milliseconds), for the version of the segment then.

    `kept`: it was recorded then; else it is told from the change log for the segment as it is today.
    """

    at_ms: int
    day: date
    version: int
    size: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """Sizes by time, the last being the present one; least and most are of the present version alone."""

    segment: Segment
    sizes: tuple[Size, ...]
    least: int
    most: int
    now: int


def record_size(work: Work, segment_id: int) -> Size:
    """Record the size of a segment now. Raises NotFound, Invalid if it cannot be counted."""
    segment = actions.get(work, segment_id)
    size = compiler.count(work, segment.expression)
    store.put_size(work, segment_id, day=(work.today - _EPOCH).days, version=segment.version, size=size)
    return Size(work.now_ms, work.today, segment.version, size, kept=True)


def missing(work: Work) -> list[int]:
    """The segments whose size of this local day is not recorded yet."""
    return store.unmeasured(work, (work.today - _EPOCH).days)


def record_due(runtime: Runtime, workspace: int) -> int:
    """Record the day's sizes that are missing, one transaction a segment; returns how many. What fails has a gap."""
    with runtime.read(workspace, "schedule") as work:
        waiting = missing(work)
    done = 0
    for segment_id in waiting:
        try:
            with runtime.work(workspace, "schedule") as work:
                record_size(work, segment_id)
                done += 1
        except TagcastError:
            continue
    return done


def trend(work: Work, segment_id: int, *, since: date | None = None, rebuild: bool = False) -> Trend:
    """The sizes since a local day (30 days ago if not given). `rebuild`: days without a size are told from the log.

    Raises NotFound; Invalid when a leaf's past is told by no log, or for a day to come; Refused for too many days.
    """
    segment = actions.get(work, segment_id)
    first = since or work.today - timedelta(days=30)
    if first > work.today:
        raise Invalid("audiences.not_past", moment=first.isoformat())
    rows = store.sizes_since(work, segment_id, (first - _EPOCH).days)
    found = [Size(at, _EPOCH + timedelta(days=day), version, size, kept=True) for at, day, version, size in rows]
    if rebuild:
        days = (work.today - first).days + 1
        bounds.check("past_days", days)
        there = {one.day for one in found if one.version == segment.version}
        wanted = [first + timedelta(days=n) for n in range(days)]
        found += [_rebuilt(work, segment, day) for day in wanted if day not in there]
        found.sort(key=lambda one: one.at_ms)
    now = compiler.count(work, segment.expression)
    found.append(Size(work.now_ms, work.today, segment.version, now, kept=False))
    mine = [one.size for one in found if one.version == segment.version]
    return Trend(segment, tuple(found), min(mine), max(mine), now)


def _rebuilt(work: Work, segment: Segment, day: date) -> Size:
    """The size at the beginning of a local day."""
    moment = datetime.combine(day, time(), ZoneInfo(work.zone))
    size = past.count(work, segment.expression, moment)
    return Size(clock.to_ms(moment), day, segment.version, size, kept=False)
