"""What a running rule stands on is declared anew, defined anew, erased and imported again; days of 23 and 25 hours."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from pyroaring import BitMap

from tagcast import audiences, behaviour, contacts, features, tag_rules, tags
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.uow import Runtime, Work
from tests.tag_rules.keeping import eager, held, rule, settle
from tests.tags.people import crowd, people

NEW_YORK = ZoneInfo("America/New_York")
WINDOWS = {
    "today": 'did("view", last 1 days)',
    "two": 'did("view", times >= 2, last 2 days)',
    "days": 'did("view", days >= 2, last 3 days)',
    "past": 'did("view", 1 to 2 days ago)',
    "sum": 'did("view", sum(amount) >= 3.00, last 2 days)',
    "none": 'not did("view", last 2 days)',
    "absent": 'did("view", last 3 days) then not did("buy") within 24 hours',
}


def test_an_attribute_declared_anew_under_a_running_rule(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 6)
        contacts.declare_attribute(work, "region", "choice", purpose="test")
        contacts.set_values(work, "region", {1: "x", 2: "y", 3: "x"}, why="test")
        made = rule(work, "t", 'region = "x"')
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "t") == {1, 3}
        contacts.declare_attribute(work, "region", "choice", purpose="another", label_en="Place")
        contacts.set_values(work, "region", {4: "x"}, why="test")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "t") == {1, 3, 4}
        contacts.forget_attribute(work, "region")
        contacts.declare_attribute(work, "region", "choice", purpose="test")
        contacts.set_values(work, "region", {5: "x"}, why="test")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "t") == {5}
        contacts.forget_attribute(work, "region")
        contacts.declare_attribute(work, "region", "number", purpose="test")
        contacts.set_values(work, "region", {6: 7}, why="test")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        # It says what no number can be, so it stops; what it gave is not touched any more.
        stopped = tag_rules.get(work, made.id)
        assert stopped.state == "stopped"
        assert stopped.problem is not None
        tag_rules.edit(work, made.id, expression=audiences.parse("region >= 7"))
        tag_rules.activate(work, made.id)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "t") == {6}


def test_a_feature_defined_anew_under_a_running_rule(runtime: Runtime) -> None:
    with time_machine.travel(datetime(2026, 3, 10, 3, tzinfo=UTC), tick=False) as clock:
        turning = eager()
        with runtime.work(1, "test") as work:
            crowd(work, 4)
            behaviour.declare_event(work, "buy", "test", [])
            for number, ago in ((1, 1), (2, 5), (3, 9)):
                told = behaviour.EventIn("buy", number, work.now_ms - ago * 86_400_000, 500)
                behaviour.record(work, [told], batch_key=str(number), zone=work.zone)
            features.define(work, features.parse("spend", {"measure": "sum", "events": ["buy"]}))
            features.compute(work, "spend")
            rule(work, "t", "spend >= 5")
            rule(work, "u", "spend unknown")
        settle(turning, runtime)
        with runtime.work(1, "test") as work:
            assert held(work, "t") == {1, 2, 3}
            features.define(work, features.parse("spend", {"measure": "sum", "events": ["buy"], "window_days": 6}))
        settle(turning, runtime)
        _as_meant(runtime, "t", "u")
        with runtime.work(1, "test") as work:
            features.compute(work, "spend")
        settle(turning, runtime)
        _as_meant(runtime, "t", "u")
        with runtime.read(1, "test") as work:
            assert held(work, "t") == {1, 2}
        clock.shift(timedelta(days=3))
        with runtime.work(1, "test") as work:
            features.compute(work, "spend")
        settle(turning, runtime)
        _as_meant(runtime, "t", "u")
        with runtime.read(1, "test") as work:
            assert held(work, "t") == {1}


def _as_meant(runtime: Runtime, *paths: str) -> None:
    with runtime.read(1, "test") as work:
        for path in paths:
            found = tag_rules.of_tag(work, tags.find(work, path).id)
            assert found is not None
            assert found.problem is None
            assert held(work, path) == set(audiences.members(work, found.definition.expression)), path


@pytest.mark.parametrize("mode", ["mirror", "grow"])
def test_who_was_erased_and_comes_again_is_somebody_new_to_a_rule(runtime: Runtime, mode: str) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        people(work, 3)
        contacts.declare_attribute(work, "region", "choice", purpose="test")
        behaviour.declare_event(work, "buy", "test", [])
        contacts.set_values(work, "region", {1: "x", 2: "x"}, why="test")
        _buys(work, 2, "first")
        rule(work, "t", 'region = "x"', mode=mode)
        rule(work, "s", 'did("buy", sum(amount) >= 1.00, last 9 days)', mode=mode)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert (held(work, "t"), held(work, "s")) == ({1, 2}, {2})
        contacts.erase(work, 2)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert (held(work, "t"), held(work, "s")) == ({1}, set())
        (again,) = contacts.ensure(work, [PersonIn({Identity("customer_id"): "c2"})])
        assert again != 2
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert (held(work, "t"), held(work, "s")) == ({1}, set())
        contacts.set_values(work, "region", {again: "x"}, why="test")
        _buys(work, again, "second")
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert (held(work, "t"), held(work, "s")) == ({1, again}, {again})


def _buys(work: Work, number: int, key: str) -> None:
    behaviour.record(work, [behaviour.EventIn("buy", number, work.now_ms, 100)], batch_key=key, zone=work.zone)


@dataclass(frozen=True)
class Told:
    """An event of the naive model."""

    who: int
    name: str
    at_ms: int
    amount: int

    @property
    def day(self) -> date:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC).astimezone(NEW_YORK).date()


@pytest.mark.parametrize("start", [datetime(2026, 3, 6, 20, tzinfo=UTC), datetime(2026, 10, 30, 20, tzinfo=UTC)])
def test_windows_over_days_of_23_and_25_hours(runtime: Runtime, start: datetime) -> None:
    """New York's clocks: an hour less on 8 March 2026, one more on 1 November; everything around local midnights."""
    runtime.settings = runtime.settings.model_copy(update={"zone": "America/New_York"})
    dice, told = random.Random(start.month), list[Told]()
    with time_machine.travel(start, tick=False) as clock:
        turning = eager()
        with runtime.work(1, "test") as work:
            crowd(work, 12)
            for name in ("view", "buy"):
                behaviour.declare_event(work, name, "test", [])
            for path, text in WINDOWS.items():
                rule(work, path, text)
        for step in range(26):
            clock.shift(timedelta(minutes=dice.choice((50, 110, 300, 359))))
            with runtime.work(1, "test") as work:
                assert work.zone == "America/New_York"
                late = [dice.choice((0, 3_600_000, 5_400_000, 90_000_000)) for _ in range(3)]
                made = [
                    Told(
                        dice.randrange(1, 13), dice.choice(("view", "view", "buy")), work.now_ms - ago, 100 + 50 * step
                    )
                    for ago in late
                ]
                told += made
                some = [behaviour.EventIn(one.name, one.who, one.at_ms, one.amount) for one in made]
                behaviour.record(work, some, batch_key=str(step), zone=work.zone)
            settle(turning, runtime)
            with runtime.read(1, "test") as work:
                for path, wanted in _meant(told, work.now_ms).items():
                    assert held(work, path) == wanted, (path, work.now, step)
        assert {one.day for one in told} >= {start.date() + timedelta(days=n) for n in range(1, 4)}


def _meant(told: list[Told], now_ms: int) -> dict[str, set[int]]:
    """Who each rule is about, by looking at every event."""
    today = Told(0, "", now_ms, 0).day
    views = [one for one in told if one.name == "view"]

    def within(first: int, last: int = 0) -> list[Told]:
        return [one for one in views if today - timedelta(first) <= one.day <= today - timedelta(last)]

    amounts: Counter[int] = Counter()
    for one in within(1):
        amounts[one.who] += one.amount
    different = {(one.who, one.day) for one in within(2)}
    span = 24 * 3_600_000
    bought = [one for one in told if one.name == "buy"]
    return {
        "today": {one.who for one in within(0)},
        "two": {who for who, times in Counter(one.who for one in within(1)).items() if times >= 2},
        "days": {who for who, days in Counter(who for who, _ in different).items() if days >= 2},
        "past": {one.who for one in within(2, 1)},
        "sum": {who for who, amount in amounts.items() if amount >= 300},
        "none": set(BitMap(range(1, 13))) - {one.who for one in within(1)},
        "absent": {
            one.who for one in within(2)
            if one.at_ms + span < now_ms
            and not any(two.who == one.who and one.at_ms < two.at_ms <= one.at_ms + span for two in bought)
        },
    }  # fmt: skip
