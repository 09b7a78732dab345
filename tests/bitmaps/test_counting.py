"""Members of at least n sets."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast.bitmaps import counting


@given(st.lists(st.frozensets(st.integers(0, 30) | st.integers(2**16, 2**16 + 30)), max_size=20), st.integers(1, 25))
def test_at_least_counts_as_a_counter_does(sets: list[frozenset[int]], n: int) -> None:
    given_sets = [BitMap(members) for members in sets]
    counts = Counter(member for members in sets for member in members)
    assert counting.at_least(given_sets, n) == BitMap(member for member, count in counts.items() if count >= n)
    assert given_sets == [BitMap(members) for members in sets]


def test_at_least_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        counting.at_least([BitMap([1])], 0)
