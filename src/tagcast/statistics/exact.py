"""Exact bounds of one proportion."""


def least_share(successes: int, n: int, level: float = 0.95) -> float:
    """The lowest share that is still believable, one-sided at `level`: 0 without a success.

    Clopper & Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 26
    (1934). The bound is above p exactly when so many successes or more have less than 1 - `level` chance under p.
    Raises ValueError for counts that cannot be, or a level that is not between 0 and 1.
    """
    from scipy import special

    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")
    if not 0 < level < 1:
        raise ValueError(f"a level is between 0 and 1, not {level}")
    if successes == 0:
        return 0.0
    return float(special.betaincinv(successes, n - successes + 1, 1 - level))
