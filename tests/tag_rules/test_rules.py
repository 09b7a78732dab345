"""What a rule promises: dry run, versions, limits, rings, a keeper's right; and what stops it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from pyroaring import BitMap

from tagcast import audiences, behaviour, contacts, tag_rules, tags
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work
from tests.tag_rules.keeping import eager, give, held, rule, settle, take
from tests.tags.people import crowd, small_account


@pytest.fixture
def people(work: Work) -> Work:
    crowd(work, 12)
    for path in ("a", "b", "kept"):
        tags.create(work, path)
    give(work, "a", 1, 2, 3)
    return work


def draft(work: Work, path: str, text: str, **ways: Any) -> tag_rules.Rule:
    return tag_rules.create(work, tags.find(work, path).id, audiences.parse(text), **ways)


def test_a_dry_run_tells_who_would_get_and_lose_the_tag_and_changes_nothing(people: Work) -> None:
    give(people, "kept", 3, 9)
    tag = tags.find(people, "kept")
    found = tag_rules.dry_run(people, tag.id, audiences.parse('tag("a")'), "mirror")
    assert (found.holders, found.members, found.added.count, found.removed.count) == (2, 3, 2, 1)
    assert [one.number for one in found.removed.sample] == [9]
    assert not found.removed.sample[0].why.holds
    assert found.problem is None
    grown = tag_rules.dry_run(people, tag.id, audiences.parse('tag("a")'), "grow")
    assert grown.removed.count == 0
    assert held(people, "kept") == {3, 9}


def test_a_draft_does_nothing_and_an_active_rule_alone_keeps_its_tag(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 12)
        for path in ("a", "kept"):
            tags.create(work, path)
        give(work, "a", 1, 2)
        made = draft(work, "kept", 'tag("a")')
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "kept") == set()
        before = tags.assign(work, made.tag, BitMap([2, 7]), why="by hand")
        assert before is not None
        tag_rules.activate(work, made.id)
        for forbidden in (lambda: give(work, "kept", 5), lambda: take(work, "kept", 7)):
            with pytest.raises(Conflict) as refusal:
                forbidden()
            assert (refusal.value.code, refusal.value.params["rule"]) == ("tags.kept", str(made.id))
        with pytest.raises(Conflict):
            tags.undo(work, before.seq)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "kept") == {1, 2}
        newest = tags.history(work, made.tag, limit=1)[0]
        assert (newest.who, newest.why) == (f"rule:{made.id}", f"rule {made.id}, version 1: filled")
        tag_rules.stop(work, made.id)
        give(work, "kept", 8)
        give(work, "a", 3)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "kept") == {1, 2, 8}
        tag_rules.activate(work, made.id)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "kept") == {1, 2, 3}


def test_every_change_of_a_rule_is_a_version_that_can_come_back(people: Work) -> None:
    made = draft(people, "kept", 'tag("a")', owner="Li")
    second = tag_rules.edit(people, made.id, expression=audiences.parse('tag("b")'), version=1)
    assert second.version == 2
    with pytest.raises(Conflict):
        tag_rules.edit(people, made.id, mode="grow", version=1)
    assert tag_rules.edit(people, made.id, expression=audiences.parse('tag("b")')).version == 2  # nothing is other
    tags.rename(people, tags.find(people, "a").id, "renamed")
    third = tag_rules.restore(people, made.id, 1)
    assert (third.version, audiences.to_text(third.definition.expression)) == (3, 'tag("renamed")')
    with pytest.raises(NotFound):
        tag_rules.restore(people, made.id, 9)
    told = [(line.version, line.what, line.who) for line in tag_rules.history(people, made.id)]
    assert told == [(3, "restored", "test"), (2, "edited", "test"), (1, "created", "test")]
    tag_rules.delete(people, made.id)
    assert tag_rules.history(people, made.id)[0].what == "deleted"


@pytest.mark.parametrize("take_it", [True, False])
def test_a_deleted_rule_leaves_or_takes_what_it_gave(runtime: Runtime, take_it: bool) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 12)
        for path in ("a", "kept"):
            tags.create(work, path)
        give(work, "kept", 1, 9)
        give(work, "a", 1, 2, 3)
        made = rule(work, "kept", 'tag("a")', mode="grow")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "kept") == {1, 2, 3, 9}
        assert tag_rules.delete(work, made.id, take=take_it) == (2 if take_it else 0)
        assert held(work, "kept") == ({1, 9} if take_it else {1, 2, 3, 9})
        give(work, "kept", 5)


@pytest.mark.parametrize(
    ("ways", "code"),
    [
        ({"mode": "other"}, "tag_rules.bad_mode"),
        ({"until_days": 3}, "tag_rules.days_with_mirror"),
        ({"mode": "grow", "until_days": -1}, "tag_rules.bad_days"),
        ({"mode": "grow", "until_days": 10**6}, "tag_rules.bad_days"),
        ({"owner": "x" * 101}, "tag_rules.bad_owner"),
    ],
)
def test_what_a_rule_cannot_be(people: Work, ways: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        draft(people, "kept", 'tag("a")', **ways)
    assert refusal.value.code == code
    assert tag_rules.every(people) == []


def test_a_tag_has_one_rule_and_an_expression_is_proved_first(people: Work) -> None:
    with pytest.raises(Invalid):
        draft(people, "kept", 'tag("nowhere")')
    made = draft(people, "kept", 'tag("a")')
    with pytest.raises(Conflict) as refusal:
        draft(people, "kept", 'tag("b")')
    assert refusal.value.params["rule"] == made.id


def test_rules_in_a_ring_are_refused_with_the_way_named(people: Work) -> None:
    with pytest.raises(Conflict) as refusal:
        draft(people, "kept", 'not tag("kept")')
    assert refusal.value.params["path"] == "kept → kept"
    audiences.create(people, "over", audiences.parse('tag("kept")'))
    rule(people, "b", 'segment("over")')
    rule(people, "a", 'tag("b")')
    made = draft(people, "kept", "all")
    with pytest.raises(Conflict) as refusal:
        tag_rules.edit(people, made.id, expression=audiences.parse('not tag("a")'))
    assert refusal.value.params["path"] == "kept → a → b → kept"


def test_rules_that_come_to_stand_in_a_ring_stop_and_say_so(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 5)
        for path in ("a", "b"):
            tags.create(work, path)
        audiences.create(work, "s", audiences.parse("nobody"))
        one = rule(work, "a", 'segment("s")')
        rule(work, "b", 'tag("a")')
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        audiences.update(work, audiences.find(work, "s").id, audiences.parse('not tag("b")'))
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        found = tag_rules.get(work, one.id)
        assert (found.state, found.problem and found.problem["code"]) == ("stopped", "tag_rules.ring")


def test_a_limit_stops_a_rule_with_nothing_changed_and_its_source_told(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        of = small_account(work, members=3)
        tags.create(work, "a")
        give(work, "a", 1, 2)
        small = tags.create(work, "small", account=of)
        made = tag_rules.create(work, small.id, audiences.parse('tag("a")'))
        tag_rules.activate(work, made.id)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert set(tags.holders(work, small.id)) == {1, 2}
        take(work, "a", 1)
        give(work, "a", 3, 4, 5, 6)
        would = tag_rules.dry_run(work, small.id, audiences.parse('tag("a")'), "mirror")
        assert isinstance(would.problem, Refused)
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert set(tags.holders(work, small.id)) == {1, 2}
        found = tag_rules.get(work, made.id)
        assert found.problem is not None
        assert (found.state, found.problem["code"]) == ("stopped", "tags.full")
        assert "a test" in found.problem["en"] + found.problem["en_remedy"]
        assert tag_rules.history(work, made.id)[0].what == "stopped_itself"
        take(work, "a", 6, 5)
        tag_rules.activate(work, made.id)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert set(tags.holders(work, small.id)) == {2, 3, 4}


def test_what_cannot_be_worked_out_any_more_stops_a_rule(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        for path in ("a", "b", "c"):
            tags.create(work, path)
        one, two = rule(work, "b", 'tag("a")'), rule(work, "c", "all")
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        tags.archive(work, tags.find(work, "a").id)
        tags.archive(work, two.tag)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        found = {made.id: tag_rules.get(work, made.id) for made in (one, two)}
        codes = {number: made.problem and made.problem["code"] for number, made in found.items()}
        assert codes == {one.id: "audiences.archived_tag", two.id: "tags.archived"}


def test_days_after_which_a_grown_tag_ends(runtime: Runtime) -> None:
    turning = eager()
    with time_machine.travel(datetime(2026, 3, 1, 4, tzinfo=UTC), tick=False) as clock:
        with runtime.work(1, "test") as work:
            crowd(work, 9)
            tags.create(work, "a")
            give(work, "a", 1, 2)
            rule(work, "kept", 'tag("a")', mode="grow", until_days=2)
        settle(turning, runtime)
        with runtime.work(1, "test") as work:
            take(work, "a", 1)
        for days, expected in ((1, {1, 2}), (2, {2})):
            clock.shift(timedelta(days=days))
            with runtime.work(1, "worker") as work:
                tags.expire(work)
            settle(turning, runtime)
            with runtime.read(1, "test") as work:
                assert held(work, "kept") == expected


def test_a_clock_that_jumps_over_days_moves_windows_by_their_buckets(runtime: Runtime) -> None:
    turning = eager()
    with time_machine.travel(datetime(2026, 3, 1, 4, tzinfo=UTC), tick=False) as clock:
        with runtime.work(1, "test") as work:
            crowd(work, 9)
            behaviour.declare_event(work, "view", "test")
            rule(work, "recent", 'did("view", last 3 days)')
            rule(work, "lost", 'not did("view", last 3 days) and did("view", last 30 days)')
            behaviour.record(work, [behaviour.EventIn("view", 4, work.now_ms)], batch_key="1", zone=work.zone)
        for days, recent, lost in ((0, {4}, set()), (2, {4}, set()), (5, set(), {4}), (40, set(), set())):
            clock.shift(timedelta(days=days))
            settle(turning, runtime)
            with runtime.read(1, "test") as work:
                assert (held(work, "recent"), held(work, "lost")) == (recent, lost)


def test_a_second_event_of_a_day_is_followed_though_it_changes_no_day_set(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        behaviour.declare_event(work, "view", "test", ["shop"])
        rule(work, "kept", 'did("view", sum(amount) >= 5.00, last 3 days)')
    for batch, expected in (("1", set()), ("2", {4})):
        with runtime.work(1, "test") as work:
            some = [behaviour.EventIn("view", 4, work.now_ms, 300)]
            behaviour.record(work, some, batch_key=batch, zone=work.zone)
        settle(turning, runtime)
        with runtime.read(1, "test") as work:
            assert held(work, "kept") == expected
    with runtime.work(1, "test") as work:
        work.bitmaps.remove(contacts.EVERYONE, BitMap([4]), why="erased")
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "kept") == set()


def test_rules_follow_a_merged_tag_and_a_renamed_segment(runtime: Runtime) -> None:
    turning = eager()
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        for path in ("a", "b"):
            tags.create(work, path)
        give(work, "a", 1)
        give(work, "b", 2)
        audiences.create(work, "s", audiences.parse("all"))
        made = rule(work, "kept", 'tag("a") and segment("s")')
        assert ("rule", made.id, "kept") in {(use.kind, use.id, use.name) for use in tags.uses(work)}
        audiences.rename(work, audiences.find(work, "s").id, "t")
        old, new = tags.find(work, "a"), tags.find(work, "b")
        notes = tags.rewrite_uses(work, old, new)
        found = tag_rules.get(work, made.id)
        assert audiences.to_text(found.definition.expression) == 'tag("b") and segment("t")'
        assert [line.what for line in tag_rules.history(work, made.id)][:2] == ["rewritten", "rewritten"]
    settle(turning, runtime)
    with runtime.work(1, "test") as work:
        assert held(work, "kept") == {2}
        tags.restore_uses(work, notes)
    settle(turning, runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "kept") == {1}
