"""What is coming: broadcasts by day and account, and who has no slot left when they are sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.broadcasts import store
from tagcast.broadcasts.planning import competing
from tagcast.broadcasts.rules import State
from tagcast.kit import clock
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

MOST_DAYS = 366
MOST_LEFT = 3
"""Messages that people may still get are counted one by one below this."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A broadcast that is to come: `day` is of its account's zone; `size` None: nobody is planned yet."""

    day: date
    at: datetime
    account: int
    broadcast: int
    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A day of an account after what is to be sent on it.

    `messages` are sent; `out` of `people` have no slot left, `new` of them had one before what is coming; `left`: how
    many may get 0, 1, 2, and 3 or more this month; `account_left`: sends of the account in its tightest period, None:
    not limited.
    """

    day: date
    account: int
    broadcasts: int
    messages: int
    people: int
    out: int
    new: int
    left: list[int]
    account_left: int | None


def calendar(work: Work, days: int) -> list[Coming]:
    """What is to be sent from now on in so many days, the earliest first. Raises Invalid."""
    return [coming for coming, _ in _coming(work, days)]


def _coming(work: Work, days: int) -> list[tuple[Coming, competing.Claimant]]:
    if not 1 <= days <= MOST_DAYS:
        raise Invalid("broadcasts.bad_days", days=days, most=MOST_DAYS)
    until = work.now + timedelta(days=days)
    zones = {account.id: account.zone for account in accounts.all_(work)}
    scheduled = store.all_(work, limit=competing.MOST_SCHEDULED, states=[State.SCHEDULED])
    planned = {one.id: store.plan_of(work, one.id) is not None for one in scheduled}
    found = []
    for one in competing.claimants(work, until):
        size = len(one.members) if planned[one.broadcast] else None
        day = clock.local_day(one.at, zones[one.account])
        found.append((Coming(day, one.at, one.account, one.broadcast, one.name, size), one))
    return sorted(found, key=lambda pair: (pair[0].at, pair[1].rank))


def forecast(work: Work, days: int) -> list[Forecast]:
    """Each day and account on which something is sent, the earliest first. Raises Invalid."""
    comings = _coming(work, days)
    claims = _settled(work, [claimant for _, claimant in comings])
    found = []
    for day, account in sorted({(coming.day, coming.account) for coming, _ in comings}):
        there = work.bitmaps.read(f"following:{account}")
        out, before, until = _out(work, account, day, claims)
        left = compliance.slots_left(work, account, until, there, most=MOST_LEFT, claimed=_by(claims, until))
        mine = [coming for coming, _ in comings if (coming.day, coming.account) == (day, account)]
        sent = [claim for claim in claims if _day(work, claim) == day and claim.account == account]
        found.append(
            Forecast(
                day,
                account,
                len(mine),
                sum(len(claim.members) for claim in sent),
                len(there),
                len(out),
                len(out - before),
                [len(members) for members in left],
                _account_left(work, account, until, claims),
            )
        )
    return found


def out_of_quota(work: Work, account: int, day: date, days: int) -> BitMap:
    """Who of those that follow an account has no slot left on a day after what is sent until then. Raises NotFound."""
    claims = _settled(work, [claimant for _, claimant in _coming(work, days)])
    return _out(work, account, day, claims)[0]


def _settled(work: Work, claimants: Sequence[competing.Claimant]) -> list[compliance.Claim]:
    return competing.settled(work, sorted(claimants, key=lambda one: (one.rank, one.at)))


def _by(claims: Iterable[compliance.Claim], until: datetime) -> list[compliance.Claim]:
    return [claim for claim in claims if claim.at <= until]


def _day(work: Work, claim: compliance.Claim) -> date:
    return clock.local_day(claim.at, accounts.get(work, claim.account).zone)


def _out(work: Work, account: int, day: date, claims: Sequence[compliance.Claim]) -> tuple[BitMap, BitMap, datetime]:
    """Who has no slot at the end of a day with the claims and without, and that end."""
    zone = ZoneInfo(accounts.get(work, account).zone)
    until = datetime.combine(day + timedelta(days=1), time(), zone) - timedelta(seconds=1)
    there = work.bitmaps.read(f"following:{account}")
    out = compliance.without_slot(work, account, until, there, claimed=_by(claims, until))
    return out, compliance.without_slot(work, account, until, there), until


def _account_left(work: Work, account: int, until: datetime, claims: Sequence[compliance.Claim]) -> int | None:
    mine = [_day(work, claim) for claim in claims if claim.account == account and claim.members]
    left = [
        max(0, use.left - sum(use.first <= day <= use.last and day <= until.date() for day in mine))
        for use in compliance.account_uses(work, account, until)
        if use.left is not None
    ]
    return min(left, default=None)


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account has left, and how many of those who follow it may still get 0, 1, 2, 3 or more this month."""

    account: int
    uses: list[compliance.AccountUse]
    people: int
    left: list[int]


def quota(work: Work, account: int | str) -> Quota:
    """At this moment. Raises NotFound."""
    found = accounts.get(work, account)
    there = work.bitmaps.read(f"following:{found.id}")
    left = compliance.slots_left(work, found.id, work.now, there, most=MOST_LEFT)
    uses = compliance.account_uses(work, found.id, work.now)
    return Quota(found.id, uses, len(there), [len(members) for members in left])


def with_left(work: Work, account: int | str, left: int) -> BitMap:
    """Who of those that follow an account may still get so many messages this month. Raises Invalid, NotFound."""
    if not 0 <= left <= MOST_LEFT:
        raise Invalid("broadcasts.bad_left", left=left, most=MOST_LEFT)
    found = accounts.get(work, account)
    there = work.bitmaps.read(f"following:{found.id}")
    return compliance.slots_left(work, found.id, work.now, there, most=MOST_LEFT)[left]
