"""Quiet hours: when nobody is written to, by the account's clock or by each person's own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyroaring import BitMap

from tagcast import accounts
from tagcast.compliance import calendars, days, rules, store
from tagcast.compliance.days import Hours
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

NAME = "quiet"


@dataclass(frozen=True, slots=True)
class Quiet:
    """The hours (`22:00`), whether they hold, the purposes they do not hold for, and where they come from."""

    on: bool
    start: str
    end: str
    exempt: tuple[str, ...]
    source: str

    @property
    def hours(self) -> Hours:
        """As times of the wall clock."""
        start, end = days.parse_time(self.start), days.parse_time(self.end)
        assert start is not None
        assert end is not None
        return Hours(start, end)


def quiet_hours(work: Work) -> Quiet:
    """The workspace's own, or the shipped ones."""
    found = store.setting(work, NAME)
    if found is not None:
        one = found.value
        return Quiet(one["on"], one["start"], one["end"], tuple(one["exempt"]), found.why)
    shipped = rules.shipped_quiet()
    return Quiet(True, shipped.start, shipped.end, (), f"{shipped.source} ({shipped.date})")


def set_quiet_hours(
    work: Work,
    *,
    start: str | None = None,
    end: str | None = None,
    on: bool = True,
    exempt: Sequence[str] | None = None,
    why: str = "",
) -> Quiet:
    """Set the hours, in force at once; what is not given stays as it is. Exempt purposes are written to at any hour.

    Raises Invalid for a time that is not on a quarter hour, for hours that leave none, for an unknown purpose, and for
    a change without a reason that lets people be written to at more hours than the shipped ones.
    """
    now = quiet_hours(work)
    given = (start or now.start, end or now.end)
    times = [days.parse_time(text) for text in given]
    for text, one in zip(given, times, strict=True):
        if one is None:
            raise Invalid("compliance.bad_time", time=text)
    if times[0] == times[1]:
        raise Invalid("compliance.always_quiet", time=given[0])
    purposes = now.exempt if exempt is None else tuple(dict.fromkeys(exempt))
    for purpose in purposes:
        rules.check_purpose(purpose)
    shown = [f"{one:%H:%M}" for one in times if one is not None]
    changed = {"on": on, "start": shown[0], "end": shown[1], "exempt": list(purposes)}
    if not why.strip() and not on:
        raise Invalid("compliance.no_reason")
    store.put_setting(work, NAME, changed, why.strip() or "-")
    return quiet_hours(work)


def quiet(work: Work, account_id: int, who: BitMap, at: datetime, *, purpose: str | None = None) -> BitMap:
    """Those of `who` for whom a moment is quiet; nobody, for an exempt purpose. Raises NotFound."""
    return BitMap.union(BitMap(), *(members for _, members in openings(work, account_id, who, at, purpose=purpose)))


def clocks(work: Work, account_id: int, who: BitMap) -> list[tuple[str, BitMap]]:
    """The people of `who` by the zone whose hours are theirs. Raises NotFound."""
    return calendars.split(calendars.by_zone(work, accounts.get(work, account_id).zone), who)


def openings(
    work: Work, account_id: int, who: BitMap, at: datetime, *, purpose: str | None = None
) -> list[tuple[datetime, BitMap]]:
    """Those of `who` for whom a moment is quiet, by the moment (UTC) at which it ends for them, the earliest first."""
    hours, groups = _asked(work, account_id, purpose)
    if hours is None:
        return []
    closed: dict[datetime, list[BitMap]] = {}
    for zone, members in calendars.split(groups, who):
        if hours.hold(at, zone):
            closed.setdefault(hours.next_open(at, zone), []).append(members)
    return [(moment, BitMap.union(*closed[moment])) for moment in sorted(closed)]


def next_open(work: Work, account_id: int, at: datetime, *, purpose: str | None = None) -> datetime:
    """The first moment (UTC), from `at` on, at which anybody may be written to through an account. Raises NotFound."""
    hours, groups = _asked(work, account_id, purpose)
    return clock.from_ms(clock.to_ms(at)) if hours is None else _first(hours, at, (zone for zone, _ in groups))


def _first(hours: Hours, at: datetime, names: Iterable[str]) -> datetime:
    return min(hours.next_open(at, zone) for zone in names)


def _asked(work: Work, account_id: int, purpose: str | None) -> tuple[Hours | None, calendars.Groups]:
    found = quiet_hours(work)
    zone = accounts.get(work, account_id).zone
    if not found.on or (purpose is not None and purpose in found.exempt):
        return None, []
    return found.hours, calendars.by_zone(work, zone)
