"""How often customers will buy again, whether they still do, and what they will be worth.

BG/NBD: P. Fader, B. Hardie and K. Lee, "Counting Your Customers" the Easy Way, Marketing Science 24(2), 2005. Everybody
buys at a rate of their own, gamma distributed (r, alpha), and leaves for good after any purchase with a probability of
their own, beta distributed (a, b). Gamma-gamma: P. Fader and B. Hardie, The Gamma-Gamma Model of Monetary Value, 2013.

frequency: repeat purchases (units of time with a purchase, less one); recency: age at the last one; age: time since the
first ("T"). All three in one unit of time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_STARTS = (0.0, -1.0, 1.0)
_BOUND = 20.0
_NEAR_BOUND = 18.0


class NotFitted(ValueError):
    """The data do not determine the model: too few, too uniform, or contradicting it."""


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted BG/NBD model; alpha is in the unit of time of the data."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def expected(self, span: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Purchases that each is expected to make in the next `span` of time: equation (10) of the paper."""
        from scipy import special

        x, t_x, t = (np.asarray(one, dtype=np.float64) for one in (frequency, recency, age))
        z = span / (self.alpha + t + span)
        hyper = special.hyp2f1(self.r + x, self.b + x, self.a + self.b + x - 1, z)
        shrunk = np.exp((self.r + x) * (np.log(self.alpha + t) - np.log(self.alpha + t + span)))
        top = (self.a + self.b + x - 1) / (self.a - 1) * (1 - shrunk * hyper)
        return np.asarray(top / (1 + self._gone(x, t_x, t)))

    def alive(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """The probability that each still buys; 1 for who never bought again, because one leaves at a purchase."""
        x, t_x, t = (np.asarray(one, dtype=np.float64) for one in (frequency, recency, age))
        return np.asarray(1 / (1 + self._gone(x, t_x, t)))

    def _gone(self, x: Floats, t_x: Floats, t: Floats) -> Floats:
        """The odds of having left."""
        log_odds = (self.r + x) * np.log((self.alpha + t) / (self.alpha + t_x)) + np.log(
            self.a / (self.b + np.maximum(x, 1) - 1)
        )
        return np.where(x > 0, np.exp(np.minimum(log_odds, 700)), 0.0)


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted gamma-gamma model of what a purchase is worth."""

    p: float
    q: float
    v: float
    log_likelihood: float

    def expected_average(self, frequency: ArrayLike, monetary: ArrayLike) -> Floats:
        """What each one's purchases are worth on average, drawn towards everybody's the fewer there were."""
        x, m = (np.asarray(one, dtype=np.float64) for one in (frequency, monetary))
        weight = self.p * x / (self.p * x + self.q - 1)
        return (1 - weight) * (self.v * self.p / (self.q - 1)) + weight * m


def fit_bgnbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> BgNbd:
    """The most likely BG/NBD model. Raises NotFitted; ValueError for data that cannot be."""
    x, t_x, t = (np.asarray(one, dtype=np.float64) for one in (frequency, recency, age))
    if not (len(x) == len(t_x) == len(t)) or (len(x) and bool(np.any((x < 0) | (t_x < 0) | (t_x > t)))):
        raise ValueError("frequency, recency and age must be as many, with 0 <= recency <= age")
    if np.any((x == 0) != (t_x == 0)):
        raise ValueError("recency is 0 for those, and only those, who never bought again")
    if not np.any(x > 0) or t.max() <= 0:
        raise NotFitted("nobody bought again")
    # Customers with the same history are counted once; time is scaled so that all parameters are of one size.
    rows, weight = np.unique(np.column_stack([x, t_x, t]), axis=0, return_counts=True)
    scale = 1 / float(t.max())
    histories = rows[:, 0], rows[:, 1] * scale, rows[:, 2] * scale

    def cost(logs: Floats) -> tuple[float, Floats]:
        value, slopes = _bgnbd_log_likelihood(np.exp(logs), *histories)
        return -float(weight @ value) / weight.sum(), -(slopes @ weight) * np.exp(logs) / weight.sum()

    r, alpha, a, b = _likeliest(cost, 4)
    value, _ = _bgnbd_log_likelihood(np.array([r, alpha / scale, a, b]), *rows.T)
    return BgNbd(r, alpha / scale, a, b, float(weight @ value))


def fit_gamma_gamma(frequency: ArrayLike, monetary: ArrayLike) -> GammaGamma:
    """The most likely gamma-gamma model of customers who bought again for more than nothing.

    Raises NotFitted; ValueError for a customer without repeat purchases or without money.
    """
    x, m = (np.asarray(one, dtype=np.float64) for one in (frequency, monetary))
    if len(x) != len(m) or bool(np.any((x <= 0) | (m <= 0))):
        raise ValueError("each frequency and each monetary value must be above 0")
    if len(x) < 2 or np.ptp(m) == 0:
        raise NotFitted("all spend alike")
    scale = 1 / float(m.mean())

    def cost(logs: Floats) -> tuple[float, Floats]:
        value, slopes = _gamma_gamma_log_likelihood(np.exp(logs), x, m * scale)
        return -float(value.mean()), -slopes.mean(axis=1) * np.exp(logs)

    p, q, v = _likeliest(cost, 3)
    if q <= 1:
        raise NotFitted("the mean value of a purchase is infinite")
    value, _ = _gamma_gamma_log_likelihood(np.array([p, q, v / scale]), x, m)
    return GammaGamma(p, q, v / scale, float(value.sum()))


def purchases(
    bgnbd: BgNbd, histories: tuple[ArrayLike, ArrayLike, ArrayLike], horizon: int, *, period: int, discount: float
) -> tuple[Floats, Floats]:
    """(how often each will buy until the horizon, the same discounted by `discount` a period).

    `histories` are frequency, recency and age. What is bought in a period counts at its end; the last may be shorter.
    """
    before, discounted = np.zeros(len(np.asarray(histories[0]))), 0.0
    for end in (*range(period, horizon, period), horizon):
        until = bgnbd.expected(end, *histories)
        discounted = discounted + (until - before) / (1 + discount) ** (end / period)
        before = until
    return before, np.asarray(discounted)


def _likeliest(cost: Callable[[Floats], tuple[float, Floats]], size: int) -> list[float]:
    """The parameters at the least of a cost over their logarithms, from the first start that ends inside the bounds."""
    from scipy import optimize

    for start in _STARTS:
        found = optimize.minimize(
            cost,
            np.full(size, start),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_BOUND, _BOUND)] * size,
            options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9},
        )
        if np.isfinite(found.fun) and np.all(np.abs(found.x) < _NEAR_BOUND):
            return [float(one) for one in np.exp(found.x)]
    raise NotFitted("the likelihood has no maximum")


def _bgnbd_log_likelihood(parameters: Floats, x: Floats, t_x: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Of each history: equation (6) of the paper, as its appendix computes it; and its slopes, a row a parameter."""
    from scipy import special

    r, alpha, a, b = parameters
    ln, psi = special.gammaln, special.digamma
    again = np.maximum(x, 1) - 1
    stays = -(r + x) * np.log(alpha + t)
    leaves = np.log(a) - np.log(b + again) - (r + x) * np.log(alpha + t_x)
    value = (
        ln(r + x) - ln(r) + r * np.log(alpha) + ln(a + b) + ln(b + x) - ln(b) - ln(a + b + x)
        + np.where(x > 0, np.logaddexp(stays, leaves), stays)
    )  # fmt: skip
    left = np.where(x > 0, special.expit(leaves - stays), 0.0)
    both = psi(a + b) - psi(a + b + x)
    slopes = np.stack([
        psi(r + x) - psi(r) + np.log(alpha) - (1 - left) * np.log(alpha + t) - left * np.log(alpha + t_x),
        r / alpha - (r + x) * ((1 - left) / (alpha + t) + left / (alpha + t_x)),
        both + left / a,
        both + psi(b + x) - psi(b) - left / (b + again),
    ])  # fmt: skip
    return value, slopes


def _gamma_gamma_log_likelihood(parameters: Floats, x: Floats, m: Floats) -> tuple[Floats, Floats]:
    """Of each customer: equation (1a) of the note; and its slopes, a row a parameter."""
    from scipy import special

    p, q, v = parameters
    ln, psi = special.gammaln, special.digamma
    spent = x * m + v
    value = (
        ln(p * x + q) - ln(p * x) - ln(q) + q * np.log(v) + (p * x - 1) * np.log(m) + p * x * np.log(x)
        - (p * x + q) * np.log(spent)
    )  # fmt: skip
    slopes = np.stack([
        x * (psi(p * x + q) - psi(p * x) + np.log(m) + np.log(x) - np.log(spent)),
        psi(p * x + q) - psi(q) + np.log(v) - np.log(spent),
        q / v - (p * x + q) / spent,
    ])  # fmt: skip
    return value, slopes
