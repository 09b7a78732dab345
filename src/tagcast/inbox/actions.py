"""Use cases of the inbox."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson

from tagcast import accounts
from tagcast.channels import Inbound, Platform, normalise
from tagcast.inbox import store
from tagcast.inbox.events import event_of
from tagcast.inbox.store import Delivery
from tagcast.kit import clock, events
from tagcast.kit.events import Recorded
from tagcast.kit.uow import Work

KEEP = timedelta(days=7)
"""How long callbacks are kept; the platforms repeat one within seconds."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A stored callback and what it says. `received_at` in epoch milliseconds."""

    message: int
    account: int
    received_at: int
    inbound: Inbound


def platform_of(kind: str) -> Platform:
    """Whose callbacks an account of a kind gets."""
    return "wecom" if kind == "wecom" else "official"


def accept(work: Work, deliveries: Sequence[Delivery]) -> list[bool]:
    """Store callbacks and publish the new ones' events; for each whether it is new, or was there already."""
    first: dict[tuple[int, bytes], int] = {}
    for index, one in enumerate(deliveries):
        first.setdefault((one.account, one.dedupe), index)
    new = store.insert_new(work, [deliveries[index] for index in first.values()])
    fresh = [
        first[one.account, one.dedupe] == index and (one.account, one.dedupe) in new
        for index, one in enumerate(deliveries)
    ]
    published = [
        event_of(one.kind, one.account, new[one.account, one.dedupe])
        for one, is_new in zip(deliveries, fresh, strict=True)
        if is_new
    ]
    events.publish(work, *published)
    return fresh


def facts(work: Work, received: Sequence[Recorded]) -> dict[int, list[Inbound]]:
    """What events of the inbox (`InboxReceived`) say: account id → facts in the order they came.

    Purged callbacks, and those of a removed account, are missing.
    """
    found: defaultdict[int, list[Inbound]] = defaultdict(list)
    for fact in stored(work, [event.payload["message"] for event in received]):
        found[fact.account].append(fact.inbound)
    return dict(found)


def stored(work: Work, messages: Sequence[int]) -> list[Fact]:
    """Open stored callbacks by number, in the order they came; what is missing, see `facts`."""
    platforms = {account.id: platform_of(account.kind) for account in accounts.all_(work)}
    return [
        Fact(one.id, one.account, one.received_at, normalise(platforms[one.account], orjson.loads(one.body)))
        for one in store.read(work, messages)
        if one.account in platforms
    ]


def purge(work: Work) -> int:
    """Delete callbacks older than `KEEP`; returns how many."""
    return store.delete_before(work, clock.to_ms(work.now - KEEP))


def last_received(work: Work, account_id: int) -> int | None:
    """When the newest callback of an account came, in epoch milliseconds; None: none is kept."""
    return store.last_at(work, account_id)


accounts.hear(last_received)
