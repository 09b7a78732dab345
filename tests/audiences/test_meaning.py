"""What expressions mean: against plain Python sets, on SQLite and PostgreSQL."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.audiences.expressions import trees
from tests.audiences.population import (
    BORN,
    CATEGORIES,
    NOW,
    PATHS,
    REGIONS,
    SENT,
    START,
    TODAY,
    Population,
    date_returns,
    populate,
)
from tests.tags.people import crowd

from tagcast import access, audiences, contacts, features, tags
from tagcast.audiences import Expression, FieldLeaf, SegmentLeaf, TagLeaf, parse
from tagcast.audiences.catalogue import resolve
from tagcast.audiences.leaves import Lowering
from tagcast.audiences.rules import (
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Leaf,
    RankLeaf,
    SendLeaf,
    Span,
    ThenLeaf,
    check,
    substitute,
)
from tagcast.audiences.spans import returns, turned
from tagcast.behaviour import Where
from tagcast.bitmaps.algebra import Evaluation
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.uow import Runtime, Work

NUMBERS, DAYS = st.integers(-7, 32), st.integers(-2, 22).map(lambda n: (START + timedelta(days=n)).isoformat())
ORDER, EQUAL = ["<", "<=", ">", ">="], ["is", "is_not"]
NAMES = ["region", "spend", "vip", "birthday", "rfm.m"]
OURS = 7  # stands for whatever number the population's account has


def _ordered(name: str, values: st.SearchStrategy[object]) -> list[st.SearchStrategy[Expression]]:
    return [
        st.builds(FieldLeaf, st.just(name), st.sampled_from(ORDER + EQUAL), values),
        st.builds(FieldLeaf, st.just(name), st.just("in"), st.lists(values, min_size=1, max_size=5).map(tuple)),
        st.builds(FieldLeaf, st.just(name), st.just("between"), st.tuples(values, values)),
    ]


OFFSETS = st.integers(-70, 3) | st.integers(-3, 3)
DATES = OFFSETS.map(lambda days: TODAY + timedelta(days=days))
FIGURES = ["is", "is_not", *ORDER]
spans = st.one_of(
    st.just(Span()),
    st.tuples(OFFSETS, OFFSETS).map(lambda ends: Span(min(ends), max(ends))),
    st.tuples(DATES, DATES).map(lambda ends: Span(min(ends), max(ends))),
    st.builds(Span, st.none(), OFFSETS | DATES),
    st.builds(Span, OFFSETS | DATES, st.none()),
    st.builds(Span, DATES, OFFSETS),  # can be without a day
)
wheres = st.one_of(
    st.builds(Where, st.just("category"), st.sampled_from(["is", "is_not"]), st.sampled_from(CATEGORIES)),
    st.builds(Where, st.just("gift"), st.sampled_from(["is", "is_not"]), st.booleans()),
    st.builds(Where, st.sampled_from(["price", "quantity"]), st.sampled_from(FIGURES), st.sampled_from([1, 2, 2.5])),
    st.builds(Where, st.just("amount"), st.sampled_from(FIGURES), st.sampled_from([0, 50, 100])),
    st.builds(Where, st.just("price"), st.just("in"), st.lists(st.sampled_from([1, 2.5]), min_size=1).map(tuple)),
    st.builds(Where, st.just("amount"), st.just("between"), st.tuples(*[st.integers(-50, 300)] * 2)),
    st.builds(Where, st.sampled_from(["category", "price", "amount"]), st.sampled_from(["known", "unknown"])),
)
events = st.sampled_from(["purchase", "view"])
conditions = st.lists(wheres, max_size=2).map(tuple)


def _figured(leaf: type, most: int, **parts: st.SearchStrategy[object]) -> st.SearchStrategy[Expression]:
    figures = st.integers(0, most)
    return st.builds(leaf, op=st.sampled_from(FIGURES), value=figures, **parts) | st.builds(
        leaf, op=st.just("between"), value=st.tuples(figures, figures), **parts
    )


asked: dict[str, st.SearchStrategy[object]] = {"event": events, "during": spans, "where": conditions}
halves = st.builds(DidLeaf, **asked)
sent: dict[str, st.SearchStrategy[object]] = {
    "outcome": st.sampled_from(
        ["received", "delivered", "opened", "clicked", "failed", "held_back", "held_out"],
    ),
    "sending": st.none() | st.sampled_from([name for name, _ in SENT]) | st.integers(1, len(SENT)),
    "account": st.none() | st.just(OURS),
    "during": spans,
}
# Days about the end of February, of common and of leap years, and their distance from today.
EDGES = st.builds(
    lambda year, days: date(year, 2, 27) + timedelta(days=days), st.integers(2024, 2029), st.integers(0, 4)
)
AWAY = EDGES.map(lambda day: (day - TODAY).days)
KNOWN_DAYS = st.sampled_from([*BORN, *(START + timedelta(days=days) for days in (0, 1, 5, 19))])
kinds: dict[str, st.SearchStrategy[Expression]] = {
    "did": _figured(DidLeaf, 4, measure=st.sampled_from(["times", "days"]), **asked) | halves,
    "how often": _figured(DidLeaf, 10, measure=st.just("times"), event=events, during=spans),
    "amounts": _figured(DidLeaf, 600, measure=st.sampled_from(["sum", "average", "least", "most"]), **asked),
    "then": st.builds(ThenLeaf, halves, halves, st.sampled_from([30, 60, 1440, 14400]), st.booleans()),
    "sent": _figured(SendLeaf, 5, **sent) | st.builds(SendLeaf, **sent),
    "dates": st.builds(
        DateLeaf,
        st.sampled_from(["birthday", "born"]),
        spans
        | st.tuples(KNOWN_DAYS, KNOWN_DAYS).map(lambda ends: Span(min(ends), max(ends)))
        | st.builds(Span, st.none() | KNOWN_DAYS, KNOWN_DAYS).filter(lambda span: not turned(span)),
    ),
    "birthdays": st.builds(
        BirthdayLeaf,
        st.sampled_from(["birthday", "born"]),
        st.builds(
            lambda first, length: Span(first, first + (length if isinstance(first, int) else timedelta(days=length))),
            EDGES | AWAY | st.integers(-800, 800),
            st.integers(0, 3) | st.integers(0, 365),
        ),
    ),
    "ranks": st.builds(
        RankLeaf,
        st.sampled_from(["spend", "rfm.m", "born"]),
        st.sampled_from(["top", "bottom"]),
        st.sampled_from([0.1, 10, 25, 33.3, 50, 90, 100]),
    ),
}
answered = st.one_of(*kinds.values())

leaves = st.one_of(
    answered,
    st.just(audiences.All()),
    st.just(audiences.Nobody()),
    st.builds(TagLeaf, st.sampled_from(PATHS), st.none(), st.booleans()),
    st.just(TagLeaf("会员", OURS)),
    st.builds(SegmentLeaf, st.sampled_from(["活跃", "沉睡"])),
    st.builds(
        FieldLeaf,
        st.sampled_from(["region", "spend", "vip", "birthday", "rfm.m"]),
        st.sampled_from(["known", "unknown"]),
    ),
    st.builds(FieldLeaf, st.just("region"), st.sampled_from(EQUAL), st.just(REGIONS[0])),
    st.builds(FieldLeaf, st.just("vip"), st.sampled_from(EQUAL), st.booleans()),
    *_ordered("spend", NUMBERS),
    *_ordered("rfm.m", NUMBERS),
    *_ordered("birthday", DAYS),
)


Populations = Callable[[int], tuple[int, Population]]


@pytest.fixture
def population(runtime: Runtime) -> Populations:
    """(workspace, what is true there) by seed, filled once."""

    @cache
    def filled(seed: int) -> tuple[int, Population]:
        with runtime.system() as connection:
            workspace = access.create_workspace(connection, runtime.master_key, f"seed {seed}")
        with runtime.work(workspace, "test", now=NOW) as work:
            return workspace, populate(work, seed)

    return filled


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 3), drawn=trees(leaves))
def test_an_expression_means_what_plain_sets_say(
    runtime: Runtime, population: Populations, seed: int, drawn: Expression
) -> None:
    workspace, told = population(seed)

    def ours(leaf: Leaf) -> Leaf:
        mine = isinstance(leaf, TagLeaf | SendLeaf) and leaf.account == OURS
        return replace(leaf, account=told.account) if mine else leaf  # type: ignore[call-arg]  # these have one

    expression = substitute(drawn, ours)
    check(expression)
    expected = told.meaning(expression)
    with runtime.read(workspace, "test", now=NOW) as work:
        assert set(audiences.members(work, expression)) == expected
        assert audiences.count(work, expression) == len(expected)
        number = min(told.everyone)
        assert audiences.explain(work, expression, number).holds == (number in expected)
        assert set(audiences.sample(work, expression, 5)) <= expected


@pytest.mark.parametrize("kind", kinds)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 3), data=st.data(), some=st.sets(st.integers(1, 60)))
def test_a_condition_alone_means_the_same_for_some_as_for_all(
    runtime: Runtime, population: Populations, kind: str, seed: int, data: st.DataObject, some: set[int]
) -> None:
    drawn = data.draw(kinds[kind])
    workspace, told = population(seed)
    mine = isinstance(drawn, SendLeaf) and drawn.account == OURS
    leaf = replace(drawn, account=told.account) if mine else drawn  # type: ignore[arg-type]  # it has one
    expected = told.meaning(leaf)
    with runtime.read(workspace, "test", now=NOW) as work:
        node = Lowering(work, resolve(work, leaf)).node(leaf)
        assert set(Evaluation(work.bitmaps, "contact").members(node)) == expected
        assert set(Evaluation(work.bitmaps, "contact", within=BitMap(some)).members(node)) == expected & some


def test_more_tags_cost_no_more_statements(work: Work) -> None:
    crowd(work, 3)
    paths = [f"a{i}/b{i}" for i in range(40)]
    for path in paths:
        tags.create(work, path, parents=True)
    seen: list[str] = []
    sa.event.listen(work.connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
    statements = []
    for some in (paths[:2], paths):
        seen.clear()
        assert audiences.count(work, parse(" or ".join(f'tag("{path}")' for path in some))) == 0
        statements.append(len(seen))
    assert statements[0] == statements[1] <= 6


def test_an_empty_workspace_has_nobody(work: Work) -> None:
    assert [audiences.count(work, parse(text)) for text in ("all", "nobody", "not all", "not nobody")] == [0, 0, 0, 0]


def test_contradictions_and_certainties(work: Work) -> None:
    crowd(work, 9)
    tags.assign(work, tags.create(work, "a").id, BitMap([1, 2, 3]), why="t")
    for text, expected in (
        ('tag("a") and not tag("a")', 0),
        ('tag("a") or not tag("a")', 9),
        ('not tag("a") and not tag("a")', 6),
        ('not (not tag("a") or nobody)', 3),
        ("nobody or nobody", 0),
        ("all and all", 9),
    ):
        assert audiences.count(work, parse(text)) == expected, text


def test_whoever_is_not_a_contact_is_in_no_audience(work: Work) -> None:
    crowd(work, 3)
    tag = tags.create(work, "a")
    work.bitmaps.add(tags.key(tag.id), BitMap([2, 3, 50]), why="left over")
    assert list(audiences.members(work, parse('tag("a")'))) == [2, 3]
    assert list(audiences.members(work, parse('not tag("a")'))) == [1]
    assert audiences.count(work, parse('tag("a") or all')) == 3


def test_explain_names_every_part(work: Work) -> None:
    crowd(work, 3)
    tags.assign(work, tags.create(work, "a").id, BitMap([1]), why="t")
    tags.create(work, "b")
    audiences.create(work, "of a", parse('tag("a")'))
    found = audiences.explain(work, parse('segment("of a") and not tag("b")'), 1)
    segment, not_b = found.parts
    assert (found.holds, segment.text, segment.holds, not_b.text, not_b.holds) == (
        True, 'segment("of a")', True, 'not tag("b")', True,
    )  # fmt: skip
    assert [(part.text, part.holds) for part in (*segment.parts, *not_b.parts)] == [
        ('tag("a")', True),
        ('tag("b")', False),
    ]


def test_a_sample_is_drawn_evenly_and_repeatable(work: Work) -> None:
    crowd(work, 10)
    assert audiences.sample(work, parse("all"), 99) == list(range(1, 11))
    assert audiences.sample(work, parse("all"), 4, seed=3) == audiences.sample(work, parse("all"), 4, seed=3)
    drawn = [n for seed in range(400) for n in audiences.sample(work, parse("all"), 2, seed=seed)]
    assert all(40 < drawn.count(n) < 120 for n in range(1, 11))


@pytest.mark.parametrize(
    ("text", "code", "near"),
    [
        ('tag("会员/金card")', "unknown_tag", "会员/金卡"),
        ('all or tag("会员", account 99)', "unknown_account", None),
        ("regoin = 1", "unknown_field", "region"),
        ("RFM.m > 1", "unknown_field", "rfm.m"),
        ('nobody and segment("活跃客")', "unknown_segment", "活跃"),
        ('did("purchse")', "unknown_event", "purchase"),
        ('did("view") then did("purchases") within 1 day', "unknown_event", "purchase"),
        ('did("view", categry = "鞋")', "unknown_property", "category"),
        ('did("view", quantities > 1)', "unknown_property", "quantity"),
        ('received("双十一")', "unknown_sending", "双十一预热"),
        ("opened(broadcast 99)", "unknown_sending", None),
        ("birthdy last 3 days", "unknown_field", "birthday"),
        ("birthday(bron, today)", "unknown_field", "born"),
        ("rfm.n top 5 %", "unknown_field", "rfm.m"),
        ("spend last 3 days", "wrong_kind", "number"),
        ("birthday(region, today)", "wrong_kind", "choice"),
        ("vip bottom 5 %", "wrong_kind", "flag"),
        ("notes known", "private_text", None),
        ('notes = "x"', "private_text", None),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    runtime_sqlite: Runtime, text: str, code: str, near: str | None
) -> None:
    with runtime_sqlite.work(1, "test", now=NOW) as work:
        populate(work, 1)
        contacts.declare_attribute(work, "notes", "text", purpose="test")
        with pytest.raises(Invalid) as caught:
            audiences.count(work, parse(text))
    assert caught.value.code == f"audiences.{code}"
    assert caught.value.status == 422
    if near is not None:
        assert near in caught.value.remedy("zh") + caught.value.text("zh")


def test_a_wrong_value_is_refused_even_where_it_could_not_matter(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        populate(work, 1)
        for text in (
            'nobody and did("view", price = "x")',
            'nobody and did("view", gift > 1)',
            "nobody and spend = true",
            'nobody and region < "x"',
            'birthday > "soon"',
        ):
            with pytest.raises(TagcastError):
                audiences.count(work, parse(text))


def test_a_feature_that_a_segment_names_is_in_use(work: Work) -> None:
    crowd(work, 3)
    for name, text in (("best", "rfm.m top 5 %"), ("worst", "all or not rfm.m < 2"), ("other", "rfm.f known")):
        audiences.create(work, name, parse(text))
    assert features.users(work, ["rfm.m"]) == ["best", "worst"]
    assert features.users(work, ["rfm.r"]) == []


def test_the_same_words_mean_other_days_on_another_day(runtime: Runtime, population: Populations) -> None:
    workspace, told = population(2)
    seen = set()
    for later in range(0, 60, 3):
        with runtime.read(workspace, "test", now=NOW + timedelta(days=later)) as work:
            done = {one.contact for one in told.events if timedelta(0) <= work.today - one.day < timedelta(days=7)}
            found = set(audiences.members(work, parse('did("view", last 7 days) or did("purchase", last 7 days)')))
            assert found == done
            seen.add(frozenset(found))
    assert len(seen) > 3
    # By the clock of the machine it is still yesterday; at half past midnight there the days are those of the zone.
    assert TODAY == (NOW + timedelta(hours=8)).date() != NOW.date()


@settings(max_examples=150, deadline=None)
@given(EDGES | st.dates(date(1999, 1, 1), date(2030, 1, 1)), st.integers(0, 400), st.dates(date(1996, 1, 1)) | EDGES)
@example(date(2025, 2, 28), 0, date(2024, 2, 29))
@example(date(2025, 2, 27), 0, date(2024, 2, 29))
@example(date(2025, 3, 1), 0, date(2024, 2, 29))
@example(date(2028, 2, 28), 0, date(2024, 2, 29))
@example(date(2028, 2, 29), 0, date(2027, 2, 28))
@example(date(2028, 2, 29), 0, date(2027, 3, 1))
def test_a_date_returns_on_the_days_of_the_calendar(first: date, length: int, born: date) -> None:
    last = first + timedelta(days=length)
    expected = date_returns(born, Span(first, last))
    assert any(low <= born <= high for low, high in returns(first, last)) == expected
