"""Who gets which variant: exact shares, stable, of known probability; a bandit that finds the better one, unbiased."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagcast import statistics
from tagcast.broadcasts.rules import draw
from tagcast.broadcasts.variants import rules
from tagcast.broadcasts.variants.rules import Belief
from tagcast.statistics import Stratum

PEOPLE = np.arange(1, 5001, dtype=np.uint32)


@given(size=st.integers(0, 5000), weights=st.lists(st.floats(0.1, 100), min_size=1, max_size=10))
def test_shares_are_exact(size: int, weights: list[float]) -> None:
    counts = rules.exact(size, weights)
    assert sum(counts) == size
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - size * weight / sum(weights)) < 1


@given(
    size=st.integers(0, 5000),
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=10),
    start=st.floats(0, 1, exclude_max=True),
)
def test_what_is_left_over_falls_by_chance_and_nothing_is_lost(size: int, weights: list[float], start: float) -> None:
    shares = [weight / sum(weights) for weight in weights]
    counts = rules.by_chance(size, shares, start)
    assert sum(counts) == size
    for count, share in zip(counts, shares, strict=True):
        assert -1e-6 < count - size * share + 1 < 2 + 1e-6


def test_what_is_left_over_is_right_on_average() -> None:
    shares = [0.37, 0.33, 0.3]
    starts = (np.arange(1000) + 0.5) / 1000
    mean = np.mean([rules.by_chance(7, shares, start) for start in starts], axis=0)
    assert mean == pytest.approx([7 * share for share in shares], abs=0.01)


def test_a_person_stays_where_he_is_and_the_split_knows_nothing_of_the_holdout() -> None:
    first = rules.weighted(PEOPLE, ["A", "B"], [1, 1], seed=7)
    again = rules.weighted(PEOPLE[::-1].copy(), ["A", "B"], [1, 1], seed=7)
    other = rules.weighted(PEOPLE, ["A", "B"], [1, 1], seed=8)
    assert [arm.members.tolist() for arm in first] == [arm.members.tolist() for arm in again]
    assert [arm.members.size for arm in first] == [2500, 2500]
    assert first[0].members.tolist() != other[0].members.tolist()
    held = draw(PEOPLE, 20, seed=rules.seed_of(7, "holdout"))
    together = np.intersect1d(held, first[0].members).size
    assert abs(together - 500) < 4 * np.sqrt(1000 * 0.25)


def test_the_probabilities_of_being_the_best_are_those_of_the_posteriors() -> None:
    assert rules.probabilities([Belief(), Belief(), Belief()], 1) == pytest.approx([1 / 3] * 3)
    known = rules.probabilities([Belief(1000, 100), Belief(1000, 200)], 1)
    assert known[1] > 0.999
    assert known == rules.probabilities([Belief(1000, 100), Belief(1000, 200)], 1)
    # P(Beta(2, 1) > Beta(1, 1)) = 2/3
    assert rules.probabilities([Belief(1, 1), Belief(0, 0)], 5)[0] == pytest.approx(2 / 3, abs=0.02)


def test_everybodys_probability_is_what_is_written_down() -> None:
    """Over many seeds one person gets each variant as often as the log says, and is explored with `explore`."""
    people = np.arange(1, 12, dtype=np.uint32)
    beliefs = {"A": Belief(20, 4), "B": Belief(20, 7), "C": Belief(20, 2)}
    got, said, explored = dict.fromkeys(beliefs, 0), dict.fromkeys(beliefs, 0.0), 0
    times = 1500
    for seed in range(times):
        for arm in rules.bandit(people, beliefs, 0.3, rules.seed_of(9, seed)):
            got[arm.name] += int(5 in arm.members)
            explored += int(5 in arm.explored)
            said[arm.name] += arm.probability
    for name in beliefs:
        assert got[name] / times == pytest.approx(said[name] / times, abs=4 * np.sqrt(0.25 / times))
    assert explored / times == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / times))


def policy(seed: int, truth: dict[str, dict[str, float]], stages: int, size: int) -> dict[str, list[Stratum]]:
    """A bandit over stages on people whose rates are known, by group and variant."""
    chance = np.random.default_rng(seed)
    known = {group: {name: [0.0, 0.0] for name in rates} for group, rates in truth.items()}
    strata: dict[str, list[Stratum]] = {name: [] for name in next(iter(truth.values()))}
    for stage in range(stages):
        for group, rates in truth.items():
            people = np.arange(1, size + 1, dtype=np.uint32)
            beliefs = {name: Belief(*known[group][name]) for name in rates}
            for arm in rules.bandit(people, beliefs, 0.2, rules.seed_of(seed, stage, group)):
                did = int(chance.binomial(arm.members.size, rates[arm.name]))
                strata[arm.name].append(Stratum(size, int(arm.members.size), did, arm.probability))
                known[group][arm.name][0] += arm.members.size
                known[group][arm.name][1] += did
    return strata


TRUTH = {"young": {"A": 0.05, "B": 0.15}, "old": {"A": 0.20, "B": 0.10}}


def test_the_bandit_finds_what_is_better_for_each_group() -> None:
    found = policy(3, TRUTH, stages=6, size=1000)
    last = {name: one[-2:] for name, one in found.items()}  # the last stage: young, then old
    assert last["B"][0].given > 850
    assert last["A"][1].given > 850


def test_the_estimate_covers_the_truth_and_has_no_bias() -> None:
    runs = 200
    truth = {"A": 0.125, "B": 0.125}
    covered = dict.fromkeys(truth, 0)
    estimates: dict[str, list[float]] = {name: [] for name in truth}
    for seed in range(runs):
        for name, strata in policy(seed, TRUTH, stages=4, size=400).items():
            found = statistics.inverse_propensity(strata)
            covered[name] += found.low <= truth[name] <= found.high
            estimates[name].append(found.estimate)
    for name, rate in truth.items():
        assert covered[name] / runs >= 0.92
        error = np.std(estimates[name]) / np.sqrt(runs)
        assert abs(np.mean(estimates[name]) - rate) < 4 * error


def test_the_naive_share_would_mislead_where_the_estimate_does_not() -> None:
    """Given by preference, A is read far too high: those to whom it was given are those who like it."""
    naive, right = [], []
    for seed in range(20):
        strata = policy(seed, TRUTH, stages=4, size=400)["A"]
        naive.append(sum(one.successes for one in strata) / sum(one.given for one in strata))
        right.append(statistics.inverse_propensity(strata).estimate)
    assert np.mean(naive) > 0.16
    assert np.mean(right) == pytest.approx(0.125, abs=0.02)


def test_an_estimate_of_what_cannot_be_is_refused() -> None:
    for wrong in (
        [],
        [Stratum(0, 0, 0, 0.5)],
        [Stratum(5, 6, 1, 0.5)],
        [Stratum(5, 2, 3, 0.5)],
        [Stratum(5, 2, 1, 0.0)],
    ):
        with pytest.raises(ValueError, match=r"cannot be|nobody"):
            statistics.inverse_propensity(wrong)
    nobody = statistics.inverse_propensity([Stratum(5, 0, 0, 0.1)])
    assert (nobody.low, nobody.high) == (0.0, 1.0)
