"""Computing a feature without holding the database: read and compute first, then write what differs."""

import asyncio
import time
from collections.abc import Callable
from datetime import date

from tagcast.features import actions, computing, store
from tagcast.features.measures import Progress, nothing
from tagcast.features.store import Run
from tagcast.kit import leases
from tagcast.kit.errors import NotFound, TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

TELL_SECONDS = 2.0
"""How often a worker writes down how far it is."""


def recompute(
    runtime: Runtime,
    workspace: int,
    name: str,
    *,
    actor: str = "features",
    as_of: date | None = None,
    full: bool = False,
    progress: Progress = nothing,
    then: Callable[[Work], object] | None = None,
) -> Run:
    """Compute a feature as of a day, today unless said; `then` is done in the transaction that keeps it.

    What is recorded meanwhile is left to the next computation. Progress counts in thousandths: half for the reading.
    Raises as `actions.compute`, and Conflict if it was defined anew meanwhile.
    """
    with runtime.read(workspace, actor) as work:
        definition = actions.find(work, name)
        computed = computing.compute(
            work,
            definition,
            as_of or work.today,
            full=full,
            progress=lambda done, total: progress(500 * done // total, 1000),
        )
    with runtime.work(workspace, actor) as work:
        run = actions.keep(work, computed, lambda done, total: progress(500 + 500 * done // total, 1000))
        if then is not None:
            then(work)
    return run


async def work_off(runtime: Runtime, lease: Lease) -> None:
    """What a worker does with a feature that is due. What is wrong with its definition or data is kept with it."""
    await asyncio.to_thread(_work_off, runtime, lease)


def _work_off(runtime: Runtime, lease: Lease) -> None:
    name, told = str(lease.payload["name"]), [time.monotonic()]
    given = lease.payload.get("as_of")
    as_of = date.fromisoformat(given) if given else None

    def tell(done: int, total: int) -> None:
        # Only while reading: the transaction that keeps the values is the only writer until it ends.
        if done < total // 2 and time.monotonic() - told[0] >= TELL_SECONDS:
            told[0] = time.monotonic()
            with runtime.work(lease.workspace, "worker") as work:
                store.put_progress(work, name, "running", (done, total))

    def finish(work: Work) -> None:
        store.put_progress(work, name, "done", (1000, 1000))
        leases.complete(work.connection, lease)

    with runtime.work(lease.workspace, "worker") as work:
        store.put_progress(work, name, "running", (0, 1000))
    full = bool(lease.payload.get("full"))
    try:
        recompute(
            runtime, lease.workspace, name, actor="worker", as_of=as_of, full=full, progress=tell, then=finish
        )  # fmt: skip
    except TagcastError as error:
        with runtime.work(lease.workspace, "worker") as work:
            if not (isinstance(error, NotFound) and error.code == "features.no_feature"):
                store.put_progress(work, name, "failed", problem=error.code)
            leases.complete(work.connection, lease)
