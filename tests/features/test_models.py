"""RFM models of every method, moves between classes, layers, families, and what a worker does by itself."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.story import PEOPLE, TODAY, Event, people, record
from tests.features.test_measures import EVENTS, forgotten

from tagcast import audiences, behaviour, chores, contacts, features
from tagcast.features import MOVE_CLASSES, parse
from tagcast.kit import holding, leases
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

CLASSES = features.CLASSES


def scores_by_hand(values: dict[int, Any], parts: int) -> dict[int, int]:
    """Equal parts, ties to the lower number; the first parts hold one more."""
    order = sorted(values, key=lambda who: (values[who], who))
    size, more = divmod(len(order), parts)
    sizes = [size + (part < more) for part in range(parts)]
    found: dict[int, int] = {}
    for part, count in enumerate(sizes, 1):
        for who in order[len(found) : len(found) + count]:
            found[who] = part
    return found


def rfm_by_hand(model: features.Definition, events: list[Event], as_of: date) -> dict[int, tuple[Any, ...]]:
    """Contact → (days since, frequency, cents, r, f, m, class)."""
    past = [event for event in events if event.day <= as_of]
    seen = [event for event in past if event.type in model.inputs]
    first = as_of - timedelta(days=(model.window_days or 10_000) - 1)
    counted = [event for event in past if event.type in model.events and event.day >= first]
    last = {who: max(e.day for e in seen if e.contact == who) for who in sorted({e.contact for e in seen})}

    def weigh(event: Event) -> float:
        return 1.0 if model.half_life_days is None else 0.5 ** ((as_of - event.day).days / model.half_life_days)

    often = {who: round(sum(weigh(e) for e in counted if e.contact == who) * 10**model.scale) for who in last}
    money = {who: round(sum(weigh(e) * e.cents for e in counted if e.contact == who)) for who in last}
    if model.thresholds is None:
        r, f, m = (scores_by_hand(some, model.parts) for some in (last, often, money))
    else:
        some = model.thresholds
        r = {who: 1 + sum((as_of - last[who]).days <= border for border in some.recency) for who in last}
        f = {who: 1 + sum(often[who] >= border for border in some.frequency) for who in last}
        m = {who: 1 + sum(money[who] >= border * 100 for border in some.monetary) for who in last}
    found = {}
    for who, day in last.items():
        high = tuple(one[who] > sum(one.values()) / len(one) for one in (r, f, m))
        found[who] = ((as_of - day).days, often[who], money[who], r[who], f[who], m[who], CLASSES[high])
    return found


def held(work: Work, model: features.Definition) -> dict[int, tuple[Any, ...]]:
    fields = ("recency", "frequency", "monetary", "r", "f", "m", "class")
    found = [features.values_of(work, f"{model.name}.{field}", range(1, PEOPLE + 1)) for field in fields]
    scale = 10**model.scale
    return {
        who: (found[0][who], round(found[1][who] * scale), round(found[2][who] * 100), *(one[who] for one in found[3:]))
        for who in sorted(found[0])
    }


MODELS: dict[str, dict[str, Any]] = {
    "quintiles": {},
    "online": {"recency_events": ["view"], "parts": 4},
    "window": {"window_days": 14, "parts": 3},
    "both": {"events": ["purchase", "view"]},
    "decay": {"method": "decay", "half_life_days": 10},
    "thresholds": {
        "method": "thresholds", "parts": 3,
        "thresholds": {"recency": [20, 5], "frequency": [1, 2], "monetary": [1, 20.5]},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(EVENTS, st.integers(0, 12)), min_size=1, max_size=3))
def test_each_method_as_by_hand(kind: str, runtime_sqlite: Runtime, steps: list[tuple[list[Event], int]]) -> None:
    data = {"kind": "rfm", "events": ["purchase"]} | MODELS[kind]
    told: list[Event] = []
    day = TODAY - timedelta(days=20)
    days = []
    with forgotten(runtime_sqlite) as work:
        people(work)
        model = features.define(work, parse("mine", data))
        for index, (events, later) in enumerate(steps):
            record(work, events, str(index))
            told += events
            day += timedelta(days=later)
            days.append(day)
            features.compute(work, "mine", as_of=day)
            wanted = rfm_by_hand(model, told, day)
            assert held(work, model) == wanted
            shown = features.table(work, "mine")
            assert shown.contacts == len(wanted)
            assert +Counter(shown.classes) == Counter(row[6] for row in wanted.values())
            grid = Counter((row[3], row[4]) for row in wanted.values())
            assert shown.grid == [[grid[r, f] for f in range(1, model.parts + 1)] for r in range(1, model.parts + 1)]
        before, after = (rfm_by_hand(model, told, one) for one in (days[0], days[-1]))
        moves = features.migration(work, "mine", days[0], days[-1])
        for i, source in enumerate(MOVE_CLASSES):
            for j, target in enumerate(MOVE_CLASSES):
                if source == target == "":
                    continue
                members = [
                    who for who in range(1, PEOPLE + 1)
                    if (before[who][6] if who in before else "") == source
                    and (after[who][6] if who in after else "") == target
                ]  # fmt: skip
                assert moves.counts[i][j] == len(members)
                assert list(moves.members(source, target)) == members


def test_models_stand_side_by_side(work: Work) -> None:
    people(work)
    record(work, [Event(n, "purchase", n, 100 * n) for n in range(1, 9)] + [Event(9, "view", 1)])
    features.define(work, parse("rfm_online", {"kind": "rfm", "events": ["purchase"], "recency_events": ["view"]}))
    features.compute_rfm(work, as_of=TODAY)
    features.compute(work, "rfm_online", as_of=TODAY)
    assert features.table(work).contacts == 8
    assert features.table(work, "rfm_online").contacts == 9
    assert features.values_of(work, "rfm_online.frequency", [9]) == {9: 0}
    assert 9 not in features.values_of(work, "rfm.frequency", [9])
    features.define(work, parse("orders", {"events": ["purchase"]}))
    with pytest.raises(Invalid, match="orders"):
        features.table(work, "orders")
    with pytest.raises(Invalid, match="before"):
        features.migration(work, "rfm", TODAY, TODAY - timedelta(days=1))
    with pytest.raises(Invalid, match="重要"):
        features.migration(work, "rfm", TODAY, TODAY).members("重要", "")


def test_scores_move_only_where_they_differ(work: Work) -> None:
    people(work)
    record(work, [Event(n, "purchase", 20 + n, 100 * n) for n in range(1, 11)])
    features.compute(work, "rfm", as_of=TODAY)
    seq = work.bitmaps.history("feature:rfm.monetary#known")[0].seq
    run = features.compute(work, "rfm", as_of=TODAY + timedelta(days=3))
    assert (run.details["concerned"], run.details["changed"]) == (0, 0)
    assert features.values_of(work, "rfm.recency", [1]) == {1: 24}
    record(work, [Event(1, "purchase", 0, 5000)], "b")
    run = features.compute(work, "rfm", as_of=TODAY + timedelta(days=3))
    assert run.details["concerned"] == 1
    assert work.bitmaps.history("feature:rfm.monetary#known")[0].seq == seq
    assert features.values_of(work, "rfm.class", [1]) == {1: "重要价值"}


def test_layers_say_what_they_lack(work: Work) -> None:
    people(work, types=("purchase", "share"))
    found = {one.name: one for one in features.ready(work)}
    assert {one.layer for one in found.values()} == {"basic", "behaviour", "value", "social"}
    assert (found["orders"].possible, found["orders"].used) == (True, False)
    assert found["views_30d"].missing == ("view", "page_view")
    assert found["basic.age"].missing == ("birthday",)
    made = features.use(work, "value")
    assert {"orders", "order_average", "spend", "lifetime"} <= set(made)
    assert features.use(work, "value") == []
    assert features.names(work)["order_average"].label_zh == "客单价"
    assert features.names(work)["lifetime.alive"].scale == 1
    with pytest.raises(NotFound, match="wealth"):
        features.use(work, "wealth")


def test_families_tell_coverage_and_age(runtime: Runtime) -> None:
    then = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with runtime.work(1, "t", now=then) as work:
        people(work, 10, types=("view",))
        assert "region" in features.declare(work, "population")
        contacts.set_values(work, "region", {1: "华东", 2: "华东", 3: "华北", 4: "华北"}, why="import")
    with runtime.work(1, "t", now=then + timedelta(days=190)) as work:
        contacts.set_values(work, "region", {1: "华南", 2: "华东"}, why="import")
    with runtime.work(1, "t", now=then + timedelta(days=200)) as work:
        found = {one.name: one for one in features.families(work)}
        assert list(found) == ["population", "device", "behaviour", "social"]
        region = next(one for one in found["population"].members if one.name == "region")
        assert (region.there, region.contacts, region.coverage, region.median_days) == (True, 4, 0.4, 200.0)
        assert region.stale == 0.75
        assert found["population"].contacts == 4
        assert not any(one.there for one in found["device"].members)
        assert features.declare(work, "population") == ["basic.age"] or features.declare(work, "population") == []
        made = features.declare(work, "behaviour")
        assert {"source_channel", "views_30d"} <= set(made)
        with pytest.raises(NotFound, match="money"):
            features.declare(work, "money")


def claimed(runtime: Runtime) -> leases.Lease | None:
    return holding.claim(runtime, "me", [features.KIND])


def test_a_worker_computes_what_is_due(runtime: Runtime) -> None:
    """Once a day after local midnight; a failure is told and not tried again before the next day."""
    with runtime.work(1, "t") as work:
        people(work)
        now = work.now
        behaviour.record_packed(
            work, "purchase", behaviour.events([1, 2], [work.now_ms] * 2, [100, 200]), batch_key="a", zone=work.zone
        )
        features.define(work, parse("spend", {"measure": "sum", "events": ["purchase"]}))
        features.define(work, parse("worth", {"kind": "lifetime", "events": ["purchase"], "schedule": "weekly"}))
        assert features.due(work) == ["spend", "worth"]
    chores.start_features(runtime, 1)
    with runtime.read(1, "t") as work:
        assert features.due(work) == []
        assert {one.progress.state for one in features.states(work).values() if one.progress} == {"waiting"}
    while (lease := claimed(runtime)) is not None:
        asyncio.run(features.work_off(runtime, lease))
    with runtime.read(1, "t") as work:
        states = features.states(work)
        assert states["spend"].progress is not None
        assert (states["spend"].progress.state, states["spend"].contacts) == ("done", 2)
        assert states["worth"].progress is not None
        assert (states["worth"].progress.state, states["worth"].progress.problem) == (
            "failed", "features.too_little_data",
        )  # fmt: skip
        assert features.due(work) == []
    with runtime.read(1, "t", now=now + timedelta(days=1)) as work:
        assert features.due(work) == ["spend", "worth"]
    with runtime.work(1, "t") as work:
        features.define(work, parse("spend", {"measure": "sum", "events": ["purchase"], "window_days": 3}))
        assert features.due(work) == ["spend"]


def test_a_feature_deleted_while_it_waits_is_no_trouble(runtime: Runtime) -> None:
    with runtime.work(1, "t") as work:
        people(work)
        features.define(work, parse("spend", {"measure": "sum", "events": ["purchase"]}))
        features.ask_for(work, "spend")
        features.delete(work, "spend")
    lease = claimed(runtime)
    assert lease is not None
    asyncio.run(features.work_off(runtime, lease))
    assert claimed(runtime) is None


def test_days_since_are_ranked_cut_and_told_as_numbers(work: Work) -> None:
    """They are kept as days, the other way round."""
    people(work)
    record(work, [Event(n, "purchase", n, 100) for n in range(1, 11)])
    features.compute_rfm(work, as_of=TODAY)

    def members(text: str) -> list[int]:
        return list(audiences.members(work, audiences.parse(text)))

    assert members("rfm.recency top 20 %") == [9, 10]
    assert members("rfm.recency bottom 20 %") == [1, 2]
    assert members("rfm.recency >= 9") == [9, 10]
    found, values = features.numbers(work, "rfm.recency")
    assert values.tolist() == found.tolist() == list(range(1, 11))
