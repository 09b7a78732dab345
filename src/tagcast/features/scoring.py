"""RFM scores and classes, over whole columns. Pure.

Source of the model: Hughes, Strategic Database Marketing (1994); the eight classes are the usual Chinese ones, from
whether each score lies above the mean of its scores over all contacts scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CLASSES: Final[dict[tuple[bool, bool, bool], str]] = {
    (True, True, True): "重要价值",
    (True, False, True): "重要发展",
    (False, True, True): "重要保持",
    (False, False, True): "重要挽留",
    (True, True, False): "一般价值",
    (True, False, False): "一般发展",
    (False, True, False): "一般保持",
    (False, False, False): "一般挽留",
}
"""Class by (recency, frequency, monetary) score above its mean."""

CLASS_NAMES: Final = tuple(CLASSES.values())

_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Borders of R, F and M, one less than there are scores: a value at or above the k-th scores at least k + 1.

    Recency counts the other way, in days: at or below. So (180, 90, 60, 30) for recency descends. Money is in currency
    units.
    """

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Amounts:
    """One row a contact, ascending: the last day since 1970-01-01, events (times 10**scale), cents."""

    contact: NDArray[np.uint32]
    last_day: NDArray[Any]
    frequency: NDArray[Any]
    monetary: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """As many rows as the amounts: scores from 1 (worst), and the class as an index into CLASS_NAMES."""

    r: NDArray[np.uint8]
    f: NDArray[np.uint8]
    m: NDArray[np.uint8]
    cls: NDArray[np.uint8]


def score(amounts: Amounts, *, as_of: int, parts: int, thresholds: Thresholds | None = None, scale: int = 0) -> Scores:
    """Scores from 1 to `parts`: equal parts, ties going to the lower contact number first, or by thresholds."""
    columns = amounts.last_day, amounts.frequency, amounts.monetary
    if thresholds is None:
        r, f, m = (ntile(values, parts) for values in columns)
    else:
        borders = (
            [as_of - border for border in thresholds.recency],
            [border * 10**scale for border in thresholds.frequency],
            [border * 100 for border in thresholds.monetary],
        )
        r, f, m = (over(values, some) for values, some in zip(columns, borders, strict=True))
    return Scores(r, f, m, classes(r, f, m))


def classes(r: NDArray[np.uint8], f: NDArray[np.uint8], m: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class of each row, as an index into CLASS_NAMES: which scores lie above their mean."""
    table = np.empty(8, dtype=np.uint8)
    for index, (high_r, high_f, high_m) in enumerate(CLASSES):
        table[high_r * 4 + high_f * 2 + high_m] = index
    if not len(r):
        return np.empty(0, dtype=np.uint8)
    packed = above_mean(r) << 2 | above_mean(f) << 1 | above_mean(m)
    return np.asarray(table[packed])


def above_mean(scores: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a score lies above the mean of all."""
    return np.asarray(scores > scores.mean(dtype=np.float64)).view(np.uint8)


def ntile(values: NDArray[Any], parts: int) -> NDArray[np.uint8]:
    """SQL's NTILE, ascending, ties in the given order: the first `n mod parts` parts hold one more than the others.

    Only the values are sorted, which vector instructions do many times faster than an order of rows; the rest is
    comparing with the value at each end.
    """
    count = len(values)
    found = np.ones(count, dtype=np.uint8)
    ends = np.cumsum([count // parts + (part < count % parts) for part in range(parts - 1)], dtype=np.int64)
    values = _narrow(values)
    ordered = np.sort(values)
    for end in ends[ends < count].tolist():
        cut = ordered[end]
        # Equal values rank in their order: those before this row stay below the end.
        row = _row_of(values, cut, end - int(np.searchsorted(ordered, cut)))
        found[:row] += values[:row] > cut
        found[row:] += values[row:] >= cut
    return found


def _row_of(values: NDArray[Any], value: Any, turn: int) -> int:
    """Where a value stands for the `turn`-th time, from 0; it must stand there as often."""
    for start in range(0, len(values), _ROWS):
        same = values[start : start + _ROWS] == value
        if (here := int(np.count_nonzero(same))) > turn:
            return start + int(np.flatnonzero(same)[turn])
        turn -= here
    raise AssertionError


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in 32 bits if they fit: half the bytes to sort and to compare."""
    if values.dtype != np.int64 or not len(values):
        return values
    bounds = np.iinfo(np.int32)
    fits = bounds.min <= values.min() and values.max() <= bounds.max
    return values.astype(np.int32) if fits else values


def over(values: NDArray[Any], borders: Sequence[float]) -> NDArray[np.uint8]:
    """1 plus the number of borders, ascending, that a value reaches."""
    found = np.ones(len(values), dtype=np.uint8)
    for border in borders:
        found += values >= border
    return found
