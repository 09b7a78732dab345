"""What is measured of events, for all contacts at once, in columns.

Counts, sums, first and last days of all time come from what is kept per contact at intake; distinct days of a window
from the day sets; the rest from the events of the window, passed over once.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import behaviour, bitmaps
from tagcast.behaviour import Aggregates, Events, Where, Window
from tagcast.kit.uow import Work

EPOCH: Final = date(1970, 1, 1)
Progress = Callable[[int, int], None]
Ints = NDArray[np.int64]
FIELDS: Final = ("first_day", "last_day", "count", "sum")
_MOST = np.iinfo(np.int64).max
_NEVER = np.iinfo(np.int32).max


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
    return _passed(work, asked, lambda: _Dense(asked), progress).rows()


def distinct_days(work: Work, asked: Asked) -> tuple[NDArray[np.uint32], Ints]:
    """(contacts, on how many days they had such events); conditions on properties make it read the events."""
    if asked.first is None and not asked.where and len(asked.types) == 1:
        (found,) = _kept(work, asked, ("days",))
        rows = slice(None) if asked.only is None else np.isin(found.contact, bitmaps.unpack(asked.only))
        return found.contact[rows], found.days[rows].astype(np.int64)
    members = _passed(work, asked, _Days).sets.values() if asked.where else _days_by_sets(work, asked)
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
    return _passed(work, asked, _Extremes, progress).rows()


def _kept(work: Work, asked: Asked, fields: Collection[str]) -> list[Aggregates]:
    until = day_of(asked.last)
    return [behaviour.aggregates(work, name, until=until, zone=work.zone, fields=fields) for name in asked.types]


class _Sink(Protocol):
    """What takes events in, a piece at a time."""

    def add(self, found: Events, day: NDArray[np.int32]) -> None:
        """Take events in; `day` is the local day of each."""


_S = TypeVar("_S", bound=_Sink)


def _passed(work: Work, asked: Asked, begin: Callable[[], _S], progress: Progress = nothing) -> _S:
    """A sink that took in all events that count."""
    first = None if asked.first is None else day_of(asked.first)
    chosen = behaviour.Chosen(asked.types, Window(first, day_of(asked.last)), asked.where, asked.only)

    def take(sink: _S, found: Events) -> None:
        sink.add(found, behaviour.local_days(found.at_ms, work.zone))

    return behaviour.fold(work, chosen, begin, take, progress)


class _Dense:
    """Sums by contact number, growing with the highest number seen."""

    def __init__(self, asked: Asked) -> None:
        self._last_day, self._half_life = asked.last, asked.half_life
        number = np.int64 if asked.half_life is None else np.float64
        self._count: NDArray[Any] = np.zeros(0, number)
        self._sum: NDArray[Any] = np.zeros(0, number)
        self._first = np.zeros(0, np.int32)
        self._last = np.zeros(0, np.int32)

    def add(self, found: Events, day: NDArray[np.int32]) -> None:
        """Take more events in."""
        order, starts, who = _by_contact(found.contact)
        day, amount = day[order], found.amount[order]
        wide = int(who[-1]) + 1
        self._count, self._sum = _widened(self._count, wide, 0), _widened(self._sum, wide, 0)
        self._first, self._last = _widened(self._first, wide, _NEVER), _widened(self._last, wide, -_NEVER)
        if self._half_life is None:
            self._count[who] += np.diff(starts, append=len(day))
            self._sum[who] += np.add.reduceat(amount, starts)
        else:
            weight = np.exp2((day - self._last_day) / self._half_life)
            self._count[who] += np.add.reduceat(weight, starts)
            self._sum[who] += np.add.reduceat(amount * weight, starts)
        self._first[who] = np.minimum(self._first[who], np.minimum.reduceat(day, starts))
        self._last[who] = np.maximum(self._last[who], np.maximum.reduceat(day, starts))

    def rows(self) -> Totals:
        """Who was seen."""
        there = np.flatnonzero(self._last != -_NEVER) if len(self._last) else np.zeros(0, np.int64)
        columns = (self._first, self._last, self._count, self._sum)
        return Totals(there.astype(np.uint32), *(column[there] for column in columns))


class _Extremes:
    """The least and the most amount by contact number."""

    def __init__(self) -> None:
        self._least, self._most = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, found: Events, _day: NDArray[np.int32]) -> None:
        """Take more events in."""
        order, starts, who = _by_contact(found.contact)
        amount = found.amount[order]
        wide = int(who[-1]) + 1
        self._least, self._most = _widened(self._least, wide, _MOST), _widened(self._most, wide, -_MOST)
        self._least[who] = np.minimum(self._least[who], np.minimum.reduceat(amount, starts))
        self._most[who] = np.maximum(self._most[who], np.maximum.reduceat(amount, starts))

    def rows(self) -> tuple[NDArray[np.uint32], Ints, Ints]:
        """(who was seen, least, most)."""
        there = np.flatnonzero(self._least != _MOST)
        return there.astype(np.uint32), self._least[there], self._most[there]


class _Days:
    """Who did it on which day."""

    def __init__(self) -> None:
        self.sets: dict[int, BitMap] = {}

    def add(self, found: Events, day: NDArray[np.int32]) -> None:
        """Take more events in."""
        # Sixteen bits are sorted in one pass.
        order = np.argsort((day - day.min()).astype(np.uint16), kind="stable")
        day, contact = day[order], found.contact[order]
        starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
        for one, some in zip(day[starts].tolist(), np.split(contact, starts[1:]), strict=True):
            self.sets[one] = self.sets.get(one, BitMap()) | bitmaps.pack(some)


def _by_contact(contact: NDArray[np.uint32]) -> tuple[slice | Ints, Ints, NDArray[np.uint32]]:
    """(an order by contact, where each one begins in it, who it is). Not for nobody."""
    order: slice | Ints = slice(None)
    # Files are in that order already.
    if (contact[1:] < contact[:-1]).any():
        order = np.argsort(contact, kind="stable")
        contact = contact[order]
    changed = np.ones(len(contact), dtype=np.bool_)
    np.not_equal(contact[1:], contact[:-1], out=changed[1:])
    starts = np.flatnonzero(changed)
    return order, starts, contact[starts]


def _days_by_sets(work: Work, asked: Asked) -> Iterator[BitMap]:
    first = asked.first
    if first is None:
        begun = [int(one.first_day.min()) for one in _kept(work, asked, ("first_day",)) if len(one)]
        first = min(begun, default=asked.last + 1)
    for number in range(first, asked.last + 1):
        day = day_of(number)
        yield BitMap.union(*(behaviour.between(work, name, day, day) for name in asked.types))


def _widened(column: NDArray[Any], wide: int, fill: int) -> NDArray[Any]:
    if len(column) >= wide:
        return column
    more = np.full(wide, fill, dtype=column.dtype)
    more[: len(column)] = column
    return more
