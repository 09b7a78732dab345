"""Purposes, shipped figures, what an account's limits allow, and the keys of the sent sets."""

from dataclasses import dataclass
from datetime import date
from functools import cache

from tagcast.accounts import Limits
from tagcast.compliance.days import Period
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


@dataclass(frozen=True, slots=True)
class ShippedQuiet:
    """The quiet hours that we ship (`22:00`), with their source."""

    start: str
    end: str
    source: str
    date: str


@cache
def shipped_quiet() -> ShippedQuiet:
    """Hours in which nobody is written to, unless a workspace says otherwise."""
    return ShippedQuiet(**read_toml("compliance", "quiet.toml")["quiet"])


@cache
def minority() -> Ceiling:
    """The years from which on one is no minor."""
    entry = read_toml("compliance", "quiet.toml")["minor"]
    return Ceiling(entry["years"], entry["source"], entry["date"])


def check_purpose(name: str) -> None:
    """Raises Invalid for a purpose that is not declared."""
    if name not in purposes():
        raise Invalid("compliance.unknown_purpose", purpose=name, known=", ".join(purposes()))


def day_number(day: date) -> int:
    """yyyymmdd as a number."""
    return day.year * 10_000 + day.month * 100 + day.day


def counts(limits: Limits, day: date) -> list[tuple[Period, int]]:
    """What an account's limits allow in the calendar day, week and month around a day of its zone."""
    bounds: tuple[tuple[Period, int | None], ...] = (
        ("day", limits.count("broadcast.per_day")),
        ("week", limits.count("broadcast.per_week")),
        ("month", limits.per_month(day)),
    )
    return [(period, limit) for period, limit in bounds if limit is not None]


def sent_key(account_id: int, ref: str, quarter: int) -> str:
    """The set of those who hold a slot of a sending, taken in a quarter hour (counted from 1970)."""
    return f"{sent_prefix(account_id, ref)}{quarter}"


def sent_prefix(account_id: int, ref: str) -> str:
    """What the keys of a sending's slots begin with; after it come digits only."""
    return f"sent:{account_id}:{ref}:"
