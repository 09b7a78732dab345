"""Tags of a service account, both ways, against the sandbox over HTTP."""

from collections.abc import Awaitable, Iterator

import pytest
import sqlalchemy as sa
from tests.channels.canned import Canned
from tests.tags.syncing import Both, join
from tests.wechat_sandbox.conftest import Sandbox, start

from tagcast import tags
from tagcast.accounts.tables import accounts as account_table
from tagcast.kit.uow import Runtime


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start(tmp_path_factory.mktemp("sandbox") / "state.db", "--population", "300")
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture
def both(runtime: Runtime, sandbox: Sandbox) -> Both:
    return join(runtime, sandbox, "service")


def test_the_first_sync_brings_both_sides_together(both: Both) -> None:
    people = both.client.reachable()
    both.make_there("老客", people[:30])
    both.make_there("金卡", people[10:40])
    both.give("会员/金卡", people[:20])
    both.give("会员", ())
    both.give("金卡", people[30:50])
    both.give("私密", people[:5], account=False)
    plan = both.plan()
    assert both.theirs() == {"老客": set(people[:30]), "金卡": set(people[10:40])}
    assert plan.counts() == {"link": 1, "create_here": 1, "add_here": 30 + 20}
    both.direct("both")
    plan = both.plan()
    assert plan.counts() == {"link": 1, "create_here": 1, "create_there": 1, "add_here": 50, "add_there": 20 + 10}
    assert [(one.kind, one.path, one.people) for one in plan.conflicts] == [("members", "金卡", 30)]
    assert plan.calls == 1 + 1 + 1
    done = both.run()
    assert (done.state, done.done, done.total) == ("done", 3 + 80, 3 + 80)
    wanted = {"老客": set(people[:30]), "金卡": set(people[10:50]), "会员/金卡": set(people[:20])}
    assert both.theirs() == wanted
    assert both.ours() == wanted | {"会员": set(), "*私密": set(people[:5])}
    assert both.plan().steps == []


@pytest.fixture
def joined(runtime_sqlite: Runtime, sandbox: Sandbox) -> Both:
    """Two tags that both sides have, 金卡 on 20 people and 会员/银卡 on 20 others."""
    both = join(runtime_sqlite, sandbox, "service")
    people = both.client.reachable()
    both.direct("both")
    both.give("金卡", people[:20])
    both.give("会员/银卡", people[20:40])
    assert both.run().state == "done"
    return both


def test_what_was_done_by_hand_there_is_told_from_what_was_done_here(joined: Both) -> None:
    people = joined.client.reachable()
    joined.put_there("金卡", people[40:45])
    joined.put_there("金卡", people[:3], off=True)
    joined.give("金卡", people[50:54])
    joined.take("金卡", people[5:7])
    plan = joined.plan()
    assert plan.counts() == {"add_here": 5, "drop_here": 3, "add_there": 4, "drop_there": 2}
    assert plan.conflicts == []
    assert joined.run().state == "done"
    wanted = (set(people[3:20]) - set(people[5:7])) | set(people[40:45]) | set(people[50:54])
    assert joined.theirs()["金卡"] == joined.ours()["金卡"] == wanted
    assert joined.plan().steps == []


def test_names_and_tags_of_either_side(joined: Both) -> None:
    people = joined.client.reachable()
    joined.client.post("tags/update", {"tag": {"id": joined.tag_id("会员/银卡"), "name": "会员/白银"}})
    with joined.runtime.work(1, "test") as work:
        tags.rename(work, tags.find(work, "金卡", account=joined.id).id, "黑金卡")
    joined.make_there("新客", people[60:63])
    joined.give("会员/铜卡", people[63:66])
    plan = joined.plan()
    assert plan.counts() == {
        "rename_here": 1, "rename_there": 1, "create_here": 1, "create_there": 1, "add_here": 3, "add_there": 3,
    }  # fmt: skip
    assert joined.run().state == "done"
    wanted = {
        "黑金卡": set(people[:20]), "会员/白银": set(people[20:40]), "新客": set(people[60:63]),
        "会员/铜卡": set(people[63:66]),
    }  # fmt: skip
    assert joined.theirs() == wanted
    assert joined.ours() == wanted | {"会员": set()}
    assert joined.plan().steps == []


@pytest.mark.parametrize(("rule", "after"), [("platform", "丙"), ("ours", "乙"), ("ask", None)])
def test_two_new_names(joined: Both, rule: str, after: str | None) -> None:
    joined.configure(names=rule)
    with joined.runtime.work(1, "test") as work:
        tags.rename(work, tags.find(work, "金卡", account=joined.id).id, "乙")
    joined.client.post("tags/update", {"tag": {"id": joined.tag_id("金卡"), "name": "丙"}})
    plan = joined.plan()
    assert [(one.kind, one.ours, one.theirs, one.rule) for one in plan.conflicts] == [("names", "乙", "丙", rule)]
    assert joined.run().state == "done"
    assert set(joined.theirs()) == {after or "丙", "会员/银卡"}
    assert set(joined.ours()) == {after or "乙", "会员", "会员/银卡"}
    assert bool(joined.plan().conflicts) == (rule == "ask")


@pytest.mark.parametrize(
    ("rule", "here", "there"),
    [("ask", {"会员/银卡"}, {"金卡"}), ("ours", {"会员/银卡"}, {"会员/银卡"}), ("platform", {"金卡"}, {"金卡"}),
     ("keep", {"金卡", "会员/银卡"}, {"金卡", "会员/银卡"})],
)  # fmt: skip
def test_a_tag_that_is_gone_on_one_side(joined: Both, rule: str, here: set[str], there: set[str]) -> None:
    people = joined.client.reachable()
    joined.configure(deletions=rule)
    with joined.runtime.work(1, "test") as work:
        tags.archive(work, tags.find(work, "金卡", account=joined.id).id)
    joined.client.post("tags/delete", {"tag": {"id": joined.tag_id("会员/银卡")}})
    plan = joined.plan()
    assert sorted((one.kind, one.rule) for one in plan.conflicts) == [("deleted_here", rule), ("deleted_there", rule)]
    assert bool(plan.steps) == (rule != "ask")
    assert joined.run().state == "done"
    ours, theirs = joined.ours(), joined.theirs()
    assert (set(ours) - {"会员"}, set(theirs)) == (here, there)
    for name in set(theirs) & set(ours):
        assert theirs[name] == ours[name] == set(people[:20] if name == "金卡" else people[20:40])
    assert bool(joined.plan().conflicts) == (rule == "ask")


@pytest.mark.parametrize(
    ("rule", "here", "there"),
    [("union", (0, 30), (0, 30)), ("ours", (0, 20), (0, 20)), ("platform", (10, 30), (10, 30)),
     ("ask", (0, 20), (10, 30))],
)  # fmt: skip
def test_two_sets_that_meet(
    runtime_sqlite: Runtime, sandbox: Sandbox, rule: str, here: tuple[int, int], there: tuple[int, int]
) -> None:
    both = join(runtime_sqlite, sandbox, "official")
    people = both.client.reachable()
    both.direct("both")
    both.configure(members=rule)
    both.give("金卡", people[:20])
    both.make_there("金卡", people[10:30])
    assert [(one.kind, one.people) for one in both.plan().conflicts] == [("members", 20)]
    assert both.run().state == "done"
    assert both.ours() == {"金卡": set(people[slice(*here)])}
    assert both.theirs() == {"金卡": set(people[slice(*there)])}
    if rule == "ask":
        both.configure(members="union")
        both.run()
        assert both.ours() == both.theirs() == {"金卡": set(people[:30])}
    assert both.plan().steps == []


@pytest.mark.parametrize(
    ("direction", "here", "there"),
    [("to", (0, 20), (0, 25)), ("from", (0, 25), (0, 23)), ("off", (0, 20), (0, 23))],
)  # fmt: skip
def test_a_direction_lets_one_side_through(
    joined: Both, direction: str, here: tuple[int, int], there: tuple[int, int]
) -> None:
    people = joined.client.reachable()
    joined.direct(direction, "金卡")
    joined.put_there("金卡", people[20:23])
    joined.give("金卡", people[23:25])
    assert joined.run().state == "done"
    extra_here, extra_there = set(people[23:25]), set(people[20:23])
    assert joined.ours()["金卡"] == set(people[:20]) | extra_here | (extra_there if direction == "from" else set())
    assert joined.theirs()["金卡"] == set(people[:20]) | extra_there | (extra_here if direction == "to" else set())
    joined.direct(None, "金卡")
    joined.run()
    assert joined.ours()["金卡"] == joined.theirs()["金卡"] == set(people[:25])


def test_who_stops_following_is_absent_and_not_untagged(joined: Both, sandbox: Sandbox) -> None:
    people = joined.client.reachable()
    leaver = people[0]
    change = {"account": joined.client.id, "people": [leaver]}
    sandbox.post("/sandbox/people/change", {**change, "follows": False})
    assert joined.plan().counts() == {}
    assert joined.run().state == "done"
    assert leaver in joined.ours()["金卡"]
    assert leaver not in joined.theirs()["金卡"]
    sandbox.post("/sandbox/people/change", {**change, "follows": True})
    joined.pull()
    assert joined.run().state == "done"
    assert leaver in joined.theirs()["金卡"]
    assert leaver in joined.ours()["金卡"]


def test_what_came_from_the_platform_can_be_taken_back(joined: Both) -> None:
    people = joined.client.reachable()
    joined.put_there("金卡", people[40:45])
    run = joined.run()
    with joined.runtime.work(1, "test") as work:
        tag = tags.find(work, "金卡", account=joined.id)
        change = tags.history(work, tag.id, limit=1)[0]
        assert (change.why, change.who, change.size) == (f"sync service {joined.client.id} run {run.id}", "test", 5)
        tags.undo(work, change.seq)
    assert joined.ours()["金卡"] == set(people[:20])
    assert joined.plan().counts() == {"drop_there": 5}
    joined.run()
    assert joined.theirs()["金卡"] == set(people[:20])


def test_who_bears_a_tag_by_their_own_profile_is_not_untagged_by_a_short_list(joined: Both) -> None:
    people, gold = joined.client.reachable()[:20], joined.tag_id("金卡")
    joined.direct("off", "会员/银卡")
    told = {"tags": [{"id": gold, "name": "金卡", "count": 20}]}
    profiles = [{"openid": one, "subscribe": 1, "tagid_list": [gold] if one != people[0] else []} for one in people]

    def make(_transport: object, url: str) -> Awaitable[tags.sync.Made]:
        with joined.runtime.system() as connection:
            connection.execute(sa.update(account_table).values(base_url=url))
        return tags.sync.make(joined.runtime, 1, joined.id, full=True)

    plan = Canned().talk(make, told, {"count": 0}, {"user_info_list": profiles}).plan
    assert plan.counts() == {"drop_here": 1}


@pytest.mark.parametrize("rule", ["ours", "keep"])
def test_a_tag_made_anew_under_its_name_is_joined_again(joined: Both, rule: str) -> None:
    people = joined.client.reachable()
    joined.configure(deletions=rule)
    joined.client.post("tags/delete", {"tag": {"id": joined.tag_id("金卡")}})
    joined.make_there("金卡", people[18:25])
    assert joined.run().state == "done"
    wanted = {"金卡": set(people[:25]), "会员/银卡": set(people[20:40])}
    assert (joined.theirs(), joined.ours()) == (wanted, wanted | {"会员": set()})
    assert joined.plan().steps == []
