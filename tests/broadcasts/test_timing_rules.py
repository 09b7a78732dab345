"""Calendar rules against minutes looked at one by one: days of 23, 24.5 and 25 hours, leap days, ends of months."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagcast.broadcasts.timing import chinese_days
from tagcast.broadcasts.timing.calendar import DAYS, Calendar, Every, instant

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# (zone, a day around which its clocks are changed)
CHANGES = [
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("America/Santiago", date(2026, 9, 6)),  # put forward at midnight
    ("Asia/Shanghai", date(2026, 6, 1)),
]


def minutes(zone: str, first: date, days: int) -> Iterator[tuple[datetime, datetime]]:
    """Every minute of some days, with what the wall clock shows."""
    at = datetime.combine(first, time(), UTC) - DAY
    there = ZoneInfo(zone)
    for _ in range((days + 2) * 24 * 60):
        yield at, at.astimezone(there).replace(tzinfo=None)
        at += MINUTE


def by_minutes(zone: str, wanted: list[datetime], around: date, days: int) -> list[datetime]:
    """For each wall-clock time the first minute that shows it, or the first that shows a later one."""
    walls = list(minutes(zone, around - DAY, days))
    found = set()
    for local in wanted:
        shows = [at for at, wall in walls if wall == local]
        found.add(min(shows) if shows else next(at for at, wall in walls if wall > local))
    return sorted(found)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_each_day_once_when_the_clocks_are_changed(zone: str, day: date) -> None:
    times = [time(hour, minute) for hour in (0, 1, 2, 3, 23) for minute in (0, 15, 30, 45)]
    days = [day + n * DAY for n in (-1, 0, 1)]
    expected = by_minutes(zone, [datetime.combine(one, at) for one in days for at in times], day, 3)
    rule = Calendar(zone, times=tuple(times), first=days[0], last=days[-1])
    assert rule.coming(datetime.combine(day - 3 * DAY, time(), UTC), 100) == expected


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_cron_with_fixed_hours_does_the_same(zone: str, day: date) -> None:
    for minute, hour in ((30, 0), (30, 1), (15, 2), (45, 1), (0, 3)):
        days = [day + n * DAY for n in (-1, 0, 1)]
        expected = by_minutes(zone, [datetime.combine(one, time(hour, minute)) for one in days], day, 3)
        rule = Calendar(zone, first=days[0], last=days[-1], cron=f"{minute} {hour} * * *")
        start = datetime.combine(day - 3 * DAY, time(), UTC)
        assert rule.coming(start, 100) == expected
        # From within the hour that comes twice nothing comes that has been.
        for at in expected:
            assert all(later > at + MINUTE for later in rule.coming(at + MINUTE, 3))


rules = st.one_of(
    st.tuples(st.just(Every.DAY), st.just(frozenset())),
    st.tuples(st.just(Every.WEEK), st.frozensets(st.sampled_from(DAYS), min_size=1)),
    st.tuples(
        st.just(Every.MONTH), st.frozensets(st.sampled_from([*map(str, (1, 15, 28, 29, 30, 31)), "last"]), min_size=1)
    ),
    st.tuples(st.just(Every.YEAR), st.frozensets(st.sampled_from(["02-28", "02-29", "12-31"]), min_size=1)),
)


def has(day: date, every: Every, on: frozenset[str], short: str) -> bool:
    """The rule read aloud."""
    end = monthrange(day.year, day.month)[1]
    if every is Every.DAY:
        return True
    if every is Every.WEEK:
        return day.strftime("%a").lower() in on
    if every is Every.YEAR:
        if day.strftime("%m-%d") in on:
            return True
        return short == "last" and "02-29" in on and day.month == 2 and day.day == end == 28
    wanted = {end if one == "last" else int(one) for one in on}
    if short == "last":
        wanted = {min(one, end) for one in wanted}
    return day.day in wanted


@settings(max_examples=60, deadline=None)
@given(
    rule=rules,
    short=st.sampled_from(["last", "skip"]),
    zone=st.sampled_from(["America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"]),
    start=st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    hour=st.integers(0, 23),
)
def test_days_are_those_of_the_rule(
    rule: tuple[Every, frozenset[str]], short: str, zone: str, start: date, hour: int
) -> None:
    every, on = rule
    days = [start + n * DAY for n in range(800)]
    expected = [instant(day, time(hour), zone) for day in days if has(day, every, on, short)]
    calendar = Calendar(zone, every, tuple(on), (time(hour),), start, days[-1], short)
    assert calendar.coming(datetime(2025, 12, 1, tzinfo=UTC), 1000) == expected


# The State Council's notices 国办发明电〔2024〕12号 and 〔2025〕7号: days off, and weekends worked.
OFF = {
    2025: "0101-0101 0128-0204 0404-0406 0501-0505 0531-0602 1001-1008",
    2026: "0101-0103 0215-0223 0404-0406 0501-0505 0619-0621 0925-0927 1001-1007",
}
WORKED = {2025: "0126 0208 0427 0928 1011", 2026: "0104 0214 0228 0509 0920 1010"}


def on_day(year: int, text: str) -> date:
    return date(year, int(text[:2]), int(text[2:]))


@pytest.mark.parametrize("year", [2025, 2026])
def test_chinese_days_are_those_of_the_notices(year: int) -> None:
    off = set()
    starts = set()
    for span in OFF[year].split():
        first, last = (on_day(year, text) for text in span.split("-"))
        starts.add(first)
        off |= {first + n * DAY for n in range((last - first).days + 1)}
    worked = {on_day(year, text) for text in WORKED[year].split()}
    every = [date(year, 1, 1) + n * DAY for n in range(365)]
    assert {day for day in every if chinese_days.holiday(day)} == off
    assert {day for day in every if chinese_days.first_of_holiday(day)} == starts
    assert {day for day in every if day.weekday() >= 5 and chinese_days.workday(day)} == worked
    assert {day for day in every if day.weekday() < 5 and not chinese_days.workday(day)} == {
        day for day in off if day.weekday() < 5
    }
    assert chinese_days.known(year)


def test_a_year_without_a_notice_is_known_to_be_unknown() -> None:
    assert not chinese_days.known(2099)
    assert chinese_days.holiday(date(2099, 10, 1))
    assert chinese_days.workday(date(2099, 10, 9))
