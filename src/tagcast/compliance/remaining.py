"""What is left: sends of an account, and slots of each person, also where other sendings hold claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pyroaring import BitMap

from tagcast import accounts
from tagcast.compliance import counting, days, rules, store
from tagcast.compliance.counting import Claim
from tagcast.compliance.days import Period
from tagcast.kit import clock
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class AccountUse:
    """Sends of an account on the days from `first` to `last` of its zone.

    `scope`: whom `limit` counts for, the `account` or each `person`; None: no limit. `left` is the account's.
    """

    period: Period
    first: date
    last: date
    used: int
    scope: str
    limit: int | None
    left: int | None


def account_uses(work: Work, account_id: int, moment: datetime) -> list[AccountUse]:
    """What an account has used of its day, week and month around a moment. Raises NotFound."""
    limits = accounts.limits(work, account_id)
    day = clock.local_day(moment, accounts.get(work, account_id).zone)
    allowed = dict(rules.counts(limits, day))
    found = []
    for period in days.PERIODS:
        first, last = days.bounds(period, day)
        used, limit = store.count_sends(work, account_id, first, last), allowed.get(period)
        left = None if limit is None or limits.scope != "account" else max(0, limit - used)
        found.append(AccountUse(period, first, last, used, limits.scope, limit, left))
    return found


def slots_left(
    work: Work, account_id: int, moment: datetime, within: BitMap, *, most: int = 3, claimed: Sequence[Claim] = ()
) -> list[BitMap]:
    """Those of `within` by the messages they may still get in the month of a moment: 0, 1, … and `most` or more.

    Only what counts by the month counts here. Raises NotFound.
    """
    account = accounts.get(work, account_id)
    every = (*counting.account_bounds(work, account, moment), *counting.cap_bounds(work, account))
    monthly = [bound for bound in every if bound.period == "month"]
    found, below = [], BitMap()
    for left in range(most):
        full = counting.over(work, monthly, moment, more=left + 1, within=within, claimed=claimed)
        found.append(full - below)
        below = full
    return [*found, within - below]


def without_slot(
    work: Work, account_id: int, moment: datetime, within: BitMap, *, claimed: Sequence[Claim] = ()
) -> BitMap:
    """Those of `within` who have no slot at a moment when the claims are counted as taken. Raises NotFound."""
    account = accounts.get(work, account_id)
    bounds = (*counting.account_bounds(work, account, moment), *counting.cap_bounds(work, account))
    return counting.over(work, bounds, moment, within=within, claimed=claimed)
