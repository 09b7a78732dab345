"""What the report finds and what may be done about it. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Literal, cast

from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

Kind = Literal["unused", "stale", "tiny", "equal", "contradictory", "drifting", "limit"]
KINDS: tuple[Kind, ...] = ("contradictory", "limit", "equal", "drifting", "unused", "stale", "tiny")
Do = Literal["archive", "merge", "empty", "settle"]
DOES: tuple[Do, ...] = ("archive", "merge", "empty", "settle")
MOST_OPERATIONS = 1000
_MAD = 1.4826
"""Makes the median absolute deviation of normal values their standard deviation (Rousseeuw and Croux, JASA 1993)."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on a tag is worth a look; the figures that ship stand in `thresholds.toml`."""

    unused_days: int
    stale_days: int
    tiny: int
    nearly_equal: float
    equal_least: int
    drift_days: int
    drift_periods: int
    drift_times: float
    drift_share: float
    near_limit: float


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to do: archive `tag`; merge it `into` another, `members` as `tags.merge`; empty it, taking it from all
    who hold it; settle an exclusive group, whose contacts keep what they were given last."""

    do: Do
    tag: int
    into: int | None = None
    members: str = "unite"


@dataclass(frozen=True, slots=True)
class Finding:
    """A tag, or two, worth a look: `facts` are the figures behind it, `suggested` what may be done."""

    kind: Kind
    tags: tuple[int, ...]
    paths: tuple[str, ...]
    facts: dict[str, Any]
    suggested: Operation | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """How many held a tag before and after, and how many got or lost it."""

    tag: int
    path: str
    before: int
    after: int
    gained: int
    lost: int


@dataclass(slots=True)
class Effect:
    """What one operation does: tags whose holders change, tags that go or move, and uses rewritten, as (kind, name)."""

    operation: Operation
    sizes: list[Sized] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    uses: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """To be kept and shown."""
        return asdict(self)


@cache
def _shipped() -> dict[str, Any]:
    return {name: value for name, value in read_toml("upkeep", "thresholds.toml").items() if name in _NAMES}


def thresholds(own: Mapping[str, Any]) -> Thresholds:
    """Those that ship, with a workspace's own."""
    return Thresholds(**(_shipped() | dict(own)))


def check_thresholds(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that a workspace may set. Raises Invalid for an unknown name, or a figure outside of sense."""
    for name, value in given.items():
        if name not in _NAMES:
            raise Invalid("upkeep.no_threshold", name=name, known=", ".join(_NAMES))
        shipped = _shipped()[name]
        whole = isinstance(shipped, int)
        most = 1.0 if name in ("nearly_equal", "drift_share", "near_limit") else 1e6
        right = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and 0 < value <= most
        if not right:
            raise Invalid("upkeep.bad_threshold", name=name, value=value, most=f"{most:g}")
    return dict(given)


def check_operations(given: Sequence[Operation]) -> list[Operation]:
    """Raises Invalid for none, too many, an unknown word, a merge without its target, or a tag that is named twice."""
    if not 0 < len(given) <= MOST_OPERATIONS:
        raise Invalid("upkeep.bad_count", count=len(given), most=MOST_OPERATIONS)
    seen: set[int] = set()
    for one in given:
        if one.do not in DOES:
            raise Invalid("upkeep.unknown_do", do=one.do, known=", ".join(DOES))
        if (one.into is None) == (one.do == "merge"):
            raise Invalid("upkeep.bad_into", do=one.do)
        if one.tag in seen:
            raise Invalid("upkeep.named_twice", tag=one.tag)
        seen.add(one.tag)
    return list(given)


def operation(kept: Mapping[str, Any]) -> Operation:
    """An operation from its JSON."""
    return Operation(cast(Do, kept["do"]), kept["tag"], kept.get("into"), kept.get("members", "unite"))


def unusual(turnover: Sequence[float], of: Thresholds) -> tuple[float, float] | None:
    """(median before, how many deviations above it) of the last period, when that is unusual for the tag itself.

    `turnover`: for each period, oldest first, contacts who got or lost the tag by the holders at its beginning. The
    last is unusual when it is at least `drift_share` and lies `drift_times` deviations above the median of those
    before; a deviation is never taken for less than a twentieth, so that a quiet past does not make all unusual.
    """
    *past, last = turnover
    if len(past) < 3 or last < of.drift_share:
        return None
    middle = statistics.median(past)
    deviation = max(_MAD * statistics.median(abs(one - middle) for one in past), 0.05)
    away = (last - middle) / deviation
    return (middle, away) if away >= of.drift_times else None


_NAMES = tuple(one.name for one in fields(Thresholds))
