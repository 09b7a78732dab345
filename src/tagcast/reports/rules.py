"""What a broadcast did, computed from counts. Pure: sets were counted before.

The effect is measured by intention to treat: everybody who was assigned to be sent against everybody who was drawn into
the holdout, whether or not the message arrived. Both groups came from one draw, so nothing else differs between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tagcast import statistics
from tagcast.statistics import Interval

LEVEL = 0.95
"""Confidence of every interval."""

SPLIT_ALARM = 0.001
"""Below this p-value the split itself is doubted (the threshold of Fabijan et al., KDD 2019)."""


class Verdict(StrEnum):
    """What may be said about the effect."""

    MORE = "more"
    LESS = "less"
    NOT_ENOUGH = "not_enough"
    NO_HOLDOUT = "no_holdout"
    BAD_SPLIT = "bad_split"
    NO_EVENT = "no_event"


@dataclass(frozen=True, slots=True)
class Figure:
    """A share of people, `numerator` of `denominator`; no interval while the denominator is 0."""

    name: str
    numerator: int
    denominator: int
    interval: Interval | None

    @property
    def share(self) -> float | None:
        """The share, 0 to 1."""
        return self.numerator / self.denominator if self.denominator else None


@dataclass(frozen=True, slots=True)
class Count:
    """A number of visits. Not people: one person may visit often, and nobody knows who follows a shared link."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Line:
    """A named number with its words, e.g. a step of the waterfall or a reason of failure."""

    name: str
    count: int
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Effect:
    """Converted of those sent to against converted of the holdout.

    `difference` is in shares (0.01: one percentage point); `lift` is relative (0.5: half as much again) and None while
    a group has nobody who converted; both None without a holdout or
    when events of this type are not recorded.
    """

    sent: Figure
    holdout: Figure
    difference: Interval | None
    lift: Interval | None
    split_p: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Conversions:
    """How many of each group did the event within the window; `known`: whether such events are recorded at all."""

    sent: int
    holdout: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted: sizes of the two groups, the ledger's states, people who came.

    `arrived`: accepted or delivered and not failed later, or came by their own link, which proves that it arrived.
    `personal`: each recipient had a link of their own. `told`: (sent, addressed) where the platform tells totals only.
    """

    assigned: int
    holdout: int
    states: Mapping[str, int]
    arrived: int
    opened: int
    clicked: int
    personal: bool = True
    told: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class BroadcastReport:
    """One broadcast's figures. `figures` are shares of people, `visits` raw numbers of visits."""

    id: int
    name: str
    account: int
    state: str
    started_at: datetime
    made_at: datetime
    event: str
    window_days: int
    window_ends_at: datetime
    assigned: int
    holdout: int
    waterfall: tuple[Line, ...]
    states: Mapping[str, int]
    figures: tuple[Figure, ...]
    visits: tuple[Count, ...]
    failures: tuple[Line, ...]
    effect: Effect

    @property
    def window_open(self) -> bool:
        """Whether conversions may still come."""
        return self.made_at < self.window_ends_at

    def figure(self, name: str) -> Figure:
        """A figure by its name. Raises KeyError."""
        return {one.name: one for one in self.figures}[name]


def figure(name: str, numerator: int, denominator: int) -> Figure:
    """A share with its Wilson interval. The numerator may not exceed the denominator."""
    interval = statistics.wilson(numerator, denominator, LEVEL) if denominator else None
    return Figure(name, numerator, denominator, interval)


def figures(counts: Counts) -> tuple[Figure, ...]:
    """The shares of one broadcast, in the order in which they are read."""
    states = counts.states
    delivered = states.get("delivered", 0)
    reached = delivered + states.get("accepted", 0)
    arrived = counts.arrived if counts.personal else 0
    return (
        figure("reached", reached, counts.assigned),
        figure("delivered", *(counts.told or (delivered, counts.assigned))),
        figure("failed", states.get("failed", 0), counts.assigned),
        figure("in_doubt", states.get("in_doubt", 0), counts.assigned),
        figure("opened", counts.opened if counts.personal else 0, arrived),
        figure("clicked", counts.clicked if counts.personal else 0, arrived),
    )


def effect(counts: Counts, converted: Conversions, holdout_percent: float) -> Effect:
    """The two groups compared; `holdout_percent` is what was asked for (0 to 100)."""
    sent = figure("converted_sent", converted.sent, counts.assigned)
    kept = figure("converted_holdout", converted.holdout, counts.holdout)
    if not converted.known:
        return Effect(sent, kept, None, None, None, Verdict.NO_EVENT)
    if not counts.assigned or not counts.holdout:
        return Effect(sent, kept, None, None, None, Verdict.NO_HOLDOUT)
    groups = (converted.sent, counts.assigned, converted.holdout, counts.holdout)
    difference = statistics.newcombe_difference(*groups, LEVEL)
    lift = _minus_one(statistics.ratio_interval(*groups, LEVEL)) if converted.sent and converted.holdout else None
    split_p = None
    if 0 < holdout_percent < 100:
        split_p = statistics.sample_ratio_p(counts.assigned, counts.holdout, 1 - holdout_percent / 100)
    return Effect(sent, kept, difference, lift, split_p, _verdict(difference, split_p))


def _minus_one(ratio: Interval) -> Interval:
    return Interval(ratio.low - 1, ratio.high - 1, ratio.estimate - 1, ratio.level, ratio.method)


def _verdict(difference: Interval, split_p: float | None) -> Verdict:
    if split_p is not None and split_p < SPLIT_ALARM:
        return Verdict.BAD_SPLIT
    if difference.low > 0:
        return Verdict.MORE
    if difference.high < 0:
        return Verdict.LESS
    return Verdict.NOT_ENOUGH


def remaining(steps: Sequence[Line]) -> list[tuple[Line, int]]:
    """Each step of a waterfall with how many were left before it: the first has all, the last is who is sent to."""
    left = steps[0].count if steps else 0
    placed = []
    for place, step in enumerate(steps):
        placed.append((step, left))
        if 0 < place < len(steps) - 1:
            left -= step.count
    return placed
