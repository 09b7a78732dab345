"""Against the papers' own figures, against lifetimes, and against customers made up with known parameters."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifetimes import BetaGeoFitter, GammaGammaFitter
from lifetimes.utils import summary_data_from_transaction_data

from tagcast import statistics
from tagcast.statistics import NotFitted


def cdnow(name: str, **options: object) -> pd.DataFrame:
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "datasets" / name, **options)  # type: ignore[call-overload]  # options of several overloads


@pytest.fixture(scope="module")
def weeks() -> pd.DataFrame:
    """The 2,357 customers of the paper, in weeks."""
    return cdnow("cdnow_customers_summary.csv")


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    """All 23,570 customers, in days."""
    names = ["id", "day", "cds", "dollars"]
    orders = cdnow("CDNOW_master.txt", sep=r"\s+", names=names, header=0, dtype={"day": str})
    return summary_data_from_transaction_data(
        orders, "id", "day", "dollars", datetime_format="%Y%m%d", observation_period_end="19980630"
    )


def test_the_papers_parameters(weeks: pd.DataFrame) -> None:
    """Fader, Hardie and Lee (2005), table 2: r .243, alpha 4.414, a .793, b 2.426, log-likelihood -9582.4."""
    found = statistics.fit_bgnbd(weeks["frequency"], weeks["recency"], weeks["T"])
    assert [round(one, 3) for one in (found.r, found.alpha, found.a, found.b)] == [0.243, 4.414, 0.793, 2.426]
    assert round(found.log_likelihood, 1) == -9582.4


def test_purchases_and_being_alive_as_lifetimes_says(weeks: pd.DataFrame) -> None:
    history = weeks["frequency"], weeks["recency"], weeks["T"]
    found, peer = statistics.fit_bgnbd(*history), BetaGeoFitter(penalizer_coef=0.0)
    peer.fit(*history)
    wanted = peer.conditional_expected_number_of_purchases_up_to_time(39, *history)
    np.testing.assert_allclose(found.expected(39, *history), wanted, rtol=1e-5)
    np.testing.assert_allclose(found.alive(*history), peer.conditional_probability_alive(*history), rtol=1e-5)


def test_lifetime_values_as_lifetimes_says(days: pd.DataFrame) -> None:
    history = tuple(days[name].to_numpy() for name in ("frequency", "recency", "T"))
    often, money = history[0], days["monetary_value"].to_numpy()
    paid = (often > 0) & (money > 0)
    bought = statistics.fit_bgnbd(*history)
    spend = statistics.fit_gamma_gamma(often[paid], money[paid])
    until, discounted = statistics.purchases(bought, history, 360, period=30, discount=0.01)
    value = spend.expected_average(often, money) * discounted
    np.testing.assert_array_equal(until, bought.expected(360, *history))
    # What is left of the horizon is a period of its own, and discounted at its end.
    _, rest = statistics.purchases(bought, history, 370, period=30, discount=0.01)
    more = (bought.expected(370, *history) - until) / 1.01 ** (370 / 30)
    np.testing.assert_allclose(rest, discounted + more, rtol=1e-12)
    their_purchases, their_spend = BetaGeoFitter(penalizer_coef=0.0), GammaGammaFitter(penalizer_coef=0.0)
    their_purchases.fit(*history)
    their_spend.fit(often[paid], money[paid])
    assert (spend.p, spend.q, spend.v) == pytest.approx(tuple(their_spend.params_[name] for name in "pqv"), rel=1e-5)
    wanted = their_spend.customer_lifetime_value(
        their_purchases, *(days[name] for name in ("frequency", "recency", "T", "monetary_value")), time=12, freq="D",
        discount_rate=0.01,
    )  # fmt: skip
    np.testing.assert_allclose(value, wanted, rtol=1e-4)


def test_known_parameters_are_found_again() -> None:
    random = np.random.default_rng(3)
    size, r, alpha, a, b = 20_000, 0.8, 10.0, 1.2, 3.0
    rate, leaves = random.gamma(r, 1 / alpha, size), random.beta(a, b, size)
    age = random.uniform(60, 120, size)
    frequency, recency = np.zeros(size), np.zeros(size)
    for one in range(size):
        at = random.exponential(1 / rate[one])
        while at < age[one]:
            frequency[one] += 1
            recency[one] = at
            if random.random() < leaves[one]:
                break
            at += random.exponential(1 / rate[one])
    found = statistics.fit_bgnbd(frequency, recency, age)
    assert (found.r, found.alpha) == pytest.approx((r, alpha), rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(a / (a + b), rel=0.1)


def test_too_little_is_said() -> None:
    with pytest.raises(NotFitted, match="again"):
        statistics.fit_bgnbd([0, 0], [0, 0], [5, 7])
    with pytest.raises(NotFitted, match="alike"):
        statistics.fit_gamma_gamma([1, 2, 3], [10, 10, 10])
    with pytest.raises(ValueError, match="age"):
        statistics.fit_bgnbd([1], [9], [5])
    with pytest.raises(ValueError, match="recency is 0"):
        statistics.fit_bgnbd([1], [0], [5])
    with pytest.raises(ValueError, match="above 0"):
        statistics.fit_gamma_gamma([0, 1], [1, 2])
