"""The highest numbers, and numbers in many ranges, against a sorted list."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, writing

from tagcast.bitmaps import Bitmaps, ordered, sliced

NUMBERS = st.integers(-6, 6) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1])
VALUES = st.dictionaries(st.integers(0, 40), NUMBERS, max_size=25)
RANGES = st.lists(st.tuples(NUMBERS, NUMBERS).map(lambda ends: (min(ends), max(ends))), max_size=5)


@pytest.fixture
def keys() -> Iterator[str]:
    """A fresh key an example."""
    return (f"n{i}" for i in range(10_000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(VALUES, st.integers(0, 30), RANGES, st.frozensets(st.integers(0, 40)))
def test_order_agrees_with_a_sorted_list(
    sqlite_log: Log,
    keys: Iterator[str],
    values: dict[int, int],
    count: int,
    ranges: list[tuple[int, int]],
    some: frozenset[int],
) -> None:
    bitmaps, key = Bitmaps(sqlite_log.engine), next(keys)
    with writing(bitmaps, sqlite_log) as view:
        members, numbers = list(values), list(values.values())
        sliced.set_values(view, key, np.array(members, np.uint32), np.array(numbers, np.int64), why="")
        ranking = sorted(sorted(values), key=lambda member: values[member], reverse=True)
        assert ordered.highest(view, key, count) == BitMap(ranking[:count])
        inside = {member for member, value in values.items() if any(low <= value <= high for low, high in ranges)}
        assert ordered.inside(view, key, ranges) == BitMap(inside)
        assert ordered.inside(view, key, ranges, BitMap(some)) == BitMap(inside & some)
        assert set(view.keys(f"{key}#")) <= set(ordered.planes(key))
