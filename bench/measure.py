"""Timing: medians of interleaved repetitions, and the row that a benchmark prints."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

REPEATS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: medians in `unit`, ratio = ours / peer; `bound` is what cannot be beaten, if that is known."""

    work: str
    size: int
    ours: float
    peer_name: str
    peer: float
    unit: str
    ratio: float
    bound: float | None
    equal: bool


def interleaved(
    contestants: Mapping[str, Callable[[], object]], *, repeats: int = REPEATS
) -> dict[str, tuple[float, object]]:
    """(median seconds, last answer) of each. They take turns, so a busy machine slows all alike; one turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, object] = {name: run() for name, run in contestants.items()}
    for _ in range(max(repeats, REPEATS)):
        for name, run in contestants.items():
            started = time.perf_counter()
            answers[name] = run()
            seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(seconds[name]), answers[name]) for name in contestants}


def once(run: Callable[[], object]) -> tuple[float, object]:
    """(seconds, answer) of what takes too long to be repeated."""
    started = time.perf_counter()
    answer = run()
    return time.perf_counter() - started, answer


def rows(work: str, size: int, found: Mapping[str, tuple[float, object]], *, unit: str = "ms") -> list[Row]:
    """A row for each peer; the contestant named `tagcast` is ours."""
    scale = {"ms": 1000.0, "s": 1.0}[unit]
    ours, answer = found["tagcast"]
    return [
        Row(work, size, ours * scale, name, peer * scale, unit, ours / peer, None, theirs == answer)
        for name, (peer, theirs) in found.items()
        if name != "tagcast"
    ]


@dataclass(frozen=True, slots=True)
class Bar:
    """A comparison with a bar to clear. `ratio` says how many times better ours is, or for an overhead ours / peer.

    `bound` is the ratio that cannot be passed, such as that of the bare HTTP client ours stands on, if it is known.
    """

    work: str
    size: int
    ours: float
    peer_name: str
    peer: float
    unit: str
    ratio: float
    bar: str
    met: bool
    equal: bool
    bound: float | None = None

    @classmethod
    def of(
        cls,
        work: str,
        size: int,
        *,
        ours: float,
        peer: tuple[str, float],
        unit: str,
        bar: tuple[str, float],
        equal: bool,
        floor: float | None = None,
    ) -> Self:
        """Of two costs. The bar ">=" asks how many times the peer's is ours, "<=" how many times ours is the peer's.

        `floor` is the cost that nobody who uses the same means can go below.
        """
        name, theirs = peer
        sign, wanted = bar
        ratio = theirs / ours if sign == ">=" else ours / theirs
        met = ratio >= wanted if sign == ">=" else ratio <= wanted
        bound = None if floor is None else theirs / floor if sign == ">=" else floor / theirs
        return cls(work, size, ours, name, theirs, unit, ratio, f"{sign} {wanted:g}", met, equal, bound)
