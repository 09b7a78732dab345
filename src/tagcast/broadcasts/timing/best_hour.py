"""The hour of the day at which each person is most likely to look, told from what he did in the last months.

Of each person and hour: his own events in that hour, and the audience's hours, which weigh as `prior` events of his.
Who did nothing, or refused to be chosen by his behaviour, gets the audience's best hour.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from tagcast import behaviour, compliance
from tagcast.broadcasts import ledger
from tagcast.broadcasts.rules import Numbers, Piece
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.timing import calendar, sections
from tagcast.kit import clock
from tagcast.kit.uow import Work

Hours = npt.NDArray[np.int64]
_QUARTER_MS = 900_000


@dataclass(slots=True)
class _Seen:
    """Events by person and hour of the day: person * 24 + hour, one an event."""

    parts: list[Hours] = field(default_factory=list)


def hours_of(at_ms: npt.NDArray[np.int64], zone: str) -> Hours:
    """The hour of the day of each moment in a zone."""
    quarters, back = np.unique(at_ms // _QUARTER_MS, return_inverse=True)
    there = ZoneInfo(zone)
    hours = [clock.from_ms(int(one) * _QUARTER_MS).astimezone(there).hour for one in quarters.tolist()]
    return np.array(hours, dtype=np.int64)[back] if hours else np.empty(0, dtype=np.int64)


def choose(people: Numbers, seen: Hours, allowed: range, prior: float) -> Hours:
    """The best hour of each person (ascending). `seen`: person * 24 + hour of every event, in any order.

    Score of an hour: own events + prior * share of the audience's events; the earliest of equals.
    """
    hours = np.array(allowed, dtype=np.int64)
    seen = seen[np.isin(seen % 24, hours)]
    totals = np.bincount(seen % 24, minlength=24)[hours].astype(np.float64)
    share = totals / totals.sum() if totals.sum() else np.full(hours.size, 1 / hours.size)
    best = np.full(people.size, hours[share.argmax()], dtype=np.int64)
    pairs, counts = np.unique(seen, return_counts=True)
    active = np.unique(pairs // 24)
    if active.size:
        scores = np.tile(prior * share, (active.size, 1))
        scores[np.searchsorted(active, pairs // 24), pairs % 24 - hours[0]] += counts
        best[np.searchsorted(people, active)] = hours[scores.argmax(axis=1)]
    return best


def told(work: Work, who: Numbers, *, zone: str, allowed: range) -> Hours:
    """The best hour of each of these people (ascending), from the events of the last days."""
    listed = ledger.members(who)
    refused = BitMap.union(BitMap(), *compliance.unfit(work, listed, personalised=True).values())
    types = list(behaviour.event_types(work))
    seen = _Seen()
    if types and (within := listed - refused):
        first = work.today - timedelta(days=sections.limits()["history_days"])
        chosen = behaviour.Chosen(types, behaviour.Window(first, work.today), within=within)

        def take(found: _Seen, events: behaviour.Events) -> None:
            found.parts.append(events.contact.astype(np.int64) * 24 + hours_of(events.at_ms, zone))

        behaviour.fold(work, chosen, lambda: seen, take)
    together = np.concatenate(seen.parts) if seen.parts else np.empty(0, dtype=np.int64)
    return choose(who, together, allowed, sections.limits()["prior"])


def by_hour(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """A piece for each hour of the day, due when the hour comes next."""
    section = broadcast.settings.get("best_hour")
    if section is None:
        return [piece]
    allowed = range(int(section["from"][:2]), int(section["to"][:2]))
    hours = told(work, piece.recipients, zone=section["zone"], allowed=allowed)
    pieces = [
        replace(piece, recipients=piece.recipients[hours == hour], due=next_time(work.now, hour, section["zone"]))
        for hour in np.unique(hours).tolist()
    ]
    return sorted(pieces, key=lambda one: one.due or work.now)


def next_time(now: datetime, hour: int, zone: str) -> datetime:
    """When the hour comes next; now, within it."""
    there = now.astimezone(ZoneInfo(zone))
    if there.hour == hour:
        return now
    day: date = there.date() if there.hour < hour else there.date() + timedelta(days=1)
    return calendar.instant(day, time(hour), zone)
