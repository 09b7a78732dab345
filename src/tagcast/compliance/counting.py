"""What bounds a person's messages, and who is at a bound.

A slot is a person in the set of a sending and of the quarter hour for which it was taken (`frequency`). A calendar
window of any zone is a span of quarters; a person's count in it is in how many of its sets he is, whatever the number
of people. So no zone, cap or account that changes later loses what was sent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pyroaring import BitMap

from tagcast import accounts, bitmaps, contacts
from tagcast.compliance import calendars, capping, days, rules
from tagcast.compliance.days import Period, Span
from tagcast.kit import clock
from tagcast.kit.uow import Work

_FEW = 100_000
"""People up to which their part of each set is taken before it is counted."""
_ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `limit` messages to a person in a calendar period, through some accounts; None: through any.

    `name` is `account` for a limit of the account's profile, else that of a cap. `groups`: see `calendars.by_zone`.
    """

    name: str
    accounts: frozenset[int] | None
    period: Period
    limit: int
    groups: calendars.Groups


@dataclass(frozen=True, slots=True)
class Claim:
    """Slots that are spoken for but not taken: of a sending through an account that is to come at a moment."""

    account: int
    at: datetime
    members: BitMap


@dataclass(frozen=True, slots=True)
class Use:
    """What a person has of one bound: `used` of `limit` on the days from `first` to `last` of `zone`."""

    name: str
    period: Period
    used: int
    limit: int
    left: int
    first: date
    last: date
    zone: str


def account_bounds(work: Work, account: accounts.Account, moment: datetime) -> list[Bound]:
    """What the account's limits allow a person; nothing where they count for the account as a whole."""
    limits = accounts.limits(work, account.id)
    if limits.scope != "person":
        return []
    counts = rules.counts(limits, clock.local_day(moment, account.zone))
    return [Bound(_ACCOUNT, frozenset([account.id]), period, limit, [(account.zone, None)]) for period, limit in counts]


def cap_bounds(work: Work, account: accounts.Account) -> list[Bound]:
    """The workspace's caps on messages through an account.

    Days are a person's own where the workspace says so; else the account's for a cap on it alone, and the workspace's
    for caps that several accounts have in common.
    """
    found = []
    for cap in capping.caps_of(work, account):
        zone, through = work.zone, None
        if cap.scope == f"account:{account.id}":
            zone, through = account.zone, frozenset([account.id])
        elif cap.scope != capping.ALL:
            through = frozenset(one.id for one in accounts.all_(work) if one.kind == account.kind)
        found.append(Bound(cap.name, through, cap.period, cap.value, calendars.by_zone(work, zone)))
    return found


def over(
    work: Work,
    bounds: Iterable[Bound],
    moment: datetime,
    *,
    more: int = 1,
    within: BitMap | None = None,
    kept: int | None = None,
    claimed: Sequence[Claim] = (),
) -> BitMap:
    """For whom `more` messages at a moment are more than a bound allows; of `within`, unless it is None.

    `kept`: the quarter of a slot that would move to the moment. Windows that hold both are not asked: it is in them.
    `claimed` are counted as if they were taken.
    """
    found = BitMap()
    few = within if within is not None and len(within) <= _FEW else None
    for bound in bounds:
        sets = _sets(work, bound.accounts)
        for span, theirs in _windows(bound, moment):
            if kept is not None and span.holds(kept):
                continue
            inside = [work.bitmaps.read(key) for quarter, key in sets if span.holds(quarter)]
            inside += [claim.members for claim in claimed if _counts(bound, span, claim)]
            if few is not None:
                inside = [members & few for members in inside]
            full = _at_least(work, inside, bound.limit - more + 1, within)
            found |= full if theirs is None else full & theirs.only if theirs.only is not None else full - theirs.but
    return found if within is None else found & within


def _counts(bound: Bound, span: Span, claim: Claim) -> bool:
    through = bound.accounts is None or claim.account in bound.accounts
    return through and span.holds(days.quarter_of(claim.at))


def over_cap(work: Work, account_id: int, moment: datetime, *, more: int = 1, within: BitMap | None = None) -> BitMap:
    """People for whom `more` messages are more than the account's limits allow a person. Raises NotFound."""
    account = accounts.get(work, account_id)
    return over(work, account_bounds(work, account, moment), moment, more=more, within=within)


def over_caps(work: Work, account_id: int, moment: datetime, *, more: int = 1, within: BitMap | None = None) -> BitMap:
    """People for whom `more` messages are more than the workspace's caps allow. Raises NotFound."""
    return over(work, cap_bounds(work, accounts.get(work, account_id)), moment, more=more, within=within)


def used(work: Work, account_id: int, contact: int, moment: datetime) -> list[Use]:
    """What a person has of each limit that a message through an account would count for. Raises NotFound."""
    account, found = accounts.get(work, account_id), []
    for bound in (*account_bounds(work, account, moment), *cap_bounds(work, account)):
        zone = next(zone for zone, members in bound.groups if members is None or contact in members)
        span = days.span(bound.period, moment, zone)
        sets = _sets(work, bound.accounts)
        count = sum(span.holds(quarter) and contact in work.bitmaps.read(key) for quarter, key in sets)
        left = max(0, bound.limit - count)
        found.append(Use(bound.name, bound.period, count, bound.limit, left, span.first, span.last, zone))
    return found


def _sets(work: Work, through: frozenset[int] | None) -> list[tuple[int, str]]:
    """(quarter, key) of every set of slots of some accounts; None: of all."""
    prefixes = ["sent:"] if through is None else [f"sent:{account}:" for account in through]
    keys = [key for prefix in prefixes for key in work.bitmaps.keys(prefix)]
    return [(int(key.rpartition(":")[2]), key) for key in keys]


@dataclass(frozen=True, slots=True)
class _Theirs:
    """Whose window it is: of `only`, or where that is None of everybody but `but`."""

    only: BitMap | None
    but: BitMap


def _windows(bound: Bound, moment: datetime) -> list[tuple[Span, _Theirs | None]]:
    """The bound's windows around a moment with whose they are; None: everybody's. Few zones make fewer windows."""
    last = days.span(bound.period, moment, bound.groups[-1][0])
    others: dict[Span, list[BitMap]] = {}
    for zone, members in bound.groups[:-1]:
        span = days.span(bound.period, moment, zone)
        if members is not None and (span.start, span.end) != (last.start, last.end):
            others.setdefault(span, []).append(members)
    if not others:
        return [(last, None)]
    found = [(span, _Theirs(BitMap.union(*members), BitMap())) for span, members in others.items()]
    away = BitMap.union(*(theirs.only for _, theirs in found if theirs.only is not None))
    return [*found, (last, _Theirs(None, away))]


def _at_least(work: Work, sets: Sequence[BitMap], n: int, within: BitMap | None) -> BitMap:
    """People in at least `n` of the sets; for 0 that is everybody who is asked for."""
    if n > 0:
        return bitmaps.counting.at_least(sets, n)
    return (work.bitmaps.read(contacts.EVERYONE) if within is None else within).copy()
