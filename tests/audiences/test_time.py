"""Segments over time: as they were, who came and left, sizes day by day, sets that are kept on a schedule."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd, people

from tagcast import audiences, behaviour, chores, contacts, tags
from tagcast.audiences import keeping, parse, past
from tagcast.kit import clock, holding
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 11, 1, 10, tzinfo=ZONE)
REGIONS = ("华东", "华南", "华北")
TEXTS = (
    "all",
    'tag("a")',
    'tag("a") and not tag("a/b", exactly)',
    'region = "华东" or spend >= 5',
    "region unknown and spend between 2 and 7",
    'segment("s") or not tag("c")',
    "spend top 30 %",
)


def naive(text: str, state: dict[str, dict[int, Any]], everyone: set[int]) -> set[int]:
    """The meaning of TEXTS by plain code."""
    held = {path: {n for n in everyone if state[path].get(n)} for path in ("a", "a/b", "c")}
    region, spend = state["region"], state["spend"]
    below = held["a"] | held["a/b"]
    ranking = sorted(sorted(spend), key=lambda n: spend[n], reverse=True)
    return {
        TEXTS[0]: set(everyone),
        TEXTS[1]: below,
        TEXTS[2]: below - held["a/b"],
        TEXTS[3]: {n for n in everyone if region.get(n) == "华东" or spend.get(n, 0) >= 5},
        TEXTS[4]: {n for n in everyone if n not in region and 2 <= spend.get(n, -1) <= 7},
        TEXTS[5]: {n for n in everyone if spend.get(n, 9) < 4 or n not in held["c"]},
        TEXTS[6]: set(ranking[: -(-len(ranking) * 3 // 10)]),
    }[text]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_past_is_what_it_was(runtime: Runtime, seed: int) -> None:
    dice = random.Random(seed)
    everyone: set[int] = set()
    state: dict[str, dict[int, Any]] = {name: {} for name in ("a", "a/b", "c", "region", "spend")}
    ids: dict[str, int] = {}
    told: list[tuple[datetime, dict[str, set[int]]]] = []
    for step in range(12):
        moment = START + timedelta(hours=7 * step)
        with runtime.work(1, f"p{step}", now=moment.astimezone(UTC)) as work:
            if step == 0:
                for path in ("a", "a/b", "c"):
                    ids[path] = tags.create(work, path).id
                contacts.declare_attribute(work, "region", "choice", purpose="test")
                contacts.declare_attribute(work, "spend", "number", purpose="test")
            if step % 4 == 0:
                everyone |= set(people(work, 8 + step))
            some = set(dice.sample(sorted(everyone), 5))
            path = dice.choice(["a", "a/b", "c"])
            if dice.random() < 0.6:
                tags.assign(work, ids[path], BitMap(some), why="t")
                state[path] |= dict.fromkeys(some, True)
            else:
                tags.remove(work, ids[path], BitMap(some), why="t")
                state[path] |= dict.fromkeys(some, False)
            regions = {n: dice.choice(REGIONS[: 1 + step % 3]) for n in dice.sample(sorted(everyone), 3)}
            # A value that nobody has later on.
            regions |= {1: "旧"} if step < 4 else {1: REGIONS[1]}
            spends = {n: dice.randrange(9) for n in dice.sample(sorted(everyone), 4)}
            contacts.set_values(work, "region", regions, why="t")
            contacts.set_values(work, "spend", spends, why="t")
            state["region"] |= regions
            state["spend"] |= spends
            if step == 0:
                audiences.create(work, "s", parse("spend < 4"))
        told.append((moment, {text: naive(text, state, everyone) for text in TEXTS}))
    with runtime.read(1, "test", now=(START + timedelta(days=9)).astimezone(UTC)) as work:
        for text in TEXTS:
            expression = parse(text)
            for moment, sets in told:
                assert set(audiences.past_members(work, expression, moment + timedelta(minutes=1))) == sets[text], text
            assert audiences.past_count(work, expression, START - timedelta(days=1)) == 0
            (before, first), (_, last) = dice.choice(told[:6]), told[-1]
            found = audiences.difference(work, expression, before)
            assert (set(found.came), set(found.left)) == (last[text] - first[text], first[text] - last[text])
            assert (found.before, found.after) == (len(first[text]), len(last[text]))
            for one in audiences.moved(work, expression, (before, None), list(found.came)[:3], came=True):
                # Nobody comes without a leaf that changed, but as a contact who was not there, or by others' ranks.
                assert one.leaves or first["all"].isdisjoint([one.number]) or "top" in text


def test_a_past_that_no_log_tells(work: Work) -> None:
    people(work, 2)
    behaviour.declare_event(work, "purchase", "test")
    work_before = work.now - timedelta(days=1)
    for text, code in (('did("purchase", sum(amount) >= 1.00)', "no_past"), ("all", "not_past")):
        moment = work_before if code == "no_past" else work.now + timedelta(seconds=1)
        with pytest.raises(Invalid) as caught:
            audiences.past_count(work, parse(text), moment)
        assert caught.value.code == f"audiences.{code}"
    with pytest.raises(Invalid):
        audiences.difference(work, parse("all"), work.now, work_before)
    with pytest.raises(TypeError):
        past.at(work, work_before).bitmaps.add("x", BitMap([1]), why="t")


def grow(runtime: Runtime) -> tuple[int, int]:
    """A tag that one more contact gets each day from 1 to 5 November; (tag, segment) of it."""
    with runtime.work(1, "test", now=START.astimezone(UTC)) as work:
        crowd(work, 9)
        tag = tags.create(work, "a").id
        segment = audiences.create(work, "s", parse('tag("a")')).id
    for day in range(5):
        with runtime.work(1, "test", now=(START + timedelta(days=day)).astimezone(UTC)) as work:
            tags.assign(work, tag, BitMap([day + 1]), why="t")
    return tag, segment


def test_sizes_are_recorded_each_local_day_and_told_again_for_the_past(runtime: Runtime) -> None:
    _, segment = grow(runtime)
    now = (START + timedelta(days=5)).astimezone(UTC)
    with runtime.read(1, "test", now=now) as work:
        bare = audiences.trend(work, segment)
        found = audiences.trend(work, segment, since=date(2026, 10, 31), rebuild=True)
    assert [(one.size, one.kept) for one in bare.sizes] == [(5, False)]
    # At the beginning of each day: the tag came at ten.
    assert [(one.day.day, one.size) for one in found.sizes] == [
        (31, 0), (1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (6, 5),
    ]  # fmt: skip
    assert (found.least, found.most, found.now) == (0, 5, 5)
    assert audiences.record_due(runtime, 1) == 1
    assert audiences.record_due(runtime, 1) == 0
    with runtime.work(1, "test") as work:
        assert not audiences.waiting(work)
        audiences.update(work, segment, parse("all"))
        audiences.record_size(work, segment)
        trend = audiences.trend(work, segment)
        assert [(one.version, one.size) for one in trend.sizes] == [(1, 5), (2, 9), (2, 9)]
        assert (trend.least, trend.most) == (9, 9)
        assert audiences.trend_csv(trend).splitlines()[0] == "at,day,version,size,kept"
        with pytest.raises(Refused):
            audiences.trend(work, segment, since=work.today - timedelta(days=500), rebuild=True)
        with pytest.raises(Invalid):
            audiences.trend(work, segment, since=work.today + timedelta(days=1))
        with pytest.raises(NotFound):
            audiences.trend(work, 10**6)


def test_a_segment_that_cannot_be_counted_leaves_a_gap_and_no_other_does(runtime: Runtime) -> None:
    tag, _ = grow(runtime)
    with runtime.work(1, "test") as work:
        audiences.create(work, "t", parse("all"))
        tags.archive(work, tag)
    assert audiences.record_due(runtime, 1) == 1


def test_a_scheduled_segment_is_what_it_was_at_its_round(runtime: Runtime) -> None:
    tag, segment = grow(runtime)

    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 10, hour, minute, tzinfo=ZONE).astimezone(UTC)

    with runtime.work(1, "test", now=at(9)) as work:
        kept = audiences.keep(work, segment, "scheduled", every_hours=6)
        assert (kept.refresh, kept.every_hours, kept.fresh_at) == ("scheduled", 6, clock.to_ms(at(9)))
        assert audiences.keep(work, segment, "scheduled", every_hours=6) == kept
        audiences.create(work, "over", parse('segment("s") or nobody'))
    with runtime.work(1, "test", now=at(11, 59)) as work:
        tags.assign(work, tag, BitMap([8]), why="t")
        counts = [audiences.count(work, parse(text)) for text in ('tag("a")', 'segment("s")', 'segment("over")')]
        assert counts == [6, 5, 5]
        found = audiences.explain(work, parse('segment("s")'), 8)
        assert (found.holds, found.facts[0].code, found.parts[0].holds, found.parts[0].matters) == (
            False, "kept", True, False,
        )  # fmt: skip
        # Of its past the log tells what the expression was worth.
        assert audiences.past_count(work, parse('segment("s")'), at(10)) == 5
    assert not due(runtime, at(11, 59))
    assert due(runtime, at(12))
    with runtime.work(1, "test", now=at(12)) as work:
        audiences.renew(work, segment)
        assert audiences.count(work, parse('segment("over")')) == 6
    assert not due(runtime, at(17, 59))
    with runtime.work(1, "test", now=at(12, 1)) as work:
        # Another meaning is worked out at once.
        audiences.update(work, segment, parse("all"))
        assert audiences.count(work, parse('segment("s")')) == 9
        asked = audiences.keep(work, segment, "asked")
        assert (asked.fresh_at, work.bitmaps.count(asked.key)) == (None, 0)
        for refresh, hours in (("scheduled", 0), ("scheduled", 5), ("asked", 6), ("live", 1)):
            with pytest.raises(Invalid):
                audiences.keep(work, segment, refresh, every_hours=hours)  # type: ignore[arg-type]  # no such pair
        with pytest.raises(Conflict):
            audiences.renew(work, segment)


def due(runtime: Runtime, now: datetime) -> bool:
    with runtime.read(1, "test", now=now) as work:
        return bool(keeping.due(work))


def test_the_worker_follows_what_is_due(runtime: Runtime) -> None:
    tag, segment = grow(runtime)
    with runtime.work(1, "test", now=(START + timedelta(days=6)).astimezone(UTC)) as work:
        audiences.keep(work, segment, "scheduled", every_hours=24)
        broken = audiences.create(work, "t", parse('tag("a") and nobody'))
        audiences.keep(work, broken.id, "scheduled", every_hours=1)
        tags.assign(work, tag, BitMap([9]), why="t")
    chores.start_segments(runtime, 1)
    lease = holding.claim(runtime, "worker", [audiences.KIND])
    assert lease is not None
    asyncio.run(audiences.work_off(runtime, lease))
    with runtime.read(1, "test") as work:
        assert list(work.bitmaps.read(f"segment:{segment}")) == [1, 2, 3, 4, 5, 9]
        assert [one.size for one in audiences.trend(work, segment).sizes] == [6, 6]
        assert not audiences.waiting(work)
    chores.start_segments(runtime, 1)
    assert holding.claim(runtime, "worker", [audiences.KIND]) is None
    with runtime.work(1, "test", now=datetime.now(UTC) - timedelta(days=2)) as work:
        audiences.renew(work, broken.id)
        tags.archive(work, tag)
    failed = audiences.renew_due(runtime, 1)
    assert {name: error.code for name, error in failed.items()} == {"t": "audiences.archived_tag"}
