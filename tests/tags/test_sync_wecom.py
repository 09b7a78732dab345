"""Corp tags of a wecom account, both ways, against the sandbox over HTTP."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from tests.tags.syncing import Both, join, work_off
from tests.wechat_sandbox.conftest import Sandbox, start

from tagcast import reactions, tags
from tagcast.inbox.actions import accept
from tagcast.inbox.store import Delivery
from tagcast.kit import leases
from tagcast.kit.uow import Runtime


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start(tmp_path_factory.mktemp("sandbox") / "state.db", "--population", "200")
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture
def both(runtime_sqlite: Runtime, sandbox: Sandbox) -> Both:
    return join(runtime_sqlite, sandbox, "wecom", employees=3)


def console(both: Both, **what: Any) -> Any:
    """Somebody at the platform's console."""
    return both.client.sandbox.post("/sandbox/wecom/console/tags", {"account": both.client.id, **what})


def by_hand(both: Both, pairs: list[tuple[str, str]], **what: Any) -> None:
    """Members change tags of their customers in the client."""
    for employee, customer in pairs:
        body = {"account": both.client.id, "userid": employee, "people": [customer], **what}
        assert both.client.sandbox.post("/sandbox/wecom/console/customers", body) == {"changed": 1}


def relations(both: Both) -> dict[str, list[str]]:
    """customer → the employees who have them."""
    found: dict[str, list[str]] = {}
    for employee, customer in both.pairs():
        found.setdefault(customer, []).append(employee)
    return found


def test_both_sides_come_together(runtime: Runtime, sandbox: Sandbox) -> None:
    both = join(runtime, sandbox, "wecom", employees=3)
    held = relations(both)
    people = sorted(held)
    made = console(both, action="create", group_name="等级", tags=["金卡", "银卡"])["tags"]
    by_hand(both, [(held[one][0], one) for one in people[:6]], add_tag=[made["金卡"]])
    both.give("会员/星级/一星", people[:10])
    both.give("等级/金卡", people[4:8])
    both.give("会员", people[10:12])
    both.direct("both")
    plan = both.plan()
    assert plan.counts() == {
        "create_there": 2, "link": 1, "create_here": 1, "add_there": 10 + 2 + 2, "add_here": 4
    }  # fmt: skip
    assert plan.calls == 2 + sum(len(held[one]) for one in people[:12])
    run = both.run()
    assert (run.state, run.done, run.total, run.told["counts"]) == ("done", 4 + 18, 4 + 18, {})
    wanted = {"会员/星级/一星": set(people[:10]), "等级/金卡": set(people[:8]), "等级/银卡": set()}
    assert both.theirs() == wanted | {"会员/会员": set(people[10:12])}
    assert both.ours() == wanted | {"会员": set(people[10:12]), "会员/星级": set(), "等级": set()}
    marked, ident = both.pairs(), both.corp_ids()["会员/星级/一星"]
    assert {pair for pair, ids in marked.items() if ident in ids} == {
        (employee, one) for one in people[:10] for employee in held[one]
    }
    assert both.plan().steps == []


def test_a_mark_taken_off_by_one_of_two_members_is_not_put_back(both: Both) -> None:
    held = relations(both)
    twice = [one for one, who in sorted(held.items()) if len(who) > 1][:4]
    assert len(twice) == 4
    both.give("等级/金卡", twice)
    both.direct("both")
    both.run()
    ident = both.corp_ids()["等级/金卡"]
    by_hand(both, [(held[twice[0]][0], twice[0])], remove_tag=[ident])
    by_hand(both, [(employee, twice[1]) for employee in held[twice[1]]], remove_tag=[ident])
    plan = both.plan()
    assert plan.counts() == {"drop_here": 1}
    both.run()
    assert both.ours()["等级/金卡"] == set(twice) - {twice[1]}
    assert ident not in both.pairs()[held[twice[0]][0], twice[0]]
    both.take("等级/金卡", [twice[0], twice[2]])
    both.run()
    assert both.theirs() == {"等级/金卡": {twice[3]}}


def test_one_employee_marks_if_so_set(both: Both) -> None:
    held = relations(both)
    twice = next(one for one, who in sorted(held.items()) if len(who) > 1)
    both.configure(employees="one")
    both.give("等级/金卡", [twice])
    both.direct("both")
    assert both.plan().calls == 2
    both.run()
    assert sum(bool(ids) for ids in both.pairs().values()) == 1


def test_groups_and_moves(both: Both) -> None:
    people = sorted(relations(both))
    both.give("等级/金卡", people[:5])
    both.give("等级/银卡", people[5:10])
    both.direct("both")
    both.run()
    with both.runtime.work(1, "test") as work:
        tags.rename(work, tags.find(work, "等级", account=both.id).id, "级别")
    both.run()
    assert both.theirs() == {"级别/金卡": set(people[:5]), "级别/银卡": set(people[5:10])}
    group = both.client.post("externalcontact/get_corp_tag_list")["tag_group"][0]["group_id"]
    both.client.post("externalcontact/edit_corp_tag", {"id": group, "name": "会员等级"})
    assert both.plan().counts() == {"rename_here": 1}
    both.run()
    assert set(both.ours()) == {"会员等级", "会员等级/金卡", "会员等级/银卡"}
    assert both.plan().steps == []
    with both.runtime.work(1, "test") as work:
        vip = tags.create(work, "VIP", account=both.id)
        tags.move(work, tags.find(work, "会员等级/金卡", account=both.id).id, vip.id)
    assert both.plan().counts() == {"create_there": 1, "delete_there": 1, "add_there": 5}
    both.run()
    assert both.theirs() == {"VIP/金卡": set(people[:5]), "会员等级/银卡": set(people[5:10])}
    assert both.plan().steps == []


def test_a_tag_that_another_made_can_be_put_on_and_not_renamed(both: Both) -> None:
    people = sorted(relations(both))
    console(both, action="create", group_name="等级", tags=["金卡"])
    both.direct("both")
    both.run()
    both.give("等级/金卡", people[:3])
    with both.runtime.work(1, "test") as work:
        tags.rename(work, tags.find(work, "等级/金卡", account=both.id).id, "黑卡")
    run = both.run()
    assert (run.state, run.told["problems"]) == ("done", [{"path": "等级/黑卡", "problem": "foreign_tag"}])
    assert both.theirs() == {"等级/金卡": set(people[:3])}


def test_what_is_not_full_reads_only_customers_that_a_callback_named(both: Both) -> None:
    held = relations(both)
    people = sorted(held)
    both.give("等级/金卡", people[:5])
    both.direct("both")
    both.run()
    ident = both.corp_ids()["等级/金卡"]
    by_hand(both, [(held[people[7]][0], people[7])], add_tag=[ident])
    by_hand(both, [(held[people[8]][0], people[8])], add_tag=[ident])
    plan = both.plan(full=False)
    assert (plan.steps, plan.full, plan.read_calls) == ([], False, 1)
    fields = {
        "ToUserName": "corp", "FromUserName": "sys", "CreateTime": "1795000000", "MsgType": "event",
        "Event": "change_external_contact", "ChangeType": "edit_external_contact",
        "UserID": held[people[7]][0], "ExternalUserID": people[7],
    }  # fmt: skip
    with both.runtime.work(1, "test") as work:
        accept(work, [Delivery(both.id, b"d" * 32, "customer_edited", orjson.dumps(fields))])
    while reactions.follow(both.runtime):
        pass
    assert (plan := both.plan(full=False)).counts() == {"add_here": 1}
    assert plan.read_calls == 2
    both.run(full=False)
    assert both.ours()["等级/金卡"] == {*people[:5], people[7]}
    assert both.plan(full=False).read_calls == 1
    both.run(full=True)
    assert both.ours()["等级/金卡"] == {*people[:5], people[7], people[8]}


def test_a_tag_deleted_in_the_middle_of_a_run_is_left_out(both: Both) -> None:
    people = sorted(relations(both))
    both.direct("both")
    both.give("等级/金卡", people[:3])
    both.give("等级/银卡", people[:3])
    both.run()
    both.give("等级/金卡", people[3:6])
    both.give("等级/银卡", people[3:6])
    begun = both.start(both.plan().hash)
    fault = {"path": "/cgi-bin/externalcontact/mark_tag", "kind": "error", "code": 40068, "times": 1}
    both.client.sandbox.post("/sandbox/faults", fault)
    work_off(both.runtime)
    assert both.look(begun.id).state == "done"
    assert both.theirs() == {"等级/金卡": set(people[:6]), "等级/银卡": set(people[:6])}


def test_a_customer_who_was_deleted_meanwhile_is_named(both: Both) -> None:
    held = relations(both)
    people = sorted(held)
    both.direct("both")
    both.give("等级/金卡", people[:3])
    plan = both.plan()
    with both.runtime.work(1, "test") as work:
        numbers = both.numbers(work, [people[0]])
        for employee in held[people[0]]:
            work.bitmaps.remove(f"employee:{both.id}:{employee}", numbers, why="test")
    begun = both.start(plan.hash)
    work_off(both.runtime)
    run = both.look(begun.id)
    assert (run.state, run.told["counts"]) == ("done", {"not_reachable": 1})
    assert both.theirs() == {"等级/金卡": set(people[1:3])}
    both.pull()
    assert both.plan().counts() == {"add_there": 1}


def move_to_vip(both: Both, path: str) -> None:
    with both.runtime.work(1, "test") as work:
        tags.move(work, tags.find(work, path, account=both.id).id, tags.ensure(work, "VIP", account=both.id).id)


def test_a_tag_whose_successor_was_refused_is_not_deleted(both: Both) -> None:
    people = sorted(relations(both))
    both.direct("both")
    both.give("等级/金卡", people[:5])
    both.give("等级/银卡")
    both.run()
    move_to_vip(both, "等级/金卡")
    fault = {"path": "/cgi-bin/externalcontact/add_corp_tag", "kind": "error", "code": 40071, "times": 1}
    both.client.sandbox.post("/sandbox/faults", fault)
    run = both.run()
    assert run.told["problems"] == [
        {"path": "VIP/金卡", "problem": "bad_tag_name"}, {"path": "VIP/金卡", "problem": "kept_there"}
    ]  # fmt: skip
    assert both.theirs() == {"等级/金卡": set(people[:5]), "等级/银卡": set()}
    both.run()
    assert both.theirs() == {"VIP/金卡": set(people[:5]), "等级/银卡": set()}


def test_a_tag_that_is_still_to_be_asked_about_is_not_moved(both: Both) -> None:
    people = sorted(relations(both))
    both.configure(members="ask")
    both.client.post("externalcontact/add_corp_tag", {"group_name": "等级", "tag": [{"name": "金卡"}]})
    held = relations(both)
    by_hand(both, [(held[one][0], one) for one in people[:3]], add_tag=[both.corp_ids()["等级/金卡"]])
    both.give("等级/金卡", people[3:6])
    both.give("等级/银卡")
    both.direct("both")
    both.run()
    move_to_vip(both, "等级/金卡")
    both.run()
    assert both.theirs()["等级/金卡"] == set(people[:3])
    assert "VIP/金卡" not in both.theirs()


def test_a_tag_that_was_restored_in_the_middle_of_a_run_is_not_deleted(both: Both) -> None:
    people = sorted(relations(both))
    both.configure(deletions="ours")
    both.direct("both")
    both.give("等级/金卡", people[:3])
    both.run()
    with both.runtime.work(1, "test") as work:
        gold = tags.find(work, "等级/金卡", account=both.id).id
        tags.archive(work, gold)
    fault = {"path": "/cgi-bin/externalcontact/del_corp_tag", "kind": "error", "code": 45033, "times": 9}
    both.client.sandbox.post("/sandbox/faults", fault)
    begun = both.start(both.plan().hash)
    work_off(both.runtime)
    assert both.look(begun.id).state == "running"
    both.client.sandbox.call("DELETE", "/sandbox/faults")
    with both.runtime.work(1, "test") as work:
        tags.restore(work, gold)
        work.connection.execute(sa.update(leases.leases).values(due_at=0))
    work_off(both.runtime)
    assert both.look(begun.id).state == "done"
    assert both.theirs()["等级/金卡"] == set(people[:3])
