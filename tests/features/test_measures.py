"""Features against lists of events, computed anew and step by step."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.story import PEOPLE, TODAY, Event, people, record

from tagcast import behaviour, contacts, features
from tagcast.features import Definition, parse
from tagcast.features.computing import ages
from tagcast.features.scoring import ntile
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work

EVENTS = st.lists(
    st.builds(
        Event,
        st.integers(1, PEOPLE),
        st.sampled_from(["purchase", "view"]),
        st.integers(0, 40),
        st.integers(-500, 5000),
        st.integers(0, 3),
    ),
    max_size=40,
)
MEASURES = ("count", "days", "sum", "average", "least", "most", "first", "last", "recency", "tenure", "gap")


def by_hand(definition: Definition, events: list[Event], as_of: date) -> dict[int, Any]:
    """Contact → value as the definition says."""
    first = as_of - timedelta(days=(definition.window_days or 10_000) - 1)
    found: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        counts = not definition.where or event.quantity >= 1
        if counts and event.type in definition.events and first <= event.day <= as_of:
            found[event.contact].append(event)
    made = {who: measured(definition.measure, some, as_of) for who, some in found.items()}
    return {who: value for who, value in sorted(made.items()) if value is not None}


def measured(measure: str, some: list[Event], as_of: date) -> Any:
    days, cents = sorted({event.day for event in some}), [event.cents for event in some]
    match measure:
        case "count":
            return len(some)
        case "days":
            return len(days)
        case "sum":
            return Fraction(sum(cents), 100)
        case "average":
            return Fraction(round(Fraction(sum(cents), len(cents))), 100)
        case "least":
            return Fraction(min(cents), 100)
        case "most":
            return Fraction(max(cents), 100)
        case "first":
            return days[0]
        case "last":
            return days[-1]
        case "recency":
            return (as_of - days[-1]).days
        case "tenure":
            return (as_of - days[0]).days
        case _:
            if len(days) < 2:
                return None
            return Fraction(round(Fraction((days[-1] - days[0]).days * 10, len(days) - 1)), 10)


def held(work: Work, name: str) -> dict[int, Any]:
    found = features.values_of(work, name, range(1, PEOPLE + 1))
    return {who: value if isinstance(value, date) else Fraction(str(value)) for who, value in sorted(found.items())}


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 12)), min_size=1, max_size=3),
    st.sampled_from([None, 1, 7, 30]),
    st.sampled_from([("purchase",), ("purchase", "view")]),
    st.booleans(),
)
def test_each_measure_as_by_hand_after_every_step(
    measure: str,
    runtime_sqlite: Runtime,
    steps: list[tuple[list[Event], int]],
    window: int | None,
    types: tuple[str, ...],
    conditional: bool,
) -> None:
    """Events come in, late ones too, days pass; each computation looks only at whom the step concerns."""
    where = [{"name": "quantity", "op": ">=", "value": 1}] if conditional else []
    data = {"measure": measure, "events": types, "window_days": window, "where": where}
    definition = parse("mine", data)
    told: list[Event] = []
    day = TODAY - timedelta(days=30)
    with forgotten(runtime_sqlite) as work:
        people(work)
        features.define(work, definition)
        for index, (events, later) in enumerate(steps):
            record(work, events, str(index))
            told += events
            day += timedelta(days=later)
            run = features.compute(work, "mine", as_of=day)
            wanted = by_hand(definition, told, day)
            assert held(work, "mine") == wanted
            assert run.details["contacts"] == len(wanted)
            found, values = features.numbers(work, "mine")
            assert found.tolist() == list(wanted)
            assert len(values) == len(wanted)


class _Back(Exception):
    """Ends a transaction that is not to be kept."""


@contextmanager
def forgotten(runtime: Runtime) -> Iterator[Work]:
    """A transaction of which nothing stays."""
    with suppress(_Back), runtime.work(1, "t") as work:
        yield work
        raise _Back


def test_what_has_not_moved_is_not_written(work: Work) -> None:
    people(work)
    record(work, [Event(n, "purchase", 10 + n, 100 * n) for n in range(1, 9)])
    features.define(work, parse("spend", {"measure": "sum", "events": ["purchase"]}))
    assert features.compute(work, "spend", as_of=TODAY).details["changed"] == 8
    record(work, [Event(3, "purchase", 1, 50)], "b")
    before = len(work.bitmaps.history("feature:spend#known"))
    run = features.compute(work, "spend", as_of=TODAY)
    assert (run.details["concerned"], run.details["changed"]) == (1, 1)
    assert len(work.bitmaps.history("feature:spend#known")) == before
    run = features.compute(work, "spend", as_of=TODAY)
    assert (run.details["concerned"], run.details["changed"]) == (0, 0)
    assert features.compute(work, "spend", as_of=TODAY, full=True).details["changed"] == 0


def test_days_since_move_without_being_written(work: Work) -> None:
    people(work)
    record(work, [Event(1, "view", 10), Event(2, "view", 3)])
    features.define(work, parse("seen", {"measure": "recency", "events": ["view"]}))
    features.compute(work, "seen", as_of=TODAY)
    assert features.values_of(work, "seen", [1, 2, 3]) == {1: 10, 2: 3}
    assert features.compute(work, "seen", as_of=TODAY + timedelta(days=5)).details["changed"] == 0
    assert features.values_of(work, "seen", [1, 2, 3]) == {1: 15, 2: 8}
    assert list(features.select(work, "seen", "<=", 8)) == [2]
    assert list(features.select(work, "seen", ">", 8)) == [1]
    assert list(features.select(work, "seen", "between", (8, 15))) == [1, 2]
    assert list(features.select(work, "seen", "is_not", 15)) == [2]
    assert len(features.select(work, "seen", "unknown")) == PEOPLE - 2
    assert list(features.select(work, "seen.day", "<", (TODAY - timedelta(days=5)).isoformat())) == [1]


def test_ages_and_bands(work: Work) -> None:
    people(work)
    contacts.declare_attribute(work, "birthday", "date", purpose="greetings")
    born = {1: "2008-03-31", 2: "2008-04-01", 3: "1960-02-29", 4: "2026-04-01", 5: "1850-01-01"}
    contacts.set_values(work, "birthday", born, why="test")
    assert features.use(work, "basic") == ["basic.age"]
    features.compute(work, "basic.age", as_of=TODAY)
    assert features.values_of(work, "basic.age", range(1, 6)) == {1: 18, 2: 17, 3: 66}
    assert features.values_of(work, "basic.age.band", range(1, 6)) == {1: "18-24", 2: "0-17", 3: "65+"}
    assert list(features.select(work, "basic.age.band", "is", "18-24")) == [1]
    contacts.declare_attribute(work, "nick", "choice", purpose="x")
    with pytest.raises(Invalid, match="nick"):
        features.define(work, parse("age2", {"kind": "age", "attribute": "nick", "borders": [18]}))


@given(st.dates(date(1900, 1, 1), date(2030, 1, 1)), st.dates(date(1970, 1, 1), date(2040, 1, 1)))
def test_an_age_is_the_number_of_birthdays(born: date, day: date) -> None:
    epoch = date(1970, 1, 1)
    birthdays = 0
    for year in range(born.year + 1, day.year + 1):
        try:
            birthday = born.replace(year=year)
        except ValueError:
            birthday = date(year, 2, 28)
        birthdays += birthday <= day
    if born <= day:
        assert ages(np.array([(born - epoch).days]), (day - epoch).days).tolist() == [birthdays]


@given(st.lists(st.one_of(st.integers(-5, 5), st.integers(-(10**12), 10**12)), max_size=60), st.integers(1, 6))
def test_equal_parts_without_sorting(values: list[int], parts: int) -> None:
    order = sorted(range(len(values)), key=lambda at: values[at])
    size, more = divmod(len(values), parts)
    wanted = [0] * len(values)
    at = 0
    for part in range(parts):
        for place in order[at : at + size + (part < more)]:
            wanted[place] = part + 1
        at += size + (part < more)
    assert ntile(np.array(values, dtype=np.int64), parts).tolist() == wanted


def test_definitions_have_versions_and_limits(work: Work) -> None:
    people(work)
    one = features.define(work, parse("orders", {"events": ["purchase"], "label_zh": "订单数"}))
    assert one.version == 1
    assert features.define(work, parse("orders", {"events": ["purchase"], "label_zh": "订单数"})).version == 1
    assert features.define(work, parse("orders", {"events": ["purchase"], "window_days": 30})).version == 2
    assert [one.definition.window_days for one in features.versions(work, "orders")] == [30, None]
    assert features.names(work)["orders"].type == "number"
    with pytest.raises(Conflict, match=r"rfm\.r"):
        features.define(work, parse("rfm.r", {"events": ["purchase"]}))
    contacts.declare_attribute(work, "spend", "number", purpose="x")
    with pytest.raises(Conflict, match="attribute"):
        features.define(work, parse("spend", {"events": ["purchase"]}))
    with pytest.raises(NotFound, match="sneeze"):
        features.define(work, parse("sneezes", {"events": ["sneeze"]}))
    red = parse("red", {"events": ["purchase"], "where": [{"name": "colour", "op": "is", "value": "red"}]})
    with pytest.raises(Invalid, match="colour"):
        features.define(work, red)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("Bad Name", {"events": ["purchase"]}, "Bad Name"),
        ("x" * 41, {"events": ["purchase"]}, "x" * 41),
        ("a", {}, "events"),
        ("a", {"events": ["purchase"], "measure": "median"}, "median|measure"),
        ("a", {"events": ["purchase"], "window_days": 0}, "window_days"),
        ("a", {"events": ["purchase"], "colour": 1}, "colour"),
        ("a", {"events": ["purchase"], "kind": "rfm", "parts": 6}, "parts"),
        ("a", {"events": ["purchase"], "kind": "rfm", "method": "decay"}, "half_life_days"),
        ("a", {"events": ["purchase"], "kind": "rfm", "method": "decay", "half_life_days": float("nan")}, "half_life"),
        ("a", {"events": ["purchase"], "kind": "rfm", "method": "thresholds"}, "thresholds"),
        ("a", {"events": ["purchase", "view"], "kind": "lifetime"}, "events"),
        ("a", {"kind": "age", "attribute": "birthday", "borders": [30, 18]}, "borders"),
        ("a", {"events": ["purchase"], "where": [{"nome": "x"}]}, "where"),
        ("a", {"events": ["purchase"], "where": 3}, "where"),
        ("a", {"events": "purchase"}, "events"),
        ("a", {"events": ["purchase"], "where": [{"name": "quantity", "op": "like", "value": 1}]}, "like|where"),
    ],
)
def test_a_wrong_definition_is_named(name: str, data: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse(name, data)


def test_deleting_asks_who_uses_it(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    people(work)
    record(work, [Event(1, "purchase", 1, 100)])
    features.define(work, parse("orders", {"events": ["purchase"]}))
    features.compute(work, "orders", as_of=TODAY)
    asked: list[list[str]] = []

    def users(_work: Work, names: Any) -> list[str]:
        asked.append(sorted(names))
        return ["buyers"] if not allow else []

    allow: list[bool] = []
    monkeypatch.setattr("tagcast.features.actions._find_users", [users])
    with pytest.raises(Conflict, match="buyers"):
        features.delete(work, "orders")
    assert asked == [["orders"]]
    allow.append(True)
    features.delete(work, "orders")
    assert "orders" not in features.names(work)
    assert work.bitmaps.keys("feature:orders") == []
    assert features.define(work, parse("orders", {"events": ["purchase"]})).version == 2
    with pytest.raises(Invalid, match="rfm"):
        features.delete(work, "rfm")
    with pytest.raises(NotFound, match="nobody"):
        features.delete(work, "nobody")


def test_a_value_of_an_erased_contact_goes(work: Work) -> None:
    people(work)
    record(work, [Event(1, "purchase", 1, 100), Event(2, "purchase", 1, 100)])
    features.compute_rfm(work, as_of=TODAY)
    features.forget(work, 1)
    assert features.values_of(work, "rfm.monetary", [1, 2]).keys() == {2}
    assert features.values_of(work, "rfm.class", [1, 2]).keys() == {2}


def test_a_lifetime_needs_enough(work: Work) -> None:
    people(work)
    record(work, [Event(1, "purchase", 9, 100), Event(1, "purchase", 1, 100)])
    features.define(work, parse("lifetime", {"kind": "lifetime", "events": ["purchase"], "schedule": "weekly"}))
    with pytest.raises(Refused, match="1 customers"):
        features.compute(work, "lifetime", as_of=TODAY)


def test_how_a_feature_is_spread(work: Work) -> None:
    people(work)
    record(work, [Event(n, "purchase", n, 100 * n) for n in range(1, 11)])
    features.define(work, parse("spend", {"measure": "sum", "events": ["purchase"]}))
    features.compute(work, "spend", as_of=TODAY)
    found = features.distribution(work, "spend", percentiles=(10, 50, 51, 100))
    assert (found.contacts, float(found.least), float(found.most), found.mean) == (10, 1.0, 10.0, 5.5)
    assert found.percentiles is not None
    assert {at: float(value) for at, value in found.percentiles.items()} == {10: 1.0, 50: 5.0, 51: 6.0, 100: 10.0}
    features.compute_rfm(work, as_of=TODAY)
    classes = features.distribution(work, "rfm.class")
    assert classes.choices is not None
    assert sum(classes.choices.values()) == classes.contacts == 10
    with pytest.raises(Invalid, match="class"):
        features.numbers(work, "rfm.class")
    with pytest.raises(Invalid, match="percentile"):
        features.distribution(work, "spend", percentiles=(0,))


def test_rebuilt_events_are_seen(work: Work) -> None:
    people(work)
    record(work, [Event(1, "purchase", 1, 100), Event(2, "purchase", 1, 100)])
    features.define(work, parse("orders", {"events": ["purchase"]}))
    features.compute(work, "orders", as_of=TODAY)
    behaviour.forget(work, 1)
    features.compute(work, "orders", as_of=TODAY, full=True)
    assert features.values_of(work, "orders", [1, 2]) == {2: 1}
