"""Group commit of hits: one writer thread, one commit for all visits that came while the last one was written.

A visitor is answered only after the commit that holds the visit. Under load batches grow by themselves, up to `BATCH`.
"""

import asyncio
import queue
import threading
from collections import defaultdict

from sqlalchemy.exc import SQLAlchemyError

from tagcast.kit import logs
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Runtime
from tagcast.tracking import store
from tagcast.tracking.rules import Hit

BATCH = 500
MAX_WAITING = 10_000
"""Visits waiting for a commit; beyond it a visitor is asked to come again instead of waiting longer and longer."""


class Unstored(Exception):
    """The visit could not be made durable."""


_Waiting = tuple[int, Hit, "asyncio.Future[None]"]


class Recorder:
    """Stores hits for one event loop. `start` before the first `record`; `close` writes what waits and ends."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracking-recorder", daemon=True)
        self._log = logs.get("tracking")

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    async def record(self, workspace: int, hit: Hit) -> None:
        """Return once the hit is durable. Raises Unstored."""
        if self._queue.qsize() >= MAX_WAITING:
            raise Unstored
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((workspace, hit, done))
        await done

    def _run(self) -> None:
        open_ = True
        while open_:
            batch: list[_Waiting] = []
            item = self._queue.get()
            try:
                while item is not None and len(batch) < BATCH - 1:
                    batch.append(item)
                    item = self._queue.get_nowait()
                open_ = item is not None
                if item is not None:
                    batch.append(item)
            except queue.Empty:
                pass
            if batch:
                self._write(batch)

    def _write(self, batch: list[_Waiting]) -> None:
        grouped: dict[int, list[Hit]] = defaultdict(list)
        for workspace, hit, _ in batch:
            grouped[workspace].append(hit)
        stored = True
        try:
            with self._runtime.system() as connection:
                store.insert_hits(connection, grouped)
        except (SQLAlchemyError, TagcastError):
            stored = False
            self._log.error("visits not stored", count=len(batch), exc_info=True)
        try:
            batch[0][2].get_loop().call_soon_threadsafe(_settle, [done for *_, done in batch], stored)
        except RuntimeError:
            # The loop ended before its visitors were answered; what is stored stays stored.
            self._log.warning("visitors gone", count=len(batch))


def _settle(waiting: list["asyncio.Future[None]"], stored: bool) -> None:
    for done in waiting:
        if done.done():
            continue
        if stored:
            done.set_result(None)
        else:
            done.set_exception(Unstored())
