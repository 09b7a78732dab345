"""Event types and what a row of an event may hold. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from tagcast import contacts
from tagcast.kit import clock
from tagcast.kit.errors import Invalid

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_EPOCH_SECONDS = re.compile(r"\d{10}")
_EPOCH_MS = re.compile(r"\d{13}")
_EARLIEST = clock.to_ms(datetime(1990, 1, 1, tzinfo=UTC))
_LATEST = clock.to_ms(datetime(2100, 1, 1, tzinfo=UTC))
_MOST_CENTS = 10**15
_MOST_QUANTITY = 10**9


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared type of event: what it is collected for and which properties it may carry."""

    name: str
    purpose: str
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventIn:
    """One event of a contact. `at_ms` is epoch milliseconds, `amount_cents` in 1/100 of the currency."""

    type: str
    contact: int
    at_ms: int
    amount_cents: int = 0
    quantity: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)


def check_type(declared: EventType) -> None:
    """Raises Invalid for a bad name or a missing purpose."""
    for name in (declared.name, *declared.properties):
        if not _NAME.fullmatch(name):
            raise Invalid("behaviour.bad_name", name=name)
    if not declared.purpose.strip():
        raise Invalid("behaviour.no_purpose", name=declared.name)


def check_properties(declared: EventType, names: Sequence[str]) -> None:
    """Raises Invalid for a property that was not declared."""
    for name in names:
        if name not in declared.properties:
            known = ", ".join(declared.properties) or "-"
            raise Invalid("behaviour.no_property", type=declared.name, name=name, known=known)


def check_time(at_ms: int) -> int:
    """Raises Invalid for a time outside 1990 to 2100."""
    if not _EARLIEST <= at_ms < _LATEST:
        raise Invalid("behaviour.bad_time")
    return at_ms


def check_quantity(quantity: int) -> int:
    """Raises Invalid below 0 or above a thousand million."""
    if not 0 <= quantity <= _MOST_QUANTITY:
        raise Invalid("behaviour.bad_quantity")
    return quantity


@lru_cache(maxsize=8192)
def parse_time(text: str, zone: str) -> int:
    """Epoch milliseconds of a day (20260131, 2026-01-31: its local midnight), ISO 8601, or an epoch in s or ms.

    A time without an offset is in `zone`. Raises Invalid.
    """
    day = contacts.parse_day(text)
    if day is not None:
        return check_time(clock.to_ms(datetime.combine(day, time(), ZoneInfo(zone))))
    if _EPOCH_MS.fullmatch(text):
        return check_time(int(text))
    if _EPOCH_SECONDS.fullmatch(text):
        return check_time(int(text) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("behaviour.bad_time") from None
    return check_time(clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))))


def parse_amount(text: str) -> int:
    """Cents of an amount with at most two decimals. Raises Invalid."""
    try:
        cents = Decimal(text.replace(",", "").lstrip("¥￥")).scaleb(2)
        if not cents.is_finite() or cents != int(cents) or abs(cents) > _MOST_CENTS:
            raise Invalid("behaviour.bad_amount")
    except InvalidOperation:
        raise Invalid("behaviour.bad_amount") from None
    return int(cents)


def parse_quantity(text: str) -> int:
    """A whole number. Raises Invalid."""
    try:
        return check_quantity(int(text))
    except ValueError:
        raise Invalid("behaviour.bad_quantity") from None
