"""How much may be asked at once of segments; the figures stand in `analysis.toml`."""

from dataclasses import dataclass
from functools import cache

from tagcast.kit.errors import Refused
from tagcast.kit.shipped import read_toml


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most of each."""

    overlapping: int
    matrix: int
    dimensions: int
    cells: int
    categories: int
    quantiles: int
    past_days: int


@cache
def bounds() -> Bounds:
    """The bounds that ship."""
    read = read_toml("audiences", "analysis.toml")
    return Bounds(**{name: value for name, value in read.items() if name not in ("source", "date")})


def check(bound: str, found: int) -> None:
    """Raise Refused for more than the bound, naming it."""
    most: int = getattr(bounds(), bound)
    if found > most:
        raise Refused("audiences.too_much", bound=bound, most=most, found=found)
