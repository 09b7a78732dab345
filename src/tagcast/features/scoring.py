"""RFM scores and classes, in one pass over columns. Pure.

Source of the model: Hughes, Strategic Database Marketing (1994); the eight classes are the usual Chinese ones, from
whether each score lies above the mean of its scores over all contacts scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]

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

# Values up to this far apart are counted one by one; others are selected by partition.
_NARROW = 1 << 16


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
    last_day: Column
    frequency: Column
    monetary: Column


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

    No sort: the value at each border is selected, from a histogram where values lie close together, and of those
    that are equal to it the first in order go below.
    """
    count = len(values)
    found = np.ones(count, dtype=np.uint8)
    ends = np.cumsum([count // parts + (part < count % parts) for part in range(parts - 1)])
    ends = ends[ends < count]
    if not len(ends):
        return found
    borders, below = _at_ranks(values, ends)
    for border, less, end in zip(borders, below, ends.tolist(), strict=True):
        # A part is everything above its border, and of those that equal it who comes after the first `end - less`.
        found += values > border
        equal = np.flatnonzero(values == border)
        found[equal[end - less :]] += 1
    return found


def over(values: NDArray[Any], borders: Sequence[float]) -> NDArray[np.uint8]:
    """1 plus the number of borders, ascending, that a value reaches."""
    found = np.ones(len(values), dtype=np.uint8)
    for border in borders:
        found += values >= border
    return found


def _at_ranks(values: NDArray[Any], ranks: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """For each rank from 0 the value that stands there in ascending order, and how many values are less than it."""
    low, high = int(values.min()), int(values.max())
    if high - low < _NARROW:
        to = np.cumsum(np.bincount((values - low).astype(np.uint16, copy=False), minlength=high - low + 1))
        at = np.searchsorted(to, ranks, side="right")
        return (at + low).tolist(), [int(to[one - 1]) if one else 0 for one in at.tolist()]
    chosen = np.partition(values, ranks)[ranks]
    return chosen.tolist(), [int(np.count_nonzero(values < one)) for one in chosen.tolist()]
