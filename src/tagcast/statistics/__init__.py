"""Statistics without product words: intervals and tests for proportions; models of how long customers stay."""

from tagcast.statistics.exact import least_share
from tagcast.statistics.lifetime import BgNbd, GammaGamma, NotFitted, fit_bgnbd, fit_gamma_gamma, purchases
from tagcast.statistics.propensity import Stratum, inverse_propensity
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
    "Stratum",
    "ZTest",
    "inverse_propensity",
    "least_share",
    "wilson",
    "newcombe_difference",
    "ratio_interval",
    "two_proportion_test",
    "sample_ratio_p",
    "BgNbd",
    "GammaGamma",
    "NotFitted",
    "fit_bgnbd",
    "fit_gamma_gamma",
    "purchases",
]
