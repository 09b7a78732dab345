"""What is kept of each contact, as columns: the ground of RFM and of lifetimes."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagcast import bitmaps
from tagcast.behaviour import kept, levels, packed, recording, scans
from tagcast.behaviour.questions import Window
from tagcast.behaviour.rules import EventType
from tagcast.behaviour.scans import Chosen
from tagcast.columns import Records
from tagcast.kit.uow import Work

_FIELDS = {
    "first_day": "first",
    "last_day": "last",
    "count": "count",
    "days": "days",
    "sum": "sum",
    "first_sum": "first_sum",
}
_TYPES = {"first_day": np.int32, "last_day": np.int32, "sum": np.int64, "first_sum": np.int64}
_OF_DAYS = {"first_day", "last_day"}
_OF_ONE = {"days", "first_sum"}


@dataclass(frozen=True, slots=True)
class Aggregates:
    """One row a contact that ever did it, ascending. Days since 1970-01-01, amounts in cents.

    A column that was not asked for is empty.
    """

    contact: NDArray[np.uint32]
    first_day: NDArray[np.int32]
    last_day: NDArray[np.int32]
    count: NDArray[np.uint32]
    days: NDArray[np.uint32]
    sum: NDArray[np.int64]
    first_sum: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.contact)


def aggregates(
    work: Work, *names: str, until: date | None = None, zone: str = "", fields: Collection[str] = ()
) -> Aggregates:
    """Per contact: first and last day, events, distinct days, cents; of several types those of all together.

    `until` leaves out later days. Only `fields`, if any are given, are filled, and cost time. Days are those of the
    type's zone, in which its sets stand; another `zone` changes nothing. Raises NotFound; ValueError for distinct days
    or the first day's sum of several types, which nothing kept can tell.
    """
    # In one order, so that no two readers wait for each other.
    declared = [recording.find_type(work, name) for name in sorted(set(names))]
    wanted = {one for one in _FIELDS if not fields or one in fields}
    if len(declared) > 1 and wanted & _OF_ONE:
        raise ValueError(f"{', '.join(sorted(wanted & _OF_ONE))} of several types")
    with ExitStack() as stack:
        parts = [stack.enter_context(kept.records(work, one)) for one in declared]
        if not any(_late(found, until) for found in parts):
            return _shown({one: [found.column(_FIELDS[one]) for found in parts] for one in {*wanted, "count"}}, wanted)
    assert until is not None
    cut = [_until(work, one, wanted, until) for one in declared]
    return _shown({one: [found[one] for found in cut] for one in {*wanted, "count"}}, wanted)


def _late(found: Records, until: date | None) -> bool:
    return until is not None and int(found.column("last").max(initial=0)) - 1 > (until - levels.EPOCH).days


def _shown(columns: Mapping[str, Sequence[NDArray[Any]]], wanted: Collection[str]) -> Aggregates:
    """Columns of several types, by number as the records keep them, as one row a contact."""
    who = np.flatnonzero(_folded("count", columns["count"]) != 0)
    made = {one: _folded(one, columns[one])[who] for one in wanted}
    # In place: memory never used before costs more than the arithmetic.
    if "first_day" in made:
        first = made["first_day"]
        made["first_day"] = np.subtract(kept.FAR, first, out=first).view(np.int32)
    if "last_day" in made:
        last = made["last_day"]
        made["last_day"] = np.subtract(last, 1, out=last).view(np.int32)
    empty = {one: np.empty(0, _TYPES.get(one, np.uint32)) for one in _FIELDS if one not in wanted}
    return Aggregates(who.astype(np.uint32), **made, **empty)


def _folded(field: str, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One column of all: days are kept so that more wins, the others add up. Not to be changed."""
    if len(columns) == 1:
        return columns[0]
    widest, *others = sorted(columns, key=len, reverse=True)
    fold = np.maximum if field in _OF_DAYS else np.add
    made = widest.copy()
    for one in others:
        part = made[: len(one)]
        fold(part, one, out=part)
    return made


def _until(work: Work, declared: EventType, wanted: Collection[str], until: date) -> dict[str, NDArray[Any]]:
    """The columns of a type without what happened after a day, by number as the records keep them."""
    with kept.records(work, declared) as found:
        # Copies, made while the records are ours.
        there = np.flatnonzero(found.column("count"))
        columns = {one: found.column(_FIELDS[one])[there] for one in {*wanted, "count", "first_day", "last_day"}}
    columns["first_day"] = (kept.FAR - columns["first_day"]).astype(np.int32)
    columns["last_day"] = (columns["last_day"] - 1).astype(np.int32)
    who = _cut(work, declared, there.astype(np.uint32), columns, until)
    columns["first_day"] = (kept.FAR - columns["first_day"]).astype(np.uint32)
    columns["last_day"] = (columns["last_day"] + 1).astype(np.uint32)
    made = {}
    for one, values in columns.items():
        made[one] = np.zeros(int(who[-1]) + 1 if len(who) else 0, values.dtype)
        made[one][who] = values
    return made


def _cut(
    work: Work, declared: EventType, who: NDArray[np.uint32], columns: dict[str, NDArray[Any]], until: date
) -> NDArray[np.uint32]:
    """Take what happened after a day out of the columns, in place; returns the contacts that are left."""
    last_one = (until - levels.EPOCH).days
    early = columns["first_day"] <= last_one
    who = who[early]
    for one in columns:
        columns[one] = columns[one][early]
    late = np.flatnonzero(columns["last_day"] > last_one)
    if not len(late):
        return who
    if {"count", "days", "sum"} & set(columns):
        _subtract(work, declared, who, columns, last_one)
    waiting = bitmaps.pack(who[late])
    day = until
    # The first day is not later than `until`, so each of them is found on some day.
    while waiting:
        here = work.bitmaps.read(levels.key(declared.name, day)) & waiting
        if here:
            columns["last_day"][np.searchsorted(who, bitmaps.unpack(here))] = (day - levels.EPOCH).days
            waiting = waiting - here
        day -= timedelta(days=1)
    return who


def _subtract(
    work: Work, declared: EventType, who: NDArray[np.uint32], columns: dict[str, NDArray[Any]], last_one: int
) -> None:
    # The workspace's days may be another zone's than the type's.
    window = Window(levels.EPOCH + timedelta(days=last_one - 1))
    parts: list[packed.Events] = scans.fold(work, Chosen([declared.name], window), list, list.append)
    days = packed.per_day(packed.join(parts), declared.zone)
    there = (days.day > last_one) & np.isin(days.contact, who)
    at = np.searchsorted(who, days.contact[there])
    for one, less in (("count", days.count[there]), ("days", np.uint32(1)), ("sum", days.sum[there])):
        if one in columns:
            np.subtract.at(columns[one], at, less)
