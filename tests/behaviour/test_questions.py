"""Questions, day sets and records against a naive list of events, on both databases, before and after each change."""

from contextlib import suppress
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.behaviour.told import Event, answer, day_sets, kept

from tagcast import behaviour, contacts
from tagcast.behaviour import Did, Then, Where, Window, levels
from tagcast.bitmaps import algebra
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

FIRST = date(2026, 3, 26)
"""Of a week in which Europe changes its clocks."""
BEGIN = 1_774_480_000_000
PEOPLE = 6
ZONES = ["Asia/Shanghai", "Europe/Paris"]
PROPERTIES = {"category": "text", "price": "number", "gift": "flag"}


class Undo(Exception):
    pass


@pytest.fixture
def crowded(runtime: Runtime) -> Runtime:
    with runtime.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        for name in ("purchase", "view"):
            behaviour.declare_event(work, name, "test", PROPERTIES)
    return runtime


moments = st.integers(0, 7 * 24 * 12).map(lambda step: BEGIN + step * 300_000)
properties = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from(["鞋", "帽"]),
        "price": st.sampled_from([1.0, 2.5, 100.0]),
        "gift": st.booleans(),
    },
)
event = st.builds(
    Event,
    st.integers(1, PEOPLE),
    st.sampled_from(["purchase", "purchase", "view"]),
    # Many fall on one day, so that some come more often than there are levels.
    moments | st.just(BEGIN),
    st.sampled_from([-500, 0, 1, 1000, 99_999]),
    st.integers(0, 3),
    properties,
)
days = st.integers(-1, 9).map(lambda n: FIRST + timedelta(days=n))
windows = st.one_of(
    st.builds(lambda a, b: Window(min(a, b), max(a, b)), days, days),
    st.builds(Window, days, st.none()),
    st.builds(Window, st.none(), days),
    st.just(Window()),
)
wheres = st.lists(
    st.sampled_from(
        [
            Where("category", "is", "鞋"),
            Where("category", "is_not", "鞋"),
            Where("category", "in", ("鞋", "帽")),
            Where("category", "unknown"),
            Where("price", ">", 2),
            Where("price", "between", (1, 2.5)),
            Where("gift", "is", True),
            Where("gift", "known"),
            Where("amount", "<=", 1000),
            Where("quantity", ">=", 2),
        ]
    ),
    max_size=2,
).map(tuple)
ops = st.sampled_from(["<", "<=", "=", "!=", ">=", ">"])
by_sets = st.builds(
    Did,
    st.sampled_from(["purchase", "view"]),
    windows,
    st.sampled_from(["times", "days"]),
    ops,
    st.sampled_from([-1, 0, 0.5, 1, 2, 2.5, 3, 5, 8, 9, 12]),
)
by_lake = st.builds(
    Did,
    st.just("purchase"),
    windows,
    st.sampled_from(["times", "days", "sum", "average", "least", "most"]),
    ops,
    st.sampled_from([-500, 0, 1, 2, 500.5, 1000]),
    wheres,
)
part = st.builds(Did, st.sampled_from(["purchase", "view"]), windows, where=wheres)
then = st.builds(Then, part, part, st.sampled_from([1, 300, 3600, 86_400, 400_000]), st.booleans())
groups = st.lists(st.lists(event, min_size=1, max_size=25), max_size=4)


def recorded(work: Work, group: list[Event], key: str, zone: str) -> None:
    for name in ("purchase", "view"):
        some = [one for one in group if one.type == name]
        batch = behaviour.events(
            [one.contact for one in some],
            [one.at_ms for one in some],
            [one.amount for one in some],
            [one.quantity for one in some],
            [dict(one.properties) for one in some],
        )
        behaviour.record_packed(work, name, batch, batch_key=key, zone=zone)


def shown(found: behaviour.Aggregates) -> dict[int, tuple[int, ...]]:
    columns = (found.first_day, found.last_day, found.count, found.days, found.sum, found.first_sum)
    return dict(zip(found.contact.tolist(), zip(*(column.tolist() for column in columns), strict=True), strict=True))


def sets(work: Work, name: str) -> dict[str, set[int]]:
    return {key: set(work.bitmaps.read(key)) for key in levels.keys(work, name)}


def agree(work: Work, told: list[Event], zone: str, until: date) -> None:
    """All that is derived is what the list of events says."""
    for name in ("purchase", "view"):
        assert sets(work, name) == day_sets(told, name, zone, levels.top())
        assert shown(behaviour.aggregates(work, name)) == kept(told, name, zone)
        assert shown(behaviour.aggregates(work, name, until=until)) == kept(told, name, zone, until)


many = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(groups=groups, zone=st.sampled_from(ZONES), until=days, gone=st.integers(1, PEOPLE))
def test_what_is_derived_is_what_the_events_say(
    crowded: Runtime, groups: list[list[Event]], zone: str, until: date, gone: int
) -> None:
    with suppress(Undo), crowded.work(1, "t") as work:
        told: list[Event] = []
        for number, group in enumerate(groups):
            recorded(work, group, str(number), zone)
            told += group
        agree(work, told, zone, until)
        elsewhere = ZONES[1 - ZONES.index(zone)]
        for name in ("purchase", "view"):
            assert behaviour.rebuild(work, name, zone=elsewhere) == sum(one.type == name for one in told)
        agree(work, told, elsewhere, until)
        assert behaviour.forget(work, gone) == sum(one.contact == gone for one in told)
        left = [one for one in told if one.contact != gone]
        agree(work, left, elsewhere, until)
        recorded(work, groups[0] if groups else [], "again", elsewhere)
        agree(work, left + (groups[0] if groups else []), elsewhere, until)
        raise Undo


@many
@given(groups=groups, asked=st.lists(by_sets, min_size=1, max_size=12), zone=st.sampled_from(ZONES))
def test_sets_answer_as_the_events_do(crowded: Runtime, groups: list[list[Event]], asked: list[Did], zone: str) -> None:
    ask_all(crowded, groups, asked, zone)


@many
@given(groups=groups, asked=st.lists(by_lake | then, min_size=1, max_size=3), zone=st.sampled_from(ZONES))
def test_what_sets_cannot_tell_is_asked_of_the_events(
    crowded: Runtime, groups: list[list[Event]], asked: list[Did | Then], zone: str
) -> None:
    ask_all(crowded, groups, asked, zone)


def ask_all(crowded: Runtime, groups: list[list[Event]], asked: "list[Did] | list[Did | Then]", zone: str) -> None:
    everyone = set(range(1, PEOPLE + 1))
    with suppress(Undo), crowded.work(1, "t") as work:
        for number, group in enumerate(groups):
            recorded(work, group, str(number), zone)
        told = [one for group in groups for one in group]
        some = BitMap([2, 3, 5])
        for question in asked:
            wanted = answer(question, told, everyone, zone, work.now_ms)
            node = behaviour.node(work, question, zone=zone)
            whole = algebra.Evaluation(work.bitmaps, contacts.EVERYONE)
            assert set(whole.members(node)) == wanted, question
            few = algebra.Evaluation(work.bitmaps, contacts.EVERYONE, within=some)
            assert set(few.members(node)) == wanted & set(some), question
        raise Undo


def test_a_change_of_the_answer_comes_with_a_change_of_a_key_or_a_batch(crowded: Runtime) -> None:
    """Whoever keeps a segment true looks at the keys a node feeds on and at the batches after a seq."""
    window = Window(FIRST, FIRST + timedelta(days=6))
    two = Did("purchase", window, "times", ">=", 2)
    shoes = Did("purchase", window, where=(Where("category", "is", "鞋"),))
    with crowded.work(1, "t") as work:
        recorded(work, [Event(1, "purchase", BEGIN)], "a", ZONES[0])
        seq = behaviour.last_seq(work)
        before = {key: work.bitmaps.version(key) for key in feeds(work, two)}
        recorded(work, [Event(1, "purchase", BEGIN + 1)], "b", ZONES[0])
        assert {key: work.bitmaps.version(key) for key in feeds(work, two)} != before
        (later,) = behaviour.recorded_since(work, seq)
        assert (later.type, later.contacts) == ("purchase", BitMap([1]))
        # Enough for all levels; a ninth changes no set, and the batch tells of it.
        recorded(work, [Event(1, "purchase", BEGIN + n) for n in range(2, 8)], "c", ZONES[0])
        seq, before = behaviour.last_seq(work), {key: work.bitmaps.version(key) for key in feeds(work, shoes)}
        recorded(work, [Event(1, "purchase", BEGIN + 9, properties={"category": "鞋"})], "d", ZONES[0])
        assert {key: work.bitmaps.version(key) for key in feeds(work, shoes)} == before
        assert [one.contacts for one in behaviour.recorded_since(work, seq)] == [BitMap([1])]
        behaviour.forget(work, 1)
        assert [one.contacts for one in behaviour.recorded_since(work, seq)][-1] == BitMap([1])


def feeds(work: Work, asked: Did) -> set[str]:
    return algebra.feeds(work.bitmaps, behaviour.node(work, asked, zone=ZONES[0]))


def test_who_waited_long_enough_is_named(crowded: Runtime) -> None:
    absent = Then(Did("view"), Did("purchase"), 3600, absent=True)
    with crowded.work(1, "t") as work:
        recorded(work, [Event(1, "view", BEGIN), Event(2, "view", BEGIN + 60_000)], "a", ZONES[0])
        node = behaviour.node(work, absent, zone=ZONES[0])
        assert isinstance(node, algebra.Asked)
        assert node.due is not None
        over = BEGIN + 3_600_000
        assert 1 in node.due(over, over + 1)
        assert 1 not in node.due(over + 5, over + 10)
        assert node.due(over - 1000, over + 100_000) == BitMap([1, 2])


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (Did("puchase"), "behaviour.no_event_type"),
        (Then(Did("view"), Did("puchase"), 60), "behaviour.no_event_type"),
        (Did("view", value=float("nan")), "behaviour.bad_question"),
        (Did("view", value=float("inf")), "behaviour.bad_question"),
        (Did("view", measure="count"), "behaviour.bad_question"),  # type: ignore[arg-type]  # what a file may hold
        (Did("view", op="=="), "behaviour.bad_question"),  # type: ignore[arg-type]  # what a file may hold
        (Did("view", where=(Where("gift", "known"),) * 21), "behaviour.bad_question"),
        (Did("view", Window(FIRST, FIRST - timedelta(days=1))), "behaviour.bad_window"),
        (Did("view", Window(date(1, 1, 1), date(9999, 1, 1))), "behaviour.bad_window"),
        (Did("view", where=(Where("colour", "is", "x"),)), "behaviour.no_property"),
        (Did("view", where=(Where("category", "<", "x"),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("category", "is", 1),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("price", "is", "1"),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("price", "<", float("nan")),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("price", "in", ()),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("price", "between", (1,)),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("gift", "is", 1),)), "behaviour.bad_condition"),
        (Did("view", where=(Where("gift", "known", True),)), "behaviour.bad_condition"),
        (Then(Did("view"), Did("view", value=2), 60), "behaviour.bad_question"),
        (Then(Did("view"), Did("view"), 0), "behaviour.bad_sequence"),
        (Then(Did("view"), Did("view"), 10**9), "behaviour.bad_sequence"),
    ],
)
def test_what_cannot_be_asked_is_told(runtime_sqlite: Runtime, question: Did | Then, code: str) -> None:
    with runtime_sqlite.work(1, "t") as work:
        behaviour.declare_event(work, "view", "test", PROPERTIES)
        with pytest.raises((Invalid, NotFound)) as caught:
            behaviour.node(work, question, zone=ZONES[0])
        assert caught.value.code == code
