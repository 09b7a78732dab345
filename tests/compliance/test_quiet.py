"""Quiet hours: for whom a moment is quiet, when that ends, and what the waterfall and the last moment make of it."""

from datetime import UTC, datetime

import pytest
from pyroaring import BitMap

from tagcast import accounts, compliance, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.errors import Invalid, NotFound
from tagcast.kit.uow import Work

ALL = BitMap(range(1, 6))
EVENING = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)  # 22:30 in Shanghai, 23:30 in Tokyo, 09:30 in New York


@pytest.fixture
def account(work: Work) -> int:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{number}"}) for number in range(1, 6)])
    new = accounts.NewAccount("service", "s", "secret", appid="wx0123456789abcdef", profile="platform")
    return accounts.add(work, new).id


def by_person(work: Work) -> None:
    contacts.declare_attribute(work, "tz", "choice", purpose="to write at their hours")
    people = {"Asia/Tokyo": BitMap([1]), "America/New_York": BitMap([2, 3]), "Mars/Base": BitMap([4])}
    contacts.set_choices(work, "tz", people, why="test")
    compliance.set_zones(work, "person", "tz")


def test_the_shipped_hours_hold_by_the_accounts_clock(work: Work, account: int) -> None:
    found = compliance.quiet_hours(work)
    assert (found.on, found.start, found.end, found.exempt) == (True, "22:00", "08:00", ())
    assert "2026" in found.source
    assert compliance.quiet(work, account, ALL, EVENING) == ALL
    opens = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
    assert compliance.next_open(work, account, EVENING) == opens
    assert compliance.openings(work, account, ALL, EVENING) == [(opens, ALL)]
    assert compliance.quiet(work, account, ALL, opens) == BitMap()
    assert compliance.next_open(work, account, opens) == opens


def test_hours_are_each_persons_own_where_the_workspace_says_so(work: Work, account: int) -> None:
    by_person(work)
    assert compliance.zones(work).strange == {"Mars/Base": 1}
    # Whose zone is unknown, or none, lives by the workspace's.
    assert compliance.quiet(work, account, ALL, EVENING) == BitMap([1, 4, 5])
    assert compliance.openings(work, account, ALL, EVENING) == [
        (datetime(2026, 11, 23, 23, 0, tzinfo=UTC), BitMap([1])),
        (datetime(2026, 11, 24, 0, 0, tzinfo=UTC), BitMap([4, 5])),
    ]
    assert compliance.next_open(work, account, EVENING) == EVENING
    assert compliance.quiet(work, account, BitMap([2, 9]), EVENING) == BitMap([9])


def test_a_workspace_has_hours_of_its_own_and_purposes_that_they_do_not_hold_for(work: Work, account: int) -> None:
    compliance.set_quiet_hours(work, start="9:00", end="10:00", exempt=["service", "service"], why="board")
    made = compliance.quiet_hours(work)
    assert (made.start, made.end, made.exempt, made.source) == ("09:00", "10:00", ("service",), "board")
    at = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
    assert compliance.quiet(work, account, ALL, at) == ALL
    assert compliance.quiet(work, account, ALL, at, purpose="marketing") == ALL
    assert compliance.quiet(work, account, ALL, at, purpose="service") == BitMap()
    assert compliance.next_open(work, account, at, purpose="service") == at
    with pytest.raises(Invalid):
        compliance.set_quiet_hours(work, on=False)
    compliance.set_quiet_hours(work, on=False, why="a test")
    assert compliance.quiet(work, account, ALL, at) == BitMap()
    assert compliance.set_quiet_hours(work, on=True).start == "09:00"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"start": "22:10"}, "bad_time"),
        ({"end": "24:00"}, "bad_time"),
        ({"start": "08:00"}, "always_quiet"),
        ({"exempt": ["profiling"]}, "unknown_purpose"),
    ],
)
def test_hours_that_cannot_be_are_refused(work: Work, given: dict[str, str], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        compliance.set_quiet_hours(work, **given)  # type: ignore[arg-type]  # as a table of cases
    assert refused.value.code == f"compliance.{code}"
    assert refused.value.remedy("zh")
    assert compliance.quiet_hours(work).start == "22:00"


def test_a_zone_is_held_by_a_choice_that_was_declared(work: Work, account: int) -> None:
    contacts.declare_attribute(work, "note", "text", purpose="test")
    with pytest.raises(Invalid):
        compliance.set_zones(work, "person")
    with pytest.raises(Invalid):
        compliance.set_zones(work, "person", "note")
    with pytest.raises(NotFound):
        compliance.set_zones(work, "person", "tz")
    assert compliance.zones(work).whose == "account"
    by_person(work)
    contacts.forget_attribute(work, "tz")
    assert compliance.quiet(work, account, ALL, EVENING) == ALL
