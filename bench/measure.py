"""Timing: medians of interleaved repetitions, and the row that a benchmark prints."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


def rows(work: str, size: int, found: Mapping[str, tuple[float, object]], *, unit: str = "ms") -> list[Row]:
    """A row for each peer; the contestant named `tagcast` is ours."""
    scale = {"ms": 1000.0, "s": 1.0}[unit]
    ours, answer = found["tagcast"]
    return [
        Row(work, size, ours * scale, name, peer * scale, unit, ours / peer, None, theirs == answer)
        for name, (peer, theirs) in found.items()
        if name != "tagcast"
    ]
