"""A chunk in the hands of a worker: its transactions, fenced by the lease, run aside of the event loop."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, overload

from tagcast import accounts, channels
from tagcast.broadcasts import breaker, ledger, rules, store
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.rules import State, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.broadcasts.timing import holding
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit import leases
from tagcast.kit.crypto import digest
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T")

# Attempts in a row that bring nothing before the chunk is given back for a while.
TRIES = 5
LONGEST_WAIT = 60.0
# A chunk that was given back after trouble is taken up again this much later, at least.
AGAIN_SECONDS = 5.0


class Stopped(Exception):
    """Call nobody: the broadcast is paused or cancelled, or this worker is to end. The lease is given back."""


@dataclass
class Job:
    """One chunk under one lease."""

    runtime: Runtime
    lease: Lease
    account: accounts.Account
    broadcast: Broadcast
    no: int
    fruitless: int = field(default=0)
    # The last refusal, or the last answer that did not come.
    trouble: ChannelError | TagcastError | None = field(default=None)
    # Until then, in epoch ms, the hour was found to hold nobody back.
    free_until: int = field(default=0)

    @overload
    async def step(self, use_case: Callable[[Work, Broadcast, Chunk], T], *, learnt: Learnt | None = None) -> T: ...
    @overload
    async def step(
        self, use_case: Callable[[Work, Broadcast, Chunk], T], *, learnt: Learnt | None = None, busy: bool
    ) -> T | None: ...
    async def step(
        self, use_case: Callable[[Work, Broadcast, Chunk], T], *, learnt: Learnt | None = None, busy: bool = False
    ) -> T | None:
        """One transaction: renew the lease, record what was learnt, then do `use_case` on the chunk and save it.

        Raises Lost when another worker has the chunk, and Stopped; what was learnt is kept all the same. `busy`: calls
        are under way, so None instead of Stopped, with nothing given back; when they have ended, come again.
        """
        return await asyncio.to_thread(self._step, use_case, learnt or Learnt(), busy)

    def _step(self, use_case: Callable[[Work, Broadcast, Chunk], T], learnt: Learnt, busy: bool) -> T | None:
        result: T | None = None
        try:
            with self._work() as work:
                broadcast, chunk = self._locked(work)
                leases.renew(work.connection, self.lease, self.runtime.settings.lease_seconds)
                ledger.record(work, broadcast, chunk, learnt)
                if learnt.taken or Status.ACCEPTED in learnt.statuses.values():
                    chunk.progress.pop(store.TROUBLE, None)
                stop = learnt.stop or self._tripped(work, broadcast, chunk, learnt)
                going = self._may_go_on(broadcast, stop) if busy else self._goes_on(work, broadcast, chunk, stop)
                if going:
                    result = use_case(work, broadcast, chunk)
                store.save_chunk(work, chunk)
        except Lost:
            self.lease.deadline = 0.0
            self._keep_facts(learnt.facts())
            raise
        if not going and not busy:
            raise Stopped
        return result

    def _may_go_on(self, broadcast: Broadcast, stop: str | None) -> bool:
        """Whether `_goes_on` would say so."""
        sending = broadcast.state is State.SENDING and broadcast.reason != ledger.CANCELLED
        return sending and stop is None and not self.lease.draining

    def _tripped(self, work: Work, broadcast: Broadcast, chunk: Chunk, learnt: Learnt) -> str | None:
        """The breaker's reason, when too many fail. The whole broadcast is counted only if this chunk looks bad."""
        if broadcast.state is not State.SENDING or Status.FAILED not in learnt.statuses.values():
            return None
        failed = int((chunk.statuses == Status.FAILED).sum())
        if failed <= breaker.limits(broadcast)["failed"] * int((chunk.statuses >= Status.IN_DOUBT).sum()):
            return None
        store.save_chunk(work, chunk)
        found = breaker.look(work, broadcast, all_=False)
        if found is None:
            return None
        breaker.trip(work, broadcast, found)
        return found.reason

    def _goes_on(self, work: Work, broadcast: Broadcast, chunk: Chunk, stop: str | None) -> bool:
        """Whether the chunk may be worked on; if not, its lease is given back: for good, until a resume, or at once.

        Of a broadcast that is cancelled, calls without a key whose answer is missing are still looked up.
        """
        if broadcast.reason == ledger.CANCELLED:
            if broadcast.route not in CONFIRMED_ROUTES or chunk.call != ledger.Call.INTENT:
                self._cancel(work, broadcast, chunk)
            elif self.lease.draining:
                leases.defer(work.connection, self.lease, 0.0)
            else:
                return True
        elif broadcast.state is not State.SENDING:
            leases.complete(work.connection, self.lease)
        elif stop is not None:
            store.move(work, broadcast.id, [State.SENDING], State.PAUSED, reason=stop)
            leases.complete(work.connection, self.lease)
        elif self.lease.draining:
            leases.defer(work.connection, self.lease, 0.0)
        else:
            return not self._held_by_the_hour(work, broadcast, chunk)
        return False

    def _held_by_the_hour(self, work: Work, broadcast: Broadcast, chunk: Chunk) -> bool:
        """Whether the chunk waits for its hour, a send window or the end of quiet hours; then its lease is due then."""
        if work.now_ms < self.free_until:
            return False
        wait = holding.hold(work, broadcast, chunk)
        if wait is None:
            self.free_until = holding.free_until(work.now_ms)
            if chunk.progress.get(store.TROUBLE) in holding.REASONS:
                chunk.progress.pop(store.TROUBLE)
            return False
        chunk.progress = {**chunk.progress, store.TROUBLE: wait.reason}
        leases.defer(work.connection, self.lease, wait.seconds)
        return True

    def give_back(self, seconds: float) -> None:
        """Let the chunk be taken up again after some seconds; what holds it up is kept with it meanwhile.

        A token that is refused however often it is renewed pauses the broadcast: somebody else renews it too.
        """
        with self._work() as work:
            broadcast, chunk = self._locked(work)
            leases.defer(work.connection, self.lease, seconds)
            if self.trouble is None:
                return
            chunk.progress = {**chunk.progress, store.TROUBLE: reason_of(self.trouble)}
            store.save_chunk(work, chunk)
            tired = max(self.fruitless, self.lease.attempt) > TRIES
            refused = isinstance(self.trouble, ChannelError) and self.trouble.reaction is Reaction.RENEW_TOKEN
            if tired and refused and broadcast.reason != ledger.CANCELLED:
                store.move(work, broadcast.id, [State.SENDING], State.PAUSED, reason=reason_of(self.trouble))

    def _cancel(self, work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
        """Who was surely not called is cancelled, who may have been is in doubt; the chunk ends."""
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

    def _work(self) -> AbstractContextManager[Work]:
        return self.runtime.work(self.lease.workspace, "worker")

    def _locked(self, work: Work) -> tuple[Broadcast, Chunk]:
        broadcast = store.get(work, self.broadcast.id, lock=True)
        return broadcast, store.chunk(work, broadcast.id, self.no)

    async def keep(self, learnt: Learnt) -> None:
        """Record outcomes while other calls are under way; it opens and moves nothing."""
        await asyncio.to_thread(self._keep_facts, learnt.facts())

    async def note(self, learnt: Learnt) -> None:
        """Record what was learnt and go on."""
        await self.step(lambda _work, _broadcast, _chunk: None, learnt=learnt)

    def key(self, *parts: object) -> str:
        """An idempotency key of this chunk, at most 32 bytes, never given by another broadcast or another home."""
        return "-".join((self._home_key, str(self.no), *map(str, parts)))

    @cached_property
    def _home_key(self) -> str:
        started = self.broadcast.started_at
        born = "" if started is None else started.isoformat()
        home = digest(str(self.lease.workspace), str(self.broadcast.id), born, self.broadcast.plan_hash or "")
        return f"tc{home[:14]}"

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
        await self.step(
            lambda work, broadcast, chunk: ledger.close_chunk(work, self.lease, broadcast, chunk), learnt=learnt
        )

    async def back_off(self, *, fruitful: bool, least: float = 0.0) -> bool:
        """Wait before the next attempt, longer each fruitless time, with jitter; False: give the chunk back instead."""
        self.fruitless = 0 if fruitful else self.fruitless + 1
        wait = least if fruitful else max(least, min(LONGEST_WAIT, 0.25 * 2**self.fruitless))
        if self.fruitless > TRIES or wait > self.runtime.settings.lease_seconds / 2:
            return False
        if wait:
            await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter
        return True


def lasting(error: ChannelError | TagcastError) -> str | None:
    """The reason to pause the whole broadcast, when no repetition of ours can help before somebody or a day does."""
    if isinstance(error, TagcastError):
        return None if isinstance(error, Unavailable) else reason_of(error)
    return reason_of(error) if error.reaction is Reaction.PERMANENT or error.until else None


def surely_not(error: ChannelError | TagcastError) -> bool:
    """Whether the call was certainly not carried out."""
    if isinstance(error, TagcastError):
        return True
    return error.reaction not in (Reaction.IN_DOUBT, Reaction.DUPLICATE) and not error.meaning.maybe_done


def wait_of(error: ChannelError | TagcastError) -> float:
    """The least seconds before a repetition can help: what the platform asks for, or until its API is open again."""
    if isinstance(error, ChannelError):
        return float(error.wait_seconds)
    return float(str(error.params.get("seconds", 0)))


def learn(learnt: Learnt, index: int, error: ChannelError | TagcastError, *, repeated: bool) -> None:
    """What a refused or lost call of one recipient teaches. In doubt teaches nothing: he stays in flight.

    `repeated`: an earlier call of him may have arrived, so that a refusal now is no proof that he got nothing.
    """
    if isinstance(error, ChannelError):
        if error.reaction is Reaction.DUPLICATE:
            learnt.statuses[index] = Status.ACCEPTED
            return
        if error.reaction is Reaction.PERMANENT and error.scope is Scope.RECIPIENT:
            if repeated:
                learnt.statuses[index] = Status.IN_DOUBT
            else:
                learnt.fail(index, reason_of(error))
            return
    learnt.wait = max(learnt.wait, wait_of(error))
    learnt.stop = learnt.stop or lasting(error)
    if surely_not(error) and not repeated:
        learnt.statuses[index] = Status.RETRY


def reason_of(error: ChannelError | TagcastError) -> str:
    """The word kept in the ledger: our own code; `<platform>:<errcode>`, with `:<operation>` where the code means
    something else there; or the reason when the platform gave no code.
    """
    if isinstance(error, TagcastError):
        return error.code
    if error.errcode is None:
        return error.reason
    word, usual = f"{error.platform}:{error.errcode}", channels.meaning(error.platform, error.errcode)
    here = channels.meaning(error.platform, error.errcode, error.operation)
    return word if here == usual else f"{word}:{error.operation}"
