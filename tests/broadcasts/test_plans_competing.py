"""Who gets the last slot of a person: priority, then value, then age; what is coming, and who is out of quota by it."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pyroaring import BitMap

from tagcast import broadcasts, compliance, tags
from tagcast.broadcasts import drafting, store
from tagcast.broadcasts.planning import competing
from tagcast.broadcasts.priority import Rank
from tagcast.broadcasts.rules import State
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.conftest import Make
from tests.broadcasts.planned import TEXT, account, draft, opened, people, schedule

NOON = datetime(2026, 11, 10, 4, tzinfo=UTC)


def tagged(work: Work, name: str, members: list[int]) -> str:
    """An audience of just these."""
    work.bitmaps.add(f"tag:{tags.ensure(work, name).id}", BitMap(members), why="test")
    return f'tag("{name}")'


def test_the_higher_takes_the_last_slot_and_why_names_it(runtime: Runtime) -> None:
    with runtime.work(1, "test", now=NOON) as work:
        at = account(work)
        who = people(work, at, 100)
        # The profile allows 4 a month: 40 have one slot left, the others two or more.
        for number in range(3):
            compliance.record_sent(work, at, f"b{number}", BitMap(who[:40]), NOON)
        vip = tagged(work, "vip", who[20:60])
        high = draft(work, at, name="高", audience=vip, settings={"priority": {"level": 80}})
        same = draft(work, at, name="同", settings={"priority": {"level": 50}})
        low = draft(work, at, name="低", settings={"priority": {"level": 10}})
        assert "yields" not in opened(work, low)
        schedule(work, high, NOON + timedelta(days=3))
        plan = broadcasts.plan(work, same)
        assert opened(work, same)["yields"] == set(who[20:40])
        assert "yields" in plan.warnings
        word, zh, en = broadcasts.why(work, same, who[25])
        assert (word, zh) == ("yields", f"让给优先级更高的群发：高 ({high})")
        assert en == f"Yields to a broadcast of higher priority: 高 ({high})"
        # A month later there are slots again.
        schedule(work, low, NOON + timedelta(days=30))
        assert opened(work, low)["yields"] == set()
        # The higher one does not yield to the lower.
        higher = draft(work, at, name="更高", audience=vip, settings={"priority": {"level": 81}})
        broadcasts.plan(work, higher, NOON + timedelta(days=4))
        assert "yields" not in opened(work, higher)


def test_what_is_sent_first_leaves_the_slot_to_what_is_higher(runtime: Runtime) -> None:
    with runtime.work(1, "test", now=NOON) as work:
        at = account(work)
        who = people(work, at, 10)
        compliance.set_cap(work, f"account:{at}", "month", 1)
        high = draft(work, at, audience=tagged(work, "vip", who[:4]), settings={"priority": {"value": 2}})
        low = draft(work, at, settings={"priority": {"value": 1}})
        schedule(work, high, NOON + timedelta(days=1))
        broadcasts.send(work, broadcasts.plan(work, low).hash)
        sent = work.bitmaps.read(f"broadcast:{low}:assigned")
        assert set(sent) == set(who[4:])
    with runtime.work(1, "test", now=NOON + timedelta(days=1)) as work:
        claim = work.bitmaps.read(f"broadcast:{high}:plan:assigned")
        assert set(claim) == set(who[:4])
        assert not compliance.over_caps(work, at, work.now, within=claim)


def test_the_last_send_of_an_account_goes_to_the_higher(runtime: Runtime) -> None:
    with runtime.work(1, "test", now=NOON) as work:
        at = account(work, "official", profile="article")
        who = people(work, at, 10)
        high = draft(work, at, name="高", audience=tagged(work, "vip", who[:2]), settings={"priority": {"level": 60}})
        low, other_day = draft(work, at), draft(work, at)
        schedule(work, high, NOON + timedelta(hours=2))
        broadcasts.plan(work, low)
        assert opened(work, low)["yields"] == set(who)
        assert broadcasts.why(work, low, who[7])[1].endswith(f"：高 ({high})")
        broadcasts.plan(work, other_day, NOON + timedelta(days=1))
        assert opened(work, other_day)["yields"] == set()


@pytest.mark.parametrize("value", [5, {"level": 101}, {"level": -1}, {"level": True}, {"value": "x"}, {"lvl": 1}])
def test_a_priority_that_cannot_be_is_refused(work: Work, value: Any) -> None:
    at = account(work)
    with pytest.raises(Invalid) as refused:
        draft(work, at, settings={"priority": value})
    assert refused.value.code == "broadcasts.bad_priority"


class _Back(Exception):
    """Nothing of the example is kept."""


CLAIM = some.tuples(
    some.integers(0, 2),  # level
    some.integers(0, 1),  # value
    some.integers(0, 40),  # days from now: this month or the next
    some.frozensets(some.integers(0, 5)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(CLAIM, max_size=6), some.lists(some.frozensets(some.integers(0, 5)), max_size=3), some.integers(1, 3))
def test_claims_are_settled_as_one_would_by_hand(
    runtime_sqlite: Runtime, given_: list[tuple[int, int, int, frozenset[int]]], sent: list[frozenset[int]], cap: int
) -> None:
    """By rank, each person by himself: a slot if one is left in the calendar month of that moment."""

    def example() -> None:
        with runtime_sqlite.work(1, "test", now=NOON) as work:
            at = account(work)
            who = people(work, at, 6)
            compliance.set_cap(work, f"account:{at}", "month", cap)
            taken = Counter[tuple[int, int]]()
            for number, members in enumerate(sent):
                compliance.record_sent(work, at, f"b{number}", BitMap([who[one] for one in members]), NOON)
                taken.update((NOON.month, one) for one in members)
            claims = [
                competing.Claimant(
                    number, str(number), at, NOON + timedelta(days=days), Rank(-level, -float(value), NOON, number),
                    BitMap([who[one] for one in members]),
                )
                for number, (level, value, days, members) in enumerate(given_)
            ]  # fmt: skip
            ranked = sorted(claims, key=lambda one: one.rank)
            found = competing.settled(work, ranked)
            assert len(found) == len(ranked)
            for claimant, claim in zip(ranked, found, strict=True):
                month = claimant.at.month
                got = {number for number in claimant.members if taken[month, who.index(number)] < cap}
                assert set(claim.members) == got
                taken.update((month, who.index(number)) for number in got)
            raise _Back

    with pytest.raises(_Back):
        example()


def test_what_is_coming_by_day_and_who_is_out_of_quota_then(runtime: Runtime) -> None:
    with runtime.work(1, "test", now=NOON) as work:
        at = account(work)
        who = people(work, at, 100)
        for number in range(3):
            compliance.record_sent(work, at, f"b{number}", BitMap(who[:30]), NOON)
        compliance.record_sent(work, at, "b3", BitMap(who[:10]), NOON)
        vip = tagged(work, "vip", who[:50])
        first = draft(work, at, name="周五", audience=vip)
        second = draft(work, at, name="周日")
        schedule(work, second, NOON + timedelta(days=5))
        schedule(work, first, NOON + timedelta(days=3))
        coming = broadcasts.calendar(work, 31)
        assert [(one.name, one.day.day, one.account, one.size) for one in coming] == [
            ("周五", 13, at, 40), ("周日", 15, at, 90),
        ]  # fmt: skip
        assert broadcasts.calendar(work, 4) == coming[:1]
        friday, sunday = broadcasts.forecast(work, 31)
        # 20 had one slot left, and the older broadcast of the same rank comes first for them.
        assert (friday.messages, friday.people, friday.out, friday.new) == (40, 100, 30, 20)
        assert friday.left == [30, 0, 0, 70]
        assert (sunday.messages, sunday.out, sunday.new, sunday.left) == (70, 30, 20, [30, 0, 20, 50])
        assert set(broadcasts.out_of_quota(work, at, friday.day, 31)) == set(who[:30])
        quota = broadcasts.quota(work, at)
        assert quota.left == [10, 20, 0, 70]
        assert set(broadcasts.with_left(work, at, 1)) == set(who[10:30])
        assert [(use.period, use.limit, use.scope) for use in quota.uses][-1] == ("month", 4, "person")


def test_a_series_claims_each_of_its_moments_but_not_from_its_own_copies(runtime: Runtime) -> None:
    weekly = {"rule": {"every": "week", "on": ["thu"], "time": "12:00"}}
    with runtime.work(1, "test", now=NOON) as work:
        at = account(work)
        who = people(work, at, 10)
        compliance.set_cap(work, f"account:{at}", "week", 1)
        series = draft(work, at, name="周四", settings={"schedule": weekly, "priority": {"level": 60}})
        broadcasts.schedule(work, broadcasts.plan(work, series).hash)
        assert [one.day.day for one in broadcasts.calendar(work, 25)] == [12, 19, 26, 3]
        assert [(one.messages, one.out) for one in broadcasts.forecast(work, 25)] == [(10, 10)] * 4
        other = draft(work, at)
        broadcasts.plan(work, other, NOON + timedelta(days=8))
        assert opened(work, other)["yields"] == set(who)
        assert broadcasts.why(work, other, who[0])[1].endswith(f"：周四 ({series})")
        # A copy for the first moment, as the series makes it when the moment comes.
        parent = broadcasts.get(work, series)
        section = {"of": series, "no": 1, "due": 0}
        settings_ = {name: value for name, value in parent.settings.items() if name != "schedule"}
        values = drafting.values_of(parent) | {"settings": {**settings_, "series": section}, "name": "周四 1"}
        copy = store.insert(work, **values)
        broadcasts.plan(work, copy)
        assert "yields" not in opened(work, copy)
        assert opened(work, copy)["assigned"] == set(who)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_who_yields_hears_from_the_higher_broadcast_alone(database: str, make: Make) -> None:
    """Really sent: the lower one first; nobody hears twice, and those of the higher one hear from it."""
    world = make("list", database=database)
    kind, at = "service", world.accounts["service"]
    vip, _ = world.split(kind, len(world.set(f"following:{at}")) // 2)[:2]
    with world.runtime.work(1, "author") as work:
        compliance.set_cap(work, f"account:{at}", "month", 1)
        broadcasts.set_approval(work, {"above": 1})
        high = draft(work, at, name="高", audience=vip, content=TEXT, settings={"priority": {"level": 90}})
        schedule(work, high, work.now + timedelta(minutes=1))
        low = draft(work, at, content={"kind": "text", "text": "普通"})
    for number in (low, high):
        with world.runtime.work(1, "author") as work:
            if number == high:
                store.move(work, high, [State.SCHEDULED], State.DRAFT, due_at=None)
            plan = broadcasts.plan(work, number).hash
        with world.runtime.work(1, "second") as work:
            broadcasts.decide(work, plan, approved=True)
        with world.runtime.work(1, "author") as work:
            broadcasts.send(work, plan)
        world.work_until(number)
    heard = [world.assigned(number) for number in (low, high)]
    assert heard[0].isdisjoint(heard[1])
    assert heard[1] == world.set(f"broadcast:{high}:accepted") | world.set(f"broadcast:{high}:delivered")
    assert set(world.outcomes(kind)) == set(world.ids(kind, heard[0] | heard[1]).values())
    assert len(heard[0] | heard[1]) == len(world.set(f"following:{at}"))
