"""Draft, plan, send, pause, resume, cancel, resolve, why: each step's exact people, and nothing half done."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, audiences, broadcasts, compliance, contacts, tags
from tagcast.accounts import NewAccount
from tagcast.broadcasts.tables import broadcasts as table
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused, TagcastError
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.conftest import ROUTES, Make, send
from tests.flows.harness import World, until

TEMPLATE = {"kind": "template", "template_id": "t1", "data": {"name1": "会员"}}
TEXT = {"kind": "text", "text": "会员日活动今天开始"}


def account(work: Work, kind: str, profile: str = "article") -> int:
    identifier = {"corpid": "ww0123456789abcdef"} if kind == "wecom" else {"appid": "wx0123456789abcdef"}
    made = accounts.add(work, NewAccount(kind=kind, name=kind, secret="0" * 32, **identifier))
    accounts.set_profile(work, made.id, profile)
    return made.id


def people(work: Work, at: int, size: int, *, which: str = "openid") -> list[int]:
    """Contacts that can be reached, follow, and consent."""
    numbers = contacts.ensure(work, [PersonIn({Identity(which, at): f"o{number:05}"}) for number in range(size)])
    work.bitmaps.add(f"following:{at}", BitMap(numbers), why="test")
    for purpose in ("marketing", "service"):
        compliance.record(work, purpose, BitMap(numbers), BitMap(), source="test")
    return numbers


def draft(work: Work, at: int, content: dict[str, Any] = TEMPLATE, **more: Any) -> int:
    given = {"name": "一次", "account": at, "audience": "all", "content": content, "purpose": "service"}
    return broadcasts.draft(work, **{**given, **more}).id


def opened(work: Work, broadcast: int) -> dict[str, set[int]]:
    """Each step of the waterfall with the people one finds under its key."""
    return {step.name: set(work.bitmaps.read(step.key)) for step in broadcasts.waterfall(work, broadcast)}


def test_each_person_is_counted_under_the_first_reason_that_leaves_him_out(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        who = people(work, at, 500)
        strangers = contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{n}"}) for n in range(3)])
        work.bitmaps.remove(f"following:{at}", BitMap(who[:5]), why="left")
        compliance.record(work, "service", BitMap(), BitMap(who[3:12]), source="test")
        compliance.suppress(work, BitMap(who[10:20]), "asked")
        for number in range(4):
            compliance.record_sent(work, at, f"b{number}", BitMap(who[18:30]), work.now)
        broadcast = draft(work, at, holdout_percent=10)
        plan = broadcasts.plan(work, broadcast)
        steps = opened(work, broadcast)
    left = set(who[30:])
    assert steps["addressed"] == {*who, *strangers}
    assert steps["no_identity"] == set(strangers)
    assert steps["not_following"] == set(who[:5])
    assert steps["no_consent"] == set(who[5:12])
    assert steps["suppressed"] == set(who[12:20])
    assert steps["over_cap"] == set(who[20:30])
    assert len(steps["holdout"]) == 47
    assert steps["holdout"] < left
    assert steps["assigned"] == left - steps["holdout"]
    assert {step.name: step.count for step in plan.steps} == {name: len(members) for name, members in steps.items()}


def test_a_customer_whom_no_employee_has_is_left_out_not_lost(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "wecom")
        who = people(work, at, 10, which="external_userid")
        work.bitmaps.add(f"employee:{at}:anna", BitMap(who[:7]), why="test")
        broadcast = draft(work, at, TEXT)
        plan = broadcasts.plan(work, broadcast)
        assert opened(work, broadcast)["no_employee"] == set(who[7:])
        broadcasts.send(work, plan.hash)
        assert sum(broadcasts.states(work, broadcast).values()) == 7


def test_an_account_without_a_send_left_sends_to_nobody(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "official")
        who = people(work, at, 10)
        broadcasts.send(work, broadcasts.plan(work, draft(work, at, TEXT)).hash)
        second = draft(work, at, TEXT)
        plan = broadcasts.plan(work, second)
        assert opened(work, second)["account_quota"] == set(who)
        assert "account_quota" in plan.warnings
        with pytest.raises(Refused) as refused:
            broadcasts.send(work, plan.hash)
        assert refused.value.code == "broadcasts.nobody"


def test_a_plan_that_moved_is_refused_and_nothing_changes(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service")
        who = people(work, at, 50)
        broadcast = draft(work, at)
        plan = broadcasts.plan(work, broadcast)
        assert broadcasts.plan(work, broadcast).hash == plan.hash
        compliance.record(work, "service", BitMap(), BitMap(who[:3]), source="test")
    with pytest.raises(Conflict) as moved, runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    assert moved.value.code == "broadcasts.plan_moved"
    assert moved.value.params["changes"] == "no_consent 0 → 3; assigned 50 → 47"
    with runtime.read(1, "test") as work:
        assert broadcasts.get(work, broadcast).state == "draft"
        assert work.bitmaps.keys("sent:") == []
        assert sum(broadcasts.states(work, broadcast).values()) == 0


def test_sending_twice_is_sending_once(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service")
        who = people(work, at, 20)
        plan = broadcasts.plan(work, draft(work, at))
        first = broadcasts.send(work, plan.hash)
    with runtime.work(1, "test") as work:
        assert broadcasts.send(work, plan.hash) == first
        assert broadcasts.states(work, first.id)["planned"] == 20
        (day,) = work.bitmaps.keys("sent:")
        assert set(work.bitmaps.read(day)) == set(who)


BAD: list[tuple[str, dict[str, Any], type[TagcastError], str]] = [
    ("official", {"content": TEMPLATE}, Refused, "broadcasts.kind_not_allowed"),
    ("service", {"content": TEXT}, Refused, "broadcasts.kind_not_allowed"),
    ("wecom", {"content": TEMPLATE}, Refused, "broadcasts.kind_not_allowed"),
    ("wecom", {"content": {"kind": "text", "text": "长" * 1334}}, Invalid, "broadcasts.too_long"),
    ("official", {"content": {"kind": "article", "title": "", "body": "x"}}, Invalid, "broadcasts.missing_field"),
    ("service", {"audience": 'tag("没有")'}, TagcastError, ""),
    ("service", {"audience": "and and"}, TagcastError, ""),
    ("service", {"holdout_percent": 51}, Invalid, "broadcasts.bad_holdout"),
    ("service", {"name": "   "}, Invalid, "broadcasts.bad_name"),
    ("service", {"purpose": "fun"}, Invalid, ""),
    ("service", {"account": 99}, NotFound, ""),
]


@pytest.mark.parametrize(("kind", "given", "error", "code"), BAD)
def test_what_cannot_be_sent_is_refused_as_a_draft_and_not_stored(
    kind: str, given: dict[str, Any], error: type[TagcastError], code: str, runtime_sqlite: Runtime
) -> None:
    with runtime_sqlite.work(1, "test") as work:
        at = account(work, kind)
        people(work, at, 3)
    with pytest.raises(error) as refused, runtime_sqlite.work(1, "test") as work:
        draft(work, at, **given)
    assert refused.value.code == code or not code
    with runtime_sqlite.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0


@pytest.mark.parametrize(("size", "code"), [(0, "broadcasts.nobody"), (1, "broadcasts.list_of_one")])
def test_a_list_of_one_or_of_nobody_is_not_sent(size: int, code: str, runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        at = account(work, "service", "platform")
        people(work, at, max(size, 1))
        if size == 0:
            compliance.suppress(work, contacts.everyone(work), "test")
        plan = broadcasts.plan(work, draft(work, at, TEXT))
        with pytest.raises(Refused) as refused:
            broadcasts.send(work, plan.hash)
    assert refused.value.code == code
    assert code.removeprefix("broadcasts.") in plan.warnings


def test_cancelled_before_anything_went_out_everything_is_given_back(make: Make) -> None:
    world = make("tag")
    at = world.accounts["official"]
    broadcast = send(world, "tag")
    with world.runtime.work(1, "test") as work:
        broadcasts.cancel(work, broadcast)
        with pytest.raises(Conflict):
            broadcasts.pause(work, broadcast)
        assert compliance.account_quota(work, at, work.now).left == 0
    world.work_until(broadcast)
    assert world.state(broadcast) == "cancelled"
    assert {name for name, count in world.states(broadcast).items() if count} == {"cancelled"}
    assert world.outcomes("official") == {}
    with world.runtime.read(1, "test") as work:
        assert compliance.account_quota(work, at, work.now).used == 0
        assert work.bitmaps.keys(f"sent:{at}") == []


def test_nobody_is_called_after_a_cancellation(make: Make) -> None:
    world = make("template")
    broadcast = send(world, "template")
    with world.working(rate_per_second=40.0):
        until(lambda: world.sandbox.calls(ROUTES["template"][3]) > 20)
        with world.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        world.wait(broadcast, "cancelled")
    ids = world.ids("service", world.assigned(broadcast))
    cancelled = world.set(f"broadcast:{broadcast}:cancelled")
    asked = set(world.outcomes("service"))
    assert not {ids[number] for number in cancelled} & asked
    states = world.states(broadcast)
    assert states["accepted"] == len(asked)
    assert sum(states.values()) == len(ids)
    (day,) = keys(world, "sent:")
    assert world.set(day) == world.assigned(broadcast) - cancelled


def keys(world: World, prefix: str) -> list[str]:
    with world.runtime.read(1, "test") as work:
        return work.bitmaps.keys(prefix)


@pytest.mark.parametrize("route", list(ROUTES))
def test_paused_calls_stop_and_resumed_they_go_on(route: str, make: Make) -> None:
    world = make(route)
    broadcast = send(world, route)
    with world.runtime.work(1, "test") as work:
        broadcasts.pause(work, broadcast)
    with world.working():
        until(lambda: not open_leases(world))
        assert world.outcomes(ROUTES[route][0]) == {}
        with world.runtime.work(1, "test") as work:
            broadcasts.resume(work, broadcast)
        world.wait(broadcast, "finished")
    verdict = world.judge(ROUTES[route][0], broadcast)
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"]) == (0, 0, 0)


def open_leases(world: World) -> int:
    from tagcast.kit.leases import leases

    with world.runtime.engine.connect() as connection:
        return len(connection.execute(sa.select(leases.c.id).where(leases.c.done_at.is_(None))).all())


@pytest.mark.parametrize("route", list(ROUTES))
@pytest.mark.parametrize("how", ["no_consent", "not_following"])
def test_who_withdraws_or_leaves_after_the_plan_is_held(how: str, route: str, make: Make) -> None:
    world = make(route)
    kind = ROUTES[route][0]
    broadcast = send(world, route)
    gone = BitMap(list(world.assigned(broadcast))[10:15])
    if how == "not_following":
        remote = list(world.ids(kind, gone).values())
        world.sandbox.post("/sandbox/people/change", account=world.sandbox_id[kind], people=remote, follows=False)
    with world.runtime.work(1, "test") as work:
        if how == "no_consent":
            for purpose in ("marketing", "service"):
                compliance.record(work, purpose, BitMap(), gone, source="test")
        else:
            work.bitmaps.remove(f"following:{world.accounts[kind]}", gone, why="left")
    world.work_until(broadcast)
    assert world.set(f"broadcast:{broadcast}:held") == gone
    assert not set(world.ids(kind, gone).values()) & set(world.outcomes(kind))
    verdict = world.judge(kind, broadcast, but=gone)
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0, 0)
    with world.runtime.read(1, "test") as work:
        assert {failure.reason: failure.count for failure in broadcasts.failures(work, broadcast)}[how] == 5
        assert broadcasts.why(work, broadcast, gone.min())[0] == "held"


def test_who_leaves_unseen_while_he_is_tagged_gets_nothing_and_stops_nobody(make: Make) -> None:
    world = make("tag")
    broadcast = send(world, "tag")
    gone = BitMap(list(world.assigned(broadcast))[:4])
    remote = list(world.ids("official", gone).values())
    world.sandbox.post("/sandbox/faults", path="/cgi-bin/user/tag/get", kind="timeout_before", times=1, seconds=3.0)
    with world.working():
        until(lambda: world.sandbox.get("/sandbox/faults")["faults"][0]["hit"] == 1)
        world.sandbox.post("/sandbox/people/change", account=world.sandbox_id["official"], people=remote, follows=False)
        world.wait(broadcast, "finished")
    assert world.set(f"broadcast:{broadcast}:failed") == gone
    assert not set(remote) & set(world.outcomes("official"))
    verdict = world.judge("official", broadcast, but=gone)
    assert (verdict["lost"], verdict["duplicated"], verdict["unexpected"]) == (0, 0, 0)


def test_a_task_without_customers_is_never_made(make: Make) -> None:
    """An empty list would mean all customers of the employee."""
    world = make("tasks")
    broadcast = send(world, "tasks")
    with world.runtime.work(1, "test") as work:
        work.connection.execute(sa.text("DELETE FROM contact"))
    world.work_until(broadcast)
    assert world.outcomes("wecom") == {}
    assert world.states(broadcast)["failed"] == len(world.assigned(broadcast))


def test_a_person_decides_who_is_in_doubt(make: Make, tmp_path: Path) -> None:
    world = make("list")
    path = ROUTES["list"][3]
    broadcast = send(world, "list")
    world.sandbox.post("/sandbox/faults", path=path, kind="timeout_before", times=1000, seconds=3.0)
    with world.working():
        until(lambda: world.sandbox.get("/sandbox/faults")["faults"][0]["hit"] > 3)
        with world.runtime.work(1, "test") as work:
            broadcasts.cancel(work, broadcast)
        world.wait(broadcast, "cancelled")
    doubted = world.set(f"broadcast:{broadcast}:in_doubt")
    assert len(doubted) > 1
    one = BitMap([doubted.min()])
    with world.runtime.work(1, "test") as work:
        assert broadcasts.resolve(work, broadcast, one, arrived=True) == 1
        assert broadcasts.resolve(work, broadcast, doubted, arrived=False) == len(doubted) - 1
        assert broadcasts.resolve(work, broadcast, doubted, arrived=False) == 0
        assert broadcasts.why(work, broadcast, one.min())[0] == "accepted"
        states = broadcasts.states(work, broadcast)
    assert (states["in_doubt"], states["accepted"], states["failed"]) == (0, 1, len(doubted) - 1)
    assert world.set(f"broadcast:{broadcast}:in_doubt") == BitMap()
    assert sum(states.values()) == len(world.assigned(broadcast))


def test_why_names_the_step_that_left_somebody_out(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "test") as work:
        at = account(work, "service")
        who = people(work, at, 20)
        compliance.suppress(work, BitMap(who[:1]), "asked")
        broadcast = draft(work, at, holdout_percent=50)
        broadcasts.send(work, broadcasts.plan(work, broadcast).hash)
        held_out = work.bitmaps.read(f"broadcast:{broadcast}:holdout")
        assert broadcasts.why(work, broadcast, who[0])[0] == "suppressed"
        assert broadcasts.why(work, broadcast, held_out.min())[0] == "holdout"
        assert broadcasts.why(work, broadcast, who[-1] + 5)[0] == "not_addressed"


def test_receipts_are_kept_for_a_month(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        broadcasts.note_receipts(work, 1, [{"msgid": "1", "status": "success", "data": {}}])
        now = work.now
    for days, gone in ((29, 0), (31, 1), (31, 0)):
        with runtime.work(1, "test", now=now + timedelta(days=days)) as work:
            assert broadcasts.purge_receipts(work) == gone


def test_a_draft_follows_the_new_name_of_its_segment(work: Work) -> None:
    at = account(work, "service")
    segment = audiences.create(work, "s", audiences.parse("all"))
    number = draft(work, at, audience='segment("s")')
    with pytest.raises(Conflict):
        audiences.delete(work, segment.id)
    audiences.rename(work, segment.id, "t")
    assert broadcasts.get(work, number).audience == {"segment": "t"}


def test_a_draft_follows_its_tags_under_whatever_path_it_names_them(work: Work) -> None:
    at = account(work, "service", "platform")
    for path in ("会员/VIP", "新客"):
        tags.create(work, path, parents=True)
    number = draft(work, at, audience='tag("会员 / vip") and not tag("新客")')
    tags.rename(work, tags.find(work, "会员").id, "老会员")
    tags.move(work, tags.find(work, "新客").id, tags.find(work, "老会员").id)
    assert audiences.to_text(audiences.from_json(broadcasts.get(work, number).audience)) == (
        'tag("老会员/VIP") and not tag("老会员/新客")'
    )
    assert broadcasts.plan(work, number).hash
    named = {use.branches for use in tags.uses(work) if use.kind == "broadcast"}
    assert named == {(tags.find(work, "老会员/VIP").id, tags.find(work, "老会员/新客").id)}
