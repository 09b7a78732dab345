"""Calendar rules: the moments of what comes again, in a zone.

A moment that a day has twice (clocks go back) comes once, the first time. One that a day has not (clocks go forward)
comes at the first moment after the gap. Cron texts are worked out by cronsim, which does the same for texts with fixed
hours; those with `*` hours count hours as they pass.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from tagcast.broadcasts.timing import chinese_days

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LAST = "last"
FIRST = "first"
# Longer than any rule pauses, but a leap day's: that of 1896 came eight years later, as that of 2096 will.
_HORIZON_DAYS = 366 * 8 + 2


class Every(StrEnum):
    """What a rule repeats on."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    WORKDAY = "workday"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Calendar:
    """A rule, or a cron text. `on`: days of the week, of the month (1 to 31 or last), of the year (MM-DD), or `first`.

    `first`, `last`: the days between which it holds, both included. `short`: what becomes of the 31st in a shorter
    month: its last day, or nothing.
    """

    zone: str
    every: Every = Every.DAY
    on: tuple[str, ...] = ()
    times: tuple[time, ...] = ()
    first: date | None = None
    last: date | None = None
    short: str = LAST
    cron: str = ""

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after another, UTC; None: it is over, or never comes within eight years."""
        return self._by_cron(moment) if self.cron else self._by_days(moment)

    def coming(self, moment: datetime, count: int) -> list[datetime]:
        """The first `count` moments after another."""
        return list(islice(self._coming(moment), count))

    def _coming(self, moment: datetime) -> Iterator[datetime]:
        at = self.after(moment)
        while at is not None:
            yield at
            at = self.after(at)

    def _by_days(self, moment: datetime) -> datetime | None:
        # The day before, because a gap at midnight moves its last moments into the next day.
        day = max(moment.astimezone(ZoneInfo(self.zone)).date() - timedelta(days=1), self.first or date.min)
        for _ in range(_HORIZON_DAYS):
            if self.last is not None and day > self.last:
                return None
            if self._has(day):
                found = [at for each in self.times if (at := instant(day, each, self.zone)) > moment]
                if found:
                    return min(found)
            day += timedelta(days=1)
        return None

    def _has(self, day: date) -> bool:
        match self.every:
            case Every.DAY:
                return True
            case Every.WEEK:
                return DAYS[day.weekday()] in self.on
            case Every.MONTH:
                return self._in_month(day)
            case Every.YEAR:
                return f"{day:%m-%d}" in self.on or (
                    self.short == LAST and "02-29" in self.on and (day.month, day.day) == (2, 28) and not _leap(day)
                )
            case Every.WORKDAY:
                return chinese_days.workday(day)
            case Every.HOLIDAY:
                return chinese_days.first_of_holiday(day) if FIRST in self.on else chinese_days.holiday(day)

    def _in_month(self, day: date) -> bool:
        end = monthrange(day.year, day.month)[1]
        if str(day.day) in self.on:
            return True
        if day.day != end:
            return False
        return LAST in self.on or (self.short == LAST and any(int(one) > end for one in self.on))

    def _by_cron(self, moment: datetime) -> datetime | None:
        from cronsim import CronSim

        zone = ZoneInfo(self.zone)
        begin = moment
        if self.first is not None:
            begin = max(begin, instant(self.first, time(), self.zone) - timedelta(seconds=1))
        # In an hour that comes twice, cronsim begins with the first and gives moments that have passed.
        for found in CronSim(self.cron, begin.astimezone(zone)):
            at = found.astimezone(UTC)
            if self.last is not None and found.date() > self.last:
                return None
            if at > moment:
                return at
        return None


def instant(day: date, at: time, zone: str) -> datetime:
    """When a wall clock shows a time, UTC: the first of two, or the first moment after a gap that it falls into."""
    there = datetime.combine(day, at, ZoneInfo(zone))
    back = there.astimezone(UTC)
    if back.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == there.replace(tzinfo=None):
        return back
    # In a gap: the offsets before and after it differ by its length, and it ends where the later one begins.
    low, high = back - timedelta(days=1), back
    before = low.astimezone(ZoneInfo(zone)).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(ZoneInfo(zone)).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def of(schedule: Mapping[str, Any]) -> Calendar:
    """From the normal form of the section."""
    rule = schedule.get("rule", schedule)
    day = {name: date.fromisoformat(rule[name]) if rule.get(name) else None for name in ("from", "until")}
    if "cron" in schedule:
        return Calendar(schedule["zone"], first=day["from"], last=day["until"], cron=schedule["cron"])
    return Calendar(
        schedule["zone"],
        Every(rule["every"]),
        tuple(map(str, rule["on"])),
        tuple(time.fromisoformat(each) for each in rule["time"]),
        day["from"],
        day["until"],
        rule["short_month"],
    )


def _leap(day: date) -> bool:
    return monthrange(day.year, 2)[1] == 29
