"""Carrying runs out in this process, for a command that waits for its own run, whether a worker runs or not."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tagcast.kit import holding
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime
from tagcast.tags.sync import store
from tagcast.tags.sync.running import KIND, work
from tagcast.tags.sync.store import Run

_POLL_SECONDS = 0.3


async def follow(runtime: Runtime, workspace: int, number: int, *, progress: Callable[[Run], None]) -> Run:
    """Work on waiting runs until run `number` has ended, by whomever it is worked on; returns it as it ended."""
    owner = holding.new_owner()
    task: asyncio.Task[None] | None = None
    try:
        while True:
            run = await asyncio.to_thread(_look, runtime, workspace, number)
            progress(run)
            if run.state not in store.OPEN:
                return run
            if task is None or task.done():
                lease = await asyncio.to_thread(holding.claim, runtime, owner, [KIND])
                task = None if lease is None else asyncio.create_task(_hold(runtime, lease))
            await (asyncio.wait([task], timeout=_POLL_SECONDS) if task else asyncio.sleep(_POLL_SECONDS))
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _look(runtime: Runtime, workspace: int, number: int) -> Run:
    with runtime.read(workspace, "sync") as work:
        run = store.run(work, number)
    assert run is not None
    return run


async def _hold(runtime: Runtime, lease: Lease) -> None:
    with suppress(Lost):
        async with holding.held(runtime, lease):
            await work(runtime, lease)
