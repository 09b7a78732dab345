"""Event types and what a row of an event may hold. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from tagcast import contacts
from tagcast.kit import clock
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.shipped import read_toml

Kind = Literal["text", "number", "flag"]
Value = str | float | bool

BUILT_IN: dict[str, Kind] = {"amount": "number", "quantity": "number"}
"""What every event has; conditions name them like properties."""

RESERVED = {*BUILT_IN, "at", "at_ms", "batch", "contact", "count", "day", "days", "id", "seq", "sum", "times", "type"}
"""Names that no property may have: columns of the lake and words of questions."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_EPOCH_SECONDS = re.compile(r"\d{10}")
_EPOCH_MS = re.compile(r"\d{13}")
_EARLIEST = clock.to_ms(datetime(1990, 1, 1, tzinfo=UTC))
_LATEST = clock.to_ms(datetime(2100, 1, 1, tzinfo=UTC))
_DAY_MS = 86_400_000
_MOST_CENTS = 10**15
_FLAGS = {"true": True, "1": True, "yes": True, "是": True, "false": False, "0": False, "no": False, "否": False}
_MOST_QUANTITY = 10**9


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared type of event: what it is collected for and which properties, of which kind, it may carry.

    `zone` is that of its days since the first intake or the last rebuild, "" before; `epoch` names the last rebuild.
    """

    name: str
    purpose: str
    properties: Mapping[str, Kind] = field(default_factory=dict)
    zone: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class EventIn:
    """One event of a contact. `at_ms` is epoch milliseconds, `amount_cents` in 1/100 of the currency.

    `id`, if given, is the event's own: the same id of the same type is recorded once, for good.
    """

    type: str
    contact: int
    at_ms: int
    amount_cents: int = 0
    quantity: int = 1
    properties: Mapping[str, Value] = field(default_factory=dict)
    id: str = ""


@cache
def limits() -> dict[str, Any]:
    """`limits.toml`."""
    return read_toml("behaviour", "limits.toml")


def check_type(declared: EventType) -> None:
    """Raises Invalid for a bad name or a missing purpose."""
    for name in (declared.name, *declared.properties):
        if not _NAME.fullmatch(name):
            raise Invalid("behaviour.bad_name", name=name)
    for name, kind in declared.properties.items():
        if name in RESERVED:
            raise Invalid("behaviour.reserved_name", name=name)
        if kind not in get_args(Kind):
            raise Invalid("behaviour.no_kind", name=name, kind=kind, known=", ".join(get_args(Kind)))
    if len(declared.properties) > limits()["properties"]:
        raise Invalid("behaviour.too_many_properties", name=declared.name, most=limits()["properties"])
    if not declared.purpose.strip():
        raise Invalid("behaviour.no_purpose", name=declared.name)


def parse_properties(texts: Iterable[str]) -> dict[str, Kind]:
    """Properties written as `name` (a text) or `name:kind`. Raises nothing: `check_type` judges."""
    found: dict[str, Kind] = {}
    for text in texts:
        name, _, kind = text.strip().partition(":")
        found[name] = kind or "text"  # type: ignore[assignment]  # checked by check_type
    return found


def check_zone(declared: EventType, zone: str) -> None:
    """Raises Conflict when the days of a type are those of another zone."""
    if declared.zone and declared.zone != zone:
        raise Conflict("behaviour.other_zone", type=declared.name, zone=declared.zone, now=zone)


def check_properties(declared: EventType, names: Iterable[str]) -> None:
    """Raises Invalid for a property that was not declared."""
    for name in names:
        if name not in declared.properties:
            known = ", ".join(declared.properties) or "-"
            raise Invalid("behaviour.no_property", type=declared.name, name=name, known=known)


def check_values(declared: EventType, properties: Mapping[str, Any]) -> None:
    """Raises Invalid for a property that was not declared or a value that is not of its kind."""
    check_properties(declared, properties)
    for name, value in properties.items():
        if not is_kind(declared.properties[name], value):
            raise Invalid("behaviour.bad_value", type=declared.name, name=name, kind=declared.properties[name])


def is_kind(kind: Kind, value: object) -> bool:
    """Whether a value may stand in a property of this kind."""
    match kind:
        case "text":
            return isinstance(value, str) and 0 < len(value) <= limits()["text_length"]
        case "flag":
            return isinstance(value, bool)
        case _:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            return math.isfinite(value) and abs(value) <= limits()["number"]


def parse_value(declared: EventType, name: str, text: str) -> Value:
    """A property's value from a file's text: flags are true/false, 1/0, yes/no, 是/否. Raises Invalid."""
    check_properties(declared, [name])
    kind = declared.properties[name]
    value: Value | None = text
    if kind == "flag":
        value = _FLAGS.get(text.strip().lower())
    elif kind == "number":
        try:
            value = float(text.replace(",", ""))
        except ValueError:
            value = None
    if not is_kind(kind, value):
        raise Invalid("behaviour.bad_value", type=declared.name, name=name, kind=kind)
    assert value is not None
    return value


def check_time(at_ms: int) -> int:
    """Raises Invalid for a time outside 1990 to 2100."""
    if not _EARLIEST <= at_ms < _LATEST:
        raise Invalid("behaviour.bad_time")
    return at_ms


def check_age(at_ms: int, now_ms: int) -> int:
    """Raises Invalid for a time that is too old to count or too far ahead of `now_ms` (see limits.toml)."""
    bounds = limits()
    if at_ms > now_ms + bounds["future_days"] * _DAY_MS:
        raise Invalid("behaviour.in_future", days=bounds["future_days"])
    if at_ms < now_ms - bounds["late_days"] * _DAY_MS:
        raise Invalid("behaviour.too_old", days=bounds["late_days"])
    return at_ms


def check_key(text: str) -> str:
    """Raises Invalid for a batch key or an event's own id that is too long."""
    if len(text) > limits()["key_length"]:
        raise Invalid("behaviour.long_key", most=limits()["key_length"])
    return text


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
