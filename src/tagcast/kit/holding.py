"""Holding a lease in a process: under which name, how the next piece of work is taken, and the beat that renews it."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tagcast.kit import leases, logs
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime

log = logs.get("leases")


def new_owner() -> str:
    """A name for this process, never given twice."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def claim(runtime: Runtime, owner: str, kinds: Sequence[str]) -> Lease | None:
    """The next piece of work of these kinds that is due and free, or None; only a look when nothing is due."""
    with runtime.engine.connect() as connection:
        if leases.next_due_ms(connection, kinds) != 0:
            return None
    with runtime.system() as connection:
        return leases.claim(connection, owner, kinds, runtime.settings.lease_seconds)


@asynccontextmanager
async def held(runtime: Runtime, lease: Lease) -> AsyncIterator[None]:
    """Renew a lease as long as the block runs."""
    beating = asyncio.create_task(_beat(runtime, lease))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat(runtime: Runtime, lease: Lease) -> None:
    while True:
        await asyncio.sleep(runtime.settings.lease_seconds / 3)
        try:
            await asyncio.to_thread(_renew, runtime, lease)
        except Lost:
            return
        except Exception:
            log.exception("lease not renewed", kind=lease.kind, key=lease.key)


def _renew(runtime: Runtime, lease: Lease) -> None:
    with runtime.system() as connection:
        leases.renew(connection, lease, runtime.settings.lease_seconds)
