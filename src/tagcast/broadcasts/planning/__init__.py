"""The plan of a broadcast: who is addressed, who is left out and why, who is held out, who is sent to."""

from tagcast.broadcasts.planning.coming import (
    MOST_DAYS,
    MOST_LEFT,
    Coming,
    Forecast,
    Quota,
    calendar,
    forecast,
    out_of_quota,
    quota,
    with_left,
)
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
    "MOST_DAYS",
    "MOST_LEFT",
    "Coming",
    "Draft",
    "Forecast",
    "Move",
    "Quota",
    "calendar",
    "check_kind",
    "costs",
    "difference",
    "forecast",
    "forget",
    "keep",
    "late",
    "make",
    "moves",
    "numbers",
    "out_of_quota",
    "quota",
    "set_cost",
    "sets_of",
    "with_left",
    "yielded_to",
]
