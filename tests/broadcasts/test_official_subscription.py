"""Subscription messages: each on one consent, counted from callbacks, never sent twice, by the sandbox's ledger."""

import os
import signal
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from tagcast import accounts, broadcasts
from tagcast.broadcasts import consents
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Runtime
from tests.broadcasts.conftest import Make
from tests.broadcasts.test_delivery import CLEAN, fault
from tests.flows.harness import World, callbacks, until

SEND = "/cgi-bin/message/subscribe/bizsend"
ON = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


def template_of(world: World) -> str:
    import asyncio

    async def ask() -> str:
        async with accounts.connect(world.runtime, 1, world.accounts["service"]) as connected:
            return (await connected.call(connected.official.subscriptions.templates))[0].priTmplId

    return asyncio.run(ask())


def said(template: str) -> dict[str, Any]:
    data = {"thing1": "会员日", "time2": "2026-11-23 10:00", "thing3": "请准时参加"}
    return {"kind": "subscription", "template_id": template, "data": data, "url": "https://shop.example.com/day"}


def followers(world: World) -> list[int]:
    return sorted(world.set(f"following:{world.accounts['service']}"))


def agree(world: World, template: str, who: list[int], times: int = 1) -> None:
    """People agree, as the sandbox knows it."""
    for openid in world.ids("service", who).values():
        account = world.remote["service"]["id"]
        world.sandbox.post("/sandbox/people/accept", account=account, person=openid, template=template, times=times)


def agreed(world: World, template: str, who: list[int]) -> None:
    """People agree, as both know it."""
    agree(world, template, who)
    with world.runtime.work(1, "test") as work:
        consents.give(work, world.accounts["service"], template, BitMap(who))


def left(world: World, template: str) -> BitMap:
    with world.runtime.read(1, "test") as work:
        return consents.holders(work, world.accounts["service"], template).copy()


def verdict(world: World, broadcast: int, *, but: BitMap | None = None) -> dict[str, int]:
    found = world.judge("service", broadcast, but=but or BitMap())
    return {name: found[name] for name in CLEAN}


@ON
def test_callbacks_give_consents_that_messages_use_up(database: str, make: Make) -> None:
    world = make("template", size=120, database=database, settle_seconds=20.0)
    template, who = template_of(world), followers(world)
    with callbacks(world), world.working():
        agree(world, template, who[:40])
        agree(world, template, who[:3], times=0)
        until(lambda: left(world, template) == BitMap(who[3:40]))
        broadcast = world.send("service", said(template))
        with world.runtime.read(1, "test") as work:
            steps = {step.name: step.count for step in broadcasts.waterfall(work, broadcast)}
            why = broadcasts.why(work, broadcast, who[0])
        assert steps["no_subscription"] == len(who) - 37
        assert steps["assigned"] == 37
        assert why[0] == "no_subscription"
        world.wait(broadcast, "finished")
    assert world.assigned(broadcast) == BitMap(who[3:40])
    assert verdict(world, broadcast) == CLEAN
    assert not left(world, template)
    told, ids = world.outcomes("service"), world.ids("service", who[3:40])
    expected = {number: "delivered" if told[ids[number]] == "arrived" else "failed" for number in who[3:40]}
    assert world.statuses(broadcast, who[3:40]) == expected


def test_who_withdraws_after_the_plan_is_held(make: Make) -> None:
    world = make("template", size=120)
    template, who = template_of(world), followers(world)
    agreed(world, template, who[:30])
    broadcast = world.send("service", said(template))
    with world.runtime.work(1, "test") as work:
        consents.withdraw(work, world.accounts["service"], template, BitMap(who[:5]))
    world.work_until(broadcast)
    assert set(world.statuses(broadcast, who[:5]).values()) == {"held"}
    assert verdict(world, broadcast, but=BitMap(who[:5])) == CLEAN
    assert not left(world, template)


def test_a_consent_that_the_platform_does_not_know_is_no_consent(make: Make) -> None:
    world = make("template", size=120)
    template, who = template_of(world), followers(world)
    agreed(world, template, who[:20])
    with world.runtime.work(1, "test") as work:
        consents.give(work, world.accounts["service"], template, BitMap(who[15:25]))
    broadcast = world.send("service", said(template))
    world.work_until(broadcast)
    states = world.states(broadcast)
    assert (states["accepted"], states["failed"]) == (20, 5)
    with world.runtime.read(1, "test") as work:
        assert [one.reason for one in broadcasts.failures(work, broadcast)] == ["official:43101"]
    # Who had one too many keeps the other; of whom the platform knows none, we know none.
    assert left(world, template) == BitMap(who[15:20])


@pytest.mark.parametrize("kind", ["cut", "timeout_after"])
def test_a_lost_answer_is_in_doubt_and_settled_by_the_platforms_word(kind: str, make: Make) -> None:
    world = make("template", size=120, settle_seconds=8.0)
    template, who = template_of(world), followers(world)
    agreed(world, template, who[:30])
    world.sandbox.post("/sandbox/settings", template_finish_seconds=2.0)
    with callbacks(world):
        fault(world, SEND, kind, times=7, seconds=3.0)
        broadcast = world.send("service", said(template))
        with world.working():
            world.wait(broadcast, "finished")
    states = world.states(broadcast)
    assert verdict(world, broadcast)["duplicated"] == 0
    assert states["planned"] == states["retry"] == 0
    asked = list(world.sandbox.lines(f"/sandbox/ledger?account={world.remote['service']['id']}"))
    told = {line["person"] for line in asked}
    ids = world.ids("service", who[:30])
    doubtful = [number for number, word in world.statuses(broadcast, who[:30]).items() if word == "in_doubt"]
    assert len(doubtful) == sum(ids[number] not in told for number in who[:30])


@ON
def test_killed_workers_double_nobody(database: str, make: Make) -> None:
    world = make("template", size=900, database=database, lease_seconds=0.4, settle_seconds=2.0)
    template, who = template_of(world), followers(world)
    agreed(world, template, who[:400])
    broadcast = world.send("service", said(template))
    kills = 0
    while kills < 4 and world.state(broadcast) == "sending":
        before = world.sandbox.calls(SEND)
        with world.worker_process(rate_per_second=120.0, send_concurrency=8) as process:
            until(lambda before=before: world.sandbox.calls(SEND) > before + 10 or world.state(broadcast) != "sending")
            if world.state(broadcast) == "sending":
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    assert kills == 4
    with callbacks(world):
        world.work_until(broadcast, lease_seconds=5.0)
    states, judged = world.states(broadcast), verdict(world, broadcast)
    assert sum(states.values()) == 400
    assert (judged["duplicated"], judged["forbidden"], judged["unexpected"]) == (0, 0, 0)
    assert states["planned"] == states["retry"] == 0
    # At most one window a kill.
    assert judged["lost"] <= states["in_doubt"] <= 8 * kills


def test_two_broadcasts_share_what_a_person_gave(make: Make) -> None:
    world = make("template", size=120)
    template, who = template_of(world), followers(world)
    agreed(world, template, who[:10])
    agreed(world, template, who[:4])
    first = world.send("service", said(template))
    with world.runtime.read(1, "test") as work:
        assert [consents.left(work, world.accounts["service"], template, one) for one in who[:6]] == [1] * 4 + [0] * 2
    with world.runtime.work(1, "test") as work:
        broadcasts.cancel(work, first)
    with world.runtime.read(1, "test") as work:
        assert consents.counts(work, world.accounts["service"]) == {template: (10, 14)}
    second = world.send("service", said(template))
    assert len(world.assigned(second)) == 10


@pytest.mark.parametrize("kind", ["template", "subscription"])
def test_marketing_is_refused_where_the_platform_forbids_it(kind: str, make: Make) -> None:
    world = make("template", size=60)
    content = {**said("x" * 43), "kind": kind}
    with world.runtime.work(1, "test") as work, pytest.raises(Refused, match="forbids marketing") as refused:
        broadcasts.draft(work, name="x", account=world.accounts["service"], audience="all", content=content)
    assert "article" in refused.value.remedy("en")
    assert "平台禁止" in refused.value.text("zh")


Act = tuple[str, frozenset[int]]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["give", "take", "back", "withdraw"]), st.frozensets(st.integers(1, 6), min_size=1)),
        max_size=25,
    )
)
def test_consents_are_counted_as_a_list_would(runtime_sqlite: Runtime, acts: list[Act]) -> None:
    account, template = 9, f"t{time.monotonic_ns()}"
    counts, gone = dict.fromkeys(range(1, 7), 0), set[int]()
    with runtime_sqlite.work(1, "test") as work:
        for act, who in acts:
            people = BitMap(who)
            if act == "give":
                consents.give(work, account, template, people)
                gone -= who
                counts |= {one: counts[one] + 1 for one in who}
            elif act == "take":
                able = {one for one in who if counts[one]}
                assert set(consents.take(work, account, template, people, why="test")) == able
                counts |= {one: counts[one] - 1 for one in able}
            elif act == "back":
                consents.give_back(work, account, template, people, why="test")
                counts |= {one: counts[one] + 1 for one in who - gone}
            else:
                consents.withdraw(work, account, template, people)
                gone |= who
                counts |= dict.fromkeys(who, 0)
            assert {one: consents.left(work, account, template, one) for one in counts} == counts
