"""Limit profiles: what an account of a kind may do, each value with its source and date.

`article` holds the figures of the field's article, `platform` those of the platforms' own pages. A workspace's own
profile names one of them as its base and gives only what differs. The loader is strict: a profile that lacks a key, has
an unknown one, or a value without a source, does not load.
"""

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any

from tagcast.accounts.rules import KINDS
from tagcast.channels.webhook import MAX_RECIPIENTS
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

SHIPPED = ("article", "platform")
DEFAULT = "article"
UNLIMITED = "unlimited"
DAYS_OF_MONTH = "days_of_month"
SCOPES = frozenset({"account", "person"})
CONTENT = frozenset({"text", "article", "mini_program", "image", "voice", "video", "file", "template", "subscription"})
"""Kinds of message, as `channels` and `broadcasts` name them, and those that a platform sends besides."""

Value = int | str | tuple[str, ...] | None

COUNTS = frozenset(
    """
    tags.depth tags.count tags.members tags.name_chars tags.per_contact
    broadcast.per_day broadcast.per_week broadcast.per_month preview.testers
    send.batch send.min_batch send.per_day send.rate_per_minute""".split()
)
KEYS = COUNTS | {"broadcast.scope", "broadcast.kinds"}
_OF_ONE_API = re.compile(r"(rate|at_once)\.[a-z0-9_]{1,60}")


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure: `value` None means no limit; `source` and `date` say where it comes from and of when it is."""

    value: Value
    source: str
    date: str
    profile: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one kind of account in one profile."""

    profile: str
    kind: str
    values: Mapping[str, Limit]

    def value(self, key: str) -> Limit:
        """The limit under a key of `KEYS`, an optional `rate.<api>` or `at_once.<api>`. Raises KeyError for another."""
        return self.values[key]

    def count(self, key: str) -> int | None:
        """The limit as a number; None: no limit."""
        found = self.values[key].value
        assert found is None or isinstance(found, int), key
        return found

    def per_month(self, day: date) -> int | None:
        """`broadcast.per_month` in the month of a day; a limit of `days_of_month` has that month's length."""
        found = self.values["broadcast.per_month"].value
        if found == DAYS_OF_MONTH:
            return calendar.monthrange(day.year, day.month)[1]
        return self.count("broadcast.per_month")

    @property
    def scope(self) -> str:
        """Whom broadcast limits count for: the `account` as a whole, or each `person`."""
        return str(self.values["broadcast.scope"].value)

    @property
    def content(self) -> frozenset[str]:
        """Kinds of message that can be broadcast."""
        found = self.values["broadcast.kinds"].value
        assert isinstance(found, tuple)
        return frozenset(found)

    def rate_per_minute(self, api: str) -> int | None:
        """Calls a minute of one API: its own figure, or that of the kind."""
        return self.count(f"rate.{api}" if f"rate.{api}" in self.values else "send.rate_per_minute")

    def at_once(self, api: str) -> int | None:
        """Calls of one API that may be under way at a time; None: as many as there are connections."""
        return self.count(f"at_once.{api}") if f"at_once.{api}" in self.values else None


@cache
def shipped(name: str) -> Mapping[str, Limits]:
    """A profile that comes with Tagcast, by account kind. Raises KeyError for another name."""
    if name not in SHIPPED:
        raise KeyError(name)
    read = parse(name, read_toml("accounts", "profiles", f"{name}.toml"))
    for kind in KINDS:
        if missing := KEYS - read.get(kind, {}).keys():
            raise Invalid("accounts.incomplete_profile", profile=name, kind=kind, missing=", ".join(sorted(missing)))
    return MappingProxyType({kind: Limits(name, kind, read[kind]) for kind in KINDS})


def derived(name: str, base: str, body: Mapping[str, Any]) -> Mapping[str, Limits]:
    """A workspace's own profile: the base with the values of `body` in their place. Raises Invalid."""
    own = parse(name, body)
    return MappingProxyType(
        {kind: Limits(name, kind, {**limits.values, **own.get(kind, {})}) for kind, limits in shipped(base).items()}
    )


def parse(name: str, body: Mapping[str, Any]) -> dict[str, dict[str, Limit]]:
    """Read `{kind: {group: {key: {value, source, date}}}}` strictly. Raises Invalid, naming profile and key."""
    read: dict[str, dict[str, Limit]] = {}
    for kind, groups in body.items():
        if kind not in KINDS or not isinstance(groups, Mapping):
            raise Invalid("accounts.unknown_kind", kind=kind, known=", ".join(KINDS))
        read[kind] = {}
        for group, entries in groups.items():
            if not isinstance(entries, Mapping):
                raise Invalid("accounts.bad_limit", profile=name, key=f"{kind}.{group}", reason="not a table of limits")
            for last, entry in entries.items():
                key = f"{group}.{last}"
                read[kind][key] = _limit(name, kind, key, entry)
    return read


def _limit(profile: str, kind: str, key: str, entry: Any) -> Limit:
    where = f"{kind}.{key}"
    if key not in KEYS and not _OF_ONE_API.fullmatch(key):
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason="there is no such limit")
    if not isinstance(entry, Mapping) or entry.keys() != {"value", "source", "date"}:
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason="needs value, source and date, no more")
    source, day = entry["source"], entry["date"]
    if not isinstance(source, str) or not source.strip():
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason="the source is empty")
    if not isinstance(day, str) or not _is_day(day):
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason="the date is not YYYY-MM-DD")
    try:
        value = _value(key, entry["value"])
    except ValueError as error:
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason=str(error)) from None
    if where == "custom.send.batch" and (not isinstance(value, int) or not 1 <= value <= MAX_RECIPIENTS):
        most = f"a delivery has 1 to {MAX_RECIPIENTS} recipients"
        raise Invalid("accounts.bad_limit", profile=profile, key=where, reason=most)
    return Limit(value, source, day, profile)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _value(key: str, value: Any) -> Value:
    if key == "broadcast.scope":
        if value not in SCOPES:
            raise ValueError("the scope is account or person")
        return str(value)
    if key == "broadcast.kinds":
        if not isinstance(value, list) or not value or not set(value) <= CONTENT:
            raise ValueError("the kinds are of: " + ", ".join(sorted(CONTENT)))
        return tuple(value)
    if value == UNLIMITED:
        return None
    if value == DAYS_OF_MONTH and key == "broadcast.per_month":
        return DAYS_OF_MONTH
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError('the value is a whole number from 0, or "unlimited"')
    return value
