"""Group commit: one writer thread stores what arrived meanwhile in one transaction, then all of it is acknowledged.

A delivery is answered only after the commit that holds it, and its event is published in the same transaction, so what
was acknowledged survives a kill and is reacted to once. While one batch is being written the next gathers by itself, so
a quiet inbox waits for nothing and a busy one pays one sync for many.
"""

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tagcast.inbox import store
from tagcast.inbox.events import event_of
from tagcast.inbox.store import Delivery
from tagcast.kit import events, logs
from tagcast.kit.errors import Unavailable
from tagcast.kit.uow import Runtime

BATCH = 500
WAITING = 20_000
"""Deliveries that may wait; beyond it the platform is asked to come again."""


@dataclass(frozen=True, slots=True)
class _Item:
    delivery: Delivery
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[bool]


class Intake:
    """The writer of one process. `start` before the first `submit`, `close` at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()

    def start(self) -> None:
        """Start the writer, once."""
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="inbox-intake", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Store what waits and stop."""
        with self._start_lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    async def submit(self, delivery: Delivery) -> bool:
        """Store a delivery; True once it is durable, False if it was there already. Raises Unavailable."""
        if self._thread is None or self._queue.qsize() >= WAITING:
            raise Unavailable("inbox.busy")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._queue.put(_Item(delivery, loop, done))
        return await done

    def _run(self) -> None:
        open_ = True
        while open_:
            batch: list[_Item] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) >= BATCH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            open_ = item is not None
            for workspace, items in _by_workspace(batch).items():
                self._write(workspace, items)

    def _write(self, workspace: int, items: Sequence[_Item]) -> None:
        try:
            fresh = self._commit(workspace, [item.delivery for item in items])
        except Exception as error:  # noqa: BLE001 - the writer must outlive anything, and every waiter must be told
            _resolve(items, [None] * len(items))
            logs.get("inbox").error("callbacks not stored", workspace=workspace, count=len(items), exc_info=error)
        else:
            _resolve(items, fresh)

    def _commit(self, workspace: int, deliveries: Sequence[Delivery]) -> list[bool]:
        """Store a batch with its events; for each delivery whether it is new."""
        first: dict[tuple[int, bytes], int] = {}
        for index, one in enumerate(deliveries):
            first.setdefault((one.account, one.dedupe), index)
        with self._runtime.work(workspace, "inbox") as work:
            new = store.insert_new(work, [deliveries[index] for index in first.values()])
            fresh = [first[key] == index and key in new for index, key in enumerate(_keys(deliveries))]
            facts = [
                event_of(one.kind, one.account, new[one.account, one.dedupe])
                for one, is_new in zip(deliveries, fresh, strict=True)
                if is_new
            ]
            events.publish(work, *facts)
        return fresh


def _keys(deliveries: Sequence[Delivery]) -> list[tuple[int, bytes]]:
    return [(one.account, one.dedupe) for one in deliveries]


def _by_workspace(batch: Sequence[_Item]) -> dict[int, list[_Item]]:
    groups: defaultdict[int, list[_Item]] = defaultdict(list)
    for item in batch:
        groups[item.delivery.workspace].append(item)
    return groups


def _resolve(items: Sequence[_Item], results: Sequence[bool | None]) -> None:
    """Give the results back to the loops that wait, one wake-up a loop."""
    groups: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool | None]]] = defaultdict(list)
    for item, result in zip(items, results, strict=True):
        groups[item.loop].append((item.done, result))
    for loop, pairs in groups.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: Sequence[tuple[asyncio.Future[bool], bool | None]]) -> None:
    for done, result in pairs:
        if done.done():
            continue
        if result is None:
            done.set_exception(Unavailable("inbox.busy"))
        else:
            done.set_result(result)
