"""Rules upon rules upon rules: a chain settles in one turn, and none takes somebody in for what a rule below was."""

import pytest

from tagcast import audiences, behaviour, tag_rules, tags
from tagcast.kit.uow import Runtime
from tests.tag_rules.keeping import eager, give, held, rule, settle, take
from tests.tags.people import crowd, small_account


@pytest.fixture
def chained(runtime: Runtime) -> Runtime:
    """a ← own; b ← a; c ← b; d ← c; and rules that grow for who has own but not c, and not d."""
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        for path in ("own", "nobody"):
            tags.create(work, path)
        behaviour.declare_event(work, "buy", "test")
        # Named against their order, so that no order by name is the right one.
        rule(work, "z", 'tag("own") or did("buy", sum(amount) >= 1.00)')
        rule(work, "y", 'tag("z")')
        rule(work, "x", 'tag("y")')
        rule(work, "w", 'tag("x") and not tag("nobody")')
        rule(work, "a never", '(tag("own") or did("buy")) and not tag("x")', mode="grow")
        rule(work, "b never", 'tag("own") and not tag("w")', mode="grow")
    settle(eager(), runtime)
    return runtime


def test_a_chain_settles_in_one_turn_and_nobody_is_taken_in_wrongly(chained: Runtime) -> None:
    turning = eager()
    turning.turn(chained, [1])
    with chained.work(1, "test") as work:
        give(work, "own", 1, 2, 3)
    turning.turn(chained, [1])
    with chained.work(1, "test") as work:
        assert [held(work, path) for path in ("z", "y", "x", "w")] == [{1, 2, 3}] * 4
        take(work, "own", 2)
        bought = behaviour.EventIn("buy", 4, work.now_ms, 500)
        behaviour.record(work, [bought], batch_key="one", zone=work.zone)
    turning.turn(chained, [1])
    with chained.work(1, "test") as work:
        assert [held(work, path) for path in ("z", "y", "x", "w")] == [{1, 3, 4}] * 4
        assert held(work, "a never") == held(work, "b never") == set()
        give(work, "nobody", 3)
    settle(turning, chained)
    with chained.read(1, "test", now=None) as work:
        assert held(work, "w") == {1, 4}
        assert held(work, "b never") == {3}
        assert held(work, "a never") == set()


def test_a_chain_that_is_filled_all_at_once_takes_nobody_in_wrongly(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        tags.create(work, "own")
        give(work, "own", 1, 2)
        rule(work, "z", 'tag("own")')
        rule(work, "y", 'tag("z")')
        rule(work, "x", 'tag("y")')
        rule(work, "a never", 'tag("own") and not tag("x")', mode="grow")
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "x") == {1, 2}
        assert held(work, "a never") == set()


def test_what_stands_on_a_rule_that_stops_in_the_same_turn_follows_what_is(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        tags.create(work, "own")
        small = tags.create(work, "small", account=small_account(work, members=2))
        first = tag_rules.create(work, small.id, audiences.parse('tag("own")'))
        tag_rules.activate(work, first.id)
        below = f'tag("small", account {small.account})'
        rule(work, "upon", below)
        rule(work, "grown", f'{below} and tag("own")', mode="grow")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        give(work, "own", 1, 2, 3)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert tag_rules.get(work, first.id).state == "stopped"
        assert held(work, "upon") == held(work, "grown") == set()
