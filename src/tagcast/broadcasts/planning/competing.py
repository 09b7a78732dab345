"""Several broadcasts that want the last slot of a person: priority decides, then value, then who was there first.

A scheduled broadcast claims the people of its plan for the moment at which it is due. A claim of higher rank counts as
if its slots were taken, in the calendar windows that hold its moment; so whoever has no other slot left yields to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.broadcasts import store
from tagcast.broadcasts.priority import Rank, rank
from tagcast.broadcasts.rules import State
from tagcast.broadcasts.store import Broadcast
from tagcast.compliance import AccountUse
from tagcast.kit import clock
from tagcast.kit.uow import Work


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
    at: datetime
    members: BitMap


def claimants(work: Work) -> list[Claimant]:
    """The scheduled broadcasts with the people of their plans, the highest rank first."""
    found = [
        Claimant(one.id, one.name, one.account, one.due_at, rank(one), work.bitmaps.read(f"{one.key}:plan:assigned"))
        for one in store.all_(work, limit=10_000, states=[State.SCHEDULED])
        if one.due_at is not None
    ]
    return sorted(found, key=lambda one: one.rank)


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
    higher = [one for one in claimants(work) if one.broadcast != broadcast.id and one.rank < rank(broadcast)]
    if not higher:
        return None, []
    claims = settled(work, higher)
    if _account_full(work, broadcast.account, at, claims):
        through = [one for one in higher if one.account == broadcast.account]
        return left, [Taker(one.broadcast, one.name, one.at, left) for one in through]
    gone = compliance.without_slot(work, broadcast.account, at, left, claimed=claims)
    takers = [
        Taker(one.broadcast, one.name, one.at, gone & claim.members)
        for one, claim in zip(higher, claims, strict=True)
        if not gone.isdisjoint(claim.members)
    ]
    return gone, takers


def _account_full(work: Work, account: int, at: datetime, claims: Sequence[compliance.Claim]) -> bool:
    """Whether the claims take the last send of an account in a window around a moment."""
    zone = accounts.get(work, account).zone
    days = [clock.local_day(claim.at, zone) for claim in claims if claim.account == account and claim.members]
    return any(_full(use, sum(use.first <= day <= use.last for day in days)) for use in _limited(work, account, at))


def _limited(work: Work, account: int, at: datetime) -> list[AccountUse]:
    return [use for use in compliance.account_uses(work, account, at) if use.left is not None]


def _full(use: AccountUse, claims: int) -> bool:
    return use.left is not None and 0 < use.left <= claims
