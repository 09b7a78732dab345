"""RFM scores and classes. Pure.

Source of the model: Hughes, Strategic Database Marketing (1994); the eight classes are the usual Chinese ones, from
whether each score lies above the mean of its scores over all contacts scored.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tagcast.contacts import Attribute
from tagcast.kit.errors import Invalid

SCORES: Final = 5

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


def _field(name: str, zh: str, en: str, scale: int = 0) -> Attribute:
    return Attribute(name, "number", "layers of customers", scale, zh, en, family="feature")


FIELDS: Final[dict[str, Attribute]] = {
    field.name: field
    for field in (
        _field("rfm.recency", "最近一次消费距今天数", "days since the last event"),
        _field("rfm.frequency", "消费次数", "number of events"),
        _field("rfm.monetary", "消费总额", "total amount", 2),
        _field("rfm.r", "R 分", "recency score"),
        _field("rfm.f", "F 分", "frequency score"),
        _field("rfm.m", "M 分", "monetary score"),
        Attribute(
            "rfm.class", "choice", "layers of customers", 0, "RFM 分层", "RFM class",
            family="feature", choices=tuple(CLASSES.values()),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Four ascending borders for each of R, F and M: a value at or above the k-th border scores at least k + 1.

    Recency counts the other way: at or below. So (180, 90, 60, 30) for recency descends.
    """

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rfm:
    """One row a contact, in the order of `contact`: days, events, cents, scores 1 to 5, class index into CLASSES."""

    contact: NDArray[np.uint32]
    recency: NDArray[np.int64]
    frequency: NDArray[np.int64]
    monetary: NDArray[np.int64]
    r: NDArray[np.int64]
    f: NDArray[np.int64]
    m: NDArray[np.int64]
    class_names: NDArray[Any]


def score(
    contact: NDArray[np.uint32],
    recency: NDArray[np.int64],
    frequency: NDArray[np.int64],
    monetary: NDArray[np.int64],
    thresholds: Thresholds | None,
) -> Rfm:
    """Scores and classes; quintiles without thresholds. `contact` ascends; it breaks ties, the lower number first."""
    if thresholds is None:
        scores = ntile(-recency), ntile(frequency), ntile(monetary)
    else:
        check_thresholds(thresholds)
        scores = (
            _over(-recency, [-border for border in thresholds.recency]),
            _over(frequency, thresholds.frequency),
            _over(monetary, [border * 100 for border in thresholds.monetary]),
        )
    high = [each > each.mean() if len(each) else each.astype(np.bool_) for each in scores]
    named = np.empty(len(contact), dtype=object)
    for key, name in CLASSES.items():
        named[(high[0] == key[0]) & (high[1] == key[1]) & (high[2] == key[2])] = name
    return Rfm(contact, recency, frequency, monetary, *scores, named)


def ntile(values: NDArray[np.int64], parts: int = SCORES) -> NDArray[np.int64]:
    """SQL's NTILE, ascending, ties in the given order: the first `n mod parts` parts hold one more than the others."""
    count = len(values)
    order = np.argsort(values, kind="stable")
    sizes = np.full(parts, count // parts)
    sizes[: count % parts] += 1
    found = np.empty(count, dtype=np.int64)
    found[order] = np.repeat(np.arange(1, parts + 1), sizes)
    return found


def check_thresholds(thresholds: Thresholds) -> None:
    """Raises Invalid unless each has four borders in order."""
    for name, borders, sign in (
        ("recency", thresholds.recency, -1),
        ("frequency", thresholds.frequency, 1),
        ("monetary", thresholds.monetary, 1),
    ):
        if len(borders) != SCORES - 1 or sorted(borders, key=lambda border: sign * border) != list(borders):
            raise Invalid("features.bad_thresholds", name=name)


def _over(values: NDArray[np.int64], borders: Any) -> NDArray[np.int64]:
    return np.searchsorted(np.asarray(borders, dtype=np.float64), values, side="right").astype(np.int64) + 1
