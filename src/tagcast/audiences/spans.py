"""Spans of whole days, as a segment says them: fixed, or counted from the day of asking. Pure.

A day is a date, or a whole number of days from today: 0 is today, -1 yesterday, 1 tomorrow.
"""

import re
from calendar import isleap
from dataclasses import dataclass
from datetime import date, timedelta

Day = date | int

_DATE = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Span:
    """The days from `first` to `last`, both included; None: open on that side."""

    first: Day | None = None
    last: Day | None = None

    def days(self, today: date) -> tuple[date | None, date | None]:
        """First and last day as seen from `today`; the first may come out after the last, then there is no day."""
        return _fixed(self.first, today), _fixed(self.last, today)


EVER = Span()


def read_day(text: str) -> date | None:
    """The date of `2026-01-31`; None for anything else."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def last_days(count: int) -> Span:
    """Today and the days before it, `count` in all."""
    return Span(1 - count, 0)


def next_days(count: int) -> Span:
    """Today and the days after it, `count` in all."""
    return Span(0, count - 1)


def until(day: Day) -> Span:
    """Everything up to a day, with it."""
    return Span(None, day)


def before(day: Day) -> Span:
    """Everything up to a day, without it."""
    return Span(None, day - 1 if isinstance(day, int) else day - timedelta(days=1))


def returns(first: date, last: date) -> list[tuple[date, date]]:
    """The ranges of dates, ascending, that return on a day from `first` to `last`: same month and day, an earlier year.

    29 February returns on 28 February in common years.
    """
    found: list[tuple[date, date]] = []
    for year in range(first.year, last.year + 1):
        start, end = max(first, date(year, 1, 1)), min(last, date(year, 12, 31))
        for born in range(1, year):
            low, high = _start(start, born), _end(end, born)
            if low <= high:
                found.append((low, high))
    merged: list[tuple[date, date]] = []
    for low, high in sorted(found):
        if merged and low <= merged[-1][1] + timedelta(days=1):
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return merged


def turned(span: Span) -> bool:
    """Whether the span has no day on any day of asking."""
    match span:
        case Span(int(first), int(last)):
            return first > last
        case Span(date() as first, date() as last):
            return first > last
        case _:
            return False


def span_text(span: Span) -> str:  # noqa: PLR0911 - one return a form
    """The text form, e.g. `last 30 days`; `language.parse` reads it."""
    match span:
        case Span(None, None):
            return "ever"
        case Span(None, int(last)) if last >= 0:
            return f"until {day_text(last)}"
        case Span(None, int(last)):
            return f"before {day_text(last + 1)}"
        case Span(None, date() as last):
            return f"before {last + timedelta(days=1)}"
        case Span(first, None) if first is not None:
            return f"since {day_text(first)}"
        case Span(first, last) if first == last and first is not None:
            return day_text(first)
        case Span(int(first), 0):
            return f"last {counted(1 - first)}"
        case Span(0, int(last)):
            return f"next {counted(last + 1)}"
        case Span(int(first), int(last)) if last < 0:
            return f"{-last} to {-first} days ago"
        case Span(int(first), int(last)) if first > 0:
            return f"in {first} to {last} days"
        case Span(first, last):
            assert first is not None
            assert last is not None
            return f"{day_text(first)} to {day_text(last)}"


def day_text(day: Day) -> str:
    """The text form of a day: `2026-01-31`, `today`, `5 days ago`, `in 5 days`."""
    if isinstance(day, date):
        return day.isoformat()
    return "today" if day == 0 else f"{counted(-day)} ago" if day < 0 else f"in {counted(day)}"


def counted(count: int) -> str:
    """`1 day`, `2 days`."""
    return f"{count} day" if count == 1 else f"{count} days"


def _fixed(day: Day | None, today: date) -> date | None:
    return today + timedelta(days=day) if isinstance(day, int) else day


def _start(day: date, year: int) -> date:
    """The first date of a year that returns on `day` or later."""
    return date(year, 3, 1) if _is_29(day) and not isleap(year) else day.replace(year=year)


def _end(day: date, year: int) -> date:
    """The last date of a year that returns on `day` or earlier."""
    if _is_29(day) or ((day.month, day.day) == (2, 28) and not isleap(day.year)):
        return date(year, 2, 29 if isleap(year) else 28)
    return day.replace(year=year)


def _is_29(day: date) -> bool:
    return (day.month, day.day) == (2, 29)
