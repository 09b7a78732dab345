"""Windows of calendar days, keys of the sent sets, purposes and ceilings. Days are those of the account's zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from tagcast.accounts import Limits
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml


@dataclass(frozen=True, slots=True)
class Purpose:
    """What people consent to, in plain sentences."""

    name: str
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A figure of ours with its source and date."""

    value: int
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Window:
    """Calendar days, both ends included, in which at most `limit` sends are allowed."""

    first: date
    last: date
    limit: int

    def days(self) -> Iterator[date]:
        """Its days."""
        for offset in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=offset)


@cache
def purposes() -> dict[str, Purpose]:
    """The declared purposes by name."""
    return {
        name: Purpose(name, entry["zh"], entry["en"])
        for name, entry in read_toml("compliance", "purposes.toml").items()
    }


@cache
def ceilings() -> dict[str, Ceiling]:
    """The shipped ceilings per person: `month` (default) and `month_hard`."""
    return {
        name: Ceiling(entry["value"], entry["source"], entry["date"])
        for name, entry in read_toml("compliance", "caps.toml").items()
    }


def check_purpose(name: str) -> None:
    """Raises Invalid for a purpose that is not declared."""
    if name not in purposes():
        raise Invalid("compliance.unknown_purpose", purpose=name, known=", ".join(purposes()))


def month(day: date) -> tuple[date, date]:
    """First and last day of a day's calendar month."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day.replace(day=1), following - timedelta(days=1)


def windows(limits: Limits, day: date) -> list[Window]:
    """The calendar windows around a day that the limits bound: the day, the week from Monday, the month."""
    monday = day - timedelta(days=day.weekday())
    first, last = month(day)
    bounds = (
        (day, day, limits.count("broadcast.per_day")),
        (monday, monday + timedelta(days=6), limits.count("broadcast.per_week")),
        (first, last, limits.per_month(day)),
    )
    return [Window(start, end, limit) for start, end, limit in bounds if limit is not None]


def day_number(day: date) -> int:
    """yyyymmdd as a number."""
    return day.year * 10_000 + day.month * 100 + day.day


def sent_key(account_id: int, day: date, level: int = 1) -> str:
    """The set of people sent to at least `level` times by an account on a day."""
    base = f"sent:{account_id}:day:{day_number(day):08d}"
    return base if level == 1 else f"{base}#{level}"
