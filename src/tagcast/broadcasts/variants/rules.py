"""Decisions of variants: who gets which, exactly and for good reasons; what a bandit believes. Pure.

Everybody's probability of each variant is known and above zero where chance decides, so that what a variant does can be
estimated without bias afterwards, whatever the bandit preferred meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tagcast.broadcasts.rules import Numbers, mixed
from tagcast.kit.crypto import digest
from tagcast.kit.shipped import read_toml

Shares = npt.NDArray[np.float64]

SEGMENTS, WEIGHTS, BANDIT = "segments", "weights", "bandit"
CHOOSE = (SEGMENTS, WEIGHTS, BANDIT)
OPENED, CLICKED, CONVERTED = "opened", "clicked", "converted"
MEASURES = (OPENED, CLICKED, CONVERTED)


@cache
def limits() -> Mapping[str, Any]:
    """The figures of limits.toml."""
    return read_toml("broadcasts", "variants", "limits.toml")


@dataclass(frozen=True, slots=True)
class Belief:
    """What is known of a variant in a group: so many were asked, so many did it; both with decay."""

    trials: float = 0.0
    successes: float = 0.0


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant in one group of one draw.

    `best`: the probability that it is the best, of the bandit; `probability`: with which each member got it.
    `explored`: those of its members whom the fixed random share gave it.
    """

    name: str
    belief: Belief
    best: float
    probability: float
    members: Numbers
    explored: Numbers


def seed_of(secret: int, *parts: object) -> int:
    """A seed for one draw, 64 bits."""
    return int(digest(str(secret), *map(str, parts))[:16], 16)


def shuffled(numbers: Numbers, seed: int) -> Numbers:
    """The numbers in an order that is theirs and the seed's alone."""
    ordered: Numbers = numbers[np.argsort(mixed(numbers, seed), kind="stable")]
    return ordered


def exact(size: int, shares: Sequence[float]) -> list[int]:
    """How many each share is of `size`: by the largest remainder, the first of equals; the sum is `size`."""
    quota = np.asarray(shares, dtype=np.float64) / sum(shares) * size
    counts = np.floor(quota).astype(int)
    remainders = quota - counts
    for at in np.argsort(-remainders, kind="stable")[: size - int(counts.sum())]:
        counts[at] += 1
    return [int(one) for one in counts]


def by_chance(size: int, shares: Sequence[float], start: float) -> list[int]:
    """As `exact`, but what is left over falls by chance (`start`, uniform from 0 to 1): each count is `size` · share
    on average, and never more than one off it. Systematic sampling: Madow, Ann. Math. Stat. 20 (1949).
    """
    ends = np.floor(np.cumsum(np.asarray(shares, dtype=np.float64)) * size + start).astype(int)
    ends[-1] = size
    ends = np.minimum(ends, size)
    return [int(one) for one in np.diff(ends, prepend=0)]


def weighted(numbers: Numbers, names: Sequence[str], weights: Sequence[float], seed: int) -> list[Arm]:
    """An A/B split: exact shares, each person always in the same place for the same seed."""
    parts = _parts(shuffled(numbers, seed), exact(numbers.size, weights))
    total = sum(weights)
    none = np.empty(0, dtype=np.uint32)
    return [
        Arm(name, Belief(), 0.0, weight / total, np.sort(part), none)
        for name, weight, part in zip(names, weights, parts, strict=True)
    ]


def bandit(numbers: Numbers, beliefs: Mapping[str, Belief], explore: float, seed: int) -> list[Arm]:
    """A share of `explore` gets any variant alike, the others each with the probability that it is the best.

    So everybody's probability of variant k is explore / K + (1 - explore) · best(k), whoever he is.
    """
    names, chance = list(beliefs), np.random.default_rng(seed)
    best = probabilities(list(beliefs.values()), seed)
    ordered = shuffled(numbers, seed)
    size, even = numbers.size, [1 / len(names)] * len(names)
    asked, *_ = by_chance(size, [explore, 1 - explore], chance.random())
    explored = _parts(ordered[:asked], by_chance(asked, even, chance.random()))
    chosen = _parts(ordered[asked:], by_chance(size - asked, best, chance.random()))
    return [
        Arm(
            name,
            beliefs[name],
            float(best[at]),
            float(explore * even[at] + (1 - explore) * best[at]),
            np.sort(np.concatenate([explored[at], chosen[at]])),
            np.sort(explored[at]),
        )
        for at, name in enumerate(names)
    ]


def probabilities(beliefs: Sequence[Belief], seed: int) -> list[float]:
    """The probability that each is the best one: Thompson sampling, Beta posteriors, by simulation."""
    figures = limits()["bandit"]
    prior, worlds = figures["prior"], figures["worlds"]
    chance = np.random.default_rng([seed, 1])
    drawn = np.stack(
        [chance.beta(prior + one.successes, prior + max(one.trials - one.successes, 0.0), worlds) for one in beliefs]
    )
    if all(one == beliefs[0] for one in beliefs):
        return [1 / len(beliefs)] * len(beliefs)
    wins = np.bincount(drawn.argmax(axis=0), minlength=len(beliefs))
    return [float(one) / worlds for one in wins]


def _parts(ordered: Numbers, counts: Sequence[int]) -> list[Numbers]:
    return np.split(ordered, np.cumsum(counts)[:-1])
