"""The steps of the waterfall between who is addressed and who is held out, in their order.

A step says which of those who are left it leaves out, or None where it has no meaning. Who falls at one step is not
counted under a later one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap

from tagcast import accounts, audiences, compliance
from tagcast.broadcasts import consents, options, senders
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.planning import competing
from tagcast.broadcasts.rules import Route
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Asked:
    """For what the waterfall is made: `at` is the moment of sending, later than now for what is scheduled."""

    work: Work
    broadcast: Broadcast
    account: accounts.Account
    at: datetime
    # Other broadcasts to which people yield their slots.
    takers: list[competing.Taker] = field(default_factory=list)


LeavesOut = Callable[[Asked, BitMap], BitMap | None]


def no_identity(asked: Asked, left: BitMap) -> BitMap:
    """Whom the account does not know."""
    return left - asked.work.bitmaps.read(f"identity:{asked.account.id}")


def not_following(asked: Asked, left: BitMap) -> BitMap:
    """Who does not follow the account, or no more."""
    return left - asked.work.bitmaps.read(f"following:{asked.account.id}")


def no_consent(asked: Asked, left: BitMap) -> BitMap:
    """Who has not consented to the purpose."""
    return left - compliance.consented(asked.work, asked.broadcast.purpose)


def suppressed(asked: Asked, left: BitMap) -> BitMap:
    """Who gets nothing at all."""
    return left & compliance.suppressed(asked.work)


def no_employee(asked: Asked, left: BitMap) -> BitMap | None:
    """Customers whom no employee holds who may send: nobody could send to them."""
    if asked.broadcast.route is not Route.TASKS:
        return None
    sets = asked.work.bitmaps
    able = senders.allowed(asked.work, asked.broadcast).values()
    return left - BitMap.union(BitMap(), *(sets.read(key) for key in able))


def employee_full(asked: Asked, left: BitMap) -> BitMap | None:
    """For whom no employee has room; None where employees may have any number of customers."""
    if asked.broadcast.route is not Route.TASKS or "most" not in asked.broadcast.settings.get("senders", {}):
        return None
    shares = senders.shares(asked.work, asked.broadcast, left)
    return left - BitMap.union(BitMap(), *(BitMap(share) for share in shares.values()))


def personalisation_off(asked: Asked, left: BitMap) -> BitMap | None:
    """Who refused to be chosen by tags or behaviour; None for an audience that chooses nobody."""
    return _unfit(asked, left).get("personalisation_off")


def minor(asked: Asked, left: BitMap) -> BitMap | None:
    """Minors, whom nobody may choose by tags or behaviour; None for an audience that chooses nobody."""
    return _unfit(asked, left).get("minor")


def _unfit(asked: Asked, left: BitMap) -> dict[str, BitMap]:
    by_tags = audiences.personalised(asked.work, audiences.from_json(asked.broadcast.audience))
    chosen = by_tags or contents.chooses(asked.work, asked.broadcast)
    return compliance.unfit(asked.work, left, personalised=chosen)


def no_subscription(asked: Asked, left: BitMap) -> BitMap | None:
    """Who has no consent left for the subscription message's template: each is good for one message."""
    if asked.broadcast.route is not Route.SUBSCRIPTION:
        return None
    return left - consents.holders(asked.work, asked.account.id, str(asked.broadcast.content["template_id"]))


def over_cap(asked: Asked, left: BitMap) -> BitMap:
    """Who has as many messages of the account as its limits allow a person."""
    return compliance.over_cap(asked.work, asked.account.id, asked.at, within=left)


def over_ceiling(asked: Asked, left: BitMap) -> BitMap:
    """Who has as many messages as a cap of the workspace allows, the monthly one over all accounts among them."""
    return compliance.over_caps(asked.work, asked.account.id, asked.at, within=left)


def quiet_hours(asked: Asked, left: BitMap) -> BitMap | None:
    """For whom the moment is quiet; None where they are written to after it."""
    if asked.broadcast.settings.get("quiet") != options.EXPIRE:
        return None
    return compliance.quiet(asked.work, asked.account.id, left, asked.at, purpose=asked.broadcast.purpose)


def account_quota(asked: Asked, left: BitMap) -> BitMap | None:
    """Everybody, when the account itself has no send left."""
    quota = compliance.account_quota(asked.work, asked.account.id, asked.at)
    return left if quota.left == 0 else None


def yields(asked: Asked, left: BitMap) -> BitMap | None:
    """Who has a slot that goes to a scheduled broadcast of higher rank; None where none is to come."""
    gone, takers = competing.yielding(asked.work, asked.broadcast, asked.at, left)
    asked.takers.extend(takers)
    return gone


# name → who falls, in the order of the waterfall.
STEPS: dict[str, LeavesOut] = {
    "no_identity": no_identity,
    "not_following": not_following,
    "no_employee": no_employee,
    "no_subscription": no_subscription,
    "no_consent": no_consent,
    "suppressed": suppressed,
    "personalisation_off": personalisation_off,
    "minor": minor,
    "over_ceiling": over_ceiling,
    "quiet_hours": quiet_hours,
    "over_cap": over_cap,
    "employee_full": employee_full,
    "account_quota": account_quota,
    "yields": yields,
}


def fall(asked: Asked, addressed: BitMap) -> Iterator[tuple[str, BitMap]]:
    """(step, who falls at it), each once; the union of all is who is not sent to."""
    left = addressed
    for name, leaves_out in STEPS.items():
        gone = leaves_out(asked, left)
        if gone is not None:
            left = left - gone
            yield name, gone
