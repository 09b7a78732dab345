"""Caps: calendar windows in the account's zone, and that no order of events breaks one."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Runtime, Work

SHANGHAI = ZoneInfo("Asia/Shanghai")
PEOPLE = BitMap([1, 2, 3])
NOON = datetime(2026, 11, 23, 12, tzinfo=SHANGHAI)


def add(work: Work, kind: str, profile: str = "platform", *, zone: str = "Asia/Shanghai", name: str = "") -> int:
    number = {"corpid": "ww0123456789abcdef"} if kind == "wecom" else {"appid": "wx0123456789abcdef"}
    new = accounts.NewAccount(kind, name or f"{kind} {profile}", "secret", profile=profile, zone=zone, **number)
    return accounts.add(work, new).id


def own_profile(work: Work, **limits: Any) -> None:
    entries = {name: {"value": value, "source": "test", "date": "2026-11-01"} for name, value in limits.items()}
    accounts.add_profile(work, "own", "platform", {"service": {"broadcast": entries}})


def no_ceiling(work: Work) -> None:
    compliance.set_monthly_ceiling(work, 15, "test")


def test_four_a_calendar_month_by_person(work: Work) -> None:
    service = add(work, "service")
    for number, day in enumerate((1, 1, 15)):
        assert compliance.reserve(work, service, f"b{number}", PEOPLE, NOON.replace(day=day)) == PEOPLE
    assert compliance.over_cap(work, service, NOON) == BitMap()
    assert compliance.reserve(work, service, "b4", BitMap([1]), NOON.replace(day=30)) == BitMap([1])
    assert compliance.over_cap(work, service, NOON) == BitMap([1])
    assert compliance.reserve(work, service, "b5", PEOPLE, NOON) == BitMap([2, 3])
    assert compliance.reserve(work, service, "b6", PEOPLE, NOON) == BitMap()
    assert compliance.over_cap(work, service, NOON + timedelta(days=8)) == BitMap()
    assert compliance.account_quota(work, service, NOON).limit is None


@pytest.mark.parametrize(
    ("moment", "length"),
    [
        (datetime(2027, 2, 14, 12, tzinfo=SHANGHAI), 28),
        (datetime(2028, 2, 29, 12, tzinfo=SHANGHAI), 29),
        (datetime(2027, 4, 30, 12, tzinfo=SHANGHAI), 30),
        (datetime(2026, 12, 31, 12, tzinfo=SHANGHAI), 31),
    ],
)
def test_wecom_reception_is_as_many_as_the_month_has_days(work: Work, moment: datetime, length: int) -> None:
    wecom = add(work, "wecom")
    for number in range(length):
        assert compliance.over_cap(work, wecom, moment) == BitMap(), number
        compliance.record_sent(work, wecom, f"b{number}", BitMap([7]), moment.replace(day=1 + number // 3))
    assert compliance.over_cap(work, wecom, moment) == BitMap([7])


# Midnight of the account's zone, in UTC: before and after a day, a month, a year, and both clock changes of New York.
BORDERS = [
    ("Asia/Shanghai", datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC), datetime(2026, 11, 22, 16, 0, tzinfo=UTC)),
    ("Asia/Shanghai", datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), datetime(2026, 12, 31, 16, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 4, 59, 59, tzinfo=UTC), datetime(2026, 3, 8, 5, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 9, 3, 59, 59, tzinfo=UTC), datetime(2026, 3, 9, 4, 0, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 2, 4, 59, 59, tzinfo=UTC), datetime(2026, 11, 2, 5, 0, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 11, 22, 18, 14, 59, tzinfo=UTC), datetime(2026, 11, 22, 18, 15, tzinfo=UTC)),
]


@pytest.mark.parametrize(("zone", "before", "after"), BORDERS)
def test_days_begin_at_midnight_of_the_accounts_zone(work: Work, zone: str, before: datetime, after: datetime) -> None:
    official = add(work, "official", zone=zone)
    compliance.reserve(work, official, "b1", PEOPLE, before)
    assert compliance.account_quota(work, official, before) == compliance.Quota(1, 1)
    assert compliance.account_quota(work, official, after) == compliance.Quota(0, 1)
    with pytest.raises(Refused):
        compliance.reserve(work, official, "b2", PEOPLE, before - timedelta(hours=20))
    assert compliance.reserve(work, official, "b2", PEOPLE, after) == PEOPLE


def test_an_accounts_limit_counts_a_broadcast_once(work: Work) -> None:
    official = add(work, "official")
    assert compliance.reserve(work, official, "b1", BitMap([1]), NOON) == BitMap([1])
    assert compliance.reserve(work, official, "b1", BitMap([2]), NOON) == BitMap([2])
    assert compliance.account_quota(work, official, NOON) == compliance.Quota(1, 1)
    with pytest.raises(Refused) as refused:
        compliance.reserve(work, official, "b2", BitMap([3]), NOON)
    assert "1" in refused.value.text("zh")
    assert compliance.release_send(work, official, "b1")
    assert not compliance.release_send(work, official, "b1")
    assert compliance.reserve(work, official, "b2", BitMap([3]), NOON) == BitMap([3])


def test_the_articles_limits_are_the_accounts(work: Work) -> None:
    wecom, service = add(work, "wecom", "article"), add(work, "service", "article")
    assert compliance.account_quota(work, wecom, NOON) == compliance.Quota(0, 5)
    for number in range(4):
        compliance.reserve(work, service, f"b{number}", BitMap([number]), NOON + timedelta(days=number))
    assert compliance.account_quota(work, service, NOON).left == 0
    assert compliance.account_quota(work, service, datetime(2026, 12, 1, tzinfo=SHANGHAI)).left == 4


def test_a_weekly_limit_of_a_workspaces_own_profile_begins_on_monday(work: Work) -> None:
    own_profile(work, per_week=1)
    service = add(work, "service", "own")
    sunday = datetime(2026, 11, 22, 12, tzinfo=SHANGHAI)
    assert compliance.reserve(work, service, "b1", BitMap([1]), sunday) == BitMap([1])
    assert compliance.over_cap(work, service, sunday - timedelta(days=6)) == BitMap([1])
    assert compliance.reserve(work, service, "b2", BitMap([1]), sunday + timedelta(days=1)) == BitMap([1])


def test_a_limit_of_none_at_all_stops_everybody(work: Work) -> None:
    own_profile(work, per_day=0)
    service = add(work, "service", "own")
    work.bitmaps.add("contact", PEOPLE, why="test")
    assert compliance.reserve(work, service, "b1", PEOPLE, NOON) == BitMap()


def test_the_monthly_ceiling_counts_all_accounts(work: Work) -> None:
    first, second = add(work, "wecom"), add(work, "service", "article")
    for number in range(4):
        compliance.reserve(work, first, f"a{number}", BitMap([1]), NOON)
        compliance.reserve(work, second, f"b{number}", BitMap([1]), NOON)
    assert compliance.over_caps(work, first, NOON) == BitMap([1])
    assert compliance.reserve(work, first, "a9", BitMap([1, 2]), NOON) == BitMap([2])
    assert compliance.over_caps(work, first, NOON + timedelta(days=8)) == BitMap()
    no_ceiling(work)
    assert compliance.over_caps(work, first, NOON) == BitMap()
    compliance.set_monthly_ceiling(work, 3, "")
    assert compliance.over_caps(work, first, NOON) == BitMap([1])


def test_the_ceiling_is_loosened_with_a_reason_and_never_beyond_the_hard_one(work: Work) -> None:
    assert compliance.monthly_ceiling(work) == 8
    for value in (-1, 9):
        with pytest.raises(Invalid):
            compliance.set_monthly_ceiling(work, value, " ")
    with pytest.raises(Refused) as refused:
        compliance.set_monthly_ceiling(work, 16, "more")
    assert "15" in refused.value.text("en")
    compliance.set_monthly_ceiling(work, 15, "approved by the board")
    assert compliance.monthly_ceiling(work) == 15


def test_a_released_slot_is_free_again_and_releasing_twice_gives_no_second_one(work: Work) -> None:
    service = add(work, "service")
    for number in range(4):
        compliance.reserve(work, service, f"b{number}", PEOPLE, NOON)
    for _ in range(2):
        compliance.release(work, service, "b1", BitMap([1, 9]))
    assert compliance.over_cap(work, service, NOON) == BitMap([2, 3])
    assert compliance.reserve(work, service, "b5", BitMap([1, 2]), NOON) == BitMap([1])
    assert compliance.over_cap(work, service, NOON) == PEOPLE


def test_a_sending_has_one_slot_of_a_person_however_often_it_asks(work: Work) -> None:
    service = add(work, "service")
    for days in range(6):
        assert compliance.reserve(work, service, "b1", PEOPLE, NOON + timedelta(days=days)) == PEOPLE
    assert [use.used for use in compliance.used(work, service, 1, NOON)] == [1, 1]
    # What begins like its name is another's.
    compliance.reserve(work, service, "b1:2", BitMap([1]), NOON)
    compliance.release(work, service, "b1", BitMap([1]))
    assert [use.used for use in compliance.used(work, service, 1, NOON)] == [1, 1]


class Undo(Exception):
    """Ends a unit of work without keeping it."""


def test_two_broadcasts_race_for_the_last_slot_and_one_gets_it(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        service = add(work, "service")
        for number in range(3):
            compliance.reserve(work, service, f"b{number}", PEOPLE, NOON)
    gate = threading.Barrier(4)
    got: list[BitMap] = []

    def race(number: int) -> None:
        gate.wait()
        with runtime.work(1, "test") as work:
            got.append(compliance.reserve(work, service, f"race{number}", PEOPLE, NOON))

    racers = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(len(members) for members in got) == [0, 0, 0, 3]


def test_a_rolled_back_reservation_leaves_nothing(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        official = add(work, "official")
    with suppress(Undo), runtime.work(1, "test") as work:
        compliance.reserve(work, official, "b1", PEOPLE, NOON)
        raise Undo
    with runtime.work(1, "test") as work:
        assert compliance.account_quota(work, official, NOON).used == 0
        assert compliance.reserve(work, official, "b2", PEOPLE, NOON) == PEOPLE
