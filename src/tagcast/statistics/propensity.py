"""Rates of what was given with a known probability: no bias, whatever the probabilities followed.

Horvitz & Thompson, A Generalization of Sampling Without Replacement From a Finite Universe, JASA 47 (1952). Where the
probabilities of later strata follow what was seen in earlier ones the estimate stays without bias, since each stratum's
were fixed before it was looked at: Hadad et al., Confidence Intervals for Policy Evaluation in Adaptive Experiments,
PNAS 118 (2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from tagcast.statistics.proportions import Interval, quantile


@dataclass(frozen=True, slots=True)
class Stratum:
    """`size` people of whom each got it with `probability`; `given` did, `successes` of these count."""

    size: int
    given: int
    successes: int
    probability: float


def inverse_propensity(strata: Sequence[Stratum], level: float = 0.95) -> Interval:
    """The share of all people who would have succeeded, had all got it.

    The interval is Wilson's at the effective size of the weighted sample, (sum of weights)² / sum of squared weights
    (Kish, Survey Sampling, 1965), widened to hold the estimate. Raises ValueError for strata that cannot be, and when
    there is nobody.
    """
    total = sum(one.size for one in strata)
    for one in strata:
        if not 0 <= one.successes <= one.given <= one.size or (one.size and not 0 < one.probability <= 1):
            raise ValueError(f"{one} cannot be")
    if not total:
        raise ValueError("there is nobody")
    estimate = min(sum(one.successes / one.probability for one in strata if one.size) / total, 1.0)
    weights = sum(one.given / one.probability for one in strata if one.given)
    squares = sum(one.given / one.probability**2 for one in strata if one.given)
    if not squares:
        return Interval(0.0, 1.0, estimate, level, "inverse propensity")
    n, z = weights * weights / squares, quantile(level)
    centre = (estimate + z * z / (2 * n)) / (1 + z * z / n)
    spread = z * sqrt(estimate * (1 - estimate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = min(centre - spread, estimate), max(centre + spread, estimate)
    return Interval(max(low, 0.0), min(high, 1.0), estimate, level, "inverse propensity")
