"""The deepest that the limits allow: segments of full depth that stand on each other as high as they may."""

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd

from tagcast import tags
from tagcast.audiences import actions, compiler, explaining, planning, rules
from tagcast.audiences.rules import And, Expression, Not, Or, SegmentLeaf, TagLeaf
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Runtime


def deep(inmost: Expression) -> Expression:
    """As deep as one expression may be; it stands for what `inmost` stands for, or for everyone else."""
    node = inmost
    for level in range(rules.limits().depth - 1):
        match level % 3:
            case 0:
                node = Not(node)
            case 1:
                node = And((node, TagLeaf("all")))
            case _:
                node = Or((node, TagLeaf("nobody")))
    rules.check(node)
    return node


def test_segments_of_full_depth_on_each_other(runtime_sqlite: Runtime) -> None:
    limits = rules.limits()
    with runtime_sqlite.work(1, "test") as work:
        everyone = crowd(work, 20)
        tags.create(work, "nobody")
        tags.assign(work, tags.create(work, "all").id, everyone, why="t")
        tags.assign(work, tags.create(work, "a").id, BitMap([1, 2, 3]), why="t")
        below: Expression = TagLeaf("a")
        for height in range(limits.segment_depth):
            actions.create(work, f"s{height}", deep(below))
            below = SegmentLeaf(f"s{height}")
        with pytest.raises(Refused):
            actions.create(work, "top", below)
    expression = deep(below)
    with runtime_sqlite.read(1, "test") as work:
        found = compiler.members(work, expression)
        assert found in (BitMap([1, 2, 3]), everyone - BitMap([1, 2, 3]))
        assert compiler.count(work, expression) == len(found)
        assert planning.plan(work, expression).size == len(found)
        for number in (1, 9):
            assert explaining.explain(work, expression, number).holds == (number in found)
