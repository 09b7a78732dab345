"""Several broadcasts that want the last slot of a person: priority decides, then value, then who was there first.

A scheduled broadcast claims the people of its plan for the moment at which it is due. A claim of higher rank counts as
if its slots were taken, in the calendar windows that hold its moment; so whoever has no other slot left yields to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.broadcasts import store
from tagcast.broadcasts.priority import Rank, rank
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.timing import sections
from tagcast.compliance import AccountUse
from tagcast.kit import clock
from tagcast.kit.uow import Work

MOST_SCHEDULED, MOST_MOMENTS = 10_000, 1_000
WINDOW = timedelta(days=31)
"""The longest calendar window."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """A broadcast that is to come: who is to get it, when."""

    broadcast: int
    name: str
    account: int
    at: datetime
    rank: Rank
    members: BitMap


@dataclass(frozen=True, slots=True)
class Taker:
    """To whom a slot goes, and who yields it."""

    broadcast: int
    name: str
    members: BitMap


def moments(work: Work, broadcast: Broadcast, until: datetime) -> list[datetime]:
    """When a scheduled broadcast will be sent, from now on up to a moment."""
    at = broadcast.due_at
    if not sections.is_recurring(broadcast.settings):
        return [at] if at is not None and at < until else []
    found: list[datetime] = []
    while at is not None and at < until and len(found) < MOST_MOMENTS:
        found.append(at)
        at = sections.first_after(broadcast.settings["schedule"], at)
    return found


def claimants(work: Work, until: datetime) -> list[Claimant]:
    """The scheduled broadcasts at each of their moments with the people of their plans, the highest rank first."""
    found = []
    for one in store.all_(work, limit=MOST_SCHEDULED, states=[State.SCHEDULED]):
        members = work.bitmaps.read(f"{one.key}:plan:assigned")
        found += [Claimant(one.id, one.name, one.account, at, rank(one), members) for at in moments(work, one, until)]
    return sorted(found, key=lambda one: (one.rank, one.at))


def settled(work: Work, claims: Iterable[Claimant]) -> list[compliance.Claim]:
    """What each claim is worth, in the order of rank: those of its people for whom the higher ones leave a slot."""
    found: list[compliance.Claim] = []
    for one in claims:
        lost = compliance.without_slot(work, one.account, one.at, one.members, claimed=found)
        if _account_full(work, one.account, one.at, found):
            lost = one.members
        found.append(compliance.Claim(one.account, one.at, one.members - lost))
    return found


def yielding(work: Work, broadcast: Broadcast, at: datetime, left: BitMap) -> tuple[BitMap | None, list[Taker]]:
    """Who of `left`, who have a slot, loses it to claims of higher rank, and to which; None where nothing competes."""
    # A copy stands where the series stands of which it is, and does not yield to what the series is to send later.
    series = broadcast.settings.get("series", {}).get("of", broadcast.id)
    mine = rank(broadcast if series == broadcast.id else store.get(work, series, deleted=True))
    there = claimants(work, at + WINDOW)
    higher = [one for one in there if one.broadcast not in (broadcast.id, series) and one.rank < mine]
    if not higher:
        return None, []
    claims = settled(work, higher)
    if _account_full(work, broadcast.account, at, claims):
        through = {one.broadcast: one for one in higher if one.account == broadcast.account}
        return left, [Taker(one.broadcast, one.name, left) for one in through.values()]
    gone = compliance.without_slot(work, broadcast.account, at, left, claimed=claims)
    takers: dict[int, Taker] = {}
    for one, claim in zip(higher, claims, strict=True):
        if theirs := gone & claim.members:
            known = takers.get(one.broadcast)
            takers[one.broadcast] = Taker(one.broadcast, one.name, theirs if known is None else known.members | theirs)
    return gone, list(takers.values())


def _account_full(work: Work, account: int, at: datetime, claims: Sequence[compliance.Claim]) -> bool:
    """Whether the claims take the last send of an account in a window around a moment."""
    zone = accounts.get(work, account).zone
    days = [clock.local_day(claim.at, zone) for claim in claims if claim.account == account and claim.members]
    return any(_full(use, sum(use.first <= day <= use.last for day in days)) for use in _limited(work, account, at))


def _limited(work: Work, account: int, at: datetime) -> list[AccountUse]:
    return [use for use in compliance.account_uses(work, account, at) if use.left is not None]


def _full(use: AccountUse, claims: int) -> bool:
    return use.left is not None and 0 < use.left <= claims
