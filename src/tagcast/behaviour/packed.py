"""Events as columns, as they are stored and by local day."""

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

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
    """One set of columns out of several."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return NONE
    kept: list[dict[str, Any]] = []
    if any(part.properties for part in parts):
        kept = [one for part in parts for one in (part.properties or [{} for _ in range(len(part))])]
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
    if not len(at_ms):
        return np.empty(0, dtype=np.int32)
    utc_days = at_ms // _UTC_DAY
    low = int(utc_days.min())
    utc_days -= low
    # Where the offset is the same at both ends of a UTC day it holds all day long; else quarter hours decide.
    shift = np.zeros(int(utc_days.max()) + 1, dtype=np.int64)
    unsure = np.zeros(len(shift), dtype=np.bool_)
    for day in np.flatnonzero(np.bincount(utc_days)).tolist():
        shift[day] = _offset_ms(zone, (low + day) * _UTC_DAY)
        unsure[day] = shift[day] != _offset_ms(zone, (low + day + 1) * _UTC_DAY)
    shifts = shift[utc_days]
    if unsure.any():
        rows = np.flatnonzero(unsure[utc_days])
        quarters, back = np.unique(at_ms[rows] // _QUARTER, return_inverse=True)
        shifts[rows] = np.array([_offset_ms(zone, one * _QUARTER) for one in quarters.tolist()])[back]
    shifts += at_ms
    shifts //= _UTC_DAY
    return shifts.astype(np.int32)


@lru_cache(maxsize=100_000)
def _offset_ms(zone: str, ms: int) -> int:
    shift = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert shift is not None
    return int(shift.total_seconds() * 1000)


def per_day(batch: Events, zone: str) -> PerDay:
    """Events summed by (contact, day)."""
    day = local_days(batch.at_ms, zone)
    keys = batch.contact.astype(np.int64) << 32 | day
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = group_starts(keys)
    count = np.diff(np.append(starts, len(keys))).astype(np.uint32)
    total = np.add.reduceat(batch.amount[order], starts) if len(starts) else np.empty(0, np.int64)
    return PerDay((keys[starts] >> 32).astype(np.uint32), day[order][starts], count, total)


def group_starts(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a new value begins in a sorted column."""
    changed = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=changed[1:])
    return np.flatnonzero(changed)


def group_spans(keys: NDArray[np.int64]) -> list[tuple[int, int]]:
    """[begin, end) of each value in a sorted column."""
    starts = group_starts(keys).tolist()
    return list(zip(starts, [*starts[1:], len(keys)], strict=False))


NONE = events([], [], [], [])
"""No events."""
