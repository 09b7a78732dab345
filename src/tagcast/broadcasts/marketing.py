"""Marketing may not travel on every way of sending: which, the platform says. The list is data."""

from functools import cache
from typing import Any

from tagcast.broadcasts.rules import Route
from tagcast.kit.errors import Refused
from tagcast.kit.shipped import read_toml


@cache
def _data() -> dict[str, Any]:
    return read_toml("broadcasts", "marketing.toml")


def check(purpose: str, route: Route) -> None:
    """Raises Refused when the purpose is marketing and the platform forbids that on this way of sending."""
    ban = _data()["forbidden"].get(str(route))
    if ban is not None and purpose in _data()["purposes"]:
        raise Refused(
            "broadcasts.no_marketing",
            purpose=purpose,
            kind=str(route),
            instead=", ".join(ban["instead"]),
            source=ban["source"],
            date=ban["date"],
        )
