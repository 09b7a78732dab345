"""The section `priority`: which of several broadcasts gets the last slot of a person."""

from datetime import datetime
from typing import Any, NamedTuple

from tagcast.accounts import Account
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

LEVEL, VALUE = 50, 0.0
"""Of a broadcast that says nothing."""
MOST_LEVEL, MOST_VALUE = 100, 1e12


class Rank(NamedTuple):
    """Its place among broadcasts that compete: the smaller comes first."""

    level: int
    value: float
    created: datetime
    id: int


def check(_work: Work, _account: Account, value: Any) -> dict[str, Any]:
    """`level` 0 to 100 (more comes first), then `value`, any number, e.g. the profit expected. Raises Invalid."""
    given = value if isinstance(value, dict) else {"": value}
    level, worth = given.get("level", LEVEL), given.get("value", VALUE)
    right = set(given) <= {"level", "value"} and type(level) is int and type(worth) in (int, float)
    if not right or not 0 <= level <= MOST_LEVEL or not abs(worth) <= MOST_VALUE:
        raise Invalid("broadcasts.bad_priority", value=value, most=MOST_LEVEL)
    return {"level": level, "value": float(worth)}


def rank(broadcast: Broadcast) -> Rank:
    """Priority, value, age."""
    said = broadcast.settings.get("priority", {})
    return Rank(-said.get("level", LEVEL), -said.get("value", VALUE), broadcast.created_at, broadcast.id)
