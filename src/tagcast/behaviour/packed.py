"""Events as columns, and what is derived from them: local days and one aggregate per contact.

Aggregates are folded in batch by batch, in any order of time: the day sets tell which days of a contact are new.
"""

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

BLOCK = 2048
"""Contacts in a stored block of aggregates."""

AGGREGATE = np.dtype(
    [
        ("first_day", "<i4"),
        ("last_day", "<i4"),
        ("count", "<u4"),
        ("days", "<u4"),
        ("sum", "<i8"),
        ("first_sum", "<i8"),
    ]
)
"""Days since 1970-01-01, events, distinct days, cents of all events and of the first day's."""

_QUARTER = 900_000
_UTC_DAY = 86_400_000
_ZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one type as columns of equal length; `properties` is empty or holds one dict an event."""

    contact: NDArray[np.uint32]
    at_ms: NDArray[np.int64]
    amount: NDArray[np.int64]
    quantity: NDArray[np.int32]
    properties: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.contact)

    def where(self, mask: NDArray[np.bool_]) -> "Events":
        """The events where `mask` is true."""
        kept = [one for one, yes in zip(self.properties, mask.tolist(), strict=True) if yes] if self.properties else []
        return Events(self.contact[mask], self.at_ms[mask], self.amount[mask], self.quantity[mask], kept)


@dataclass(frozen=True, slots=True)
class PerDay:
    """Events summed by (contact, day), ordered by contact, then day."""

    contact: NDArray[np.uint32]
    day: NDArray[np.int32]
    count: NDArray[np.uint32]
    sum: NDArray[np.int64]


def events(
    contact: Any, at_ms: Any, amount: Any = 0, quantity: Any = 1, properties: list[dict[str, Any]] | None = None
) -> Events:
    """Columns from arrays, lists or single values. Raises ValueError when lengths differ."""
    numbers = np.asarray(contact, dtype=np.uint32)
    if properties and len(properties) != len(numbers):
        raise ValueError("properties must be as many as events")

    def column(values: Any, dtype: type) -> NDArray[Any]:
        return np.array(np.broadcast_to(np.asarray(values, dtype=dtype), numbers.shape))

    return Events(
        numbers, column(at_ms, np.int64), column(amount, np.int64), column(quantity, np.int32), properties or []
    )


def join(parts: list[Events]) -> Events:
    """One set of columns out of several; properties only if every part has them."""
    if not parts:
        return events([], [], [], [])
    kept = [one for part in parts for one in part.properties] if all(part.properties for part in parts) else []
    return Events(
        np.concatenate([part.contact for part in parts]),
        np.concatenate([part.at_ms for part in parts]),
        np.concatenate([part.amount for part in parts]),
        np.concatenate([part.quantity for part in parts]),
        kept,
    )


def encode(batch: Events) -> bytes:
    """The columns, little-endian one after the other, then the properties as JSON, compressed."""
    head = np.array([len(batch)], dtype="<u4").tobytes()
    columns = (
        batch.contact.astype("<u4"),
        batch.at_ms.astype("<i8"),
        batch.amount.astype("<i8"),
        batch.quantity.astype("<i4"),
    )
    tail = orjson.dumps(batch.properties) if batch.properties else b""
    return zlib.compress(head + b"".join(column.tobytes() for column in columns) + tail, _ZIP_LEVEL)


def decode(payload: bytes) -> Events:
    """What `encode` wrote."""
    data = zlib.decompress(payload)
    rows = int(np.frombuffer(data, dtype="<u4", count=1)[0])
    found: list[NDArray[Any]] = []
    at = 4
    for dtype in ("<u4", "<i8", "<i8", "<i4"):
        found.append(np.frombuffer(data, dtype=dtype, count=rows, offset=at))
        at += rows * np.dtype(dtype).itemsize
    return Events(found[0], found[1], found[2], found[3], orjson.loads(data[at:]) if len(data) > at else [])


def local_days(at_ms: NDArray[np.int64], zone: str) -> NDArray[np.int32]:
    """The calendar day of each moment in an IANA zone, as days since 1970-01-01."""
    info = ZoneInfo(zone)

    def offset(ms: int) -> int:
        shift = datetime.fromtimestamp(ms // 1000, UTC).astimezone(info).utcoffset()
        return int(shift.total_seconds() * 1000) if shift is not None else 0

    # Where the offset is the same at both ends of a UTC day it holds all day long; else quarter hours decide.
    utc_days, back = np.unique(at_ms // _UTC_DAY, return_inverse=True)
    starts = [offset(day * _UTC_DAY) for day in utc_days.tolist()]
    ends = [offset((day + 1) * _UTC_DAY) for day in utc_days.tolist()]
    shifts = np.array(starts, dtype=np.int64)[back]
    unsure = np.flatnonzero((np.array(starts) != np.array(ends))[back])
    for index in unsure.tolist():
        shifts[index] = offset(int(at_ms[index]) // _QUARTER * _QUARTER)
    return ((at_ms + shifts) // _UTC_DAY).astype(np.int32)


def per_day(batch: Events, zone: str) -> PerDay:
    """Events summed by (contact, day)."""
    day = local_days(batch.at_ms, zone)
    order = np.lexsort((day, batch.contact))
    contact, day = batch.contact[order], day[order]
    starts = _starts(contact, day)
    count = np.diff(np.append(starts, len(contact))).astype(np.uint32)
    total = np.add.reduceat(batch.amount[order], starts) if len(starts) else np.empty(0, np.int64)
    return PerDay(contact[starts], day[starts], count, total)


def summarise(days: PerDay, new: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
    """(contacts, their aggregates) of a batch; `new` says which (contact, day) pairs were never seen before."""
    starts = _starts(days.contact)
    ends = np.append(starts[1:], len(days.contact)) - 1
    made = np.zeros(len(starts), dtype=AGGREGATE)
    if len(starts):
        made["first_day"], made["last_day"] = days.day[starts], days.day[ends]
        made["count"] = np.add.reduceat(days.count, starts)
        made["days"] = np.add.reduceat(new.astype(np.uint32), starts)
        made["sum"], made["first_sum"] = np.add.reduceat(days.sum, starts), days.sum[starts]
    return days.contact[starts], made


def fold(before: NDArray[np.void], more: NDArray[np.void]) -> NDArray[np.void]:
    """The aggregates after more events of the same contacts; an aggregate with count 0 stands for nobody yet."""
    after = before.copy()
    fresh = before["count"] == 0
    earlier = fresh | (more["first_day"] < before["first_day"])
    same = ~fresh & (more["first_day"] == before["first_day"])
    after["first_sum"] = np.where(
        earlier, more["first_sum"], before["first_sum"] + np.where(same, more["first_sum"], 0)
    )
    after["first_day"] = np.where(earlier, more["first_day"], before["first_day"])
    after["last_day"] = np.where(fresh, more["last_day"], np.maximum(before["last_day"], more["last_day"]))
    for name in ("count", "days", "sum"):
        after[name] = before[name] + more[name]
    return after


def _starts(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """Where a new group begins in columns that are sorted together."""
    if not len(columns[0]):
        return np.empty(0, np.int64)
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)
