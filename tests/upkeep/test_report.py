"""The report: each kind of finding, on the side and off it; pairs of sets against all pairs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.tags.people import crowd, small_account

from tagcast import audiences, tags, upkeep
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime, Work
from tagcast.upkeep import Operation

NOW = datetime(2026, 11, 23, tzinfo=UTC)
At = Callable[[int], Work]


@pytest.fixture
def at(runtime: Runtime, work: Work) -> At:
    """The open unit of work so many days ago."""

    def moved(days: int) -> Work:
        moment = NOW - timedelta(days=days)
        view = runtime.bitmaps.view(work.connection, 1, who="test", at_ms=clock.to_ms(moment))
        return replace(work, now=moment, bitmaps=view)

    return moved


def found(work: Work, *kinds: str) -> list[tuple[str, tuple[str, ...], Operation | None]]:
    return [(one.kind, one.paths, one.suggested) for one in upkeep.report(work, kinds=kinds)]


def test_unused_stale_and_tiny(at: At) -> None:
    crowd(at(400), 100)
    ids = {name: tags.create(at(399), name).id for name in ("empty", "old", "used", "young", "few", "root")}
    few = tags.create(at(399), "root/few").id
    tags.assign(at(181), ids["old"], BitMap(range(1, 50)), why="t")
    tags.assign(at(181), ids["used"], BitMap(range(1, 50)), why="t")
    tags.assign(at(20), ids["young"], BitMap(range(1, 50)), why="t")
    tags.assign(at(20), ids["few"], BitMap(range(1, 10)), why="t")
    tags.assign(at(20), few, BitMap(range(1, 10)), why="t")
    now = at(0)
    audiences.create(now, "s", audiences.parse('tag("used")'))
    kinds = ("unused", "stale", "tiny")
    assert found(now, *kinds) == [
        ("unused", ("empty",), Operation("archive", ids["empty"])),
        ("stale", ("old",), Operation("archive", ids["old"])),
        ("tiny", ("few",), Operation("archive", ids["few"])),
        ("tiny", ("root/few",), Operation("merge", few, ids["root"])),
    ]
    upkeep.set_thresholds(now, {"stale_days": 182, "tiny": 9, "unused_days": 399})
    assert [kind for kind, _, _ in found(now, *kinds)] == ["unused"]
    upkeep.set_thresholds(now, {"stale_days": None, "unused_days": 400})
    assert [kind for kind, _, _ in found(now, *kinds)] == ["stale"]
    for wrong in ({"tiny": 0}, {"tiny": 1.5}, {"nearly_equal": 1.1}, {"size": 1}, {"tiny": True}):
        with pytest.raises(Invalid):
            upkeep.set_thresholds(now, wrong)


def test_limits_and_contradictions(at: At) -> None:
    now = at(0)
    crowd(now, 30)
    of = small_account(now, members=10, count=2)
    a, b = (tags.create(now, name, account=of).id for name in "ab")
    tags.assign(now, a, BitMap(range(1, 10)), why="t")
    tags.assign(now, b, BitMap(range(1, 9)), why="t")
    group, x, y = (tags.create(now, path).id for path in ("g", "g/x", "g/y"))
    tags.assign(now, x, BitMap([1, 2]), why="t")
    tags.assign(now, y, BitMap([2, 3]), why="t")
    tags.declare(now, group, exclusive="replace")
    listed = upkeep.report(now, kinds=("limit", "contradictory"))
    assert [(one.kind, one.paths) for one in listed] == [
        ("contradictory", ("g", "g/x", "g/y")), ("limit", ()), ("limit", ("a",)),
    ]  # fmt: skip
    assert listed[0].facts == {"contacts": 1, "first": 2}
    assert (listed[1].facts["count"], listed[1].facts["most"], listed[1].facts["source"]) == (2, 2, "a test")
    for one in listed:
        assert str(one.facts.get("count", 1)) in upkeep.sentence(one, "zh")
        assert upkeep.sentence(one, "en")
    paths = {number: tag.path for number, tag in tags.every(now).items()}
    assert upkeep.render_csv(listed, paths).count("\r\n") == 4


def test_drift_is_told_by_the_tags_own_past(at: At) -> None:
    crowd(at(100), 1000)
    calm, wild, always = (tags.create(at(90), name).id for name in ("calm", "wild", "always"))
    for tag in (calm, wild, always):
        tags.assign(at(80), tag, BitMap(range(1, 501)), why="t")
    for week in range(8, 0, -1):
        day = at(week * 7 - 3)
        tags.remove(day, always, BitMap(range(1, 251)), why="t")
        tags.assign(day, always, BitMap(range(1, 251)), why="t")
        if week > 1:
            tags.assign(day, wild, BitMap([500 + week]), why="t")
            tags.assign(day, calm, BitMap([500 + week]), why="t")
    tags.assign(at(3), wild, BitMap(range(600, 900)), why="campaign")
    (one,) = upkeep.report(at(0), kinds=["drifting"])
    assert one.paths == ("wild",)
    assert (one.facts["net"], one.facts["holders"]) == (300, 807)
    assert round(one.facts["turnover"], 3) == round(300 / 507, 3)
    assert "59%" in upkeep.sentence(one, "en")


def test_nearly_equal_tags_and_which_of_them_stays(at: At) -> None:
    now = at(0)
    crowd(now, 1000)
    a, b, c = (tags.create(now, path).id for path in ("a", "b", "c"))
    tags.assign(now, a, BitMap(range(1, 101)), why="t")
    tags.assign(now, b, BitMap(range(5, 101)), why="t")
    tags.assign(now, c, BitMap(range(50, 150)), why="t")
    assert found(now, "equal") == [("equal", ("a", "b"), Operation("merge", b, a))]
    audiences.create(now, "s", audiences.parse('tag("b")'))
    assert found(now, "equal") == [("equal", ("b", "a"), Operation("merge", a, b))]


SETS = st.lists(
    st.one_of(
        st.sets(st.integers(0, 200), max_size=60),
        st.builds(lambda low, gone: set(range(low, low + 60)) - gone, st.integers(0, 9), st.sets(st.integers(0, 70))),
        st.sets(st.integers(0, 0xFFFFFFFF), max_size=5),
    ),
    max_size=8,
)


@given(SETS, st.floats(0.05, 1.0))
def test_pairs_are_those_of_all_pairs(sets: list[set[int]], share: float) -> None:
    found = {
        frozenset((pair.a, pair.b)): pair.both
        for pair in upkeep.nearly_equal({at: BitMap(one) for at, one in enumerate(sets)}, share)
    }
    expected = {
        frozenset((i, j)): len(sets[i] & sets[j])
        for i in range(len(sets))
        for j in range(i)
        if sets[i] and sets[j] and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= share
    }
    assert found == expected
