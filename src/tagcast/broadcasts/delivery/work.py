"""What the worker runs for broadcasts: deliver a chunk, settle a broadcast."""

import asyncio

from tagcast import accounts
from tagcast.broadcasts import store
from tagcast.broadcasts.delivery import mass, subscription, tasks, template, webhook
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, Job, Stopped, lasting, wait_of
from tagcast.broadcasts.delivery.settling import settle
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.rules import Route
from tagcast.channels import ChannelError
from tagcast.kit.errors import TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime

ROUTES = {
    Route.TEMPLATE: template.deliver,
    Route.SUBSCRIPTION: subscription.deliver,
    Route.LIST: mass.deliver_list,
    Route.TAG: mass.deliver_tag,
    Route.TASKS: tasks.deliver,
    Route.WEBHOOK: webhook.deliver,
}

__all__ = ["deliver", "settle"]


async def deliver(runtime: Runtime, lease: Lease) -> float | None:
    """Deliver one chunk. None: nothing is left to do under this lease. Raises Lost when another worker has it."""
    number, no = int(lease.payload["broadcast"]), int(lease.payload["chunk"])
    job = await asyncio.to_thread(_job, runtime, lease, number, no)
    try:
        again = await _deliver(job)
    except Stopped:
        return None
    if again is not None:
        await asyncio.to_thread(job.give_back, again)
    return again


async def _deliver(job: Job) -> float | None:
    """By the broadcast's route. A refusal of what goes before a call (a token, a draft, a tag) is followed up here."""
    try:
        async with accounts.connect(
            job.runtime, job.lease.workspace, job.account.id, backoff=accounts.DURABLE
        ) as connected:
            return await ROUTES[job.broadcast.route](job, connected)
    except (ChannelError, TagcastError) as error:
        job.trouble = error
        await job.note(Learnt(stop=lasting(error)))
        return max(wait_of(error), AGAIN_SECONDS)


def _job(runtime: Runtime, lease: Lease, number: int, no: int) -> Job:
    with runtime.read(lease.workspace, "worker") as work:
        broadcast = store.get(work, number)
        return Job(runtime, lease, accounts.get(work, broadcast.account), broadcast, no)
