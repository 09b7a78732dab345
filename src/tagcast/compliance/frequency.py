"""How often people and accounts were sent to, and the caps on it.

A slot is a person in the set of a sending (`ref`, e.g. a broadcast) and of the quarter hour for which it was taken. A
sending has at most one slot of a person. A slot is reserved in the transaction that decides to send, moves to the day
of the call if that is another, and is given back only on a definite failure: what may have arrived keeps its slot.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from pyroaring import BitMap

from tagcast import accounts
from tagcast.compliance import calendars, counting, days, rules, store
from tagcast.kit import clock
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work


class Quota(NamedTuple):
    """Sends of an account in the window with least left; `limit` None: the account as a whole is not limited."""

    used: int
    limit: int | None

    @property
    def left(self) -> int | None:
        """Sends left; None: no limit."""
        return None if self.limit is None else max(0, self.limit - self.used)


def account_quota(work: Work, account_id: int, moment: datetime, *, but: str = "") -> Quota:
    """Used and limit of the window that has least left, where the limit counts by account; a send counts once in it.

    The send of the ref `but` is not counted. Raises NotFound.
    """
    limits = accounts.limits(work, account_id)
    day = clock.local_day(moment, accounts.get(work, account_id).zone)
    counts = rules.counts(limits, day)
    if limits.scope != "account" or not counts:
        return Quota(store.count_sends(work, account_id, *days.month(day), but=but), None)
    quotas = [
        Quota(store.count_sends(work, account_id, *days.bounds(period, day), but=but), limit)
        for period, limit in counts
    ]
    return min(quotas, key=lambda quota: quota.left or 0)


def record_sent(work: Work, account_id: int, ref: str, numbers: BitMap, at: datetime) -> None:
    """Count a send to each of these people as a fact, whatever the caps say, unless they have its slot."""
    work.bitmaps.add(rules.sent_key(account_id, ref, days.quarter_of(at)), numbers, why="sent")


def reserve(work: Work, account_id: int, ref: str, numbers: BitMap, at: datetime) -> BitMap:
    """Take a slot for each of these people for whom there is one, and return them; the others must not be sent to.

    Whoever has a slot of `ref` already keeps it and takes no second one. The account's own limit counts `ref` once a
    day. Raises Refused when the account has no send left for a new `ref`, NotFound for an unknown account.
    """
    account = accounts.get(work, account_id)
    key = _lock(work, account_id, ref, at)
    held = BitMap.union(BitMap(), *(work.bitmaps.read(name) & numbers for name, _ in _own(work, account_id, ref)))
    free = numbers - held
    if free:
        free = free - _full(work, account, free, at)
    if free:
        _take_send(work, account, ref, at)
        work.bitmaps.add(key, free, why="sent")
    return free | held


def renew(work: Work, account_id: int, ref: str, asked: BitMap, at: datetime) -> BitMap:
    """Who of `asked`, about to be called, has a slot of `ref` for the day of the call.

    Slots that were taken on another day move to this one as far as there is room in the windows that they enter; who
    has none gets one like anybody. A cap that was lowered meanwhile takes nobody's slot. Raises Refused when the
    account has no send left on this day, NotFound.
    """
    account = accounts.get(work, account_id)
    sure, moved = BitMap(), list[tuple[str, int, BitMap]]()
    for name, quarter in _own(work, account_id, ref):
        here = work.bitmaps.read(name) & asked
        away = _elsewhere(work, account, quarter, at, here)
        sure |= here - away
        if away:
            moved.append((name, quarter, away))
    new = asked - BitMap.union(sure, *(members for _, _, members in moved))
    if not moved and not new:
        return asked
    key = _lock(work, account_id, ref, at)
    _take_send(work, account, ref, at)
    for name, quarter, members in moved:
        able = members - _full(work, account, members, at, kept=quarter)
        work.bitmaps.remove(name, able, why="sent later")
        work.bitmaps.add(key, able, why="sent later")
        sure |= able
    if new:
        able = new - _full(work, account, new, at)
        work.bitmaps.add(key, able, why="sent")
        sure |= able
    return sure


def release(work: Work, account_id: int, ref: str, numbers: BitMap) -> None:
    """Give back the slots that these people have of a sending: it has definitely not reached them."""
    for name, _ in _own(work, account_id, ref):
        work.bitmaps.remove(name, numbers, why="not sent")


def release_send(work: Work, account_id: int, ref: str) -> bool:
    """Give back the account's send of a broadcast of which nothing went out; whether it was counted."""
    return store.delete_send(work, account_id, ref)


def _take_send(work: Work, account: accounts.Account, ref: str, at: datetime) -> None:
    """Count a send of the account, once a day; where the days are in one window, the window counts it once."""
    day = clock.local_day(at, account.zone)
    if store.has_send(work, account.id, ref, day):
        return
    quota = account_quota(work, account.id, at, but=ref)
    if quota.left == 0:
        raise Refused("compliance.no_send_left", account=account.name, used=quota.used, limit=quota.limit)
    store.insert_send(work, account.id, ref, clock.to_ms(at), day)


def _lock(work: Work, account_id: int, ref: str, at: datetime) -> str:
    """Let nobody reserve between our look and our write: an empty change takes the right to append. Our key."""
    key = rules.sent_key(account_id, ref, days.quarter_of(at))
    work.bitmaps.add(key, BitMap(), why="reserve")
    return key


def _full(work: Work, account: accounts.Account, members: BitMap, at: datetime, *, kept: int | None = None) -> BitMap:
    """Who of `members` has no room for one message more."""
    bounds = (*counting.account_bounds(work, account, at), *counting.cap_bounds(work, account))
    return counting.over(work, bounds, at, within=members, kept=kept)


def _elsewhere(work: Work, account: accounts.Account, quarter: int, at: datetime, members: BitMap) -> BitMap:
    """For whom a quarter is on another calendar day than a moment, in any zone by which something of theirs counts."""
    if not all(days.span("day", at, zone).holds(quarter) for zone in {account.zone, work.zone}):
        return members
    groups = calendars.split(calendars.by_zone(work, account.zone), members)
    return BitMap.union(BitMap(), *(here for zone, here in groups if not days.span("day", at, zone).holds(quarter)))


def _own(work: Work, account_id: int, ref: str) -> Iterator[tuple[str, int]]:
    """The sets of a sending with their quarters. Shared prefixes of longer refs are left out."""
    prefix = rules.sent_prefix(account_id, ref)
    for key in work.bitmaps.keys(prefix):
        if (quarter := key[len(prefix) :]).isdecimal():
            yield key, int(quarter)
