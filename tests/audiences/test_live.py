"""Live segments: kept true, entering and leaving told; nodes that moved differ by their buckets."""

import random
import zlib

import pytest
import sqlalchemy as sa
from pyroaring import BitMap
from tests.tag_rules.keeping import eager, give, settle, take
from tests.tags.people import crowd

from tagcast import audiences, tags
from tagcast.audiences.live import nodes
from tagcast.audiences.tables import kept
from tagcast.bitmaps import algebra
from tagcast.bitmaps.algebra import AllOf, AnyOf, Asked, AtLeast, Compared, Except, Key, Known, Node
from tagcast.kit.events import events
from tagcast.kit.uow import Runtime, Work


def _told(work: Work) -> list[tuple[str, bool, set[int]]]:
    rows = work.connection.execute(
        sa.select(events.c.name, events.c.payload).where(events.c.name.like("audiences.%")).order_by(events.c.seq)
    )
    return [(row.name, row.payload["first"], set(work.bitmaps.members(row.payload["seq"]))) for row in rows]


def test_a_live_segment_is_true_and_tells_who_enters_and_leaves(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        for path in ("a", "b"):
            tags.create(work, path)
        give(work, "a", 1, 2)
        made = audiences.create(work, "both", audiences.parse('tag("a") and not tag("b")'))
        audiences.keep(work, made.id, "live")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        found = audiences.find(work, "both")
        assert found.fresh_at is not None
        assert set(work.bitmaps.read(found.key)) == {1, 2}
        give(work, "b", 2)
        give(work, "a", 3)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert set(work.bitmaps.read(found.key)) == {1, 3}
        assert _told(work) == [
            ("audiences.entered", True, {1, 2}),
            ("audiences.left", False, {2}),
            ("audiences.entered", False, {3}),
        ]
        audiences.update(work, made.id, audiences.parse('tag("b")'))
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert set(work.bitmaps.read(found.key)) == {2}


def test_a_live_segment_that_cannot_be_worked_out_has_no_set(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        tag = tags.create(work, "a")
        give(work, "a", 1, 2)
        made = audiences.create(work, "s", audiences.parse('tag("a")'))
        audiences.keep(work, made.id, "live")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        tags.archive(work, tag.id)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert audiences.get(work, made.id).fresh_at is None
        assert not work.bitmaps.read(made.key)
        tags.restore(work, tag.id)
        take(work, "a", 2)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert set(work.bitmaps.read(made.key)) == {1}


def test_what_another_version_kept_is_worked_out_anew(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        tags.create(work, "a")
        give(work, "a", 1, 2)
        made = audiences.create(work, "s", audiences.parse('tag("a")'))
        audiences.keep(work, made.id, "live")
    settle(eager(), runtime)
    with runtime.work(1, "test") as work:
        work.connection.execute(sa.update(kept).values(node=zlib.compress(b'[["a",["k","tag:1"]]]')))
        give(work, "a", 3)
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        assert set(work.bitmaps.read(made.key)) == {1, 2, 3}


KEYS = tuple(f"k{n}" for n in range(6))


def _node(dice: random.Random, depth: int = 3) -> Node:
    if depth == 0 or dice.random() < 0.3:
        return Key(dice.choice(KEYS))
    parts = tuple(_node(dice, depth - 1) for _ in range(dice.randrange(0, 4)))
    return dice.choice(
        [AllOf(parts), AnyOf(parts), AtLeast(dice.randrange(1, 3), parts), Except(_node(dice, depth - 1))]
    )


def _changed(dice: random.Random, node: Node) -> Node:
    """The node with something replaced, left out or put in."""
    if dice.random() < 0.3:
        return _node(dice, 1)
    match node:
        case Key():
            return Key(dice.choice(KEYS))
        case Except(part):
            return Except(_changed(dice, part))
        case AtLeast(times, parts):
            return AtLeast(times, _parts(dice, parts))
        case AllOf(parts):
            return AllOf(_parts(dice, parts))
        case AnyOf(parts):
            return AnyOf(_parts(dice, parts))
        case _:
            return node


def _parts(dice: random.Random, parts: tuple[Node, ...]) -> tuple[Node, ...]:
    made = [_changed(dice, part) if dice.random() < 0.4 else part for part in parts]
    if made and dice.random() < 0.4:
        made.pop(dice.randrange(len(made)))
    if dice.random() < 0.4:
        made.append(_node(dice, 1))
    return tuple(made)


def test_a_node_whose_parts_are_shared_is_kept_in_a_few_rows() -> None:
    node: algebra.Node = algebra.Key("a")
    for step in range(100):
        above = tuple(algebra.AllOf((node, algebra.Key(f"{side}{step}"))) for side in "xy")
        node = algebra.AnyOf(above)
    kept = nodes.pack(node)
    assert len(kept) < 10_000
    assert nodes.unpack(kept) == node
    assert nodes.pack(nodes.unpack(kept)) == kept


def test_whoever_a_changed_node_concerns_is_found_and_kept_nodes_come_back(runtime_sqlite: Runtime) -> None:
    dice = random.Random(5)
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 40)
        for key in KEYS:
            work.bitmaps.add(key, BitMap(dice.sample(range(1, 41), 12)), why="test")
        sets = algebra.Evaluation(work.bitmaps, "contact")
        for _ in range(1500):
            old = _node(dice)
            new = _changed(dice, old)
            assert nodes.unpack(nodes.pack(old)) == old
            found = nodes.moved(nodes.unpack(nodes.pack(old)), new, sets, same_source=False)
            assert found is not None
            assert sets.members(old) ^ sets.members(new) <= found
            assert nodes.pack(old) != nodes.pack(new) or old == new


def test_a_window_that_moved_concerns_its_first_and_last_day_only(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 40)
        days = [Key(f"day{n}") for n in range(10)]
        for n, day in enumerate(days):
            work.bitmaps.add(day.name, BitMap([n + 1, 30]), why="test")
        sets = algebra.Evaluation(work.bitmaps, "contact")
        for made in (AnyOf, lambda parts: Except(AtLeast(2, (*parts, Key("other"))))):
            found = nodes.moved(made(tuple(days[:8])), made(tuple(days[1:9])), sets, same_source=True)
            assert found == BitMap([1, 9, 30])


@pytest.mark.parametrize("same_source", [True, False])
def test_a_question_about_another_window_concerns_the_days_that_came_and_went(
    runtime_sqlite: Runtime, same_source: bool
) -> None:
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 40)
        for n in range(4):
            work.bitmaps.add(f"event:view:day:{n}", BitMap([n + 1]), why="test")
        sets = algebra.Evaluation(work.bitmaps, "contact")

        def question(first: int) -> Node:
            feeds = tuple(f"event:view:day:{n}" for n in range(first, first + 2))
            return AllOf((Known("x"), Compared("x", ">=", 2**70), Asked(("q", first), lambda _: BitMap(), feeds)))

        kept = nodes.unpack(nodes.pack(question(0)))
        assert nodes.pack(kept) == nodes.pack(question(0))
        assert nodes.moved(kept, question(0), sets, same_source=same_source) == BitMap()
        found = nodes.moved(kept, question(1), sets, same_source=same_source)
        assert found == (BitMap([1, 3]) if same_source else None)
