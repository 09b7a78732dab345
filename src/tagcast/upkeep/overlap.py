"""Pairs of sets that are nearly equal, exactly, without comparing all pairs to their end.

J = |A and B| / |A or B| >= x needs |A and B| >= x (|A| + |B|) / (1 + x). Three bounds of |A and B|, each exact, drop
pairs: the smaller size; the sum over ranges of numbers of the smaller count; and that sum with the true figure in the
first ranges, which drops sets of like size that have nothing to do with each other after a sixteenth of the work. What
is left is counted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

_RANGES = 64
_TRIED = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """Two keys, the larger set first, and how many are in both."""

    a: int
    b: int
    both: int
    jaccard: float


class _Cut:
    """The sets cut into ranges: how many of each set lie in each, and the first ranges themselves."""

    def __init__(self, sets: Mapping[int, BitMap]) -> None:
        filled = [one for one in sets.values() if one]
        top = max((one.max() for one in filled), default=0) + 1
        edges = np.linspace(0, top, _RANGES + 1).astype(np.int64)
        # Ranges that lie apart say more than neighbours, for people of one time are much alike.
        tried = [round(at * _RANGES / _TRIED) for at in range(_TRIED)]
        self.order = tried + [at for at in range(_RANGES) if at not in tried]
        windows = [BitMap(range(int(edges[at]), int(edges[at + 1]))) for at in tried]
        self.counts: dict[int, NDArray[np.int64]] = {}
        self.parts: dict[int, list[BitMap]] = {}
        for name, one in sets.items():
            ranks = np.array([one.rank(int(edge) - 1) if edge else 0 for edge in edges], dtype=np.int64)
            self.counts[name] = np.diff(ranks)[self.order]
            self.parts[name] = [one & window for window in windows]

    def may(self, a: int, b: int, needed: int) -> bool:
        """Whether the two can have `needed` in common."""
        least = np.minimum(self.counts[a], self.counts[b])
        most = int(least.sum())
        for at in range(_TRIED):
            if most < needed:
                return False
            inside = self.parts[a][at].intersection_cardinality(self.parts[b][at])
            most -= int(least[at]) - inside
        return most >= needed


def nearly_equal(
    sets: Mapping[int, BitMap], share: float, *, least: int = 1, progress: Callable[[int, int], None] | None = None
) -> Iterator[Pair]:
    """Every pair with |A and B| / |A or B| of at least `share` (above 0), whose larger has at least `least` members."""
    by_size = sorted((name for name, one in sets.items() if one), key=lambda name: (len(sets[name]), name))
    cut = _Cut({name: sets[name] for name in by_size})
    for at, small in enumerate(by_size):
        size = len(sets[small])
        for large in by_size[at + 1 :]:
            other = len(sets[large])
            if size < share * other:
                break
            if other < least:
                continue
            needed = int(np.ceil(share * (size + other) / (1 + share) - 1e-9))
            if not cut.may(small, large, needed):
                continue
            both = sets[small].intersection_cardinality(sets[large])
            jaccard = both / (size + other - both)
            if jaccard >= share:
                yield Pair(large, small, both, jaccard)
        if progress is not None:
            progress(at + 1, len(by_size))
