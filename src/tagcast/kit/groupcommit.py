"""Group commit: one writer thread, one transaction for all that came in while the last one was written.

Who submits is answered only after the commit that holds the item, so what was acknowledged survives a kill. A quiet
writer waits for nothing; a busy one, whose last batch had company, waits up to `LINGER` seconds for more, so that many
items pay one sync. A batch has at most `BATCH` items.
"""

import asyncio
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tagcast.kit import logs
from tagcast.kit.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 500
"""Most items of one transaction."""
LINGER = 0.003
_GLANCE = 0.0003
_BUSY = 8
WAITING = 10_000
"""Items that may wait for their commit; beyond it the caller is told to come again instead of waiting longer."""

_log = logs.get("groupcommit")


class _Waiter(NamedTuple, Generic[Item, Result]):
    workspace: int
    item: Item
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Result]


class GroupCommit(Generic[Item, Result]):
    """A writer of one process.

    `write(workspace, items)` stores items of a workspace in one transaction and gives a result for each, in order.
    `start` before the first `submit`; `close` at the end, for good.
    """

    def __init__(
        self, name: str, write: Callable[[int, Sequence[Item]], Sequence[Result]], *, waiting: int = WAITING
    ) -> None:
        self._name = name
        self._write = write
        self._waiting = waiting
        self._queue: queue.SimpleQueue[_Waiter[Item, Result] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{name}-writer", daemon=True)
        self._lock = threading.Lock()
        self._open = False

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()
        self._open = True

    def close(self) -> None:
        """Write what waits, then end the thread. Harmless when it is closed or was never started."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._queue.put(None)
        self._thread.join()

    async def submit(self, workspace: int, item: Item) -> Result:
        """The item's result once it is durable. Raises Unavailable when too much waits or the write failed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        # Under the lock nothing is put after the mark that ends the thread, so nobody waits for ever.
        with self._lock:
            if not self._open or self._queue.qsize() >= self._waiting:
                raise Unavailable("kit.writer_busy", writer=self._name)
            self._queue.put(_Waiter(workspace, item, loop, done))
        return await done

    def _run(self) -> None:
        is_open = True
        size = 0
        while is_open:
            groups: defaultdict[int, list[_Waiter[Item, Result]]] = defaultdict(list)
            waiter = self._queue.get()
            if size >= _BUSY:
                self._linger(size)
            for size in range(BATCH):
                if waiter is None:
                    is_open = False
                    break
                groups[waiter.workspace].append(waiter)
                if size + 1 == BATCH:
                    break
                try:
                    waiter = self._queue.get_nowait()
                except queue.Empty:
                    break
            for workspace, waiters in groups.items():
                self._commit(workspace, waiters)

    def _linger(self, before: int) -> None:
        """Wait for company; not for callers who are all here again, as many as last time and nobody more coming."""
        until, seen = time.monotonic() + LINGER, -1
        while (here := self._queue.qsize()) < BATCH and (here < before or here > seen) and time.monotonic() < until:
            seen = here
            time.sleep(_GLANCE)

    def _commit(self, workspace: int, waiters: Sequence[_Waiter[Item, Result]]) -> None:
        answers: Sequence[Result | Unavailable]
        try:
            answers = self._write(workspace, [waiter.item for waiter in waiters])
        except Exception as error:  # noqa: BLE001 - the writer must outlive anything, and every waiter must be told
            _log.error("not stored", kind=self._name, workspace=workspace, count=len(waiters), exc_info=error)
            answers = [Unavailable("kit.not_stored", writer=self._name) for _ in waiters]
        self._tell(waiters, answers)

    def _tell(self, waiters: Sequence[_Waiter[Item, Result]], answers: Sequence[Result | Unavailable]) -> None:
        """Give the answers back to the loops that wait, one wake-up a loop."""
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result | Unavailable]]]
        by_loop = defaultdict(list)
        for waiter, answer in zip(waiters, answers, strict=True):
            by_loop[waiter.loop].append((waiter.done, answer))
        for loop, pairs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, pairs)
            except RuntimeError:
                # The loop ended before its callers were answered; what is stored stays stored.
                _log.warning("callers gone", kind=self._name, count=len(pairs))


def _settle(pairs: Sequence[tuple[asyncio.Future[Result], Result | Unavailable]]) -> None:
    for done, answer in pairs:
        if done.done():
            continue
        if isinstance(answer, Unavailable):
            done.set_exception(answer)
        else:
            done.set_result(answer)
