"""Many single calls of one chunk under way at a time, while the next window is opened and outcomes are committed."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from tagcast.broadcasts.delivery.job import Job, learn
from tagcast.broadcasts.ledger import Indices, Learnt, Window
from tagcast.broadcasts.rules import Status
from tagcast.channels import ChannelError
from tagcast.kit.errors import TagcastError

Send = Callable[[int], Awaitable[int]]

# So many calls one after another that bring nothing are a reason to wait.
_VAIN = 8


class Crew:
    """Calls recipients of a chunk by `send`, at most `size` at a time; `unsayable` are not called, with the reason."""

    def __init__(self, job: Job, send: Send, unsayable: Mapping[int, str], size: int) -> None:
        self._job = job
        self._send = send
        self._unsayable = unsayable
        self._size = size
        self._queue: deque[int] = deque()
        self._learnt = Learnt()
        # Whom the windows hold that are not ended: index → when the first try was, in ms.
        self._out: dict[int, int] = {}
        self._repeated: set[int] = set()
        self._at_work: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._enough = 0
        self._problem: BaseException | None = None
        # Calls since the last `take` that brought nothing.
        self._vain = 0

    @property
    def busy(self) -> int:
        """How many are being called, or are about to be."""
        return len(self._out)

    @property
    def calling(self) -> Indices:
        """Who is being called, or is about to be."""
        return np.fromiter(self._out, dtype=np.int64, count=len(self._out))

    @property
    def since(self) -> int | None:
        """The first try of who has been under way longest, in ms; None when nobody is."""
        return min(self._out.values(), default=None)

    def begin(self, window: Window) -> None:
        """Call these too."""
        for index in window.indices.tolist():
            if index not in self._unsayable:
                self._queue.append(index)
                self._out[index] = window.opened
            elif window.repeated:
                self._learnt.statuses[index] = Status.IN_DOUBT
            else:
                self._learnt.fail(index, self._unsayable[index])
        if window.repeated:
            self._repeated.update(window.indices.tolist())
        for _ in range(min(self._size - len(self._at_work), len(self._queue))):
            task = asyncio.create_task(self._work())
            self._at_work.add(task)
            task.add_done_callback(self._ended)

    async def until(self, left: int, seconds: float) -> None:
        """Until no more than so many are under way, something is wrong, or there is news and so many seconds passed."""
        self._enough = left
        while len(self._out) > left and not self.troubled:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                if self._learnt.statuses:
                    return

    async def wind_down(self) -> None:
        """End the calls that were begun; who was not called yet surely was not, and is called again later."""
        for index in self._queue:
            if index not in self._repeated:
                self._learnt.statuses[index] = Status.RETRY
            self._out.pop(index)
        self._queue.clear()
        if self._at_work:
            await asyncio.wait(self._at_work)

    def take(self) -> Learnt:
        """What was learnt since the last time."""
        taken, self._learnt, self._vain = self._learnt, Learnt(), 0
        return taken

    @property
    def has_news(self) -> bool:
        """Whether there is anything to record."""
        return bool(self._learnt.statuses)

    @property
    def troubled(self) -> bool:
        """Whether nobody else should be called for now: the platform asks for it, or all calls are in vain."""
        learnt = self._learnt
        in_vain = self._vain >= (_VAIN if self._out else 1) and self._vain >= len(learnt.statuses)
        asked = learnt.wait > 0 or learnt.stop is not None
        return asked or in_vain or self._problem is not None or self._job.lease.draining

    def raise_problem(self) -> None:
        """Raises what was not foreseen, if there was anything."""
        if self._problem is not None:
            raise self._problem

    async def _work(self) -> None:
        queue, job, out, unheard = self._queue, self._job, self._out, self._repeated
        while queue and not job.lease.draining and self._problem is None:
            index = queue.popleft()
            try:
                msgid = await self._send(index)
            except (ChannelError, TagcastError) as error:
                job.trouble = error
                learn(self._learnt, index, error, repeated=index in unheard)
                self._vain += self._learnt.statuses.get(index, Status.RETRY) is Status.RETRY
                if self._learnt.wait > 0 or self._learnt.stop is not None:
                    self._changed.set()
            else:
                if msgid:
                    self._learnt.msgids[index] = msgid
                self._learnt.statuses[index] = Status.ACCEPTED
            del out[index]
            unheard.discard(index)
            if len(out) == self._enough:
                self._changed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._problem = self._problem or problem
        self._changed.set()
