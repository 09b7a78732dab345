"""How often people and accounts were sent to, and the caps on it.

A person's sends by an account on a day are sets: `sent:…` holds those sent to at least once, `…#2` at least twice, and
so on. A window's count is then in how many of these sets a person is, whatever the number of people. A slot is reserved
in the transaction that decides to send, and given back only on a definite failure: what may have arrived keeps its
slot.
"""

from datetime import date, datetime
from typing import NamedTuple

from pyroaring import BitMap

from tagcast import accounts, bitmaps
from tagcast.compliance import rules, store
from tagcast.kit import clock
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Work

ZONE = "Asia/Shanghai"


class Quota(NamedTuple):
    """Sends of an account in the window with least left; `limit` None: the account as a whole is not limited."""

    used: int
    limit: int | None

    @property
    def left(self) -> int | None:
        """Sends left; None: no limit."""
        return None if self.limit is None else max(0, self.limit - self.used)


def record_sent(work: Work, account_id: int, numbers: BitMap, at: datetime) -> None:
    """Count one send to each of these people as a fact, whatever the caps say. Raises NotFound."""
    _add(work, account_id, numbers, clock.local_day(at, accounts.get(work, account_id).zone))


def over_cap(work: Work, account_id: int, moment: datetime) -> BitMap:
    """People who have the account's limit already, where it counts by person; else nobody. Raises NotFound."""
    limits = accounts.limits(work, account_id)
    if limits.scope != "person":
        return BitMap()
    over = BitMap()
    for window in rules.windows(limits, clock.local_day(moment, accounts.get(work, account_id).zone)):
        sets = [members for day in window.days() for members in _levels(work, account_id, day)]
        over |= _at_least(work, sets, window.limit)
    return over


def account_quota(work: Work, account_id: int, moment: datetime) -> Quota:
    """Used and limit of the window that has least left, where the limit counts by account. Raises NotFound."""
    limits = accounts.limits(work, account_id)
    day = clock.local_day(moment, accounts.get(work, account_id).zone)
    if limits.scope != "account" or not (windows := rules.windows(limits, day)):
        return Quota(store.count_sends(work, account_id, *rules.month(day)), None)
    quotas = [Quota(store.count_sends(work, account_id, one.first, one.last), one.limit) for one in windows]
    return min(quotas, key=lambda quota: quota.left or 0)


def over_monthly_ceiling(work: Work, moment: datetime, *, zone: str = ZONE) -> BitMap:
    """People who have the month's ceiling of messages over all accounts. The month is that of `zone`."""
    first, _ = rules.month(clock.local_day(moment, zone))
    prefix = f":day:{first.year:04d}{first.month:02d}"
    sets = [work.bitmaps.read(key) for key in work.bitmaps.keys("sent:") if prefix in key]
    return _at_least(work, sets, monthly_ceiling(work))


def monthly_ceiling(work: Work) -> int:
    """Messages a person may get a calendar month over all accounts: the workspace's own figure or the shipped one."""
    own = store.cap(work, "month")
    return rules.ceilings()["month"].value if own is None else own


def set_monthly_ceiling(work: Work, value: int, why: str) -> None:
    """Change the ceiling; loosening needs a reason. Raises Refused above the hard one, else Invalid."""
    hard = rules.ceilings()["month_hard"]
    if value < 0 or (value > rules.ceilings()["month"].value and not why.strip()):
        raise Invalid("compliance.bad_ceiling", value=value)
    if value > hard.value:
        raise Refused("compliance.over_hard_ceiling", value=value, hard=hard.value, source=hard.source)
    store.put_cap(work, "month", value, why)


def reserve(work: Work, account_id: int, ref: str, numbers: BitMap, at: datetime) -> BitMap:
    """Take a slot for each of these people who still has one, and return them; the others must not be sent to.

    `ref` names the broadcast: the account's own limit counts it once, with the first reservation. Each call is a new
    send to each person. Raises Refused when the account has no send left for a new `ref`, NotFound for an unknown
    account.
    """
    account = accounts.get(work, account_id)
    day = clock.local_day(at, account.zone)
    # An empty change takes the workspace's right to append, so that nobody can reserve between our look and our write.
    work.bitmaps.add(rules.sent_key(account_id, day), BitMap(), why="reserve")
    free = numbers - over_cap(work, account_id, at) - over_monthly_ceiling(work, at, zone=account.zone)
    if not free:
        return free
    if not store.has_send(work, account_id, ref):
        quota = account_quota(work, account_id, at)
        if quota.left == 0:
            raise Refused("compliance.no_send_left", account=account.name, used=quota.used, limit=quota.limit)
        store.insert_send(work, account_id, ref, clock.to_ms(at), day)
    _add(work, account_id, free, day)
    return free


def release(work: Work, account_id: int, numbers: BitMap, at: datetime) -> None:
    """Give back one slot of each of these people: the send of `at` has definitely failed. Raises NotFound."""
    day = clock.local_day(at, accounts.get(work, account_id).zone)
    left = numbers.copy()
    level = len(_levels(work, account_id, day))
    while left and level:
        key = rules.sent_key(account_id, day, level)
        top = left & work.bitmaps.read(key)
        work.bitmaps.remove(key, top, why="not sent")
        left -= top
        level -= 1


def release_send(work: Work, account_id: int, ref: str) -> bool:
    """Give back the account's send of a broadcast of which nothing went out; whether it was counted."""
    return store.delete_send(work, account_id, ref)


def _add(work: Work, account_id: int, numbers: BitMap, day: date) -> None:
    """Carry people up the levels: who is at a level already goes one higher."""
    carry, level = numbers, 1
    while carry:
        key = rules.sent_key(account_id, day, level)
        again = carry & work.bitmaps.read(key)
        work.bitmaps.add(key, carry, why="sent")
        carry, level = again, level + 1


def _levels(work: Work, account_id: int, day: date) -> list[BitMap]:
    """The day's sets, from level 1 up."""
    found: list[BitMap] = []
    while members := work.bitmaps.read(rules.sent_key(account_id, day, len(found) + 1)):
        found.append(members)
    return found


def _at_least(work: Work, sets: list[BitMap], n: int) -> BitMap:
    """People in at least `n` of the sets; with a limit of 0 that is everybody."""
    return work.bitmaps.read("contact").copy() if n == 0 else bitmaps.counting.at_least(sets, n)
