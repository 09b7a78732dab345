"""Against published worked examples and against scipy."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats.contingency import relative_risk

from tagcast import statistics

LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@st.composite
def _proportion(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 100_000))
    return draw(st.integers(0, n)), n


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_table(successes: int, n: int, low: float, high: float) -> None:
    interval = statistics.wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert interval.estimate == successes / n


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_difference_gives_newcombes_table(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    interval = statistics.newcombe_difference(*counts)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_ratio_of_the_aspirin_study() -> None:
    """Physicians' Health Study, as worked out in Agresti, An Introduction to Categorical Data Analysis, section 2.2."""
    interval = statistics.ratio_interval(189, 11_034, 104, 11_037)
    assert [round(x, 2) for x in (interval.estimate, interval.low, interval.high)] == [1.82, 1.43, 2.31]


@given(_proportion(), LEVELS)
def test_wilson_agrees_with_scipy(proportion: tuple[int, int], level: float) -> None:
    ours = statistics.wilson(*proportion, level)
    theirs = stats.binomtest(*proportion).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(_proportion(), _proportion(), LEVELS)
def test_ratio_agrees_with_scipy(first: tuple[int, int], second: tuple[int, int], level: float) -> None:
    assume(first[0] > 0 and second[0] > 0)
    ours = statistics.ratio_interval(*first, *second, level)
    theirs = relative_risk(*first, *second)
    bounds = theirs.confidence_interval(level)
    assert (ours.estimate, ours.low, ours.high) == pytest.approx(
        (theirs.relative_risk, bounds.low, bounds.high), rel=1e-9
    )


@given(_proportion(), _proportion())
def test_two_proportions_agree_with_scipys_chi_square(first: tuple[int, int], second: tuple[int, int]) -> None:
    (s1, n1), (s2, n2) = first, second
    assume(0 < s1 + s2 < n1 + n2)
    ours = statistics.two_proportion_test(s1, n1, s2, n2)
    theirs = stats.chi2_contingency([[s1, n1 - s1], [s2, n2 - s2]], correction=False)
    assert ours.z**2 == pytest.approx(theirs.statistic, rel=1e-6, abs=1e-9)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    assert (ours.z > 0) == (s1 * n2 > s2 * n1)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.01, 0.99))
def test_sample_ratio_agrees_with_scipy(n1: int, n2: int, share: float) -> None:
    assume(n1 + n2 > 0)
    expected = [(n1 + n2) * share, (n1 + n2) * (1 - share)]
    assert statistics.sample_ratio_p(n1, n2, share) == pytest.approx(
        stats.chisquare([n1, n2], expected).pvalue, rel=1e-6, abs=1e-12
    )


@given(_proportion(), _proportion(), LEVELS)
def test_the_difference_turns_with_its_groups(first: tuple[int, int], second: tuple[int, int], level: float) -> None:
    one = statistics.newcombe_difference(*first, *second, level)
    other = statistics.newcombe_difference(*second, *first, level)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert -1 <= one.low <= one.estimate <= one.high <= 1


def test_groups_without_any_success_do_not_differ() -> None:
    assert statistics.two_proportion_test(0, 10, 0, 20) == statistics.ZTest(0.0, 1.0)
    assert statistics.two_proportion_test(10, 10, 20, 20) == statistics.ZTest(0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no proportion"):
        statistics.wilson(successes, n)


def test_impossible_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        statistics.wilson(1, 2, 1.0)
    with pytest.raises(ValueError, match="no success"):
        statistics.ratio_interval(0, 10, 1, 10)
    with pytest.raises(ValueError, match="share1"):
        statistics.sample_ratio_p(1, 1, 0.0)
    with pytest.raises(ValueError, match="at least one unit"):
        statistics.sample_ratio_p(0, 0, 0.5)
