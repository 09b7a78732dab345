"""Who may not be called any more when the call comes: refusals, minors, quiet hours, caps of the day of the call."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts, tags
from tagcast.broadcasts import ledger, store
from tagcast.broadcasts.rules import Status
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.conftest import ROUTES, Make, content, send

NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)  # in Shanghai
NIGHT = datetime(2026, 11, 23, 15, tzinfo=UTC)
TOMORROW = NOON + timedelta(days=1)
EVERYBODY = BitMap(range(1, 21))


@pytest.mark.parametrize("route", ["template", "tasks"])
@pytest.mark.parametrize("chosen", [True, False])
def test_refusals_and_minors_hold_from_plan_to_call_where_people_are_chosen(
    route: str, chosen: bool, make: Make
) -> None:
    world = make(route)
    kind = ROUTES[route][0]
    (audience,) = world.split(kind, 100)[:1] if chosen else ["all"]
    with world.runtime.work(1, "test") as work:
        there = list(work.bitmaps.read(f"following:{world.accounts[kind]}"))
        planned, late, young = BitMap(there[:5]), BitMap(there[5:9]), BitMap(there[9:12])
        compliance.refuse_personalisation(work, planned, source="来电")
    broadcast = world.send(kind, content(world, route), audience=audience)
    with world.runtime.work(1, "test") as work:
        assert world.assigned(broadcast).isdisjoint(planned) is chosen
        compliance.refuse_personalisation(work, late, source="来电")
        compliance.mark_minors(work, young, why="the mother called")
    world.work_until(broadcast)
    held = (late | young) if chosen else BitMap()
    assert world.set(f"broadcast:{broadcast}:held") == held
    asked = set(world.outcomes(kind))
    assert set(world.ids(kind, held | planned).values()).isdisjoint(asked) is chosen
    verdict = world.judge(kind, broadcast, but=held)
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0, 0)
    with world.runtime.read(1, "test") as work:
        reasons = {one.reason: (one.count, one.sentence_zh) for one in broadcasts.failures(work, broadcast)}
        steps = {step.name: step.count for step in broadcasts.waterfall(work, broadcast)}
    if chosen:
        assert (reasons["personalisation_off"][0], reasons["minor"][0]) == (4, 3)
        assert reasons["minor"][1].startswith("未成年人")
        assert (steps["personalisation_off"], steps["minor"]) == (5, 0)
    else:
        assert "minor" not in steps


def sent(work: Work, name: str, **settings: Any) -> int:
    """A broadcast that was just started, through the first account."""
    said = {"kind": "text", "text": "你好"}
    made = broadcasts.draft(work, name=name, account=1, audience="all", content=said, settings=settings)
    return broadcasts.send(work, broadcasts.plan(work, made.id).hash).id


def call(work: Work, number: int, no: int = 0) -> tuple[BitMap, dict[int, str]]:
    """Whom the only call of a chunk would be for at this moment, and why the others are held."""
    broadcast, chunk = store.get(work, number), store.chunk(work, number, no)
    called = ledger.members(chunk.recipients[ledger.open_call(work, broadcast, chunk)])
    store.save_chunk(work, chunk)
    held = ledger.members(chunk.recipients[chunk.statuses == Status.HELD])
    return called, {contact: store.failure_of(work, number, contact) or "" for contact in held}


@pytest.fixture
def here(runtime: Runtime) -> Runtime:
    with runtime.work(1, "test", now=NOON) as work:
        new = accounts.NewAccount("service", "s", "secret", appid="wx0123456789abcdef", profile="platform")
        at = accounts.add(work, new).id
        contacts.ensure(work, [PersonIn({Identity("openid", at): f"o{number}"}) for number in EVERYBODY])
        for key in (f"identity:{at}", f"following:{at}"):
            work.bitmaps.add(key, EVERYBODY, why="test")
        compliance.record(work, "marketing", EVERYBODY, BitMap(), source="test")
        compliance.set_cap(work, "all", "day", 1)
    return runtime


def test_a_pause_over_midnight_reaches_nobody_twice_on_the_next_day(here: Runtime) -> None:
    with here.work(1, "test", now=NOON) as work:
        paused = sent(work, "paused")
        broadcasts.pause(work, paused)
    with here.work(1, "test", now=TOMORROW) as work:
        compliance.suppress(work, EVERYBODY - BitMap([1, 2, 3]), "for now")
        morning = sent(work, "morning")
        assert call(work, morning)[0] == BitMap([1, 2, 3])
        compliance.unsuppress(work, EVERYBODY, "again")
    with here.work(1, "test", now=TOMORROW) as work:
        broadcasts.resume(work, paused)
        called, held = call(work, paused)
        assert (called, held) == (EVERYBODY - BitMap([1, 2, 3]), dict.fromkeys([1, 2, 3], "no_slot"))
        assert compliance.over_caps(work, 1, TOMORROW) == EVERYBODY
        # The day on which nobody was called is free again, should the clock be put back to it.
        assert compliance.over_caps(work, 1, NOON) == BitMap()
        assert broadcasts.why(work, paused, 1)[2].startswith("Over a cap")


def test_a_cap_lowered_after_the_start_holds_nobody(here: Runtime) -> None:
    with here.work(1, "test", now=NOON) as work:
        started = sent(work, "started")
        compliance.set_cap(work, "all", "day", 0)
    with here.work(1, "test", now=NOON + timedelta(hours=1)) as work:
        assert call(work, started) == (EVERYBODY, {})


def test_in_quiet_hours_who_does_not_wait_is_left_out_and_held(here: Runtime) -> None:
    with here.work(1, "test", now=NOON) as work:
        contacts.declare_attribute(work, "tz", "choice", purpose="test")
        contacts.set_choices(work, "tz", {"America/New_York": BitMap([1, 2]), "Asia/Tokyo": BitMap([3])}, why="test")
        compliance.set_zones(work, "person", "tz")
        # Noon in Shanghai is 23:00 of the day before in New York.
        started = sent(work, "started", quiet="expire")
        step = broadcasts.members(work, started, "quiet_hours")
        assert step == BitMap([1, 2])
        assert broadcasts.why(work, started, 1)[0] == "quiet_hours"
    with here.work(1, "test", now=NIGHT - timedelta(hours=2)) as work:  # 21:00 in Shanghai, 22:00 in Tokyo
        called, held = call(work, started)
        assert (called, held) == (EVERYBODY - BitMap([1, 2, 3]), {3: "quiet_hours"})
        assert compliance.used(work, 1, 3, NOON)[-1].used == 0


def test_what_is_left_over_waits_when_the_accounts_send_of_the_day_is_anothers(make: Make) -> None:
    world = make("tag", size=30)
    with time_machine.travel(datetime.now(UTC) - timedelta(days=1)):
        left_over = send(world, "tag")
        with world.runtime.work(1, "test") as work:
            broadcasts.pause(work, left_over)
    with world.runtime.read(1, "test") as work:
        assert compliance.account_quota(work, world.accounts["official"], work.now).used == 0
    today = send(world, "tag")
    with world.working():
        world.wait(today, "finished")
        with world.runtime.work(1, "test") as work:
            broadcasts.resume(work, left_over)
        world.wait(left_over, "paused")
    with world.runtime.read(1, "test") as work:
        now = broadcasts.progress(work, left_over)
        assert now.reason == "compliance.no_send_left"
        assert "no send left" in now.reason_en
    assert world.sandbox.calls(ROUTES["tag"][3]) == 1
    with world.runtime.work(1, "test") as work:
        broadcasts.cancel(work, left_over)
    world.work_until(left_over)
    assert {name for name, count in world.states(left_over).items() if count} == {"cancelled"}


def test_who_refused_personalisation_hears_what_everybody_hears(here: Runtime) -> None:
    special = {"name": "新", "content": {"kind": "text", "text": "新品到店"}, "when": 'tag("新客")'}
    with here.work(1, "test", now=NOON) as work:
        work.bitmaps.add(f"tag:{tags.ensure(work, '新客').id}", BitMap(range(1, 11)), why="test")
        compliance.refuse_personalisation(work, BitMap([1, 2]), source="来电")
        compliance.mark_minors(work, BitMap([3]), why="the mother called")
        started = sent(work, "two", variants={"items": [special], "base": "众"})
        chunks = {chunk.said.get("variant", "众"): chunk.no for chunk in store.chunks_of(work, started)}
        told = {name: ledger.members(store.chunk(work, started, no).recipients) for name, no in chunks.items()}
        assert told == {"新": BitMap(range(4, 11)), "众": BitMap([1, 2, 3, *range(11, 21)])}
    with here.work(1, "test", now=NOON) as work:
        # What was not chosen for them may still be said.
        compliance.refuse_personalisation(work, BitMap([5, 15]), source="来电")
        assert call(work, started, chunks["新"]) == (told["新"] - BitMap([5]), {5: "personalisation_off"})
        assert call(work, started, chunks["众"]) == (told["众"], {})


def test_a_condition_of_a_text_is_not_for_who_refused_personalisation(here: Runtime) -> None:
    with here.work(1, "test", now=NOON) as work:
        tags.ensure(work, "新客")
        work.bitmaps.add(f"tag:{tags.find(work, '新客').id}", BitMap(range(1, 11)), why="test")
        compliance.refuse_personalisation(work, BitMap([1, 2]), source="来电")
        compliance.mark_minors(work, BitMap([3]), why="the mother called")
        text = "你好{{#if 'tag(\"新客\")'}}，新品到店{{/if}}"
        made = broadcasts.draft(work, name="if", account=1, audience="all", content={"kind": "text", "text": text})
        started = broadcasts.send(work, broadcasts.plan(work, made.id).hash)
        (key,) = work.bitmaps.keys(f"{started.key}:if:")
        assert work.bitmaps.read(key) == BitMap(range(4, 11))
