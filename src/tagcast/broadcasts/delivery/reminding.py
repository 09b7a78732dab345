"""Reminding employees of their tasks. A reminder is noted before it is called, and a lost answer is not repeated."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tagcast import accounts
from tagcast.broadcasts import store as broadcasts
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, lasting, reason_of, surely_not, wait_of
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.store import tasks as store
from tagcast.broadcasts.store.tasks import Reminder
from tagcast.channels import ChannelError, Scope
from tagcast.kit import leases
from tagcast.kit.errors import TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T")


async def remind(runtime: Runtime, lease: Lease) -> float | None:
    """Make the calls of the reminders that were asked for. None: done; seconds until it is taken up again."""
    number = int(lease.payload["broadcast"])
    broadcast, asked = await _step(runtime, lease, partial(_begin, number))
    again: float | None = None
    try:
        async with accounts.connect(runtime, lease.workspace, broadcast.account, backoff=accounts.DURABLE) as connected:
            for one in asked:
                if lease.draining:
                    again = 0.0
                    break
                again = await _call(runtime, lease, connected, one)
                if again is not None:
                    break
    except (ChannelError, TagcastError) as error:
        again = max(wait_of(error), AGAIN_SECONDS)
    await _step(runtime, lease, partial(_end, lease, again))
    return again


async def _call(runtime: Runtime, lease: Lease, connected: accounts.Connected, one: Reminder) -> float | None:
    """One reminder. Seconds: it was surely not made, and is tried again then, with those after it."""
    await accounts.permit(runtime, lease.workspace, connected.account.id, "externalcontact_remind_groupmsg_send")
    await _step(runtime, lease, lambda work: _move(runtime, work, lease, one, "calling"))
    try:
        await connected.call(lambda: connected.wecom.mass.remind(one.msgid))
    except (ChannelError, TagcastError) as error:
        of_task = isinstance(error, ChannelError) and error.scope is not Scope.ACCOUNT
        if not surely_not(error):
            state = "lost"
        elif lasting(error) or (of_task and wait_of(error) > AGAIN_SECONDS):
            state = f"refused:{reason_of(error)}"
        else:
            state = "asked"
        await _step(runtime, lease, lambda work: _move(runtime, work, lease, one, state))
        return max(wait_of(error), AGAIN_SECONDS) if state == "asked" else None
    await _step(runtime, lease, lambda work: _move(runtime, work, lease, one, "sent"))
    return None


def _begin(number: int, work: Work) -> tuple[Broadcast, list[Reminder]]:
    """The reminders to make; one that another worker was about to make when it died is lost."""
    broadcast = broadcasts.get(work, number, lock=True)
    for one in store.reminders_of(work, number, ["calling"]):
        store.move_reminder(work, one.id, "lost")
    return broadcast, store.reminders_of(work, number, ["asked"])


def _move(runtime: Runtime, work: Work, lease: Lease, one: Reminder, state: str) -> None:
    leases.renew(work.connection, lease, runtime.settings.lease_seconds)
    store.move_reminder(work, one.id, state)


def _end(lease: Lease, again: float | None, work: Work) -> None:
    if again is None:
        leases.complete(work.connection, lease)
    else:
        leases.defer(work.connection, lease, again)


async def _step(runtime: Runtime, lease: Lease, use_case: Callable[[Work], T]) -> T:
    def step() -> T:
        with runtime.work(lease.workspace, "worker") as work:
            return use_case(work)

    return await asyncio.to_thread(step)
