"""Intervals and tests for proportions: what a difference between two groups is worth."""

from tagcast.statistics.proportions import (
    Interval,
    ZTest,
    newcombe_difference,
    ratio_interval,
    sample_ratio_p,
    two_proportion_test,
    wilson,
)

__all__ = [
    "Interval",
    "ZTest",
    "wilson",
    "newcombe_difference",
    "ratio_interval",
    "two_proportion_test",
    "sample_ratio_p",
]
