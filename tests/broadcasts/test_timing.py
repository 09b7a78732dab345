"""Scheduled broadcasts: sent when due if the plan holds, else asked about; missed ones by policy; series; waiting."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import time_machine
from pyroaring import BitMap

from tagcast import accounts, behaviour, broadcasts, compliance, contacts, tags
from tagcast.accounts import NewAccount
from tagcast.behaviour import EventIn
from tagcast.broadcasts import store
from tagcast.broadcasts.timing import best_hour, holding
from tagcast.contacts import Identity, PersonIn
from tagcast.kit import clock, leases, schedules
from tagcast.kit.errors import Conflict, Invalid, Refused, TagcastError
from tagcast.kit.uow import Runtime, Work
from tests.flows.harness import ID_OF

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)  # ten in Shanghai, a Tuesday
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CONTENT = {"kind": "template", "template_id": "t1", "data": {"name1": "会员"}}


class Stage:
    """A workspace with a 服务号 and its people, at a time that is told."""

    def __init__(self, runtime: Runtime, kind: str = "service") -> None:
        self.runtime = runtime
        with self.work(NOW) as work:
            identifier = (
                {"base_url": "https://shop.example.com/in"} if kind == "custom" else {"appid": "wx0123456789abcdef"}
            )
            made = accounts.add(work, NewAccount(kind=kind, name=kind, secret="0" * 32, **identifier))
            accounts.set_profile(work, made.id, "platform")
            self.account, self.kind = made.id, kind
            self.people = self.more(work, 0, 100)

    def more(self, work: Work, first: int, size: int) -> list[int]:
        """People who follow and consent."""
        which = Identity(ID_OF[self.kind], self.account)
        numbers = contacts.ensure(work, [PersonIn({which: f"o{n:05}"}) for n in range(first, first + size)])
        work.bitmaps.add(f"following:{self.account}", BitMap(numbers), why="test")
        compliance.record(work, "service", BitMap(numbers), BitMap(), source="test")
        return numbers

    @contextmanager
    def work(self, at: datetime) -> Iterator[Work]:
        with time_machine.travel(at, tick=False), self.runtime.work(1, "test") as work:
            yield work

    def draft(self, at: datetime = NOW, audience: str = "all", **settings: Any) -> int:
        with self.work(at) as work:
            return broadcasts.draft(
                work,
                name="会员日",
                account=self.account,
                audience=audience,
                content=CONTENT,
                purpose="service",
                settings=settings,
            ).id

    def plan(self, broadcast: int, at: datetime = NOW) -> str:
        with self.work(at) as work:
            return broadcasts.plan(work, broadcast).hash

    def schedule(self, section: dict[str, Any], at: datetime = NOW, **settings: Any) -> int:
        broadcast = self.draft(at, schedule=section, **settings)
        plan = self.plan(broadcast, at)
        with self.work(at) as work:
            broadcasts.schedule(work, plan)
        return broadcast

    def turn(self, at: datetime) -> None:
        """What workers do at a moment: fire what is due, and take up what that asks for."""
        with time_machine.travel(at, tick=False):
            while schedules.fire_next(self.runtime, broadcasts.SCHEDULES, lambda _: clock.to_ms(at)) is not None:
                pass
            while True:
                with self.runtime.system() as connection:
                    connection.execute(sa.update(leases.leases).values(due_at=0))
                    lease = leases.claim(connection, "test", [broadcasts.DUE], 60)
                if lease is None:
                    return
                asyncio.run(broadcasts.arrive(self.runtime, lease))

    def get(self, broadcast: int) -> broadcasts.Broadcast:
        with self.work(NOW) as work:
            return broadcasts.get(work, broadcast)

    def all(self) -> dict[str, broadcasts.Broadcast]:
        with self.work(NOW) as work:
            return {found.name: found for found in broadcasts.all_(work)}

    def verdicts(self, broadcast: int) -> list[str]:
        with self.work(NOW) as work:
            return [found.verdict for found in reversed(broadcasts.occurrences(work, broadcast))]


@pytest.fixture
def stage(runtime: Runtime) -> Stage:
    return Stage(runtime)


AT = {"at": "2026-11-24T12:00"}  # two hours later
DUE = NOW + 2 * HOUR


def test_it_is_sent_at_its_moment_as_it_was_planned(stage: Stage) -> None:
    broadcast = stage.schedule(AT)
    scheduled = stage.get(broadcast)
    assert (scheduled.state, scheduled.due_at, scheduled.deadline_at) == ("scheduled", DUE, DUE + 6 * HOUR)
    stage.turn(DUE - timedelta(milliseconds=1))
    assert stage.get(broadcast).state == "scheduled"
    stage.turn(DUE)
    assert stage.get(broadcast).state == "sending"
    assert stage.get(broadcast).started_at == DUE
    with stage.work(DUE) as work:
        assert broadcasts.states(work, broadcast)["planned"] == 100
    stage.turn(DUE + HOUR)
    assert stage.verdicts(broadcast) == ["send"]


def test_what_moved_is_asked_about_and_sent_once_a_person_looked(stage: Stage) -> None:
    broadcast = stage.schedule(AT)
    with stage.work(NOW) as work:
        stage.more(work, 100, 1)
    stage.turn(DUE)
    found = stage.get(broadcast)
    assert (found.state, found.reason, found.started_at) == ("paused", "schedule_moved", None)
    with stage.work(DUE) as work:
        (occurrence,) = broadcasts.occurrences(work, broadcast)
        assert occurrence.said["moved"] == ["addressed 100 → 101", "assigned 100 → 101"]
        assert broadcasts.progress(work, broadcast).reason_en
        with refused(Conflict, "plan_first"):
            broadcasts.resume(work, broadcast)
    plan = stage.plan(broadcast, DUE)
    with stage.work(DUE) as work:
        assert broadcasts.send(work, plan).state == "sending"


@pytest.mark.parametrize(("percent", "came", "state"), [(10, 10, "sending"), (10, 11, "paused"), (0, 1, "paused")])
def test_a_tolerance_says_how_far_a_step_may_move(stage: Stage, percent: int, came: int, state: str) -> None:
    broadcast = stage.schedule({**AT, "tolerance_percent": percent})
    with stage.work(NOW) as work:
        stage.more(work, 100, came)
    stage.turn(DUE)
    assert stage.get(broadcast).state == state


def test_other_people_in_the_same_number_are_a_change(stage: Stage) -> None:
    broadcast = stage.schedule(AT)
    with stage.work(NOW) as work:
        stage.more(work, 100, 1)
        compliance.suppress(work, BitMap(stage.people[:1]), "asked")
        work.bitmaps.remove("contact", BitMap(stage.people[:1]), why="test")
    stage.turn(DUE)
    assert stage.get(broadcast).state == "paused"


@pytest.mark.parametrize(
    ("misfire", "late", "state", "reason"),
    [
        ("ask", 9, "sending", None),
        ("ask", 11, "paused", "schedule_missed"),
        ("send", 11, "sending", None),
        ("skip", 11, "expired", "schedule_skipped"),
        ("send", 359, "sending", None),
        ("send", 361, "expired", "schedule_expired"),
        ("ask", 60 * 24 * 3, "expired", "schedule_expired"),
    ],
)
def test_a_missed_moment_follows_its_policy(
    stage: Stage, misfire: str, late: int, state: str, reason: str | None
) -> None:
    broadcast = stage.schedule({**AT, "misfire": misfire})
    stage.turn(DUE + timedelta(minutes=late))
    assert (stage.get(broadcast).state, stage.get(broadcast).reason) == (state, reason)


def test_a_worker_that_comes_too_late_to_its_work_sends_nothing(stage: Stage) -> None:
    """The moment fired in time, but whoever took it up was away past the deadline."""
    broadcast = stage.schedule(AT)
    with time_machine.travel(DUE, tick=False):
        assert schedules.fire_next(stage.runtime, broadcasts.SCHEDULES, lambda _: clock.to_ms(DUE)) is not None
    stage.turn(DUE + 7 * HOUR)
    assert (stage.get(broadcast).state, stage.get(broadcast).reason) == ("expired", "schedule_expired")


def test_what_is_refused_at_its_moment_is_told(stage: Stage) -> None:
    with stage.work(NOW) as work:
        tag = tags.ensure(work, "vip")
        work.bitmaps.add(f"tag:{tag.id}", BitMap(stage.people[:10]), why="test")
    broadcast = stage.draft(audience='tag("vip")', schedule={**AT, "tolerance_percent": 100})
    plan = stage.plan(broadcast)
    with stage.work(NOW) as work:
        broadcasts.schedule(work, plan)
        work.bitmaps.replace(f"following:{stage.account}", BitMap(), why="test")
    stage.turn(DUE)
    found = stage.get(broadcast)
    assert (found.state, found.reason) == ("paused", "schedule_moved")
    with stage.work(DUE) as work:
        (occurrence,) = broadcasts.occurrences(work, broadcast)
    assert "assigned 0 < 1" in occurrence.said["moved"]


def test_a_rule_sends_a_numbered_copy_each_time_and_ends(stage: Stage) -> None:
    rule = {"every": "day", "time": "12:00", "until": "2026-11-26"}
    broadcast = stage.schedule({"rule": rule}, quiet="expire")
    for day in range(4):
        with stage.work(DUE + day * DAY) as work:
            stage.more(work, 100 + day, 1)
        stage.turn(DUE + day * DAY)
    found = stage.all()
    assert set(found) == {"会员日", "会员日 #1", "会员日 #2", "会员日 #3"}
    assert [found[f"会员日 #{n}"].state for n in (1, 2, 3)] == ["sending"] * 3
    assert [found[f"会员日 #{n}"].started_at for n in (1, 2, 3)] == [DUE + n * DAY for n in range(3)]
    assert found["会员日 #2"].settings == {
        "quiet": "expire",
        "series": {"of": broadcast, "no": 2, "due": clock.to_ms(DUE + DAY)},
    }
    with stage.work(NOW) as work:
        assigned = [broadcasts.states(work, found[f"会员日 #{n}"].id)["planned"] for n in (1, 2, 3)]
    assert assigned == [101, 102, 103]
    assert (found["会员日"].state, found["会员日"].reason) == ("finished", "series_over")


def test_a_series_passes_over_what_was_missed_and_goes_on(stage: Stage) -> None:
    rule = {"rule": {"every": "day", "time": "12:00"}, "misfire": "skip", "deadline_minutes": 120}
    broadcast = stage.schedule(rule)
    stage.turn(DUE + 3 * DAY + HOUR)
    stage.turn(DUE + 6 * DAY + 3 * HOUR)
    assert stage.verdicts(broadcast) == ["skip", "expired"]
    assert stage.get(broadcast).due_at == DUE + 7 * DAY
    stage.turn(DUE + 7 * DAY)
    assert stage.verdicts(broadcast) == ["skip", "expired", "send"]
    assert stage.all()["会员日 #1"].state == "sending"


def test_a_series_asks_where_its_conditions_do_not_hold(stage: Stage) -> None:
    broadcast = stage.schedule({"cron": "0 12 * * *", "most": 102, "tolerance_percent": 50})
    for day, came in ((0, 2), (1, 1)):
        with stage.work(NOW) as work:
            stage.more(work, 100 + 2 * day, came)
        stage.turn(DUE + day * DAY)
    found = stage.all()
    assert [found[f"会员日 #{n}"].state for n in (1, 2)] == ["sending", "paused"]
    assert stage.get(broadcast).state == "scheduled"
    with stage.work(NOW) as work:
        assert broadcasts.occurrences(work, broadcast)[0].said == {
            "reason": "schedule_moved",
            "moved": ["assigned 103 > 102"],
        }
        assert broadcasts.cancel(work, found["会员日 #2"].id).state == "cancelled"


def test_unscheduled_or_cancelled_nothing_is_sent(stage: Stage) -> None:
    first, second = stage.schedule(AT), stage.schedule(AT)
    with stage.work(NOW) as work:
        assert broadcasts.unschedule(work, first).state == "draft"
        assert broadcasts.cancel(work, second).state == "cancelled"
        with refused(Conflict, "wrong_state"):
            broadcasts.unschedule(work, second)
    stage.turn(DUE)
    assert (stage.get(first).state, stage.get(second).state) == ("draft", "cancelled")
    plan = stage.plan(first)
    with stage.work(NOW) as work:
        assert broadcasts.schedule(work, plan).state == "scheduled"
        assert broadcasts.schedule(work, plan).state == "scheduled"
    stage.turn(DUE)
    assert stage.get(first).state == "sending"


def test_another_time_keeps_what_is_scheduled_unless_the_plan_moved(stage: Stage) -> None:
    broadcast = stage.schedule(AT)
    later = {"at": "2026-11-25T12:00"}
    with stage.work(NOW) as work:
        found, _, changes = broadcasts.reschedule(work, broadcast, later)
        assert (found.state, found.due_at, changes) == ("scheduled", DUE + DAY, [])
    stage.turn(DUE + HOUR)
    assert stage.get(broadcast).state == "scheduled"
    with stage.work(NOW) as work:
        stage.more(work, 100, 1)
        found, plan, changes = broadcasts.reschedule(work, broadcast, AT)
        assert (found.state, changes) == ("draft", ["addressed 100 → 101", "assigned 100 → 101"])
    with stage.work(NOW) as work:
        broadcasts.schedule(work, plan.hash)
    stage.turn(DUE)
    assert stage.get(broadcast).state == "sending"


def test_scheduling_what_has_moved_passed_or_has_no_time_is_refused(stage: Stage) -> None:
    plan = stage.plan(stage.draft(schedule=AT))
    with stage.work(NOW) as work:
        stage.more(work, 100, 1)
    with stage.work(NOW) as work, refused(Conflict, "plan_moved"):
        broadcasts.schedule(work, plan)
    with stage.work(DUE) as work, refused(Invalid, "schedule_past"):
        broadcasts.schedule(work, plan)
    plan = stage.plan(stage.draft())
    with stage.work(NOW) as work, refused(Invalid, "no_schedule"):
        broadcasts.schedule(work, plan)


IMPOSSIBLE: list[tuple[Any, str]] = [
    ({}, "schedule_kind"),
    ({"at": "2026-12-01T10:00", "cron": "0 10 * * *"}, "schedule_kind"),
    ({"at": "2026-12-01T10:00+08:00"}, "bad_timing"),
    ({"at": "tomorrow"}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "zone": "Mars/Base"}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "zone": "../etc"}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "misfire": "later"}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "deadline_minutes": 5}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "colour": "red"}, "bad_timing"),
    ({"at": "2026-12-01T10:00", "from": "2026-12-01"}, "bad_timing"),
    ({"rule": {"every": "moon", "time": "10:00"}}, "bad_timing"),
    ({"rule": {"every": "week", "time": "10:00"}}, "bad_timing"),
    ({"rule": {"every": "month", "on": [32], "time": "10:00"}}, "bad_timing"),
    ({"rule": {"every": "year", "on": ["02-30"], "time": "10:00"}}, "bad_timing"),
    ({"rule": {"every": "day"}}, "bad_timing"),
    ({"rule": {"every": "day", "time": "25:00"}}, "bad_timing"),
    ({"rule": {"every": "day", "time": ["10:00", "10:59"]}}, "schedule_too_often"),
    ({"rule": {"every": "day", "time": ["23:30", "00:10"]}}, "schedule_too_often"),
    ({"rule": {"every": "day", "time": "10:00", "from": "2026-12-02", "until": "2026-12-01"}}, "bad_timing"),
    (
        {"rule": {"every": "week", "on": "mon", "time": "10:00", "from": "2026-12-01", "until": "2026-12-01"}},
        "never",
    ),
    ({"cron": "*/10 * * * *"}, "schedule_too_often"),
    ({"cron": "0 10 30 2 *"}, "bad_cron"),
    ({"cron": "0 10 * *"}, "bad_cron"),
    ({"cron": "* 0 10 * * *"}, "bad_cron"),
    ("soon", "bad_timing"),
]


def test_schedules_that_cannot_be(runtime_sqlite: Runtime) -> None:
    stage = Stage(runtime_sqlite)
    for section, code in IMPOSSIBLE:
        with refused(Invalid, code):
            stage.draft(schedule=section)


def test_sections_have_one_normal_form(runtime_sqlite: Runtime) -> None:
    stage = Stage(runtime_sqlite)
    short = {"rule": {"every": "month", "on": ["last", 1], "time": "10:00"}}
    rule = {
        "every": "month",
        "on": ["1", "last"],
        "time": ["10:00"],
        "short_month": "last",
        "from": None,
        "until": None,
    }
    policy = {"misfire": "ask", "grace_minutes": 10, "deadline_minutes": 360, "tolerance_percent": 0}
    long = {"zone": "Asia/Shanghai", "rule": rule, **policy, "least": 1, "most": None}
    assert stage.get(stage.draft(schedule=short)).settings["schedule"] == long
    assert stage.get(stage.draft(schedule=long)).settings["schedule"] == long


def test_a_calendar_of_workdays_warns_of_years_without_a_notice(runtime_sqlite: Runtime) -> None:
    stage = Stage(runtime_sqlite)
    for every, until, warned in (("workday", "2026-12-31", False), ("holiday", None, True), ("day", None, False)):
        broadcast = stage.draft(schedule={"rule": {"every": every, "time": "10:00", "until": until}})
        with stage.work(datetime(2026, 12, 20, tzinfo=UTC)) as work:
            assert ("holidays_unknown" in broadcasts.plan(work, broadcast).warnings) == warned


def chunks(stage: Stage, broadcast: int, at: datetime) -> list[tuple[store.Chunk, holding.Wait | None]]:
    with stage.work(at) as work:
        found = store.chunks_of(work, broadcast)
        return [(chunk, holding.hold(work, broadcasts.get(work, broadcast), chunk)) for chunk in found]


def sent(stage: Stage, at: datetime, **settings: Any) -> int:
    broadcast = stage.draft(at, **settings)
    plan = stage.plan(broadcast, at)
    with stage.work(at) as work:
        broadcasts.send(work, plan)
    return broadcast


@contextmanager
def refused(kind: type[TagcastError], code: str) -> Iterator[None]:
    """It is refused with this code."""
    with pytest.raises(kind) as found:
        yield
    assert found.value.code.endswith(code)


def local(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment in Shanghai in November 2026."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - 8 * HOUR


def test_who_is_in_quiet_hours_waits_for_their_end(stage: Stage) -> None:
    night = local(24, 23)
    broadcast = sent(stage, night)
    ((_, wait),) = chunks(stage, broadcast, night)
    assert wait == holding.Wait(900, "quiet_hours_on")
    ((_, wait),) = chunks(stage, broadcast, local(25, 7, 59))
    assert wait == holding.Wait(60, "quiet_hours_on")
    ((_, wait),) = chunks(stage, broadcast, local(25, 8))
    assert wait is None
    with stage.work(night) as work:
        plan = store.plan_of(work, broadcast)
        assert plan is not None
        assert "quiet_at_that_time" in plan.warnings


def test_people_of_several_clocks_are_called_each_in_his_own_day(runtime_sqlite: Runtime) -> None:
    stage = Stage(runtime_sqlite)
    with stage.work(NOW) as work:
        contacts.declare_attribute(work, "clock", "choice", purpose="marketing")
        work.bitmaps.add("attribute:clock=Europe/London", BitMap(stage.people[:30]), why="test")
        compliance.set_zones(work, "person", "clock")
    at = local(24, 9)  # one in the night in London
    broadcast = sent(stage, at)
    found = {chunk.recipients.size: wait for chunk, wait in chunks(stage, broadcast, at)}
    assert found == {70: None, 30: holding.Wait(900, "quiet_hours_on")}
    evening = local(24, 23)
    assert {chunk.recipients.size: wait is None for chunk, wait in chunks(stage, broadcast, evening)} == {
        70: False,
        30: True,
    }


def test_who_waits_too_long_is_held_back_with_the_reason(stage: Stage) -> None:
    window = {"from": "09:00", "to": "10:00", "days": ["sat"], "hold_minutes": 60}
    broadcast = sent(stage, NOW, window=window)
    ((_, wait),) = chunks(stage, broadcast, NOW + timedelta(minutes=59))
    assert wait == holding.Wait(60, "send_window")
    ((chunk, wait),) = chunks(stage, broadcast, NOW + HOUR)
    assert wait is None
    assert set(chunk.statuses.tolist()) == {broadcasts.Status.HELD}
    with stage.work(NOW) as work:
        (failure,) = broadcasts.failures(work, broadcast)
        assert (failure.reason, failure.count) == ("held_too_long", 100)


def test_a_window_opens_on_its_days_and_over_midnight() -> None:
    window = {"zone": "Asia/Shanghai", "from": "22:00", "to": "02:00", "days": ["mon", "fri"]}
    for at, opens in (
        (local(24, 1), local(24, 1)),  # Monday's goes on into Tuesday
        (local(24, 2), local(27, 22)),
        (local(27, 21), local(27, 22)),
        (local(27, 23), local(27, 23)),
        (local(28, 3), local(30, 22)),
    ):
        assert holding.window_open(window, at) == opens


def test_in_flight_is_not_held_up(stage: Stage) -> None:
    broadcast = sent(stage, NOW)
    with stage.work(NOW) as work:
        chunk = store.chunk(work, broadcast, 0)
        chunk.watermark = 10
        assert holding.hold(work, broadcasts.get(work, broadcast), chunk) is None
        night = local(24, 23)
    with stage.work(night) as work:
        assert holding.hold(work, broadcasts.get(work, broadcast), chunk) is None
        chunk.statuses[:10] = broadcasts.Status.ACCEPTED
        assert holding.hold(work, broadcasts.get(work, broadcast), chunk) is not None


def test_each_person_is_due_at_his_best_hour(stage: Stage) -> None:
    early, late, nobody = stage.people[:20], stage.people[20:50], stage.people[50:]
    with stage.work(NOW) as work:
        behaviour.declare_event(work, "view", "marketing")
        days = range(1, 11)
        events = [EventIn("view", who, clock.to_ms(local(24 - day, 9, 30))) for who in early for day in days]
        events += [EventIn("view", who, clock.to_ms(local(24 - day, 20))) for who in late for day in days]
        behaviour.record(work, events, batch_key="a", zone="Asia/Shanghai")
    broadcast = sent(stage, NOW, best_hour={"from": "09:00", "to": "21:00"})
    found = {tuple(chunk.recipients.tolist()): chunk.due_at for chunk, _ in chunks(stage, broadcast, NOW)}
    assert found == {
        tuple(early): clock.to_ms(local(25, 9)),
        tuple(late + nobody): clock.to_ms(local(24, 20)),
    }
    waits = {chunk.recipients.size: wait for chunk, wait in chunks(stage, broadcast, local(24, 20))}
    assert waits == {20: holding.Wait(13 * 3600, "best_hour"), 80: None}


def test_best_hours_are_those_of_a_naive_count() -> None:
    random = np.random.default_rng(7)
    people = np.sort(random.choice(1000, 60, replace=False)).astype(np.uint32)
    seen = random.choice(people[:40], 500).astype(np.int64) * 24 + random.integers(0, 24, 500)
    allowed, prior = range(8, 22), 5.0
    inside = [one for one in seen.tolist() if one % 24 in allowed]
    share = [sum(one % 24 == hour for one in inside) / len(inside) for hour in allowed]
    naive = []
    for person in people.tolist():
        scores = [inside.count(person * 24 + hour) + prior * part for hour, part in zip(allowed, share, strict=True)]
        naive.append(allowed[scores.index(max(scores))])
    assert best_hour.choose(people, seen, allowed, prior).tolist() == naive
    nothing = np.empty(0, dtype=np.int64)
    assert set(best_hour.choose(people, nothing, allowed, prior).tolist()) == {8}


def test_a_best_hour_is_refused_where_one_call_is_for_many(runtime_sqlite: Runtime) -> None:
    stage = Stage(runtime_sqlite)
    with stage.work(NOW) as work, refused(Refused, "best_hour_route"):
        broadcasts.draft(
            work,
            name="x",
            account=stage.account,
            audience="all",
            content={"kind": "text", "text": "会员日"},
            settings={"best_hour": {"from": "09:00", "to": "21:00"}},
        )
    for hours in (("21:00", "09:00"), ("09:30", "21:00"), ("9", "x")):
        with refused(Invalid, "bad_timing"):
            stage.draft(best_hour=dict(zip(("from", "to"), hours, strict=True)))


def test_an_account_is_kept_for_what_is_scheduled(stage: Stage) -> None:
    stage.schedule(AT)
    with stage.work(NOW) as work, pytest.raises(Conflict):
        accounts.remove(work, stage.account)
