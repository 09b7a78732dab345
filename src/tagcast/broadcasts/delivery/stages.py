"""What the worker does between two stages: bring in what is known, ask the breaker, let the next stage begin."""

import asyncio

from tagcast.broadcasts import breaker, ledger, relearning, stages, store
from tagcast.broadcasts.delivery import settling
from tagcast.broadcasts.rules import State
from tagcast.kit import leases
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime


async def look_on(runtime: Runtime, lease: Lease) -> None:
    """One look after a stage ended. It is one transaction: a crash before its end leaves the look to another."""
    await asyncio.to_thread(_look_on, runtime, lease)


def _look_on(runtime: Runtime, lease: Lease) -> None:
    number = int(lease.payload["broadcast"])
    with runtime.work(lease.workspace, "worker") as work:
        broadcast = store.get(work, number, lock=True)
        leases.complete(work.connection, lease)
        if broadcast.state is not State.SENDING or broadcast.reason == ledger.CANCELLED:
            return
        if any(one.done_at is None and one.stage <= stages.due(broadcast) for one in store.tallies(work, number)):
            return
        chunks = [chunk for chunk in store.chunks_of(work, number) if chunk.done]
        settling.match(work, broadcast, chunks)
        for chunk in chunks:
            store.save_chunk(work, chunk)
        found = breaker.look(work, broadcast)
        if found is None:
            relearning.redraw(work, broadcast)
            stages.next_stage(work, broadcast)
            return
        breaker.trip(work, broadcast, found)
        store.move(work, number, [State.SENDING], State.PAUSED, reason=found.reason)
