"""Proportions, their differences and their ratios.

All functions take counts and raise ValueError for counts that cannot be (n below 1, successes outside 0 … n) and for a
confidence level that is not strictly between 0 and 1.
"""

from dataclasses import dataclass
from math import erfc, exp, log, sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval; `level` is the confidence, 0.95 for 95 %."""

    low: float
    high: float
    estimate: float
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class ZTest:
    """The standard normal statistic (positive: the first group is higher) and its two-sided p-value."""

    z: float
    p: float


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of one proportion.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927); without continuity
    correction: method 3 of Newcombe, Two-sided Confidence Intervals for the Single Proportion, Stat. Med. 17 (1998).
    """
    _check(successes, n)
    z, p = quantile(level), successes / n
    centre = p + z * z / (2 * n)
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and n the bound is 0 and 1 exactly; arithmetic would leave a rounding error.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return Interval(low, high, p, level, "Wilson score")


def newcombe_difference(s1: int, n1: int, s2: int, n2: int, level: float = 0.95) -> Interval:
    """The hybrid score interval of the difference of two independent proportions, s1/n1 - s2/n2.

    Method 10 of Newcombe, Interval Estimation for the Difference between Independent Proportions: Comparison of Eleven
    Methods, Stat. Med. 17 (1998).
    """
    first, second = wilson(s1, n1, level), wilson(s2, n2, level)
    p1, p2 = first.estimate, second.estimate
    low = p1 - p2 - sqrt((p1 - first.low) ** 2 + (second.high - p2) ** 2)
    high = p1 - p2 + sqrt((first.high - p1) ** 2 + (p2 - second.low) ** 2)
    return Interval(low, high, p1 - p2, level, "Newcombe hybrid score")


def ratio_interval(s1: int, n1: int, s2: int, n2: int, level: float = 0.95) -> Interval:
    """The log interval of the ratio of two independent proportions, (s1/n1) / (s2/n2).

    Katz, Baptista, Azen and Pike, Obtaining Confidence Intervals for the Risk Ratio in Cohort Studies, Biometrics 34
    (1978). Raises ValueError if a group has no success: the method gives no interval there.
    """
    _check(s1, n1)
    _check(s2, n2)
    if s1 == 0 or s2 == 0:
        raise ValueError("the ratio has no interval while a group has no success")
    ratio = (s1 / n1) / (s2 / n2)
    spread = quantile(level) * sqrt(1 / s1 - 1 / n1 + 1 / s2 - 1 / n2)
    return Interval(exp(log(ratio) - spread), exp(log(ratio) + spread), ratio, level, "Katz log")


def two_proportion_test(s1: int, n1: int, s2: int, n2: int) -> ZTest:
    """Are two independent proportions equal? The pooled z-test, two-sided; z squared is Pearson's chi-square.

    Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 3rd ed. (2003), section 3.1, without
    continuity correction. Groups without any success, or without any failure, do not differ: z = 0, p = 1.
    """
    _check(s1, n1)
    _check(s2, n2)
    pooled = (s1 + s2) / (n1 + n2)
    if pooled in {0.0, 1.0}:
        return ZTest(0.0, 1.0)
    z = (s1 / n1 - s2 / n2) / sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return ZTest(z, erfc(abs(z) / sqrt(2)))


def sample_ratio_p(n1: int, n2: int, share1: float) -> float:
    """The p-value of a split into n1 and n2 when each unit should fall into the first group with probability `share1`.

    Pearson's chi-square with one degree of freedom. A tiny value (below 0.001, say) means that the split itself went
    wrong and its results should not be read: Fabijan et al., Diagnosing Sample Ratio Mismatch in Online Controlled
    Experiments, KDD 2019.
    """
    if n1 < 0 or n2 < 0 or n1 + n2 == 0:
        raise ValueError("the groups must hold at least one unit together")
    if not 0 < share1 < 1:
        raise ValueError("share1 must lie strictly between 0 and 1")
    expected1 = (n1 + n2) * share1
    expected2 = (n1 + n2) * (1 - share1)
    chi_square = (n1 - expected1) ** 2 / expected1 + (n2 - expected2) ** 2 / expected2
    return erfc(sqrt(chi_square / 2))


def _check(successes: int, n: int) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")


def quantile(level: float) -> float:
    """The standard normal quantile of a two-sided interval of `level`."""
    if not 0 < level < 1:
        raise ValueError("level must lie strictly between 0 and 1")
    return NormalDist().inv_cdf((1 + level) / 2)
