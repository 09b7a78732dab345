"""Calls at a time, over all processes: slots in the database, held under a lease and used again and again.

A process takes as many slots as it has calls to make, gives others their share when it renews (every `BEAT_SECONDS`
while it is busy), and gives all back a moment after its last call. A process that dies frees its slots when its lease
runs out. One that was stopped in the middle of a call, and goes on later, may exceed the limit by that call.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine

from tagcast.accounts.pacing import lanes, store
from tagcast.accounts.pacing.lanes import Key, Lane
from tagcast.kit.uow import Runtime

LEASE_SECONDS = 5.0
BEAT_SECONDS = 0.5
POLL_SECONDS = 0.05
"""How often a process without a slot looks for one."""
IDLE_SECONDS = 0.2
"""How long slots are kept for the next call."""
SAFE = 0.7
"""The share of a lease in which a holder acts on its own word."""


class _Pool:
    """The slots of one (account, API) in one event loop."""

    def __init__(self, runtime: Runtime, lane: Lane) -> None:
        self._runtime = runtime
        self._lane = lane
        self._owner = secrets.token_hex(8)
        self._held = 0
        self._busy = 0
        self._good_until = 0.0
        self._used_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._short = asyncio.Event()
        # Whether all that was asked for last was given, so that there may be more for who asked meanwhile.
        self._given = False

    async def take(self) -> None:
        """Wait for a slot, in the order of asking."""
        if not self._waiting and self._busy < self._held and time.monotonic() < self._good_until:
            self._busy += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._short.set()
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep())
        try:
            await turn
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiting.remove(turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a call: the longest waiting gets the slot."""
        self._busy -= 1
        self._used_at = time.monotonic()
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._busy < self._held and time.monotonic() < self._good_until:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)

    async def _keep(self) -> None:
        """Take, renew and share the slots as long as they are used."""
        try:
            while True:
                while self._waiting or self._busy or time.monotonic() - self._used_at < IDLE_SECONDS:
                    await self._look()
                    if not (self._waiting and self._given):
                        await self._pause()
                self._held = 0
                await asyncio.to_thread(self._leave)
                if not self._waiting:  # who asked while the slots were given back found this task at work
                    return
        except BaseException as error:
            self._held = 0
            for turn in self._waiting:
                if not turn.done():
                    turn.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            self._waiting.clear()
            if not isinstance(error, Exception):
                with suppress(Exception):  # the loop ends; the lease frees the slots if this does not
                    self._leave()
                raise

    async def _look(self) -> None:
        """Renew. While that is under way no more calls begin than the database is told of: they might be others'."""
        self._short.clear()
        started, busy = time.monotonic(), self._busy
        wanted = max(1, busy + len(self._waiting))
        self._held = min(self._held, busy)
        self._held = await asyncio.to_thread(self._renew, wanted, busy)
        self._good_until = started + LEASE_SECONDS * SAFE
        self._given = self._held >= wanted
        self._serve()

    async def _pause(self) -> None:
        if self._waiting:
            await asyncio.sleep(BEAT_SECONDS / 2 if self._held else POLL_SECONDS)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._short.wait(), BEAT_SECONDS if self._busy else IDLE_SECONDS)

    def _renew(self, wanted: int, busy: int) -> int:
        with self._lane.lock:
            if not self._lane.is_known():
                lanes.look(self._runtime, self._lane)
        workspace, account, api = self._lane.key
        limit = self._lane.at_once
        if limit is None:
            return wanted
        with self._runtime.work(workspace, "slots") as work:
            return store.take_slots(
                work, account, api,
                owner=self._owner, limit=limit, wanted=wanted, busy=busy, seconds=LEASE_SECONDS,
            )  # fmt: skip

    def _leave(self) -> None:
        workspace, account, api = self._lane.key
        with self._runtime.work(workspace, "slots") as work:
            store.leave_slots(work, account, api, self._owner)


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakKeyDictionary[Engine, dict[Key, _Pool]]] = WeakKeyDictionary()


@asynccontextmanager
async def slot(runtime: Runtime, workspace: int, account_id: int, api: str) -> AsyncIterator[None]:
    """Make one call of an API while holding one of its slots; an API without a limit has no slots to wait for."""
    lane = lanes.lane(runtime, (workspace, account_id, api))
    if not lane.is_known():
        await asyncio.to_thread(_look, runtime, lane)
    if lane.at_once is None:
        yield
        return
    pool = pool_of(runtime, lane)
    await pool.take()
    try:
        yield
    finally:
        pool.give_back()


def pool_of(runtime: Runtime, lane: Lane) -> _Pool:
    """The pool of a lane in the running event loop."""
    pools = _pools.setdefault(asyncio.get_running_loop(), WeakKeyDictionary()).setdefault(runtime.engine, {})
    found = pools.get(lane.key)
    if found is None:
        found = pools[lane.key] = _Pool(runtime, lane)
    return found


def _look(runtime: Runtime, lane: Lane) -> None:
    with lane.lock:
        if not lane.is_known():
            lanes.look(runtime, lane)
