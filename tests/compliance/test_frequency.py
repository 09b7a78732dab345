"""Caps: calendar windows in the account's zone, and that no order of events breaks one."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyroaring import BitMap

from tagcast import accounts, compliance, contacts
from tagcast.kit.errors import Invalid, NotFound, Refused
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


def kinds_of_use(work: Work, account: int, contact: int, at: datetime) -> dict[str, tuple[int, int]]:
    return {use.name: (use.used, use.left) for use in compliance.used(work, account, contact, at)}


def test_caps_hold_for_one_account_for_a_kind_and_over_all_each_in_its_own_period(work: Work) -> None:
    one, two, wecom = add(work, "service", name="a"), add(work, "service", name="b"), add(work, "wecom")
    compliance.set_cap(work, f"account:{one}", "day", 1)
    compliance.set_cap(work, "kind:service", "week", 2)
    compliance.set_cap(work, "all", "day", 3)
    assert [cap.name for cap in compliance.caps(work)] == [
        "all:day", "all:month", f"account:{one}:day", "kind:service:week",
    ]  # fmt: skip
    assert compliance.reserve(work, one, "b1", PEOPLE, NOON) == PEOPLE
    assert compliance.reserve(work, one, "b2", PEOPLE, NOON) == BitMap()
    assert compliance.reserve(work, two, "b3", BitMap([1]), NOON) == BitMap([1])
    assert compliance.reserve(work, two, "b4", PEOPLE, NOON) == BitMap([2, 3])
    assert compliance.reserve(work, wecom, "b5", PEOPLE, NOON) == PEOPLE
    assert compliance.reserve(work, wecom, "b6", PEOPLE, NOON) == BitMap()
    assert kinds_of_use(work, one, 1, NOON) == {
        "account": (1, 3), "all:day": (3, 0), "all:month": (3, 5), f"account:{one}:day": (1, 0),
        "kind:service:week": (2, 0),
    }  # fmt: skip
    tomorrow = NOON + timedelta(days=1)
    assert compliance.over_caps(work, wecom, tomorrow) == BitMap()
    assert compliance.over_caps(work, one, tomorrow) == PEOPLE
    assert compliance.over_caps(work, one, tomorrow, within=BitMap([2, 9])) == BitMap([2])
    compliance.unset_cap(work, "kind:service", "week")
    assert compliance.over_caps(work, one, tomorrow) == BitMap()
    assert compliance.over_caps(work, one, tomorrow, more=4, within=PEOPLE) == PEOPLE
    with pytest.raises(NotFound):
        compliance.unset_cap(work, "kind:service", "week")


@pytest.mark.parametrize(
    ("scope", "period", "value", "code"),
    [
        ("everybody", "day", 1, "bad_scope"),
        ("kind:telegram", "day", 1, "bad_scope"),
        ("account:x", "day", 1, "bad_scope"),
        ("all", "year", 1, "bad_period"),
        ("all", "day", -1, "bad_cap"),
        ("all", "day", 1001, "bad_cap"),
    ],
)
def test_caps_that_cannot_be_are_refused(work: Work, scope: str, period: str, value: int, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        compliance.set_cap(work, scope, period, value)
    assert refused.value.code == f"compliance.{code}"
    assert len(compliance.caps(work)) == 1


def test_a_cap_of_an_account_that_is_not_there_is_not_set(work: Work) -> None:
    with pytest.raises(NotFound):
        compliance.set_cap(work, "account:9", "day", 1)


def test_a_cap_lowered_in_mid_broadcast_takes_nobodys_slot_and_stops_new_ones(work: Work) -> None:
    service = add(work, "service")
    compliance.set_cap(work, "all", "week", 3)
    for ref in ("b1", "b2"):
        assert compliance.reserve(work, service, ref, PEOPLE, NOON) == PEOPLE
    compliance.set_cap(work, "all", "week", 1)
    later, tomorrow = NOON + timedelta(hours=2), NOON + timedelta(days=1)
    assert compliance.renew(work, service, "b2", PEOPLE, later) == PEOPLE
    # Another day of the same week: the slot moves within the window that it is in.
    assert compliance.renew(work, service, "b2", PEOPLE, tomorrow) == PEOPLE
    assert compliance.renew(work, service, "b3", PEOPLE, tomorrow) == BitMap()
    assert compliance.reserve(work, service, "b3", PEOPLE, tomorrow) == BitMap()
    # The next week is entered like by anybody.
    compliance.set_cap(work, "all", "week", 0)
    work.bitmaps.add("contact", PEOPLE, why="test")
    assert compliance.renew(work, service, "b2", PEOPLE, NOON + timedelta(days=7)) == BitMap()


def test_what_is_called_on_another_day_takes_that_days_slot(work: Work) -> None:
    """A broadcast that was paused overnight and one of the next morning do not both reach a person on one day."""
    wecom = add(work, "wecom")
    compliance.set_cap(work, "all", "day", 1)
    tomorrow = NOON + timedelta(days=1)
    assert compliance.reserve(work, wecom, "paused", PEOPLE, NOON) == PEOPLE
    assert compliance.reserve(work, wecom, "morning", BitMap([1]), tomorrow) == BitMap([1])
    assert compliance.renew(work, wecom, "paused", BitMap([1, 2]), tomorrow) == BitMap([2])
    assert kinds_of_use(work, wecom, 2, NOON)["all:day"] == (0, 1)
    assert kinds_of_use(work, wecom, 2, tomorrow)["all:day"] == (1, 0)
    # 3 is in doubt since yesterday, 1 keeps the slot of a call that was not made until the ledger gives it back.
    assert kinds_of_use(work, wecom, 3, NOON)["all:day"] == (1, 0)
    compliance.release(work, wecom, "paused", BitMap([1]))
    assert kinds_of_use(work, wecom, 1, NOON)["all:day"] == (0, 1)
    assert kinds_of_use(work, wecom, 1, tomorrow)["all:day"] == (1, 0)
    # A clock that is put back frees nothing of either day.
    assert compliance.reserve(work, wecom, "again", PEOPLE, NOON) == BitMap([1, 2])
    assert compliance.reserve(work, wecom, "again2", PEOPLE, tomorrow) == BitMap([3])


def test_an_accounts_send_that_goes_on_over_midnight_counts_on_both_days_and_once_in_the_month(work: Work) -> None:
    official, service = add(work, "official"), add(work, "service", "article")
    tomorrow = NOON + timedelta(days=1)
    compliance.reserve(work, official, "paused", PEOPLE, NOON)
    compliance.reserve(work, official, "morning", BitMap([1]), tomorrow)
    with pytest.raises(Refused) as refused:
        compliance.renew(work, official, "paused", PEOPLE, tomorrow)
    assert refused.value.code == "compliance.no_send_left"
    assert compliance.renew(work, official, "paused", PEOPLE, tomorrow + timedelta(days=1)) == PEOPLE
    for number in range(4):
        compliance.reserve(work, service, f"b{number}", BitMap([number]), NOON)
        compliance.renew(work, service, f"b{number}", BitMap([number]), tomorrow)
    assert compliance.account_quota(work, service, NOON) == compliance.Quota(4, 4)
    assert compliance.release_send(work, service, "b0")
    assert compliance.account_quota(work, service, NOON) == compliance.Quota(3, 4)


def test_days_are_each_persons_own_where_the_workspace_says_so(work: Work) -> None:
    wecom = add(work, "wecom")
    contacts.declare_attribute(work, "tz", "choice", purpose="test")
    people = {"America/New_York": BitMap([1]), "Pacific/Auckland": BitMap([2]), "no zone": BitMap([3])}
    contacts.set_choices(work, "tz", people, why="test")
    compliance.set_cap(work, "all", "day", 1)
    compliance.set_zones(work, "person", "tz")
    evening = datetime(2026, 11, 23, 23, 30, tzinfo=SHANGHAI)  # 10:30 in New York, 04:30 of the 24th in Auckland
    assert compliance.reserve(work, wecom, "b1", PEOPLE, evening) == PEOPLE
    for hours, free in ((1, {3}), (12, {3}), (13, {3}), (14, {1, 3}), (20, {1, 2, 3})):
        assert compliance.over_caps(work, wecom, evening + timedelta(hours=hours)) == PEOPLE - BitMap(free), hours
    # What was sent stays at its moment, whatever zone is asked for later.
    compliance.set_zones(work, "account")
    assert compliance.over_caps(work, wecom, evening) == PEOPLE
    assert compliance.over_caps(work, wecom, evening + timedelta(hours=1)) == BitMap()
    compliance.set_zones(work, "person", "tz")
    contacts.set_choices(work, "tz", {"America/New_York": BitMap([3])}, why="moved")
    assert compliance.over_caps(work, wecom, evening + timedelta(hours=1)) == PEOPLE
    uses = compliance.used(work, wecom, 2, evening)
    assert {(str(use.first), use.zone) for use in uses if use.period == "day"} == {("2026-11-24", "Pacific/Auckland")}
    # At 07:00 in Auckland a slot of 04:30 is of the same day there, though Shanghai's has changed: it moves and stays.
    later = evening + timedelta(hours=2, minutes=30)
    assert compliance.renew(work, wecom, "b1", PEOPLE, later) == PEOPLE


def test_a_slot_is_of_the_persons_day_though_the_accounts_has_not_changed(work: Work) -> None:
    wecom = add(work, "wecom")
    contacts.declare_attribute(work, "tz", "choice", purpose="test")
    contacts.set_choices(work, "tz", {"America/New_York": BitMap([1])}, why="test")
    compliance.set_cap(work, "all", "day", 1)
    compliance.set_zones(work, "person", "tz")
    # 21:00 and, four hours later, 01:00 of the next day in New York; one day in Shanghai.
    morning, later = NOON - timedelta(hours=2), NOON + timedelta(hours=2)
    assert compliance.reserve(work, wecom, "paused", PEOPLE, morning) == PEOPLE
    assert compliance.reserve(work, wecom, "other", PEOPLE, later) == BitMap([1])
    assert compliance.renew(work, wecom, "paused", PEOPLE, later) == BitMap([2, 3])
    compliance.release(work, wecom, "other", PEOPLE)
    assert compliance.renew(work, wecom, "paused", PEOPLE, later) == PEOPLE
    assert compliance.over_caps(work, wecom, morning) == BitMap([2, 3])
