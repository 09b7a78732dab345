"""Looking into segments: why, overlap, cross tables and plans say what plain Python sets say, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.audiences.expressions import trees
from tests.audiences.population import NOW, PATHS, Population, populate
from tests.audiences.test_meaning import OURS, Populations, leaves, population
from tests.tags.people import crowd

from tagcast import audiences, behaviour, contacts, tags
from tagcast.audiences import And, Explained, Expression, Not, Or, SegmentLeaf, TagLeaf, parse
from tagcast.audiences.rules import DidLeaf, Leaf, SendLeaf, substitute
from tagcast.behaviour import EventIn
from tagcast.kit.errors import Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work

__all__ = ["population"]

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def here(drawn: Expression, told: Population) -> Expression:
    """A drawn expression with the account of this population."""

    def ours(leaf: Leaf) -> Leaf:
        mine = isinstance(leaf, TagLeaf | SendLeaf) and leaf.account == OURS
        return replace(leaf, account=told.account) if mine else leaf  # type: ignore[call-arg]  # these have one

    return substitute(drawn, ours)


def nodes(found: Explained) -> Iterator[Explained]:
    yield found
    for part in found.parts:
        yield from nodes(part)


@few
@given(seed=st.integers(0, 1), drawn=trees(leaves), pick=st.integers(0, 100))
def test_every_part_is_explained_as_it_is(
    runtime: Runtime, population: Populations, seed: int, drawn: Expression, pick: int
) -> None:
    workspace, told = population(seed)
    number = sorted(told.everyone)[pick % len(told.everyone)]
    with runtime.read(workspace, "test", now=NOW) as work:
        found = audiences.explain(work, here(drawn, told), number)
    assert found.matters
    for one in nodes(found):
        node = parse(one.text)
        assert one.holds == (number in told.meaning(node))
        marked = [part for part in one.parts if part.matters]
        if not one.matters:
            assert marked == []
        elif isinstance(node, And | Or):
            assert marked == [part for part in one.parts if part.holds == one.holds] != []
        else:
            assert marked == list(one.parts)
        for fact in one.facts:
            assert fact.sentence("zh") != fact.sentence("en")
        if isinstance(node, DidLeaf) and node.measure == "times":
            figures = [fact.params["figure"] for fact in one.facts if fact.code == "did_times"]
            done = sum(event.contact == number for event in told._done(node))
            assert figures == [str(done)]


def test_the_facts_say_who_when_and_why(runtime: Runtime) -> None:
    with runtime.work(1, "Li", now=NOW) as work:
        crowd(work, 3)
        tag = tags.create(work, "会员/金卡", parents=True)
        tags.assign(work, tag.id, BitMap([1, 2]), why="a party")
        contacts.declare_attribute(work, "spend", "number", purpose="test", scale=2)
        contacts.set_values(work, "spend", {1: "12.50"}, why="a till")
    with runtime.work(1, "Wang", now=NOW) as work:
        tags.remove(work, tag.id, BitMap([2]), why="left")
        facts = {}
        for number in (1, 2, 3):
            found = audiences.explain(work, parse('tag("会员") and spend >= 20'), number)
            facts[number] = [fact.sentence("en") for part in found.parts for fact in part.facts]
        zh = audiences.explain(work, parse('tag("会员")'), 1).facts[0].sentence("zh")
        at = f"{NOW.astimezone():%Y}"
        with pytest.raises(NotFound):
            audiences.explain(work, parse("all"), 4)
    assert facts[1][0].startswith(f"会员/金卡: since {at}")
    assert facts[1][0].endswith("by Li: a party")
    assert facts[1][1].startswith("spend is 12.50, set at")
    assert (facts[2][0].split(" at ")[0], facts[2][0].split(", ")[1]) == ("会员/金卡: taken away", "by Wang: left")
    assert facts[3] == ["会员: never given", "spend is not known and never was"]
    assert "由 Li 添加：a party" in zh


@few
@given(seed=st.integers(0, 1), drawn=st.lists(trees(leaves, 4), min_size=2, max_size=4), data=st.data())
def test_regions_and_pairs_are_those_of_plain_sets(
    runtime: Runtime, population: Populations, seed: int, drawn: list[Expression], data: st.DataObject
) -> None:
    workspace, told = population(seed)
    expressions = [here(one, told) for one in drawn]
    sets = [told.meaning(one) for one in expressions]
    with runtime.read(workspace, "test", now=NOW) as work:
        found = audiences.overlap(work, expressions)
        assert audiences.matrix(work, expressions) == replace(found, regions=())
        chosen = data.draw(st.sampled_from(found.regions))
        members = set(audiences.members(work, audiences.region(expressions, chosen.inside)))
    assert found.sizes == tuple(map(len, sets))
    assert (found.either, found.total) == (len(set.union(*sets)), len(told.everyone))
    places = range(len(sets))
    expected = {
        inside: set.intersection(*[sets[i] for i in inside]).difference(*[sets[i] for i in places if i not in inside])
        for size in range(1, len(sets) + 1)
        for inside in combinations(places, size)
    }
    assert {one.inside: one.size for one in found.regions} == {inside: len(one) for inside, one in expected.items()}
    assert members == expected[chosen.inside]
    for pair in found.pairs:
        a, b = sets[pair.a], sets[pair.b]
        assert (pair.both, pair.only_a, pair.only_b) == (len(a & b), len(a - b), len(b - a))
        assert pair.jaccard == (len(a & b) / len(a | b) if a | b else 0)


DIMENSIONS = [
    "region",
    "vip",
    "spend: 0, 10, 20",
    "spend：3 等份",
    "rfm.m: 4 parts",
    "birthday: 2026-01-05, 2026-01-12",
    "tag: 会员",
    "segments: 活跃、沉睡",
    f"tag: {OURS}: 会员",
]


@few
@given(
    seed=st.integers(0, 1),
    specs=st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=3),
    within=st.none() | trees(leaves, 3),
    data=st.data(),
)
def test_cells_are_those_of_plain_sets(
    runtime: Runtime,
    population: Populations,
    seed: int,
    specs: list[str],
    within: Expression | None,
    data: st.DataObject,
) -> None:
    workspace, told = population(seed)
    specs = [one.replace(f"tag: {OURS}:", f"tag: {told.account}:") for one in specs]
    about = None if within is None else here(within, told)
    base = told.everyone if about is None else told.meaning(about)
    with runtime.read(workspace, "test", now=NOW) as work:
        found = audiences.cross_table(work, specs, about)
        places = found.places()
        place = data.draw(st.sampled_from(places))
        text = audiences.to_text(found.cell(place))
        assert audiences.count(work, parse(text)) == found.sizes[places.index(place)]
    sets = [[told.meaning(one.expression) & base for one in each.categories] for each in found.dimensions]
    assert found.total == len(base)
    assert found.margins == tuple(tuple(len(one) for one in each) for each in sets)
    assert list(found.sizes) == [len(base.intersection(*cell)) for cell in product(*sets)]
    for each, some in zip(found.dimensions, sets, strict=True):
        assert set.union(*some) == base
        if each.apart:
            assert sum(map(len, some)) == len(base)


def test_quantiles_are_as_even_as_equal_values_allow(work: Work) -> None:
    crowd(work, 12)
    contacts.declare_attribute(work, "spend", "number", purpose="test", scale=1)
    contacts.set_values(work, "spend", {n: n / 10 for n in range(1, 11)}, why="t")
    found = audiences.cross_table(work, ["spend: 5 parts"])
    assert found.sizes == (2, 2, 2, 2, 2, 2)
    assert [one.label for one in found.dimensions[0].categories][:2] == ["< 0.3", "0.3 … < 0.5"]
    contacts.set_values(work, "spend", dict.fromkeys(range(1, 9), 1), why="t")
    assert audiences.cross_table(work, ["spend: 5 parts"]).sizes == (1, 9, 2)
    assert audiences.table_csv(found).splitlines()[:2] == ["spend,size", "< 0.3,2"]


@pytest.mark.parametrize(
    ("specs", "code"),
    [
        ([], "audiences.no_dimension"),
        (["color"], "audiences.unknown_dimension"),
        (["spend"], "audiences.borders_needed"),
        (["spend: 3, 2"], "audiences.borders_order"),
        (["spend: x"], "contacts.bad_number"),
        (["spend: 1 parts"], "audiences.quantiles"),
        (["region: 3"], "audiences.no_borders"),
        (["note"], "audiences.text_dimension"),
        (["tag:"], "audiences.no_branch"),
        (["tag: nothing"], "audiences.unknown_tag"),
        (["segments: a, a"], "audiences.no_segments"),
        (["segments: a"], "audiences.unknown_segment"),
    ],
)
def test_a_dimension_that_cannot_be(work: Work, specs: list[str], code: str) -> None:
    for name, kind in (("spend", "number"), ("region", "choice"), ("note", "text")):
        contacts.declare_attribute(work, name, kind, purpose="test")  # type: ignore[arg-type]  # kinds of this table
    with pytest.raises(Invalid) as caught:
        audiences.cross_table(work, specs)
    assert caught.value.code == code


def test_too_much_at_once_is_refused(work: Work) -> None:
    contacts.declare_attribute(work, "spend", "number", purpose="test")
    wide = "spend: " + ", ".join(map(str, range(120)))
    for attempt in (
        lambda: audiences.cross_table(work, [wide, wide]),
        lambda: audiences.cross_table(work, ["spend: 1"] * 5),
        lambda: audiences.cross_table(work, ["spend: 101 parts"]),
        lambda: audiences.cross_table(work, ["spend: " + ", ".join(map(str, range(600)))]),
        lambda: audiences.overlap(work, [parse("all")] * 7),
        lambda: audiences.matrix(work, [parse("all")] * 101),
    ):
        with pytest.raises(Refused):
            attempt()
    with pytest.raises(Invalid):
        audiences.overlap(work, [parse("all")])
    found = audiences.cross_table(work, ["spend: 1"])
    for place in ([], [3], [-1], [0, 0]):
        with pytest.raises(Invalid):
            found.cell(place)
    for inside in ([], [2]):
        with pytest.raises(Invalid):
            audiences.region([parse("all"), parse("nobody")], inside)


@few
@given(seed=st.integers(0, 1), drawn=trees(leaves))
def test_a_plan_tells_exact_sizes_and_true_bounds(
    runtime: Runtime, population: Populations, seed: int, drawn: Expression
) -> None:
    workspace, told = population(seed)
    with runtime.read(workspace, "test", now=NOW) as work:
        found = audiences.plan(work, here(drawn, told))
    waiting = [found.root]
    assert found.size == len(told.meaning(parse(found.root.text)))
    while waiting:
        one = waiting.pop()
        waiting += one.parts
        assert one.size == len(told.meaning(parse(one.text)))
        assert one.estimate is None or one.estimate >= one.size
        assert (one.kind == "group") == isinstance(parse(one.text), And | Or | Not)


def test_a_plan_shows_what_is_shared_and_what_is_asked(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test", now=NOW) as work:
        populate(work, 1)
        asked = 'did("purchase", sum(amount) >= 1.00)'
        found = audiences.plan(work, parse(f'tag("{PATHS[0]}") and {asked} or tag("{PATHS[0]}") or segment("活跃")'))
        assert found.asked == (asked,)
        assert [part.times for part in found.root.parts if part.text == f'tag("{PATHS[0]}")'] == [3]
        opened = next(part for part in found.root.parts if part.kind == "segment")
        assert [part.kind for part in opened.parts] == ["group"]
        assert isinstance(parse(opened.text), SegmentLeaf)


def test_the_figures_of_what_was_done_are_those_that_the_condition_counts(runtime: Runtime) -> None:
    """Also where the ends of a range stand the wrong way round, and where a window has no day."""
    with runtime.work(1, "test", now=NOW) as work:
        crowd(work, 2)
        behaviour.declare_event(work, "view", "test", {"pages": "number"})
        done = [EventIn("view", 1, work.now_ms, 300, properties={"pages": 3}), EventIn("view", 1, work.now_ms, 900)]
        behaviour.record(work, [*done, EventIn("view", 2, work.now_ms, 300)], batch_key="1", zone=work.zone)
        told = {}
        for text in (
            'did("view", amount between 5 and 1)',
            'did("view", pages between 4 and 2)',
            'did("view", sum(amount) between 20 and 1)',
            'did("view", 2026-04-01 to today)',
        ):
            found = audiences.explain(work, parse(text), 1)
            told[text] = found.holds, {fact.code: fact.params.get("figure") for fact in found.facts}
    assert list(told.values()) == [
        (True, {"did_times": "1", "did_last": None}),
        (True, {"did_times": "1", "did_last": None}),
        (True, {"did_sum": "12.00", "did_last": None}),
        (False, {"did_times": "0", "did_nothing": None}),
    ]
    assert found.facts[0].params["need"] == ">= 1"


@pytest.mark.parametrize(
    "spec",
    [f"tag: {'9' * 5000}: x", "tag: 99999999999999: x", "tag: a\ud800", "segments: a\ud800", f"tag: {'x' * 9000}"],
)
def test_a_dimension_that_names_nothing_possible_is_refused(runtime_sqlite: Runtime, spec: str) -> None:
    with runtime_sqlite.read(1, "test") as work, pytest.raises((Invalid, Refused)) as refusal:
        audiences.cross_table(work, [spec])
    assert refusal.value.remedy("zh")
