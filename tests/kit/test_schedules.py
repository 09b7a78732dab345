"""Schedules on both databases: each moment fires once, whatever the clock does; late ones follow their policy."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tagcast.kit import clock, leases, schedules
from tagcast.kit.schedules import Fire, Kind, Policy, Verdict
from tagcast.kit.uow import Runtime, Work

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Told:
    """A clock that is told the time, and what fired by it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.now = START
        self.seen: list[tuple[datetime, str, int]] = []
        self.kinds = {"test": Kind(self._after, self._fire), "broken": Kind(self._after, self._break)}

    def __call__(self, _connection: Connection) -> int:
        return clock.to_ms(self.now)

    @staticmethod
    def _after(payload: Mapping[str, Any], moment: datetime) -> datetime | None:
        """Every so many minutes of the hour line, or once."""
        if "at" in payload:
            at = clock.from_ms(payload["at"])
            return at if at > moment else None
        every = timedelta(minutes=payload["every"])
        return START + ((moment - START) // every + 1) * every

    def _fire(self, work: Work, fire: Fire) -> None:
        assert work.now == self.now
        leases.enqueue(work, "effect", f"{fire.key}:{clock.to_ms(fire.fire_at)}")
        self.seen.append((fire.fire_at, str(fire.verdict), fire.missed))

    def _break(self, work: Work, fire: Fire) -> None:
        self._fire(work, fire)
        raise RuntimeError("on the way")

    def put(self, first: datetime, *, kind: str = "test", policy: Policy | None = None, **payload: Any) -> None:
        with self.runtime.work(1, "test") as work:
            schedules.put(work, kind, "a", first, payload=payload, policy=policy or Policy())

    def turn(self) -> list[tuple[datetime, str, int]]:
        """Fire until nothing is due; what fired."""
        self.seen.clear()
        while True:
            with self.runtime.engine.connect() as connection:
                due = schedules.next_in_ms(connection, self(connection)) == 0
            if not due:
                return list(self.seen)
            schedules.fire_next(self.runtime, self.kinds, self)

    def realign(self) -> int:
        return schedules.realign(self.runtime, self.kinds, self)

    def next(self) -> datetime | None:
        with self.runtime.read(1, "test") as work:
            return schedules.next_at(work, "test", "a")

    def effects(self) -> int:
        with self.runtime.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(leases.leases)) or 0


@pytest.fixture
def told(runtime: Runtime) -> Told:
    return Told(runtime)


def test_it_fires_when_it_is_due_and_never_again(told: Told) -> None:
    at = START + MINUTE
    told.put(at, at=clock.to_ms(at))
    assert told.turn() == []
    told.now = at - timedelta(milliseconds=1)
    assert told.turn() == []
    told.now = at
    assert told.turn() == [(at, "send", 0)]
    told.now = at + HOUR
    assert told.turn() == []
    assert told.next() is None
    told.now = START
    assert (told.realign(), told.turn(), told.effects()) == (0, [], 1)


def test_what_was_missed_comes_once_by_its_policy(told: Told) -> None:
    grace, deadline = timedelta(minutes=2), timedelta(minutes=8)
    for misfire in (Verdict.SEND, Verdict.SKIP, Verdict.ASK):
        for late, verdict in ((0, "send"), (2, "send"), (3, misfire), (8, misfire), (9, "expired")):
            told.now = START
            told.put(START + 10 * MINUTE, every=10, policy=Policy(misfire, grace, deadline))
            told.now = START + (50 + late) * MINUTE
            assert told.turn() == [(START + 50 * MINUTE, verdict, 4)]
            assert told.next() == START + 60 * MINUTE


def test_a_clock_that_is_set_back_neither_repeats_nor_loses(told: Told) -> None:
    told.put(START + 10 * MINUTE, every=10)
    told.now = START + 31 * MINUTE
    assert told.turn() == [(START + 30 * MINUTE, "send", 2)]
    told.now = START + 25 * MINUTE
    assert (told.realign(), told.turn()) == (1, [])
    for minute, fired in ((30, []), (40, [(START + 40 * MINUTE, "send", 0)]), (49, [])):
        told.now = START + minute * MINUTE
        assert told.turn() == fired


def test_a_clock_three_days_ahead_and_back_loses_no_day(told: Told) -> None:
    told.put(START + HOUR, every=60, policy=Policy(Verdict.SEND))
    told.now = START + timedelta(days=3)
    assert told.turn() == [(told.now, "send", 71)]
    told.now = START + timedelta(minutes=30)
    assert told.realign() == 1
    fired = []
    for _ in range(80):
        fired += [at for at, _, _ in told.turn()]
        told.now += HOUR
    # Each hour once; the one that had fired ahead of its time does not come again.
    assert fired == [START + n * HOUR for n in range(1, 80) if n != 72]


def test_a_fire_that_fails_leaves_nothing_and_is_tried_again_later(told: Told) -> None:
    told.put(START, kind="broken", every=10)
    told.now = START + MINUTE
    with pytest.raises(RuntimeError):
        schedules.fire_next(told.runtime, told.kinds, told)
    assert told.effects() == 0
    assert told.turn() == []
    told.kinds["broken"] = told.kinds["test"]
    told.now += timedelta(seconds=schedules.AFTER_ERROR_SECONDS)
    assert told.turn() == [(START, "send", 0)]


def test_a_fire_that_fails_does_not_hold_up_others(told: Told) -> None:
    told.put(START, kind="broken", every=10)
    told.put(START + MINUTE, every=10)
    told.now = START + MINUTE
    with pytest.raises(RuntimeError):
        schedules.fire_next(told.runtime, told.kinds, told)
    assert [at for at, _, _ in told.turn()] == [START + MINUTE]


def test_a_schedule_that_was_taken_away_does_not_fire(told: Told) -> None:
    told.put(START + MINUTE, every=10)
    with told.runtime.work(1, "test") as work:
        assert schedules.drop(work, "test", "a")
        assert not schedules.drop(work, "test", "a")
    told.now = START + HOUR
    assert told.turn() == []


def test_old_fires_go(told: Told) -> None:
    told.put(START + MINUTE, every=1)
    for _ in range(5):
        told.now += MINUTE
        told.turn()
    with told.runtime.work(1, "test") as work:
        assert schedules.purge(work, START + 3 * MINUTE) == 2
        assert schedules.purge(work, START + 3 * MINUTE) == 0


def test_verdicts_are_those_of_a_table() -> None:
    for late, grace, deadline in product(range(-2, 12), range(5), (None, *range(9))):
        policy = Policy(Verdict.SKIP, grace * MINUTE, None if deadline is None else deadline * MINUTE)
        expected = "send" if late <= grace else "skip"
        if deadline is not None and late > deadline:
            expected = "expired"
        assert schedules.judge(policy, START, START + late * MINUTE) == expected
