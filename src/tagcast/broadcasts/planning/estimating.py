"""How long a broadcast takes by the limits of its account, and what it costs."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.broadcasts import store
from tagcast.broadcasts.rules import Route
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

COSTS = "costs"
MOST_COST = 1000.0

# Route → the API whose rate bounds it.
APIS = {
    Route.TASKS: "externalcontact_add_msg_template",
    Route.TAG: "tags_members_batchtagging",
    Route.LIST: "message_mass_send",
    Route.TEMPLATE: "message_template_send",
    Route.SUBSCRIPTION: "message_subscribe_bizsend",
    Route.WEBHOOK: "webhook",
}
TAGGED_A_CALL = 50
"""developers.weixin.qq.com, batchtagging: openids a call."""


@dataclass(frozen=True, slots=True)
class Duration:
    """`calls` of the platform, the fewest `seconds` they take at its rates, on so many calendar `days`."""

    calls: int
    per_minute: int | None
    seconds: float
    days: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What the messages cost together, from what one costs; `source` says where the figure is from."""

    each: float
    total: float
    currency: str
    source: str


@cache
def figures() -> Mapping[str, Any]:
    """The shipped figures: `cost`, `warn`."""
    return read_toml("broadcasts", "planning", "figures.toml")


def warn_at(name: str) -> int:
    """From where a warning is given."""
    return int(figures()["warn"][name]["value"])


def duration(work: Work, broadcast: Broadcast, assigned: BitMap) -> Duration:
    """The fewest calls and the least time; people who have to confirm first, and hours that are quiet, come on top."""
    limits = accounts.limits(work, broadcast.account)
    calls = _calls(work, broadcast, assigned, limits.count("send.batch"))
    per_minute = limits.rate_per_minute(APIS[broadcast.route])
    per_day = limits.count("send.per_day")
    days = 1 if not per_day else max(1, math.ceil(len(assigned) / per_day))
    seconds = 0.0 if not per_minute else calls * 60 / per_minute
    return Duration(calls, per_minute, round(seconds, 1), days)


def _calls(work: Work, broadcast: Broadcast, assigned: BitMap, batch: int | None) -> int:
    size = len(assigned)
    match broadcast.route:
        case Route.TEMPLATE | Route.SUBSCRIPTION:
            return size
        case Route.TAG:
            return math.ceil(size / TAGGED_A_CALL) + bool(size)
        case Route.TASKS:
            holders = work.bitmaps.keys(f"employee:{broadcast.account}:")
            # Who is held by several is sent to by one of them: so many employees at least, unless they are fewer.
            held = sum(not assigned.isdisjoint(work.bitmaps.read(key)) for key in holders)
            return max(min(held, size), math.ceil(size / (batch or max(size, 1))))
        case Route.LIST | Route.WEBHOOK:
            return math.ceil(size / (batch or max(size, 1)))


def costs(work: Work) -> dict[str, dict[str, Any]]:
    """What a message costs, by `<kind of account>.<kind of message>`: the workspace's own figures, else the shipped."""
    shipped = {
        f"{account}.{kind}": {name: entry[name] for name in ("value", "currency", "source", "date")}
        for account, kinds in figures()["cost"].items()
        for kind, entry in kinds.items()
    }
    own = store.setting(work, COSTS)
    return shipped | ({} if own is None else own.value)


def set_cost(work: Work, of: str, value: float, currency: str, source: str) -> dict[str, Any]:
    """Say what a message of `<kind of account>.<kind of message>` costs here, and where the figure is from.

    Raises Invalid. Returns all costs.
    """
    account_kind, _, kind = of.partition(".")
    if account_kind not in accounts.KINDS or not kind.isidentifier():
        raise Invalid("broadcasts.bad_cost_kind", kind=of, known=", ".join(accounts.KINDS))
    money = len(currency) == 3 and currency.isascii() and currency.isupper()
    if not 0 <= value <= MOST_COST or not money or not source.strip():
        raise Invalid("broadcasts.bad_cost", value=value, currency=currency, most=MOST_COST)
    own = store.setting(work, COSTS)
    entry = {"value": value, "currency": currency, "source": source.strip(), "date": work.today.isoformat()}
    store.put_setting(work, COSTS, {**({} if own is None else own.value), of: entry})
    return costs(work)


def cost(work: Work, account: accounts.Account, kind: str, messages: int) -> Cost | None:
    """What so many messages cost; None where no figure is known."""
    entry = costs(work).get(f"{account.kind}.{kind}")
    if entry is None:
        return None
    return Cost(entry["value"], round(entry["value"] * messages, 2), entry["currency"], entry["source"])


def notes(
    work: Work, broadcast: Broadcast, account: accounts.Account, assigned: BitMap, at: datetime
) -> dict[str, Any]:
    """What a plan keeps beside its hash: duration, cost, and what is left before it is sent.

    `quota.left`: how many of the recipients may get 0, 1, 2, and 3 or more messages in that month.
    """
    asked = cost(work, account, broadcast.content["kind"], len(assigned))
    uses = [asdict(use) for use in compliance.account_uses(work, account.id, at)]
    left = compliance.slots_left(work, account.id, at, assigned)
    return {
        "duration": asdict(duration(work, broadcast, assigned)),
        "cost": None if asked is None else asdict(asked),
        "quota": {
            "uses": [{**use, "first": use["first"].isoformat(), "last": use["last"].isoformat()} for use in uses],
            "left": [len(members) for members in left],
        },
    }
