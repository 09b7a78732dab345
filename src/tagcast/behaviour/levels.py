"""The day sets of a type: who did it at least once that day, at least twice …, up to a level.

The sum over days of min(times, n) is at least n exactly when the times are; so `AtLeast(n, levels 1 to n of all days)`
answers "at least n times" for every n up to the highest level kept.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.behaviour import packed, rules
from tagcast.behaviour.packed import Events
from tagcast.kit.uow import Work

EPOCH = date(1970, 1, 1)


def key(name: str, day: date, level: int = 1) -> str:
    """The key of the contacts who did it at least `level` times on a day."""
    text = day.isoformat().replace("-", "")
    return f"event:{name}:day:{text}" if level == 1 else f"event:{name}:day:{text}:{level}"


def split(found: str) -> tuple[date, int]:
    """(day, level) of a key."""
    text, _, level = found.split(":day:")[1].partition(":")
    return date(int(text[:4]), int(text[4:6]), int(text[6:])), int(level or 1)


def keys(work: Work, name: str) -> list[str]:
    """The keys of all levels that have members."""
    return work.bitmaps.keys(f"event:{name}:day:")


def derive(work: Work, name: str, batch: Events, zone: str, *, why: str) -> NDArray[np.bool_]:
    """Bring a batch into the day sets; says of each event whether it is its contact's first of that day.

    The caller holds the right to write sets, so nobody else counts at the same time.
    """
    pairs, counts, first = grouped(batch, zone)
    fresh = np.zeros(len(batch), dtype=np.bool_)
    days, contacts = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.uint32)
    for begin, end in packed.group_spans(days):
        here = slice(begin, end)
        before = _raise(work, name, EPOCH + timedelta(days=int(days[begin])), (contacts[here], counts[here]), why)
        fresh[first[here][before == 0]] = True
    return fresh


def grouped(batch: Events, zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each (day, contact), ascending: day * 2**32 + contact, how many events, and where the first of them stands."""
    together = packed.local_days(batch.at_ms, zone).astype(np.int64) << 32 | batch.contact
    order = np.argsort(together, kind="stable")
    together = together[order]
    starts = packed.group_starts(together)
    return together[starts], np.diff(np.append(starts, len(together))), order[starts]


def whole(batch: Events, zone: str) -> dict[tuple[date, int], BitMap]:
    """The sets of all days and levels for these events alone."""
    pairs, counts, _ = grouped(batch, zone)
    days, contacts = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.uint32)
    found: dict[tuple[date, int], BitMap] = {}
    for begin, end in packed.group_spans(days):
        day = EPOCH + timedelta(days=int(days[begin]))
        for level in range(1, min(int(counts[begin:end].max()), top()) + 1):
            found[day, level] = bitmaps.pack(contacts[begin:end][counts[begin:end] >= level])
    return found


def top() -> int:
    """The highest level that is kept."""
    return int(rules.limits()["levels"])


def _raise(
    work: Work, name: str, day: date, more: tuple[NDArray[np.uint32], NDArray[np.int64]], why: str
) -> NDArray[np.int64]:
    """Count more events of contacts (ascending) on a day; returns how often each was there before, up to `top`."""
    contacts, counts = more
    members = bitmaps.pack(contacts)
    before = np.zeros(len(contacts), dtype=np.int64)
    there = members
    for level in range(1, top() + 1):
        there = work.bitmaps.present(key(name, day, level), there)
        if not there:
            break
        before[np.searchsorted(contacts, bitmaps.unpack(there))] = level
    after = np.minimum(before + counts, top())
    for level in range(1, int(after.max()) + 1):
        risen = (before < level) & (after >= level)
        if risen.any():
            work.bitmaps.add(key(name, day, level), bitmaps.pack(contacts[risen]), why=why)
    return before
