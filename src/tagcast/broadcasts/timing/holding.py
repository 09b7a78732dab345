"""Who has to wait although his chunk is due: for his best hour, the send window, the end of quiet hours.

It is asked at each step of a chunk, in the step's own transaction, so nobody is called at an hour at which he may not
be. Who still waits at the end of the time for waiting is held back for good, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from pyroaring import BitMap

from tagcast import compliance
from tagcast.broadcasts import ledger, rules
from tagcast.broadcasts.ledger import Call, Indices
from tagcast.broadcasts.rules import Piece, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.broadcasts.timing import calendar, sections
from tagcast.kit import clock
from tagcast.kit.uow import Work

HOUR, WINDOW, QUIET, TOO_LONG = "best_hour", "send_window", "quiet_hours_on", "held_too_long"
REASONS = (HOUR, WINDOW, QUIET)

# The hours may be set otherwise while a chunk waits for them.
_LONGEST_SECONDS = 900.0
_TRIED = 8


@dataclass(frozen=True, slots=True)
class Wait:
    """For how long, and what for."""

    seconds: float
    reason: str


def hold(work: Work, broadcast: Broadcast, chunk: Chunk) -> Wait | None:
    """Whether a chunk has to wait. What is in flight is never held up: it must be found out while it can be.

    At the end of the time for waiting who may not be called yet is held back for good, in `chunk`; the others go on.
    """
    fresh = _fresh(chunk)
    if not fresh.size or chunk.call != Call.NONE or rules.in_flight(chunk.statuses, chunk.watermark).any():
        return None
    if chunk.due_at is not None and chunk.due_at > work.now_ms:
        return Wait((chunk.due_at - work.now_ms) / 1000, HOUR)
    who = ledger.members(chunk.recipients[fresh])
    found = _window(work, broadcast) or _quiet(work, broadcast, who)
    if found is None:
        return None
    until, reason, closed = found
    end = _end(broadcast, chunk)
    if work.now >= end:
        _give_up(work, broadcast, chunk, fresh if closed is None else _of(chunk, fresh, closed))
        return None
    seconds = (min(until, end) - work.now).total_seconds()
    return Wait(min(seconds, _LONGEST_SECONDS), reason)


def free_until(now_ms: int) -> int:
    """Until when nothing closes that is open now: hours begin and end on quarters."""
    step = int(sections.limits()["step_minutes"]) * 60_000
    return (now_ms // step + 1) * step


def window_open(section: Mapping[str, Any], moment: datetime) -> datetime:
    """The moment itself if a send window is open then, else when it opens next."""
    zone = ZoneInfo(section["zone"])
    start, end = (time.fromisoformat(section[name]) for name in ("from", "to"))
    today = moment.astimezone(zone).date()
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if calendar.DAYS[day.weekday()] not in section["days"]:
            continue
        opens, closes = _span(day, start, end, section["zone"])
        if moment < closes and opens < closes:
            return max(moment, opens)
    raise AssertionError("a window opens every week")


def by_clock(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """People of one clock together where each is called by himself, so that nobody waits for another's morning."""
    if not broadcast.route.personal:
        return [piece]
    who = ledger.members(piece.recipients)
    found = [members for _, members in compliance.clocks(work, broadcast.account, who)]
    if len(found) == 1:
        return [piece]
    return [replace(piece, recipients=np.array(members.to_array(), dtype=np.uint32)) for members in found]


def _span(day: date, start: time, end: time, zone: str) -> tuple[datetime, datetime]:
    last = day if start < end else day + timedelta(days=1)
    return calendar.instant(day, start, zone), calendar.instant(last, end, zone)


def _fresh(chunk: Chunk) -> Indices:
    """Who surely was not called."""
    above = np.arange(chunk.statuses.size) >= chunk.watermark
    fresh: Indices = np.flatnonzero(((chunk.statuses == Status.PLANNED) & above) | (chunk.statuses == Status.RETRY))
    return fresh


def _window(work: Work, broadcast: Broadcast) -> tuple[datetime, str, BitMap | None] | None:
    section = broadcast.settings.get("window")
    if section is None or (opens := window_open(section, work.now)) <= work.now:
        return None
    return opens, WINDOW, None


def _quiet(work: Work, broadcast: Broadcast, who: BitMap) -> tuple[datetime, str, BitMap] | None:
    """(when it is quiet for nobody of these, why, for whom it is quiet now): people of several clocks may share it."""
    if broadcast.settings.get("quiet") == "expire":
        return None

    def closed(at: datetime) -> list[tuple[datetime, BitMap]]:
        return compliance.openings(work, broadcast.account, who, at, purpose=broadcast.purpose)

    now = closed(work.now)
    if not now:
        return None
    until = now[-1][0]
    for _ in range(_TRIED):
        later = closed(until)
        if not later:
            break
        until = later[-1][0]
    return until, QUIET, BitMap.union(*(members for _, members in now))


def _end(broadcast: Broadcast, chunk: Chunk) -> datetime:
    begun = broadcast.started_at or broadcast.created_at
    if chunk.due_at is not None:
        begun = max(begun, clock.from_ms(chunk.due_at))
    minutes = broadcast.settings.get("window", sections.limits())["hold_minutes"]
    return begun + timedelta(minutes=minutes)


def _of(chunk: Chunk, indices: Indices, who: BitMap) -> Indices:
    found: Indices = indices[np.isin(chunk.recipients[indices], np.array(who.to_array(), dtype=np.uint32))]
    return found


def _give_up(work: Work, broadcast: Broadcast, chunk: Chunk, indices: Indices) -> None:
    statuses = chunk.statuses.copy()
    statuses[indices] = Status.HELD
    ledger.put(work, broadcast, chunk, statuses, {int(index): TOO_LONG for index in indices})
