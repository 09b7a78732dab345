"""Delivery over real HTTP: the sandbox's own ledger says who was asked, how often, and what arrived."""

from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, broadcasts
from tests.broadcasts.conftest import ROUTES, Make, send
from tests.flows.harness import World, callbacks, until

# Routes that need an access token; a delivery to a receiver of one's own is signed.
PLATFORMS = [route for route in ROUTES if route != "webhook"]
CLEAN = {"lost": 0, "duplicated": 0, "forbidden": 0, "unexpected": 0}


def verdict(world: World, route: str, broadcast: int, *, but: BitMap | None = None) -> dict[str, int]:
    """The sandbox's four counts; `but`: assigned people who must not have been asked."""
    found = world.judge(ROUTES[route][0], broadcast, but=but or BitMap())
    return {name: found[name] for name in CLEAN}


def fault(world: World, path: str, kind: str, **how: Any) -> None:
    world.sandbox.post("/sandbox/faults", path=path, kind=kind, **how)


def hits(world: World) -> int:
    return sum(one["hit"] for one in world.sandbox.get("/sandbox/faults")["faults"])


def total(world: World, broadcast: int, **expected: int) -> None:
    """The ledger's counts are these, zero for the rest, and sum to the audience."""
    states = {name: count for name, count in world.states(broadcast).items() if count}
    assert states == {name: count for name, count in expected.items() if count}
    assert sum(states.values()) == len(world.assigned(broadcast))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("route", list(ROUTES))
def test_each_route_reaches_everybody_once(route: str, database: str, make: Make) -> None:
    world = make(route, database=database, settle_seconds=20.0 if route == "tasks" else 1.0)
    kind = ROUTES[route][0]
    broadcast = send(world, route)
    world.work_until(broadcast)
    assert world.get(broadcast).route == route
    assert verdict(world, route, broadcast) == CLEAN
    assigned = world.assigned(broadcast)
    assert len(assigned) > 100
    if route == "tasks":
        ids, told = world.ids(kind, assigned), world.outcomes(kind)
        expected = {number: "delivered" if told[ids[number]] == "arrived" else "failed" for number in assigned}
        assert world.statuses(broadcast, assigned) == expected
    else:
        total(world, broadcast, accepted=len(assigned))


def test_template_receipts_by_callbacks_equal_the_platforms_outcome(make: Make) -> None:
    world = make("template", settle_seconds=20.0)
    world.sandbox.post("/sandbox/settings", callback_duplicate_share=0.3, callback_jitter_seconds=0.3)
    with callbacks(world):
        broadcast = send(world, "template")
        world.work_until(broadcast)
    assigned = world.assigned(broadcast)
    ids, told = world.ids("service", assigned), world.outcomes("service")
    expected = {number: "delivered" if told[ids[number]] == "arrived" else "failed" for number in assigned}
    assert world.statuses(broadcast, assigned) == expected
    assert "failed" in expected.values()
    with world.runtime.read(1, "test") as work:
        reasons = {failure.reason: failure.count for failure in broadcasts.failures(work, broadcast)}
    said = Counter(told[ids[number]].removeprefix("failed:") for number in assigned)
    assert reasons == {f"receipt:{reason}": count for reason, count in said.items() if reason != "arrived"}
    assert verdict(world, "template", broadcast) == CLEAN


@pytest.mark.parametrize("route", ["list", "tag"])
def test_mass_receipts_by_callbacks_bring_the_totals(route: str, make: Make) -> None:
    world = make(route, settle_seconds=20.0)
    with callbacks(world):
        broadcast = send(world, route)
        world.work_until(broadcast)
    assigned = world.assigned(broadcast)
    told = Counter(world.outcomes(ROUTES[route][0]).values())
    totals = world.get(broadcast).totals
    assert (totals["total"], totals["sent"]) == (len(assigned), told["arrived"])
    assert totals["failed"] == told["failed:system_failed"]
    assert verdict(world, route, broadcast) == CLEAN


def test_receipts_that_come_before_the_answer_is_recorded_are_not_lost(make: Make) -> None:
    world = make("template", settle_seconds=20.0)
    with callbacks(world):
        world.sandbox.post("/sandbox/settings", template_finish_seconds=0.0)
        fault(world, ROUTES["template"][3], "slow", times=20, seconds=0.8)
        broadcast = send(world, "template")
        world.work_until(broadcast)
    states = world.states(broadcast)
    assert states["delivered"] + states["failed"] == len(world.assigned(broadcast))


def test_lost_callbacks_end_at_the_deadline(make: Make) -> None:
    world = make("template")
    with callbacks(world):
        world.sandbox.post("/sandbox/settings", callback_lost_share=1.0)
        broadcast = send(world, "template")
        world.work_until(broadcast)
    total(world, broadcast, accepted=len(world.assigned(broadcast)))


def test_the_temporary_tag_is_gone_at_the_end(make: Make) -> None:
    world = make("tag")
    broadcast = send(world, "tag")
    world.work_until(broadcast)
    assert [tag.name for tag in remote_tags(world)] == ["星标组"]


def remote_tags(world: World) -> Any:
    import asyncio

    async def ask() -> Any:
        async with accounts.connect(world.runtime, 1, world.accounts["official"]) as connected:
            return await connected.call(connected.official.tags.all)

    return asyncio.run(ask())


@pytest.mark.parametrize("route", PLATFORMS)
def test_a_dropped_token_is_renewed_once(route: str, make: Make) -> None:
    world = make(route)
    token = "/cgi-bin/gettoken" if route == "tasks" else "/cgi-bin/stable_token"
    broadcast = send(world, route)
    before = world.sandbox.calls(token)
    with world.working(rate_per_second=60.0 if route == "template" else 8.0):
        path = "/cgi-bin/tags/members/batchtagging" if route == "tag" else ROUTES[route][3]
        until(lambda: world.sandbox.calls(path) >= 2)
        world.sandbox.post("/sandbox/tokens/drop")
        world.wait(broadcast, "finished")
    after = world.sandbox.calls(token)
    # One for the first token unless the template's look-up fetched it, one or two for the renewal: 服务号 answers the
    # dead token first, and is asked for another.
    assert after - before <= 3
    assert verdict(world, route, broadcast) == CLEAN


FAULTS = ("busy", "timeout_before", "timeout_after", "cut", "cut_before", "slow")


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("route", list(ROUTES))
def test_a_fault_of_the_platform_loses_and_doubles_nobody(route: str, kind: str, make: Make) -> None:
    world = make(route, size=160)
    times = 40 if route == "template" else 2
    fault(world, ROUTES[route][3], kind, times=times, seconds=0.3 if kind == "slow" else 3.0)
    broadcast = send(world, route)
    world.work_until(broadcast)
    assert hits(world) >= min(times, 1)
    assert verdict(world, route, broadcast) == CLEAN
    states = world.states(broadcast)
    assert states["planned"] == states["retry"] == states["in_doubt"] == states["held"] == 0
    assert sum(states.values()) == len(world.assigned(broadcast))


@pytest.mark.parametrize("kind", ["busy", "cut"])
@pytest.mark.parametrize("path", ["tags/create", "tags/members/batchtagging", "user/tag/get", "draft/add", "tags/get"])
def test_a_fault_on_the_way_to_the_tag_loses_and_doubles_nobody(path: str, kind: str, make: Make) -> None:
    world = make("tag", size=160)
    fault(world, f"/cgi-bin/{path}", kind, times=2, seconds=3.0)
    broadcast = send(world, "tag")
    world.work_until(broadcast)
    assert hits(world) >= 1
    assert verdict(world, "tag", broadcast) == CLEAN
    total(world, broadcast, accepted=len(world.assigned(broadcast)))


@pytest.mark.parametrize("route", ["template", "list", "tag"])
def test_a_used_up_quota_pauses_with_the_reason_in_words(route: str, make: Make) -> None:
    world = make(route)
    broadcast = send(world, route)
    fault(world, ROUTES[route][3], "quota", times=1000)
    with world.working():
        world.wait(broadcast, "paused")
        with world.runtime.read(1, "test") as work:
            now = broadcasts.progress(work, broadcast)
        assert now.reason == "official:45009"
        assert "quota" in now.reason_en.lower()
        assert "上限" in now.reason_zh or "次数" in now.reason_zh
        world.sandbox.call("DELETE", "/sandbox/faults")
        with world.runtime.work(1, "test") as work:
            broadcasts.resume(work, broadcast)
        world.wait(broadcast, "finished")
    assert verdict(world, route, broadcast) == CLEAN
    total(world, broadcast, accepted=len(world.assigned(broadcast)))


@pytest.mark.parametrize("route", PLATFORMS)
def test_a_wrong_secret_pauses_with_a_clear_reason(route: str, make: Make) -> None:
    world = make(route)
    broadcast = send(world, route)
    with world.runtime.work(1, "test") as work:
        accounts.set_secret(work, world.accounts[ROUTES[route][0]], "0" * 32)
    world.sandbox.post("/sandbox/tokens/drop")
    with world.working():
        world.wait(broadcast, "paused")
    with world.runtime.read(1, "test") as work:
        now = broadcasts.progress(work, broadcast)
    assert now.reason == "accounts.wrong_secret"
    assert (now.reason_zh, now.reason_en) == ("平台拒绝了账号的凭证", "The platform refused the account's credentials")
    total(world, broadcast, **{"retry" if route == "template" else "planned": len(world.assigned(broadcast))})


@pytest.mark.parametrize("route", list(ROUTES))
def test_an_unreachable_platform_loses_nobody(route: str, make: Make) -> None:
    world = make(route)
    broadcast = send(world, route)
    world.sandbox.stop()
    with world.working():
        until(lambda: attempts(world) > 1)
        assert world.state(broadcast) == "sending"
        world.sandbox.start()
        world.wait(broadcast, "finished")
    assert verdict(world, route, broadcast) == CLEAN


def attempts(world: World) -> int:
    from tagcast.kit.leases import leases

    with world.runtime.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.max(leases.c.attempt))) or 0
