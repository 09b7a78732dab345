"""Random events and what questions about them mean, by a look at each event."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from tagcast.behaviour import Did, Events, Question, Then, Where, Window, packed

ZONE = "Europe/Paris"
START = 1_711_411_200_000  # 2024-03-26 UTC: the clocks of the zone change on the 31st
PEOPLE = 20
KINDS = {"sku": "text", "price": "number", "gift": "flag"}


@dataclass(frozen=True)
class Told:
    """One event."""

    name: str
    contact: int
    at_ms: int
    amount: int
    quantity: int
    properties: dict[str, Any] = field(default_factory=dict)

    def row(self) -> Any:
        return self.contact, self.at_ms, self.amount, self.quantity, str(sorted(self.properties.items()))

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC).astimezone(ZoneInfo(ZONE)).date()


def batch(name: str, seed: int, count: int) -> tuple[Events, list[Told]]:
    """Events over 60 days, many at the same moment; properties are often missing."""
    dice = np.random.default_rng((seed, len(name)))
    told = []
    for _ in range(count):
        held: dict[str, Any] = {}
        if (one := dice.integers(0, 4)) < 3:
            held["sku"] = ["a", "b", "鞋's"][one]
        if (one := dice.integers(0, 9)) < 7:
            held["price"] = float(one) / 2
        if (one := dice.integers(0, 3)) < 2:
            held["gift"] = bool(one)
        at = START + int(dice.integers(0, 60 * 24)) * 3_600_000
        who, amount, quantity = (int(dice.integers(*ends)) for ends in ((1, PEOPLE), (-20, 900), (0, 3)))
        told.append(Told(name, who, at, amount, quantity, held))
    made = packed.events(
        [one.contact for one in told], [one.at_ms for one in told], [one.amount for one in told],
        [one.quantity for one in told], [one.properties for one in told],
    )  # fmt: skip
    return made, told


def questions() -> Iterator[Question]:
    """One of each kind."""
    april = Window(date(2024, 3, 31), date(2024, 4, 20))
    yield Did("view")
    yield Did("view", op="<", value=2, window=april)
    yield Did("view", op=">=", value=2.5)
    yield Did("view", op="=", value=2.5)
    yield Did("view", op="!=", value=2.5, window=Window(None, date(2024, 4, 10)))
    yield Did("view", op="=", value=0, window=Window(date(2024, 5, 1)))
    yield Did("buy", measure="days", op=">=", value=3, window=april)
    yield Did("buy", measure="sum", op=">", value=900.5)
    yield Did("buy", measure="sum", op="<=", value=0)
    yield Did("buy", measure="average", op=">=", value=450)
    yield Did("buy", measure="average", op="<", value=450.25)
    yield Did("buy", measure="least", op="<", value=0)
    yield Did("buy", measure="most", op=">=", value=800)
    yield Did("buy", where=(Where("sku", "is", "鞋's"), Where("gift", "is_not", True)))
    yield Did("buy", where=(Where("sku", "in", ("a", "b")), Where("price", "between", (0.5, 2))))
    yield Did("buy", where=(Where("price", "unknown"), Where("amount", ">", 100), Where("quantity", "<=", 1)))
    yield Did("buy", op="<", value=1, where=(Where("sku", "known"), Where("price", ">=", 3.0)))
    yield Then(Did("view"), Did("buy"), 36 * 3600)
    yield Then(Did("view", window=april), Did("buy", where=(Where("gift", "is", True),)), 10 * 86_400)
    yield Then(Did("view"), Did("view"), 3600, absent=True)
    yield Then(Did("view", where=(Where("sku", "is", "a"),)), Did("buy"), 5 * 86_400, absent=True)


def naive(question: Question, told: list[Told], everyone: set[int], now_ms: int) -> set[int]:
    """The contacts that a question is about."""
    if isinstance(question, Did):
        return {who for who in everyone if _measures(question, [one for one in told if one.contact == who])}
    found = set()
    for first in told:
        if not _counts(question.first, first):
            continue
        end = first.at_ms + question.within_seconds * 1000
        followed = any(
            one.contact == first.contact and first.at_ms < one.at_ms <= end and _counts(question.second, one)
            for one in told
        )
        if not followed and end < now_ms if question.absent else followed:
            found.add(first.contact)
    return found & everyone


def _measures(asked: Did, told: list[Told]) -> bool:
    some = [one for one in told if _counts(asked, one)]
    amounts = [one.amount for one in some]
    if asked.measure in ("average", "least", "most") and not some:
        return False
    figure = {
        "times": lambda: len(some),
        "days": lambda: len({one.day for one in some}),
        "sum": lambda: sum(amounts),
        "average": lambda: sum(amounts) / len(amounts),
        "least": lambda: min(amounts),
        "most": lambda: max(amounts),
    }[asked.measure]()
    return _compare(figure, asked.op, asked.value)


def _counts(asked: Did, one: Told) -> bool:
    first, last = asked.window.first or date.min, asked.window.last or date.max
    return one.name == asked.event and first <= one.day <= last and all(_holds(where, one) for where in asked.where)


def _holds(where: Where, one: Told) -> bool:
    own = {"amount": one.amount, "quantity": one.quantity}
    value = own[where.name] if where.name in own else one.properties.get(where.name)
    if where.op in ("known", "unknown"):
        return (value is None) == (where.op == "unknown")
    if value is None:
        return False
    wanted: Any = where.value
    if where.op == "in":
        return value in wanted
    if where.op == "between":
        return bool(wanted[0] <= value <= wanted[1])
    return _compare(value, {"is": "=", "is_not": "!="}.get(where.op, where.op), wanted)


def _compare(left: Any, op: str, right: Any) -> bool:
    return bool({"<": left < right, "<=": left <= right, "=": left == right, "!=": left != right, ">=": left >= right,
                 ">": left > right}[op])  # fmt: skip
