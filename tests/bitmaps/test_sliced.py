"""Numbers as bit planes, against a dict."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, writing

from tagcast.bitmaps import Bitmaps, View, pack, sliced

OPERATIONS: dict[sliced.Comparison, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
MEMBERS = st.integers(0, 12)
NUMBERS = st.integers(-6, 6) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, 0, -1])
STEPS = st.lists(
    st.lists(st.tuples(MEMBERS, NUMBERS), max_size=8) | st.frozensets(MEMBERS, max_size=4), min_size=1, max_size=6
)
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def put(view: View, pairs: list[tuple[int, int]]) -> BitMap:
    members = np.array([member for member, _ in pairs], dtype=np.uint32)
    return sliced.set_values(view, "n", members, np.array([value for _, value in pairs], dtype=np.int64), why="")


@REUSED
@given(STEPS, NUMBERS, NUMBERS, st.frozensets(MEMBERS))
def test_numbers_agree_with_a_dict(
    sqlite_log: Log,
    steps: list[list[tuple[int, int]] | frozenset[int]],
    low: int,
    high: int,
    some: frozenset[int],
) -> None:
    model: dict[int, int] = {}
    bitmaps = Bitmaps(sqlite_log.engine)
    with sqlite_log.engine.connect() as connection, connection.begin() as transaction:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        for step in steps:
            before = dict(model)
            if isinstance(step, frozenset):
                assert sliced.clear(view, "n", BitMap(step), why="") == BitMap(step & model.keys())
                model = {member: value for member, value in model.items() if member not in step}
            else:
                model |= dict(step)
                changed = BitMap(m for m in model if before.get(m) != model[m])
                assert put(view, step) == changed
        for op, holds in OPERATIONS.items():
            for value in (low, high, *model.values()):
                wanted = BitMap(member for member, number in model.items() if holds(number, value))
                assert sliced.compare(view, "n", op, value) == wanted
        assert sliced.between(view, "n", low, high) == BitMap(m for m, number in model.items() if low <= number <= high)
        assert sliced.known(view, "n") == BitMap(model)
        assert sliced.total(view, "n", BitMap(some)) == sum(model.get(member, 0) for member in some)
        asked = np.array([*some, 4_000_000_000, *some], dtype=np.uint32)
        numbers, known = sliced.values(view, "n", asked)
        assert numbers.tolist() == [model.get(int(member), 0) for member in asked]
        assert known.tolist() == [int(member) in model for member in asked]
        transaction.rollback()


def test_only_real_changes_are_logged(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        assert put(view, [(1, 5), (2, -5), (3, 4)]) == BitMap([1, 2, 3])
        seq = max(change.seq for key in view.keys("n#") for change in view.history(key))
        assert put(view, [(1, 5), (2, -5)]) == BitMap()
        assert put(view, [(1, 4)]) == BitMap([1])
        later = [change for key in ("n#0", "n#1", "n#2", "n#sign", "n#known") for change in view.history(key)]
        assert [(change.key, change.op, change.size) for change in later if change.seq > seq] == [("n#0", "remove", 1)]


def test_numbers_of_many_members(sqlite_log: Log) -> None:
    bitmaps = Bitmaps(sqlite_log.engine)
    random = np.random.default_rng(1)
    members = random.permutation(200_000).astype(np.uint32)
    numbers = random.integers(-1000, 1000, 200_000)
    with writing(bitmaps, sqlite_log) as view:
        sliced.set_values(view, "n", members, numbers, why="")
        assert sliced.compare(view, "n", ">", 500) == pack(members[numbers > 500])
        assert sliced.compare(view, "n", "<=", -7) == pack(members[numbers <= -7])
        assert sliced.total(view, "n", pack(members[:1000])) == int(numbers[:1000].sum())
        found, known = sliced.values(view, "n", members)
        assert (found == numbers).all()
        assert known.all()
    with sqlite_log.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM bitmap_change")).scalar() == 12


def test_wrong_questions_are_refused(sqlite_log: Log) -> None:
    bitmaps = Bitmaps(sqlite_log.engine)
    with writing(bitmaps, sqlite_log) as view:
        with pytest.raises(ValueError, match="same length"):
            sliced.set_values(view, "n", np.array([1], dtype=np.uint32), np.array([], dtype=np.int64), why="")
        with pytest.raises(ValueError, match="unknown comparison"):
            sliced.compare(view, "n", "~", 1)  # type: ignore[arg-type]  # what an unchecked caller may pass
