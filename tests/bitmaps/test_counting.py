"""Members of at least n sets; pages of a set."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast.bitmaps import counting, page
from tagcast.bitmaps.planes import Plane

few = st.frozensets(st.integers(0, 30) | st.integers(2**16, 2**16 + 30))
many = st.tuples(st.integers(0, 3 * 2**16), st.integers(1, 40_000), st.integers(1, 3)).map(
    lambda three: frozenset(range(three[0], three[0] + three[1] * three[2], three[2]))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(few, max_size=20) | st.lists(few | many, max_size=6), st.integers(1, 25), st.integers(0, 2**20 - 1))
def test_at_least_counts_as_a_counter_does(sets: list[frozenset[int]], n: int, dense: int) -> None:
    given_sets = [BitMap(members) for members in sets]
    counts = Counter(member for members in sets for member in members)
    wanted = BitMap(member for member, count in counts.items() if count >= n)
    as_planes = [Plane.union([one]) if dense >> place & 1 else one for place, one in enumerate(given_sets)]
    found = counting.at_least_of(as_planes, n)
    assert (found.bitmap() if isinstance(found, Plane) else found) == wanted
    assert counting.at_least(given_sets, n) == wanted
    assert given_sets == [BitMap(members) for members in sets]


def test_at_least_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        counting.at_least([BitMap([1])], 0)


@given(st.frozensets(st.integers(1, 60)), st.integers(1, 20))
def test_pages_give_every_member_once_in_order(members: frozenset[int], limit: int) -> None:
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        found, after = page(BitMap(members), after, limit)
        assert len(found) <= limit
        assert bool(found) or not seen
        seen += found
    assert seen == sorted(members)


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [(0, 2, ([3, 5], 5)), (3, 2, ([5, 9], None)), (4, 1, ([5], 5)), (9, 5, ([], None)), (100, 5, ([], None))],
)
def test_a_page_begins_above_its_mark(after: int, limit: int, expected: tuple[list[int], int | None]) -> None:
    assert page(BitMap([3, 5, 9]), after, limit) == expected
