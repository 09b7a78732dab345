"""What keeps rules from being followed is told, and forgotten when it is over."""

from datetime import timedelta

import sqlalchemy as sa

from tagcast import behaviour, tag_rules, tags
from tagcast.audiences.tables import kept
from tagcast.behaviour import moving
from tagcast.kit.uow import Runtime, Work
from tests.tag_rules.keeping import eager, give, held, rule, settle
from tests.tags.people import crowd


def test_a_lake_that_is_gone_is_told_by_every_rule_until_it_is_back(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 5)
        tags.create(work, "a")
        behaviour.declare_event(work, "buy", "test", [])
        _buys(work, 1)
        rule(work, "t", 'did("buy", sum(amount) >= 1.00, last 9 days)')
        rule(work, "b", 'tag("a")')
    turning = eager()
    settle(turning, runtime)
    moving.bring(runtime, 1)
    with runtime.work(1, "test") as work:
        assert moving.release(work, timedelta(milliseconds=-1000)) == 1
    lake = runtime.settings.home / "lake"
    lake.rename(runtime.settings.home / "elsewhere")
    runtime.lake.table("w1/buy")._opened = None
    with runtime.work(1, "test") as work:
        _buys(work, 2)
        give(work, "a", 3)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        found, health = tag_rules.seen(work), tag_rules.health(work)
        assert [one.trouble for one in found] == [health.trouble] * 2
        assert health.trouble is not None
        assert health.trouble.problem["code"].startswith("behaviour.lake")
        assert health.trouble.problem["zh_remedy"]
        assert health.lag.changes > 0
        assert (health.running, health.filling) == (2, 0)
    (runtime.settings.home / "elsewhere").rename(lake)
    runtime.lake.table("w1/buy")._opened = None
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        assert (held(work, "t"), held(work, "b")) == ({1, 2}, {3})
        assert tag_rules.health(work) == tag_rules.Health(2, 0, tag_rules.health(work).lag, None)
        assert tag_rules.health(work).lag.changes == 0


def _buys(work: Work, number: int) -> None:
    told = behaviour.EventIn("buy", number, work.now_ms, 100)
    behaviour.record(work, [told], batch_key=str(number), zone=work.zone)


def test_where_a_rule_stands_is_damaged_and_it_looks_at_everybody_anew(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 3)
        tags.create(work, "a")
        give(work, "a", 1)
        rule(work, "b", 'tag("a")')
    settle(eager(), runtime)
    with runtime.work(1, "test") as work:
        work.connection.execute(sa.update(kept).values(node=b"\x02no such thing"))
        give(work, "a", 2)
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "b") == {1, 2}
        assert tag_rules.health(work).trouble is None


def test_a_rule_that_is_not_filled_yet_says_how_many_it_looked_at(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 3)
        rule(work, "b", "all")
        (before,) = tag_rules.seen(work)
        assert (before.state, before.looked_at, before.contacts, before.lag) == ("filling", 0, 3, None)
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        (after,) = tag_rules.seen(work)
        assert (after.state, after.looked_at, after.contacts) == ("active", 3, 3)
        assert after.lag is not None
        assert (after.lag.changes, after.lag.seconds) == (0, 0.0)
