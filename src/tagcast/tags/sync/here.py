"""Carrying runs out in this process, for a command that waits for its own run, whether a worker runs or not."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable

from tagcast.kit import leases
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime
from tagcast.tags.sync import store
from tagcast.tags.sync.running import KIND, work
from tagcast.tags.sync.store import Run

_POLL_SECONDS = 0.3


async def follow(runtime: Runtime, workspace: int, number: int, *, progress: Callable[[Run], None]) -> Run:
    """Work on waiting runs until run `number` has ended, by whomever it is worked on; returns it as it ended."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    task: asyncio.Task[None] | None = None
    try:
        while True:
            run = await asyncio.to_thread(_look, runtime, workspace, number)
            progress(run)
            if run.state not in store.OPEN:
                return run
            if task is None or task.done():
                lease = await asyncio.to_thread(_claim, runtime, owner)
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


def _claim(runtime: Runtime, owner: str) -> Lease | None:
    with runtime.engine.connect() as connection:
        if leases.next_due_ms(connection, [KIND]) != 0:
            return None
    with runtime.system() as connection:
        return leases.claim(connection, owner, [KIND], runtime.settings.lease_seconds)


async def _hold(runtime: Runtime, lease: Lease) -> None:
    beat = asyncio.create_task(_beat(runtime, lease))
    try:
        await work(runtime, lease)
    except Lost:
        return
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


async def _beat(runtime: Runtime, lease: Lease) -> None:
    while True:
        await asyncio.sleep(runtime.settings.lease_seconds / 3)
        try:
            await asyncio.to_thread(_renew, runtime, lease)
        except Lost:
            return


def _renew(runtime: Runtime, lease: Lease) -> None:
    with runtime.system() as connection:
        leases.renew(connection, lease, runtime.settings.lease_seconds)
