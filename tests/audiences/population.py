"""A random small population, in the database and as plain Python values, and the meaning of expressions there."""

import math
import random
from calendar import isleap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from pyroaring import BitMap
from tests.tags.people import account, people

from tagcast import audiences, behaviour, contacts, outcomes, tags
from tagcast.audiences.rules import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    Span,
    TagLeaf,
    ThenLeaf,
)
from tagcast.behaviour import EventIn, Where
from tagcast.bitmaps import sliced
from tagcast.kit.uow import Work

PATHS = ("会员", "会员/金卡", "会员/金卡/一星", "会员/银卡", "新客")
REGIONS = ("华东", "华南", "华北")
START = date(2026, 1, 1)
ZONE = ZoneInfo("Asia/Shanghai")
# Half past midnight of 1 March there, and still February by the clock of the machine.
NOW = datetime(2026, 2, 28, 16, 30, tzinfo=UTC)
TODAY = date(2026, 3, 1)
BORN = [
    *(date(1990, 2, 28), date(1992, 2, 28), date(1992, 2, 29), date(1992, 3, 1), date(2001, 3, 1)),
    *(date(1969, 12, 31), date(2026, 2, 28), date(1931, 1, 5)),
]
CATEGORIES = ("鞋", "帽")
SENT = (("双十一预热", 0), ("周报", 1), ("周报", 8), ("周报", 40), ("回访", 8))


@dataclass(frozen=True)
class Done:
    """One event of a contact, with what a condition can name."""

    contact: int
    event: str
    at_ms: int
    values: dict[str, Any]

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.at_ms / 1000, ZONE).date()


@dataclass
class Sent:
    """One launch, with the sets that whoever sends keeps."""

    number: int
    name: str
    account: int
    day: date
    sets: dict[str, set[int]]

    def of(self, outcome: str) -> set[int]:
        told = self.sets
        match outcome:
            case "received":
                return (told["accepted"] | told["delivered"]) - told["failed"]
            case "held_back":
                return told["addressed"] - told["assigned"] - told["holdout"] | told["held"] | told["cancelled"]
            case "held_out":
                return told["holdout"]
            case _:
                return told[outcome]


@dataclass
class Population:
    """What is true, as plain values. `tags` by (account, path); `fields` by name and contact."""

    everyone: set[int]
    account: int
    events: list[Done] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    tags: dict[tuple[int | None, str], set[int]] = field(default_factory=dict)
    fields: dict[str, dict[int, Any]] = field(default_factory=dict)
    segments: dict[str, Expression] = field(default_factory=dict)

    def meaning(self, expression: Expression) -> set[int]:  # noqa: C901 - one case a kind of node
        """The contacts an expression stands for, by the plainest code there is."""
        match expression:
            case All():
                return set(self.everyone)
            case Nobody():
                return set()
            case And(parts):
                return set.intersection(*[self.meaning(part) for part in parts])
            case Or(parts):
                return set.union(*[self.meaning(part) for part in parts])
            case Not(part):
                return self.everyone - self.meaning(part)
            case SegmentLeaf(name):
                return self.meaning(self.segments[name])
            case TagLeaf(path, of, exactly):
                return {
                    number
                    for (account_, tagged), numbers in self.tags.items()
                    if account_ == of and (tagged == path or (not exactly and tagged.startswith(f"{path}/")))
                    for number in numbers
                }
            case FieldLeaf(name, op, value):
                return self._field(self.fields[name], op, value)
            case DateLeaf(name, during):
                return {number for number, value in self.fields[name].items() if _inside(_day(value), during)}
            case BirthdayLeaf(name, during):
                return {number for number, value in self.fields[name].items() if date_returns(_day(value), during)}
            case RankLeaf(name, side, percent):
                values = self.fields[name]
                ranking = sorted(sorted(values), key=lambda number: values[number], reverse=True)
                share = Fraction(str(percent)) / 100
                cut = math.ceil(len(ranking) * (share if side == "top" else 1 - share))
                return set(ranking[:cut] if side == "top" else ranking[cut:])
            case DidLeaf():
                return self._did(expression)
            case ThenLeaf():
                return self._then(expression)
            case SendLeaf():
                return self._sent(expression)

    def _field(self, values: dict[int, Any], op: str, wanted: Any) -> set[int]:
        if op == "unknown":
            return self.everyone - values.keys()
        return {number for number, value in values.items() if op == "known" or _holds(value, op, wanted)}

    def _done(self, leaf: DidLeaf) -> list[Done]:
        return [
            one
            for one in self.events
            if one.event == leaf.event
            and _inside(one.day, leaf.during)
            and all(_where(one.values.get(where.name), where) for where in leaf.where)
        ]

    def _did(self, leaf: DidLeaf) -> set[int]:
        measures: dict[str, Callable[[list[Done]], Any]] = {
            "times": len,
            "days": lambda done: len({one.day for one in done}),
            "sum": lambda done: sum(one.values["amount"] for one in done),
            "average": lambda done: Fraction(sum(one.values["amount"] for one in done), len(done)),
            "least": lambda done: min(one.values["amount"] for one in done),
            "most": lambda done: max(one.values["amount"] for one in done),
        }
        told: dict[int, list[Done]] = {number: [] for number in self.everyone}
        for one in self._done(leaf):
            told[one.contact].append(one)
        asked = leaf.measure in ("times", "days", "sum")
        return {
            number
            for number, done in told.items()
            if (done or asked) and _holds(measures[leaf.measure](done), leaf.op, leaf.value)
        }

    def _then(self, leaf: ThenLeaf) -> set[int]:
        firsts, seconds, span = self._done(leaf.first), self._done(leaf.second), leaf.minutes * 60_000
        now = int(NOW.timestamp() * 1000)
        found = set()
        for one in firsts:
            followed = any(
                other.contact == one.contact and one.at_ms < other.at_ms <= one.at_ms + span for other in seconds
            )
            if (not followed and one.at_ms + span < now) if leaf.absent else followed:
                found.add(one.contact)
        return found

    def _sent(self, leaf: SendLeaf) -> set[int]:
        told = [
            sent
            for sent in self.sent
            if leaf.sending in (None, sent.name, sent.number)
            and leaf.account in (None, sent.account)
            and _inside(sent.day, leaf.during)
        ]
        return {
            number
            for number in self.everyone
            if _holds(sum(number in sent.of(leaf.outcome) for sent in told), leaf.op, leaf.value)
        }


def _holds(value: Any, op: str, wanted: Any) -> bool:
    return bool(
        {
            "is": lambda: value == wanted,
            "is_not": lambda: value != wanted,
            "in": lambda: value in wanted,
            "<": lambda: value < wanted,
            "<=": lambda: value <= wanted,
            ">": lambda: value > wanted,
            ">=": lambda: value >= wanted,
            "between": lambda: min(wanted) <= value <= max(wanted),
        }[op]()
    )


def _where(value: Any, where: Where) -> bool:
    if where.op in ("known", "unknown"):
        return (value is not None) == (where.op == "known")
    return value is not None and _holds(value, where.op, where.value)


def _day(value: str) -> date:
    return date.fromisoformat(value)


def _inside(day: date, span: Span) -> bool:
    first, last = span.days(TODAY)
    return (first is None or first <= day) and (last is None or day <= last)


def date_returns(born: date, span: Span) -> bool:
    """Whether the date returns in the span: looked for day by day."""
    first, last = span.days(TODAY)
    assert first is not None
    assert last is not None
    for count in range((last - first).days + 1):
        day = first + timedelta(days=count)
        same = (born.month, born.day) == (day.month, day.day)
        leap = (born.month, born.day, day.month, day.day) == (2, 29, 2, 28) and not isleap(day.year)
        if born.year < day.year and (same or leap):
            return True
    return False


def populate(work: Work, seed: int) -> Population:
    """Fill an empty workspace at random."""
    dice = random.Random(seed)
    everyone = set(people(work, dice.randrange(1, 60)))
    told = Population(everyone, account(work, "wecom"))

    def some() -> set[int]:
        return set(dice.sample(sorted(everyone), dice.randrange(len(everyone) + 1)))

    for of, path in [*((None, path) for path in PATHS), (told.account, "会员")]:
        tag = tags.create(work, path, account=of)
        told.tags[of, path] = some()
        tags.assign(work, tag.id, BitMap(told.tags[of, path]), why="test")
    told.fields = {
        "region": {n: REGIONS[i] if i < 3 else dice.choice(REGIONS) for i, n in enumerate(sorted(everyone))},
        "spend": {n: dice.randrange(-5, 30) for n in some()},
        "vip": {n: dice.random() < 0.5 for n in some()},
        "birthday": {n: (START + timedelta(days=dice.randrange(20))).isoformat() for n in some()},
        "rfm.m": {n: dice.randrange(1, 6) for n in some()},
    }
    told.fields["born"] = {number: dice.choice(BORN).isoformat() for number in some()}
    kinds = {"region": "choice", "spend": "number", "vip": "flag", "birthday": "date", "born": "date"}
    for name, kind in kinds.items():
        contacts.declare_attribute(work, name, kind, purpose="test")  # type: ignore[arg-type]  # kinds of this table
        contacts.set_values(work, name, told.fields[name], why="test")
    scores = told.fields["rfm.m"]
    numbers, values = np.array(list(scores), dtype=np.uint32), np.array(list(scores.values()), dtype=np.int64)
    sliced.set_values(work.bitmaps, "feature:rfm.m", numbers, values, why="test")
    _record(work, told, dice)
    _send(work, told, some)
    for name, text in (
        ("活跃", 'tag("会员") and spend >= 3'),
        ("沉睡", 'not segment("活跃") or vip = true'),
    ):
        told.segments[name] = audiences.parse(text)
        audiences.create(work, name, told.segments[name])
    return told


def _record(work: Work, told: Population, dice: random.Random) -> None:
    """Some ten events a contact over the last weeks, thick about today and about midnights."""
    kinds = {"category": "text", "price": "number", "gift": "flag"}
    for name in ("purchase", "view"):
        behaviour.declare_event(work, name, "test", kinds)  # type: ignore[arg-type]  # kinds of this table
    end = int(NOW.timestamp() * 1000)
    for number in sorted(told.everyone):
        for _ in range(dice.randrange(12)):
            back = dice.choice([dice.randrange(90 * 60_000), dice.randrange(60) * 86_400_000, 3_600_000, 1_800_000])
            held = {
                "category": dice.choice(CATEGORIES),
                "price": dice.choice([1, 2.5, 10]),
                "gift": dice.random() < 0.5,
            }
            kept = {name: value for name, value in held.items() if dice.random() < 0.7}
            amount, quantity = dice.randrange(-2, 9) * 50, dice.randrange(3)
            values = {**kept, "amount": amount, "quantity": quantity}
            told.events.append(Done(number, dice.choice(["purchase", "view"]), end - back, values))
    behaviour.record(
        work,
        [
            EventIn(
                one.event,
                one.contact,
                one.at_ms,
                one.values["amount"],
                one.values["quantity"],
                {name: value for name, value in one.values.items() if name in kinds},
            )
            for one in told.events
        ],
        batch_key="all",
        zone=work.zone,
    )


def _send(work: Work, told: Population, some: Callable[[], set[int]]) -> None:
    """Launches, with sets that no real sender would keep so wildly."""
    names = ["accepted", "delivered", "failed", "held", "cancelled", "addressed", "assigned", "holdout"]
    for number, (name, days) in enumerate(SENT, 1):
        sets = {key: some() for key in (*names, "opened", "clicked")}
        account = told.account if number % 2 else told.account + 1
        moment = replace(work, now=NOW - timedelta(days=days))
        outcomes.register(moment, f"broadcast:{number}", name, account=account)
        told.sent.append(Sent(number, name, account, TODAY - timedelta(days=days), sets))
        for key, members in sets.items():
            work.bitmaps.add(f"broadcast:{number}:{key}", BitMap(members), why="test")
