"""The pure decisions of broadcasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagcast.broadcasts import rules
from tagcast.broadcasts.rules import Route, Status, Step

numbers = st.sets(st.integers(1, 2**32 - 1), max_size=300).map(lambda found: np.array(sorted(found), dtype=np.uint32))


@pytest.mark.parametrize(
    ("account", "kind", "expected"),
    [
        ("wecom", "text", Route.TASKS),
        ("wecom", "article", Route.TASKS),
        ("official", "article", Route.TAG),
        ("official", "text", Route.TAG),
        ("service", "template", Route.TEMPLATE),
        ("service", "article", Route.LIST),
        ("custom", "template", Route.WEBHOOK),
        ("custom", "text", Route.WEBHOOK),
    ],
)
def test_route(account: str, kind: str, expected: Route) -> None:
    assert rules.route(account, kind) is expected


@given(numbers, st.floats(0, 50), st.integers(0, 2**64 - 1))
def test_draw_is_exact_in_size_and_only_of_the_numbers(found: np.ndarray, percent: float, seed: int) -> None:
    drawn = rules.draw(found, percent, seed)
    assert drawn.size == round(found.size * percent / 100)
    assert np.isin(drawn, found).all()
    assert np.unique(drawn).size == drawn.size


def test_draw_depends_on_seed_and_not_on_order() -> None:
    found = np.arange(1, 1001, dtype=np.uint32)
    first = rules.draw(found, 10, 7)
    assert rules.draw(found[::-1].copy(), 10, 7).tolist() == first.tolist()
    assert rules.draw(found, 10, 8).tolist() != first.tolist()


def test_draw_is_fair_to_every_number() -> None:
    found = np.arange(1, 101, dtype=np.uint32)
    times = np.zeros(101)
    for seed in range(2000):
        times[rules.draw(found, 10, seed * 0x9E3779B9)] += 1
    # 2,000 draws with p = 0.1: standard deviation 13.4; five of them either way.
    assert times[1:].min() > 133
    assert times[1:].max() < 267


@given(numbers, st.integers(1, 50), st.integers(1, 3))
def test_cut_loses_nobody_and_leaves_no_small_piece(found: np.ndarray, size: int, least: int) -> None:
    size = max(size, 2 * least)
    pieces = rules.cut(found, size, least=least)
    assert np.concatenate([*pieces, np.empty(0, dtype=np.uint32)]).tolist() == found.tolist()
    assert all(piece.size <= size for piece in pieces)
    if found.size >= least:
        assert all(piece.size >= least for piece in pieces)


def test_cut_of_10001_in_ten_thousands_is_two_halves() -> None:
    found = np.arange(10_001, dtype=np.uint32)
    assert [piece.size for piece in rules.cut(found, 10_000, least=2)] == [5001, 5000]


def test_merge_keeps_the_stronger_fact() -> None:
    stored = np.array([Status.PLANNED, Status.IN_DOUBT, Status.ACCEPTED, Status.FAILED], dtype=np.uint8)
    learnt = np.array([Status.ACCEPTED, Status.ACCEPTED, Status.RETRY, Status.PLANNED], dtype=np.uint8)
    assert rules.merge(stored, learnt).tolist() == [Status.ACCEPTED, Status.ACCEPTED, Status.ACCEPTED, Status.FAILED]


def test_receipts_move_only_what_was_called() -> None:
    stored = np.array([Status.PLANNED, Status.ACCEPTED, Status.ACCEPTED, Status.DELIVERED, Status.HELD], dtype=np.uint8)
    learnt = np.array([Status.DELIVERED, Status.DELIVERED, Status.FAILED, Status.FAILED, Status.FAILED], dtype=np.uint8)
    after = rules.receipts(stored, learnt)
    assert after.tolist() == [Status.PLANNED, Status.DELIVERED, Status.FAILED, Status.DELIVERED, Status.HELD]


def test_in_flight_is_below_the_watermark_without_an_outcome() -> None:
    statuses = np.array([Status.ACCEPTED, Status.PLANNED, Status.PLANNED, Status.PLANNED], dtype=np.uint8)
    assert np.flatnonzero(rules.in_flight(statuses, 3)).tolist() == [1, 2]


@given(st.lists(st.lists(st.sampled_from(list(Status)), max_size=50), max_size=5))
def test_count_sums_to_the_audience(chunks: list[list[Status]]) -> None:
    counted = rules.count([chunk.count(status) for status in Status] for chunk in chunks)
    carried = sum(chunk.count(Status.CARRIED) for chunk in chunks)
    assert sum(counted.values()) == sum(len(chunk) for chunk in chunks) - carried
    assert counted["delivered"] == sum(chunk.count(Status.DELIVERED) for chunk in chunks)


def test_plan_hash_moves_with_people_and_with_facts() -> None:
    steps = [Step("assigned", 10, "aa")]
    first = rules.plan_hash({"content": {"text": "你好"}}, steps)
    assert rules.plan_hash({"content": {"text": "你好"}}, steps) == first
    assert rules.plan_hash({"content": {"text": "您好"}}, steps) != first
    assert rules.plan_hash({"content": {"text": "你好"}}, [Step("assigned", 10, "ab")]) != first


def test_moved_names_each_difference() -> None:
    before = [Step("no_consent", 12, "a"), Step("assigned", 100, "b")]
    after = [Step("no_consent", 15, "c"), Step("assigned", 100, "d"), Step("suppressed", 2, "e")]
    assert rules.moved(before, after) == ["no_consent 12 → 15", "assigned: other people", "suppressed 0 → 2"]
