"""A random small population, in the database and as plain Python values, and the meaning of expressions there."""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
from pyroaring import BitMap
from tests.tags.people import account, people

from tagcast import audiences, contacts, tags
from tagcast.audiences import All, And, Expression, FieldLeaf, Nobody, Not, Or, SegmentLeaf, TagLeaf
from tagcast.bitmaps import sliced
from tagcast.kit.uow import Work

PATHS = ("会员", "会员/金卡", "会员/金卡/一星", "会员/银卡", "新客")
REGIONS = ("华东", "华南", "华北")
START = date(2026, 1, 1)


@dataclass
class Population:
    """What is true, as plain values. `tags` by (account, path); `fields` by name and contact."""

    everyone: set[int]
    account: int
    tags: dict[tuple[int | None, str], set[int]] = field(default_factory=dict)
    fields: dict[str, dict[int, Any]] = field(default_factory=dict)
    segments: dict[str, Expression] = field(default_factory=dict)

    def meaning(self, expression: Expression) -> set[int]:
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

    def _field(self, values: dict[int, Any], op: str, wanted: Any) -> set[int]:
        if op == "unknown":
            return self.everyone - values.keys()
        holds = {
            "known": lambda value: True,
            "is": lambda value: value == wanted,
            "is_not": lambda value: value != wanted,
            "in": lambda value: value in wanted,
            "<": lambda value: value < wanted,
            "<=": lambda value: value <= wanted,
            ">": lambda value: value > wanted,
            ">=": lambda value: value >= wanted,
            "between": lambda value: min(wanted) <= value <= max(wanted),
        }[op]
        return {number for number, value in values.items() if holds(value)}


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
    for name, kind in (("region", "choice"), ("spend", "number"), ("vip", "flag"), ("birthday", "date")):
        contacts.declare_attribute(work, name, kind, purpose="test")  # type: ignore[arg-type]  # kinds of this table
        contacts.set_values(work, name, told.fields[name], why="test")
    scores = told.fields["rfm.m"]
    numbers, values = np.array(list(scores), dtype=np.uint32), np.array(list(scores.values()), dtype=np.int64)
    sliced.set_values(work.bitmaps, "feature:rfm.m", numbers, values, why="test")
    for name, text in (
        ("活跃", 'tag("会员") and spend >= 3'),
        ("沉睡", 'not segment("活跃") or vip = true'),
    ):
        told.segments[name] = audiences.parse(text)
        audiences.create(work, name, told.segments[name])
    return told
