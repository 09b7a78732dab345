"""A chunk in the hands of a worker: its transactions, fenced by the lease, run aside of the event loop."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tagcast import accounts
from tagcast.broadcasts import ledger, rules, store
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.rules import State, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit import leases
from tagcast.kit.errors import Refused, TagcastError
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T")

# Attempts in a row that bring nothing before the chunk is given back for a while.
TRIES = 5
LONGEST_WAIT = 60.0


class Stopped(Exception):
    """The broadcast is not being sent any more (paused or cancelled): call nobody."""


@dataclass(slots=True)
class Job:
    """One chunk under one lease."""

    runtime: Runtime
    lease: Lease
    account: accounts.Account
    broadcast: Broadcast
    no: int
    fruitless: int = field(default=0)

    async def step(self, use_case: Callable[[Work, Broadcast, Chunk], T], *, learnt: Learnt | None = None) -> T:
        """One transaction: renew the lease, record what was learnt, then do `use_case` on the chunk and save it.

        Raises Lost when another worker has the chunk (what was learnt is kept all the same), Stopped when the broadcast
        is paused or cancelled.
        """
        return await asyncio.to_thread(self._step, use_case, learnt or Learnt())

    def _step(self, use_case: Callable[[Work, Broadcast, Chunk], T], learnt: Learnt) -> T:
        stopped = False
        result: T | None = None
        try:
            with self._work() as work:
                leases.renew(work.connection, self.lease, self.runtime.settings.lease_seconds)
                broadcast, chunk = self._locked(work)
                ledger.record(work, broadcast, chunk, learnt)
                if learnt.stop is not None and broadcast.state is State.SENDING:
                    store.move(work, broadcast.id, [State.SENDING], State.PAUSED, reason=learnt.stop)
                    stopped = True
                elif broadcast.state is not State.SENDING or broadcast.reason == ledger.CANCELLED:
                    stopped = True
                if stopped:
                    self._give_back(work, broadcast, chunk)
                else:
                    result = use_case(work, broadcast, chunk)
                    store.save_chunk(work, chunk)
        except Lost:
            self._keep_facts(learnt)
            raise
        if stopped:
            raise Stopped
        return result  # type: ignore[return-value]  # set unless stopped

    def _give_back(self, work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
        """Paused: resuming opens the lease anew. Cancelled: who was surely not called is cancelled, the chunk ends."""
        store.save_chunk(work, chunk)
        if broadcast.reason != ledger.CANCELLED:
            leases.complete(work.connection, self.lease)
            return
        if chunk.call in (ledger.Call.NONE, ledger.Call.REFUSED) and not chunk.msgids.size:
            chunk.watermark = 0
        statuses = chunk.statuses.copy()
        flying = rules.in_flight(chunk.statuses, chunk.watermark)
        statuses[((statuses == Status.PLANNED) & ~flying) | (statuses == Status.RETRY)] = Status.CANCELLED
        statuses[flying] = Status.IN_DOUBT
        ledger.put(work, broadcast, chunk, statuses)
        ledger.close_chunk(work, self.lease, broadcast, chunk)

    def _keep_facts(self, learnt: Learnt) -> None:
        """A worker that lost its lease still tells what it learnt, and moves nothing."""
        if not learnt.statuses and not learnt.taken:
            return
        with self._work() as work:
            broadcast, chunk = self._locked(work)
            ledger.record(work, broadcast, chunk, learnt)
            store.save_chunk(work, chunk)

    def _work(self) -> Any:
        return self.runtime.work(self.lease.workspace, "worker")

    def _locked(self, work: Work) -> tuple[Broadcast, Chunk]:
        return store.get(work, self.broadcast.id), store.chunk(work, self.broadcast.id, self.no, lock=True)

    def check_live(self) -> None:
        """Right before a call: a process that was asleep must not make it. Raises Lost."""
        if not self.lease.live:
            raise Lost(self.lease.key)

    async def read(self, question: Callable[[Work], T]) -> T:
        """A read transaction aside of the loop."""

        def ask() -> T:
            with self.runtime.read(self.lease.workspace, "worker") as work:
                return question(work)

        return await asyncio.to_thread(ask)

    async def close(self, learnt: Learnt | None = None) -> None:
        """Nothing more to call in this chunk."""

        def finish(work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
            ledger.close_chunk(work, self.lease, broadcast, chunk)
            chunk.done = True

        await self.step(finish, learnt=learnt)

    async def back_off(self, *, fruitful: bool, least: float = 0.0) -> bool:
        """Wait before the next attempt, longer each fruitless time, with jitter; False: give the chunk back instead."""
        self.fruitless = 0 if fruitful else self.fruitless + 1
        wait = least if fruitful else max(least, min(LONGEST_WAIT, 0.25 * 2**self.fruitless))
        if self.fruitless > TRIES or wait > self.runtime.settings.lease_seconds / 2:
            return False
        if wait:
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
        return True


def learn(learnt: Learnt, index: int, error: ChannelError | TagcastError) -> None:
    """What a refused or lost call of one recipient teaches. In doubt teaches nothing: he stays in flight."""
    if isinstance(error, TagcastError):
        learnt.statuses[index] = Status.RETRY
        if isinstance(error, Refused):
            learnt.stop = error.code
        return
    match error.reaction:
        case Reaction.DUPLICATE:
            learnt.statuses[index] = Status.ACCEPTED
        case Reaction.IN_DOUBT:
            pass
        case Reaction.PERMANENT if error.scope is Scope.RECIPIENT:
            learnt.fail(index, reason_of(error))
        case Reaction.PERMANENT:
            learnt.statuses[index] = Status.RETRY
            learnt.stop = reason_of(error)
        case _:
            learnt.statuses[index] = Status.RETRY
            learnt.wait = max(learnt.wait, float(error.wait_seconds))
            if error.until:
                learnt.stop = reason_of(error)


def reason_of(error: ChannelError) -> str:
    """The word kept in the ledger: `<platform>:<errcode>`, or the reason when the platform gave no code."""
    return f"{error.platform}:{error.errcode}" if error.errcode is not None else error.reason
