"""A run in the hands of a worker: its transactions, fenced by the lease, run aside of the event loop."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tagcast import accounts
from tagcast.kit import leases
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work
from tagcast.tags.sync import store
from tagcast.tags.sync.steps import Step

T = TypeVar("T")
_SHOWN = 20


class Stopped(Exception):
    """Go no further: the run was cancelled, or this worker is to end."""


@dataclass(slots=True)
class Job:
    """One run under one lease."""

    runtime: Runtime
    lease: Lease
    connected: accounts.Connected
    run: store.Run
    why: str
    who: str
    steps: list[Step] = field(default_factory=list)

    @property
    def account(self) -> accounts.Account:
        """Whose tags are synchronised."""
        return self.connected.account

    async def transact(self, use_case: Callable[[Work], T]) -> T:
        """One transaction that renews the lease. Raises Lost when another worker has the run, and Stopped."""
        result, going = await asyncio.to_thread(self._transact, use_case)
        if not going:
            raise Stopped
        return result  # type: ignore[return-value]  # set unless stopped

    def _transact(self, use_case: Callable[[Work], T]) -> tuple[T | None, bool]:
        with self.runtime.work(self.lease.workspace, self.who) as work:
            run = store.run(work, self.run.id, lock=True)
            if run is None or run.state not in store.OPEN:
                leases.complete(work.connection, self.lease)
                return None, False
            if self.lease.draining:
                leases.defer(work.connection, self.lease, 0.0)
                return None, False
            leases.renew(work.connection, self.lease, self.runtime.settings.lease_seconds)
            self.run = run
            result = use_case(work)
            self.run = store.run(work, run.id) or run
            return result, True

    async def ask(self, question: Callable[[Work], T]) -> T:
        """A read transaction aside of the loop."""

        def ask() -> T:
            with self.runtime.read(self.lease.workspace, self.who) as work:
                return question(work)

        return await asyncio.to_thread(ask)

    def next(self, work: Work) -> None:
        """The present step is done."""
        self.note(work, step=self.run.step + 1, position=0)

    def note(self, work: Work, *, done: int = 0, told: Counter[str] | None = None, **values: Any) -> None:
        """Write progress, and count what there is to tell (`word` → how many)."""
        counts = Counter(self.run.told.get("counts", {})) + (told or Counter())
        kept = {**self.run.told, "counts": dict(counts)}
        store.change_run(work, self.run.id, done=self.run.done + done, told=kept, **values)

    def trouble(self, work: Work, path: str, problem: str) -> None:
        """Note what one tag met; the run goes on with the others."""
        known = self.run.told.get("problems", [])
        if len(known) < _SHOWN:
            told = {**self.run.told, "problems": [*known, {"path": path, "problem": problem}]}
            store.change_run(work, self.run.id, told=told)
            self.run = replace(self.run, told=told)
