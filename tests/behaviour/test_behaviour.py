"""Recording, derived state, questions, imports."""

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast import behaviour, contacts, files
from tagcast.behaviour import EventIn, packed
from tagcast.contacts import Identity, PersonIn
from tagcast.files import Row
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

ZONE = "Asia/Shanghai"
EPOCH = date(1970, 1, 1)


def ms(text: str) -> int:
    return clock.to_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)))


def people(work: Work, count: int) -> None:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, count + 1)])


@pytest.fixture
def ready(work: Work) -> Work:
    people(work, 5)
    behaviour.declare_event(work, "purchase", "measure sales", ["sku"])
    return work


def rows(found: behaviour.Aggregates) -> dict[int, tuple[int, ...]]:
    columns = (found.first_day, found.last_day, found.count, found.days, found.sum, found.first_sum)
    return dict(zip(found.contact.tolist(), zip(*(column.tolist() for column in columns), strict=True), strict=True))


def expected(history: list[tuple[int, int, int]], zone: str) -> dict[int, tuple[int, ...]]:
    """The aggregates of (contact, at, amount) by plain counting."""
    by_contact: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, at, amount in history:
        moment = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
        by_contact[number][(moment.date() - EPOCH).days].append(amount)
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


class Undo(Exception):
    pass


event = st.tuples(
    st.sampled_from([1, 2, 3, 2047, 2048, 2049, 4100]),
    st.integers(1_698_000_000_000, 1_699_500_000_000),
    st.integers(-5000, 100_000),
)


@pytest.fixture
def crowded(runtime_sqlite: Runtime) -> Runtime:
    with runtime_sqlite.work(1, "t") as work:
        people(work, 4100)
        behaviour.declare_event(work, "purchase", "measure sales")
    return runtime_sqlite


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(event, min_size=1, max_size=12), max_size=6), zone=st.sampled_from([ZONE, "Europe/Paris"])
)
def test_what_is_derived_equals_a_count_of_all_events_in_any_order(
    crowded: Runtime, batches: list[list[tuple[int, int, int]]], zone: str
) -> None:
    history = [one for batch in batches for one in batch]
    with suppress(Undo), crowded.work(1, "t") as work:
        for index, batch in enumerate(batches):
            columns = packed.events(*(list(column) for column in zip(*batch, strict=True)))
            behaviour.record_packed(work, "purchase", columns, batch_key=str(index), zone=zone)
        derived = rows(behaviour.aggregates(work, "purchase"))
        sets = {key: work.bitmaps.read(key) for key in work.bitmaps.keys("event:")}
        assert derived == expected(history, zone)
        first = [members for key, members in sets.items() if key.count(":") == 3]
        assert sum(map(len, first)) == sum(days for _, _, _, days, _, _ in derived.values())
        assert behaviour.rebuild(work, "purchase", zone=zone) == len(history)
        assert rows(behaviour.aggregates(work, "purchase")) == derived
        assert {key: work.bitmaps.read(key) for key in work.bitmaps.keys("event:")} == sets
        cut = date(2023, 10, 28)
        early = [one for one in history if (expected([one], zone)[one[0]][0]) <= (cut - EPOCH).days]
        assert rows(behaviour.aggregates(work, "purchase", until=cut, zone=zone)) == expected(early, zone)
        raise Undo


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_local_days_agree_with_the_zone_database(zone: str) -> None:
    at = np.arange(1_679_000_000_000, 1_700_000_000_000, 2_700_123, dtype=np.int64)
    wanted = [
        (datetime.fromtimestamp(one / 1000, UTC).astimezone(ZoneInfo(zone)).date() - EPOCH).days for one in at.tolist()
    ]
    assert packed.local_days(at, zone).tolist() == wanted


def test_a_batch_counts_once(ready: Work) -> None:
    events = [
        EventIn("purchase", 1, ms("2026-03-01T23:59:59"), 1000, 2, {"sku": "x"}),
        EventIn("purchase", 1, ms("2026-03-02T00:00:00"), 500),
        EventIn("purchase", 2, ms("2026-03-02T12:00:00"), 700),
    ]
    assert behaviour.record(ready, events, batch_key="a", zone=ZONE) == 3
    assert behaviour.record(ready, events, batch_key="a", zone=ZONE) == 0
    day = (date(2026, 3, 1) - EPOCH).days
    assert rows(behaviour.aggregates(ready, "purchase")) == {
        1: (day, day + 1, 2, 2, 1500, 1000),
        2: (day + 1, day + 1, 1, 1, 700, 700),
    }
    assert behaviour.between(ready, "purchase", date(2026, 3, 1), date(2026, 3, 1)) == BitMap([1])
    assert behaviour.between(ready, "purchase", date(2026, 3, 2), date(2026, 3, 9)) == BitMap([1, 2])
    window = (date(2026, 3, 1), date(2026, 3, 2))
    assert behaviour.at_least(ready, "purchase", 2, window, zone=ZONE) == BitMap([1])
    assert behaviour.at_least(ready, "purchase", 2, (window[1], window[1]), zone=ZONE) == BitMap()
    assert behaviour.at_least(ready, "purchase", 1, window, zone=ZONE) == BitMap([1, 2])


def test_events_come_back_ordered_and_cut_by_time(ready: Work) -> None:
    late = [EventIn("purchase", 1, ms("2026-03-05T10:00:00"), 3), EventIn("purchase", 2, ms("2026-03-01T10:00:00"), 1)]
    behaviour.record(ready, late, batch_key="a", zone=ZONE)
    middle = [EventIn("purchase", 3, ms("2026-03-03T10:00:00"), 2, 4, {"sku": "y"})]
    behaviour.record(ready, middle, batch_key="b", zone=ZONE)
    found = behaviour.events_of(ready, "purchase")
    assert (found.contact.tolist(), found.amount.tolist(), found.quantity.tolist()) == ([2, 3, 1], [1, 2, 3], [1, 4, 1])
    cut = behaviour.events_of(ready, "purchase", ms("2026-03-03T10:00:00"), ms("2026-03-05T10:00:00"))
    assert (cut.contact.tolist(), cut.properties) == ([3], [{"sku": "y"}])


def test_a_recorded_batch_is_published_and_can_be_read(ready: Work) -> None:
    from tagcast.kit import events

    behaviour.record(ready, [EventIn("purchase", 4, ms("2026-03-05"), 3)], batch_key="a", zone=ZONE)
    (fact,) = events.open_batch(ready.connection, 10)
    assert fact.name == "behaviour.recorded"
    name, batch = behaviour.batch(ready, fact.payload["seq"])
    assert (name, batch.contact.tolist()) == ("purchase", [4])


def test_what_is_not_declared_or_known_is_refused(ready: Work) -> None:
    at = ms("2026-03-01")
    for event, code in [
        (EventIn("puchase", 1, at), "behaviour.no_event_type"),
        (EventIn("purchase", 9, at), "behaviour.unknown_contact"),
        (EventIn("purchase", 1, at, properties={"sko": "1"}), "behaviour.no_property"),
        (EventIn("purchase", 1, 5), "behaviour.bad_time"),
        (EventIn("purchase", 1, at, quantity=-1), "behaviour.bad_quantity"),
    ]:
        with pytest.raises((Invalid, NotFound)) as caught:
            behaviour.record(ready, [event], batch_key="a", zone=ZONE)
        assert caught.value.code == code
    with pytest.raises(Invalid, match="no purpose"):
        behaviour.declare_event(ready, "view", "")
    assert len(behaviour.events_of(ready, "purchase")) == 0


def test_a_forgotten_contact_leaves_no_events(ready: Work) -> None:
    both = [EventIn("purchase", n, ms("2026-03-01") + n, n * 100, 1, {"sku": str(n)}) for n in (1, 2, 1)]
    behaviour.record(ready, both, batch_key="a", zone=ZONE)
    assert behaviour.forget(ready, 1) == 2
    assert behaviour.events_of(ready, "purchase").contact.tolist() == [2]
    assert behaviour.events_of(ready, "purchase").properties == [{"sku": "2"}]
    assert list(rows(behaviour.aggregates(ready, "purchase"))) == [2]
    assert behaviour.between(ready, "purchase", date(2026, 3, 1), date(2026, 3, 1)) == BitMap([2])


MAPPING = {"会员号": "contact:customer_id", "日期": "at", "金额": "amount", "件数": "quantity", "货号": "property:sku"}


def test_event_files_come_in_once_with_refusals(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(
        "会员号,日期,金额,件数,货号\n"
        "P1,20260301,12.5,2,x\nP2,2026-03-02T08:00:00+08:00,¥3,,\nP9,20260301,1,1,\nP1,soon,1,1,\n"
        "P1,20260301,1.234,1,\nP1,20260301,1,x,\nP1,2026-02-28,7,1,\n"
    )
    with runtime.work(1, "t") as work:
        people(work, 2)
        behaviour.declare_event(work, "purchase", "measure sales", ["sku"])
    rehearsed = behaviour.import_events(runtime, 1, path, "purchase", MAPPING, dry_run=True)
    result = behaviour.import_events(runtime, 1, path, "purchase", MAPPING)
    again = behaviour.import_events(runtime, 1, path, "purchase", MAPPING)
    assert (
        (result.rows, result.made, result.refused) == (rehearsed.rows, rehearsed.made, rehearsed.refused) == (7, 3, 4)
    )
    assert [(problem.line, problem.code) for problem in result.problems] == [
        (4, "behaviour.nobody"),
        (5, "behaviour.bad_time"),
        (6, "behaviour.bad_amount"),
        (7, "behaviour.bad_quantity"),
    ]
    assert again.already
    assert result.refused_file is not None
    refused = [row.values["会员号"] for row, _ in files.open_table(result.refused_file).rows() if isinstance(row, Row)]
    assert refused == ["P9", "P1", "P1", "P1"]
    with runtime.read(1, "t") as work:
        found = behaviour.events_of(work, "purchase")
        assert (found.contact.tolist(), found.amount.tolist()) == ([1, 1, 2], [700, 1250, 300])
        assert found.properties == [{}, {"sku": "x"}, {}]
        first = (date(2026, 2, 28) - EPOCH).days
        assert rows(behaviour.aggregates(work, "purchase"))[1] == (first, first + 1, 2, 2, 1950, 700)
    for mapping, code in [
        ({"会员号": "contact:customer_id"}, "behaviour.no_contact_column"),
        ({"会员号": "contact:customer_id", "日期": "at", "货号": "property:sko"}, "behaviour.no_property"),
        ({"会员号": "contact:customer_id", "日期": "when"}, "contacts.unknown_target"),
    ]:
        with pytest.raises(Invalid) as caught:
            behaviour.import_events(runtime, 1, path, "purchase", mapping)
        assert caught.value.code == code


def test_days_of_a_window_are_counted_with_both_ends(ready: Work) -> None:
    start = date(2026, 3, 1)
    events = [EventIn("purchase", 1 + n % 5, ms(f"{start + timedelta(days=n)}T00:00:00")) for n in range(10)]
    behaviour.record(ready, events, batch_key="a", zone=ZONE)
    assert behaviour.between(ready, "purchase", start, start + timedelta(days=3)) == BitMap([1, 2, 3, 4])
    assert behaviour.between(ready, "purchase", start, start - timedelta(days=1)) == BitMap()
