"""Calendar windows as spans of quarter hours on the time line, and wall-clock hours that are quiet. Pure.

Every zone in force has midnight, and every change of its clocks, on a quarter hour (tests/compliance/test_days.py asks
each zone). So a day of any zone is a whole number of quarters: mostly 96, on the days of a change 92 or 100.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tagcast.kit import clock

Period = Literal["day", "week", "month"]
PERIODS: tuple[Period, ...] = cast("tuple[Period, ...]", get_args(Period))

QUARTER_MS = 15 * 60 * 1000
_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Span:
    """The calendar days from `first` to `last` of a zone: the quarters from `start` up to, not with, `end`."""

    first: date
    last: date
    start: int
    end: int

    def holds(self, quarter: int) -> bool:
        """Whether a quarter lies in it."""
        return self.start <= quarter < self.end


def quarter_of(moment: datetime) -> int:
    """The quarter hours from 1970 to a moment."""
    return clock.to_ms(moment) // QUARTER_MS


def is_zone(name: str) -> bool:
    """Whether there is an IANA zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def month(day: date) -> tuple[date, date]:
    """First and last day of a day's calendar month."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day.replace(day=1), following - timedelta(days=1)


def bounds(period: Period, day: date) -> tuple[date, date]:
    """First and last day of the day, the week from Monday or the month around a day."""
    if period == "day":
        return day, day
    if period == "month":
        return month(day)
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def span(period: Period, moment: datetime, zone: str) -> Span:
    """The calendar day, week or month of a zone in which a moment lies."""
    return _span(period, clock.local_day(moment, zone), zone)


@lru_cache(maxsize=4096)
def _span(period: Period, day: date, zone: str) -> Span:
    first, last = bounds(period, day)
    return Span(first, last, _start(first, zone), _start(last + timedelta(days=1), zone))


def _start(day: date, zone: str) -> int:
    """The first quarter of a day: midnight; where the clocks are put forward over it, the moment at which they are."""
    return quarter_of(datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC))


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of the wall clock in which nobody is written to, from `start` up to, not with, `end`, over midnight too."""

    start: time
    end: time

    def hold(self, moment: datetime, zone: str) -> bool:
        """Whether a moment is quiet in a zone."""
        local = moment.astimezone(ZoneInfo(zone)).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def next_open(self, moment: datetime, zone: str) -> datetime:
        """The moment itself if it is not quiet, else the first one after it that is not, in UTC."""
        if not self.hold(moment, zone):
            return moment.astimezone(UTC)
        # Hours begin and end on a quarter, as every change of the clocks does: nothing opens in between.
        at = clock.from_ms((quarter_of(moment) + 1) * QUARTER_MS)
        while self.hold(at, zone):
            at += _QUARTER
        return at


def parse_time(text: str) -> time | None:
    """`22:00` as a time on a quarter hour; None for anything else."""
    hours, colon, minutes = text.partition(":")
    if not (colon and len(minutes) == 2 and 1 <= len(hours) <= 2 and (hours + minutes).isdecimal()):
        return None
    if int(hours) > 23 or int(minutes) > 59 or int(minutes) % 15:
        return None
    return time(int(hours), int(minutes))


def years_before(day: date, years: int) -> date:
    """The same day so many years earlier; of 29 February in a common year, 28 February."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)
