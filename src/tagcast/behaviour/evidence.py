"""What one contact's own events say to a question."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyroaring import BitMap

from tagcast.behaviour import history, packed
from tagcast.behaviour.questions import Did, Where
from tagcast.kit.uow import Work

_EPOCH = date(1970, 1, 1)
_OPS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.eq,
    "is_not": operator.ne,
    "in": lambda one, some: one in some,
    "between": lambda one, ends: ends[0] <= one <= ends[1],
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The measured figure (amounts in cents; None: no event to measure), how many events, the last one's time, amount.

    Times are epoch milliseconds.
    """

    figure: float | None
    times: int
    last_ms: int | None
    last_amount: int | None


def evidence(work: Work, asked: Did, number: int, *, zone: str) -> Evidence:
    """A contact's own figure and last event, of those the question counts. Raises NotFound for the type."""
    found = history.events(work, asked.event, within=BitMap([number]))
    days = packed.local_days(found.at_ms, zone).tolist()
    counted = [
        place
        for place, day in enumerate(days)
        if (asked.window.first is None or _EPOCH + timedelta(days=day) >= asked.window.first)
        and (asked.window.last is None or _EPOCH + timedelta(days=day) <= asked.window.last)
        and all(_meets(_property(found, place, where.name), where) for where in asked.where)
    ]
    if not counted:
        return Evidence(0 if asked.measure in ("times", "days", "sum") else None, 0, None, None)
    amounts = [int(found.amount[place]) for place in counted]
    figures: dict[str, float] = {
        "times": len(counted),
        "days": len({days[place] for place in counted}),
        "sum": sum(amounts),
        "average": sum(amounts) / len(amounts),
        "least": min(amounts),
        "most": max(amounts),
    }
    last = max(counted, key=lambda place: int(found.at_ms[place]))
    return Evidence(figures[asked.measure], len(counted), int(found.at_ms[last]), int(found.amount[last]))


def _property(found: packed.Events, place: int, name: str) -> Any:
    if name == "amount":
        return int(found.amount[place])
    if name == "quantity":
        return int(found.quantity[place])
    return found.properties[place].get(name) if found.properties else None


def _meets(value: Any, where: Where) -> bool:
    if where.op in ("known", "unknown"):
        return (value is not None) == (where.op == "known")
    return value is not None and bool(_OPS[where.op](value, where.value))
