"""What is measured of events, for all contacts at once, in columns.

Counts, sums, first and last days of all time come from what is kept per contact at intake; distinct days of a window
from the day sets; the rest from the events of the window, a slice of days at a time.
"""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import behaviour, bitmaps
from tagcast.behaviour import Aggregates, Events, Where
from tagcast.features.rules import limits
from tagcast.kit import clock
from tagcast.kit.uow import Work

EPOCH: Final = date(1970, 1, 1)
Progress = Callable[[int, int], None]
Ints = NDArray[np.int64]
FIELDS: Final = ("first_day", "last_day", "count", "sum")
_MOST = np.iinfo(np.int64).max
_OPS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
    "is": operator.eq,
    "is_not": operator.ne,
    "in": lambda one, some: one in some,
    "between": lambda one, ends: ends[0] <= one <= ends[1],
}


def nothing(_done: int, _total: int) -> None:
    """No progress is told."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events: of any of `types`, on the days `first` (None: from the beginning) to `last`, since 1970-01-01.

    `half_life`: an event weighs half as much for every so many days before `last`. `only`: of these contacts.
    """

    types: Sequence[str]
    last: int
    first: int | None = None
    where: tuple[Where, ...] = ()
    half_life: float | None = None
    only: BitMap | None = None

    @property
    def kept(self) -> bool:
        """Whether what is kept per contact can tell."""
        return self.first is None and not self.where and self.half_life is None


@dataclass(frozen=True, slots=True)
class Totals:
    """One row a contact with an event, ascending: days since 1970-01-01, events and cents (weighted if so asked)."""

    contact: NDArray[np.uint32]
    first_day: NDArray[Any]
    last_day: NDArray[Any]
    count: NDArray[Any]
    sum: NDArray[Any]

    def of(self, only: BitMap | None) -> "Totals":
        """The rows of some contacts."""
        if only is None:
            return self
        mask = np.isin(self.contact, bitmaps.unpack(only), assume_unique=True)
        columns = (getattr(self, name) for name in ("first_day", "last_day", "count", "sum"))
        return Totals(self.contact[mask], *(one[mask] if len(one) else one for one in columns))


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """The day so many days after 1970-01-01."""
    return EPOCH + timedelta(days=number)


def totals(
    work: Work, asked: Asked, progress: Progress = nothing, *, fields: Collection[str] = FIELDS
) -> Totals:  # fmt: skip
    """First and last day, events and cents of each contact that has such events. Raises NotFound for a type.

    A field that was not asked for may be empty; each that is read costs time.
    """
    if asked.kept:
        kept = behaviour.aggregates(work, *asked.types, until=day_of(asked.last), fields=fields)
        return Totals(kept.contact, *(getattr(kept, name) for name in FIELDS)).of(asked.only)
    dense = _Dense()
    for found, day in _slices(work, asked, progress):
        dense.add(found, day, asked)
    return dense.rows()


def distinct_days(work: Work, asked: Asked) -> tuple[NDArray[np.uint32], Ints]:
    """(contacts, on how many days they had such events); conditions on properties make it read the events."""
    if asked.first is None and not asked.where and len(asked.types) == 1:
        (found,) = _kept(work, asked, ("days",))
        rows = slice(None) if asked.only is None else np.isin(found.contact, bitmaps.unpack(asked.only))
        return found.contact[rows], found.days[rows].astype(np.int64)
    members = _days_by_events(work, asked) if asked.where else _days_by_sets(work, asked)
    found_days = np.zeros(0, dtype=np.int64)
    for some in members:
        numbers = bitmaps.unpack(some if asked.only is None else some & asked.only)
        if len(numbers):
            found_days = _widened(found_days, int(numbers[-1]) + 1, 0)
            found_days[numbers] += 1
    there = np.flatnonzero(found_days)
    return there.astype(np.uint32), found_days[there]


def extremes(work: Work, asked: Asked, progress: Progress = nothing) -> tuple[NDArray[np.uint32], Ints, Ints]:
    """(contacts, least, most amount of an event in cents)."""
    least, most = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for found, _ in _slices(work, asked, progress):
        if len(found):
            wide = int(found.contact.max()) + 1
            least, most = _widened(least, wide, _MOST), _widened(most, wide, -_MOST)
            np.minimum.at(least, found.contact, found.amount)
            np.maximum.at(most, found.contact, found.amount)
    there = np.flatnonzero(least != _MOST)
    return there.astype(np.uint32), least[there], most[there]


def _kept(work: Work, asked: Asked, fields: Collection[str]) -> list[Aggregates]:
    until = day_of(asked.last)
    return [behaviour.aggregates(work, name, until=until, zone=work.zone, fields=fields) for name in asked.types]


class _Dense:
    """Sums by contact number, growing with the highest number seen."""

    def __init__(self) -> None:
        self._count = np.zeros(0)
        self._sum = np.zeros(0)
        self._first = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)
        self._weighted = False

    def add(self, found: Events, day: Ints, asked: Asked) -> None:
        """Take more events in; `day` is the local day of each."""
        if not len(found):
            return
        wide = max(int(found.contact.max()) + 1, len(self._count))
        self._count, self._sum = _widened(self._count, wide, 0), _widened(self._sum, wide, 0)
        self._first, self._last = _widened(self._first, wide, _MOST), _widened(self._last, wide, -_MOST)
        amount: NDArray[Any] = found.amount
        weight = None
        if asked.half_life is not None:
            self._weighted = True
            weight = np.exp2((day - asked.last) / asked.half_life)
            amount = amount * weight
        self._count += np.bincount(found.contact, weight, minlength=wide)
        self._sum += np.bincount(found.contact, amount, minlength=wide)
        np.minimum.at(self._first, found.contact, day)
        np.maximum.at(self._last, found.contact, day)

    def rows(self) -> Totals:
        """Who was seen. Whole numbers, but for weighted events; sums of cents are exact below 2**53."""
        there = np.flatnonzero(self._last != -_MOST) if len(self._last) else np.zeros(0, np.int64)
        count, total = self._count[there], self._sum[there]
        if not self._weighted:
            count, total = count.astype(np.int64), np.rint(total).astype(np.int64)
        return Totals(there.astype(np.uint32), self._first[there], self._last[there], count, total)


def _slices(work: Work, asked: Asked, progress: Progress) -> Iterator[tuple[Events, Ints]]:
    """(events that count, the local day of each), some days at a time."""
    first = asked.first
    if first is None:
        begun = [int(one.first_day.min()) for one in _kept(work, asked, ("first_day",)) if len(one)]
        first = min(begun, default=asked.last + 1)
    step = limits().slice_days
    starts = range(first, asked.last + 1, step)
    wanted = None if asked.only is None else bitmaps.unpack(asked.only)
    for turn, start in enumerate(starts):
        days = range(start, min(start + step, asked.last + 1) + 1)
        midnights = np.array([_midnight_ms(day, work.zone) for day in days], dtype=np.int64)
        for name in asked.types:
            found = behaviour.events_of(work, name, int(midnights[0]), int(midnights[-1]))
            if wanted is not None:
                found = found.where(np.isin(found.contact, wanted))
            for where in asked.where:
                found = found.where(holds(found, where))
            yield found, start - 1 + np.searchsorted(midnights, found.at_ms, side="right")
        progress(turn + 1, len(starts))


def holds(found: Events, where: Where) -> NDArray[np.bool_]:
    """Which events meet a condition; one on a property that an event has not is met by `unknown` only."""
    if where.name in {"amount", "quantity"}:
        values: list[Any] = (found.amount if where.name == "amount" else found.quantity).tolist()
    else:
        held = found.properties or [{}] * len(found)
        values = [one.get(where.name) for one in held]
    if where.op in {"known", "unknown"}:
        wanted = where.op == "known"
        return np.array([(one is not None) == wanted for one in values], dtype=np.bool_)
    compare = _OPS[where.op]
    # Each value that occurs is compared once.
    met = {one: one is not None and bool(compare(one, where.value)) for one in set(values)}
    return np.fromiter((met[one] for one in values), dtype=np.bool_, count=len(values))


def _midnight_ms(day: int, zone: str) -> int:
    return clock.to_ms(datetime.combine(day_of(day), time(), ZoneInfo(zone)))


def _days_by_sets(work: Work, asked: Asked) -> Iterator[BitMap]:
    first = asked.first
    if first is None:
        begun = [int(one.first_day.min()) for one in _kept(work, asked, ("first_day",)) if len(one)]
        first = min(begun, default=asked.last + 1)
    for number in range(first, asked.last + 1):
        day = day_of(number)
        yield BitMap.union(*(behaviour.between(work, name, day, day) for name in asked.types))


def _days_by_events(work: Work, asked: Asked) -> Iterator[BitMap]:
    by_day: dict[int, BitMap] = {}
    for found, day in _slices(work, asked, nothing):
        for one in np.unique(day).tolist():
            by_day[one] = by_day.get(one, BitMap()) | bitmaps.pack(found.contact[day == one])
    yield from by_day.values()


def _widened(column: NDArray[Any], wide: int, fill: int) -> NDArray[Any]:
    if len(column) >= wide:
        return column
    more = np.full(wide, fill, dtype=column.dtype)
    more[: len(column)] = column
    return more
