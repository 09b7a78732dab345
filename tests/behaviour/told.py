"""A naive model of behaviour: a list of events, and what it says to questions by plain counting."""

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tagcast.behaviour import Did, Question, Then, Where, Window

EPOCH = date(1970, 1, 1)
OPS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Event:
    contact: int
    type: str
    at_ms: int
    amount: int = 0
    quantity: int = 1
    properties: Mapping[str, Any] = field(default_factory=dict)


def day_of(at_ms: int, zone: str) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()


def answer(question: Question, events: Iterable[Event], everyone: set[int], zone: str, now_ms: int) -> set[int]:
    told = list(events)
    if isinstance(question, Then):
        span = question.within_seconds * 1000
        seconds = defaultdict(list)
        for event in _part(question.second, told, zone):
            seconds[event.contact].append(event.at_ms)
        found = set()
        for event in _part(question.first, told, zone):
            followed = any(event.at_ms < at <= event.at_ms + span for at in seconds[event.contact])
            over = event.at_ms + span < now_ms
            if (not followed and over) if question.absent else followed:
                found.add(event.contact)
        return found & everyone
    by_contact: dict[int, list[Event]] = {number: [] for number in everyone}
    for event in _part(question, told, zone):
        by_contact[event.contact].append(event)
    return {number for number, some in by_contact.items() if _measured(question, some, zone)}


def kept(events: Iterable[Event], name: str, zone: str, until: date | None = None) -> dict[int, tuple[int, ...]]:
    """First and last day, events, distinct days, sum, sum of the first day."""
    by_contact: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        day = day_of(event.at_ms, zone)
        if event.type == name and (until is None or day <= until):
            by_contact[event.contact][(day - EPOCH).days].append(event.amount)
    return {
        number: (
            min(days),
            max(days),
            sum(map(len, days.values())),
            len(days),
            sum(map(sum, days.values())),
            sum(days[min(days)]),
        )
        for number, days in by_contact.items()
    }


def day_sets(events: Iterable[Event], name: str, zone: str, top: int) -> dict[str, set[int]]:
    """The members of each day's set of each level."""
    counts: dict[tuple[date, int], int] = defaultdict(int)
    for event in events:
        if event.type == name:
            counts[day_of(event.at_ms, zone), event.contact] += 1
    found: dict[str, set[int]] = defaultdict(set)
    for (day, number), count in counts.items():
        for level in range(1, min(count, top) + 1):
            found[f"event:{name}:day:{day:%Y%m%d}" + (f":{level}" if level > 1 else "")].add(number)
    return dict(found)


def _part(asked: Did, events: list[Event], zone: str) -> list[Event]:
    return [
        event
        for event in events
        if event.type == asked.event
        and _inside(day_of(event.at_ms, zone), asked.window)
        and all(_holds(event, where) for where in asked.where)
    ]


def _inside(day: date, window: Window) -> bool:
    return (window.first is None or day >= window.first) and (window.last is None or day <= window.last)


def _holds(event: Event, where: Where) -> bool:
    built_in = {"amount": event.amount, "quantity": event.quantity}
    value = built_in.get(where.name, event.properties.get(where.name))
    match where.op:
        case "known":
            return value is not None
        case "unknown":
            return value is None
        case _ if value is None:
            return False
        case "is":
            return bool(value == where.value)
        case "is_not":
            return bool(value != where.value)
        case "in":
            assert isinstance(where.value, tuple)
            return value in where.value
        case "between":
            assert isinstance(where.value, tuple)
            return bool(where.value[0] <= value <= where.value[1])
        case op:
            return OPS[op](value, where.value)


def _measured(asked: Did, events: list[Event], zone: str) -> bool:
    amounts = [event.amount for event in events]
    if asked.measure in ("average", "least", "most") and not amounts:
        return False
    measured = {
        "times": lambda: len(events),
        "days": lambda: len({day_of(event.at_ms, zone) for event in events}),
        "sum": lambda: sum(amounts),
        "average": lambda: sum(amounts) / len(amounts),
        "least": lambda: min(amounts),
        "most": lambda: max(amounts),
    }[asked.measure]()
    return OPS[asked.op](measured, asked.value)
