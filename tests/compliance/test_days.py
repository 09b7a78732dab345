"""Calendar windows in quarter hours, and quiet hours of the wall clock, against the calendar of each zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagcast.compliance import days
from tagcast.compliance.days import Hours
from tagcast.kit import clock

ZONES = sorted(available_timezones())
LORD_HOWE = "Australia/Lord_Howe"  # its clocks change by half an hour
CHANGING = ("America/New_York", "Europe/Berlin", "Africa/Cairo", "America/Havana", "America/Santiago", LORD_HOWE)
MOMENTS = st.integers(0, 2 * 366 * 96).map(lambda n: datetime(2027, 1, 1, tzinfo=UTC) + n * timedelta(minutes=15))


def test_every_zone_has_midnight_and_its_changes_on_a_quarter() -> None:
    for zone in ZONES:
        begins, offset = None, None
        for number in range(0, 370, 1):
            day = date(2026, 12, 29) + timedelta(days=number)
            span = days._span("day", day, zone)
            first = clock.from_ms(span.start * days.QUARTER_MS)
            last = clock.from_ms(span.end * days.QUARTER_MS - 1)
            assert (clock.local_day(first, zone), clock.local_day(last, zone)) == (day, day), zone
            assert begins in (None, span.start), zone
            begins = span.end
            if span.end - span.start != 96 or offset is None:
                offset = first.astimezone(ZoneInfo(zone)).utcoffset()
                assert offset is not None
                assert offset % timedelta(minutes=15) == timedelta(), zone


@pytest.mark.parametrize(
    ("zone", "day", "quarters"),
    [
        ("Asia/Shanghai", date(2027, 3, 14), 96),
        ("America/New_York", date(2027, 3, 14), 92),
        ("America/New_York", date(2027, 11, 7), 100),
        (LORD_HOWE, date(2027, 10, 3), 94),
        ("Africa/Cairo", date(2027, 4, 30), 92),  # its day begins at 01:00
        ("America/Havana", date(2027, 11, 7), 100),  # its first hour comes twice
    ],
)
def test_a_day_is_as_long_as_its_clock_says(zone: str, day: date, quarters: int) -> None:
    noon = datetime.combine(day, time(12), ZoneInfo(zone))
    span = days.span("day", noon, zone)
    assert (span.first, span.last, span.end - span.start) == (day, day, quarters)


@settings(deadline=None)
@given(moment=MOMENTS, zone=st.sampled_from(CHANGING), period=st.sampled_from(days.PERIODS))
def test_a_window_holds_exactly_the_moments_of_its_days(moment: datetime, zone: str, period: days.Period) -> None:
    span = days.span(period, moment, zone)
    assert span.holds(days.quarter_of(moment))
    assert span.first <= clock.local_day(moment, zone) <= span.last
    for quarter, inside in ((span.start - 1, False), (span.start, True), (span.end - 1, True), (span.end, False)):
        day = clock.local_day(clock.from_ms(quarter * days.QUARTER_MS), zone)
        assert (span.first <= day <= span.last) == inside == span.holds(quarter)
    if period == "week":
        assert (span.first.weekday(), (span.last - span.first).days) == (0, 6)
    if period == "month":
        assert (span.first.day, (span.last + timedelta(days=1)).day, span.first.month) == (1, 1, span.last.month)


HOURS = st.tuples(st.integers(0, 95), st.integers(0, 95)).filter(lambda pair: pair[0] != pair[1])


@settings(deadline=None)
@given(moment=MOMENTS, past=st.integers(0, 14), zone=st.sampled_from(CHANGING), hours=HOURS)
def test_the_first_open_moment_is_found_as_by_walking(
    moment: datetime, past: int, zone: str, hours: tuple[int, int]
) -> None:
    start, end = (time(quarter // 4, quarter % 4 * 15) for quarter in hours)
    quiet, at = Hours(start, end), moment + timedelta(minutes=past)

    def silent(one: datetime) -> bool:
        local = one.astimezone(ZoneInfo(zone)).time()
        return start <= local < end if start < end else not end <= local < start

    assert quiet.hold(at, zone) == silent(at)
    walked = at
    while silent(walked):
        walked += timedelta(minutes=1)
    assert quiet.next_open(at, zone) == walked


@pytest.mark.parametrize("text", ["22:10", "24:00", "7", "7:5", "-1:00", "07:60", "", "７:00x", "22:00:00"])
def test_a_time_that_is_none_on_a_quarter_hour_is_none(text: str) -> None:
    assert days.parse_time(text) is None


def test_times_and_years() -> None:
    assert days.parse_time("7:45") == time(7, 45)
    assert days.years_before(date(2028, 2, 29), 18) == date(2010, 2, 28)
    assert days.years_before(date(2028, 2, 29), 4) == date(2024, 2, 29)
