"""The plan of a broadcast: who is addressed, who is left out and why, who is held out, who is sent to."""

from tagcast.broadcasts.planning.estimating import costs, set_cost
from tagcast.broadcasts.planning.making import (
    Draft,
    check_kind,
    difference,
    forget,
    keep,
    make,
    numbers,
    sets_of,
    yielded_to,
)
from tagcast.broadcasts.planning.moving import Move, late, moves

__all__ = [
    "Draft",
    "Move",
    "check_kind",
    "costs",
    "difference",
    "forget",
    "keep",
    "late",
    "make",
    "moves",
    "numbers",
    "set_cost",
    "sets_of",
    "yielded_to",
]
