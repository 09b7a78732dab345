"""Routes with one call a chunk: the intent is committed, the call is made, its answer is committed.

A call whose answer is missing stays an intent. A mass send is repeated with the same client id as long as the platform
remembers it (24 hours, wechat-api.md §2.6); a repetition that it recognises gives the first one's message id.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from tagcast import accounts
from tagcast.broadcasts import ledger
from tagcast.broadcasts.delivery.job import Job, reason_of
from tagcast.broadcasts.ledger import Call, Indices, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction
from tagcast.kit.errors import Refused, TagcastError
from tagcast.kit.uow import Work

KEY_SECONDS = 23.5 * 3600


@dataclass(frozen=True, slots=True)
class Intent:
    """Whom the chunk's call is for. `fresh` is False when an earlier call may have been made."""

    indices: Indices
    fresh: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The platform took the call under `msgid`; `unreachable` are indices that it named as not reachable."""

    msgid: str | None
    unreachable: dict[int, str] = field(default_factory=dict)


Send = Callable[[Intent], Awaitable[Answer]]


def intend(work: Work, broadcast: Broadcast, chunk: Chunk, *, key_seconds: float = KEY_SECONDS) -> Intent:
    """The intent, committed by the caller: a fresh one, or the one that was found. Empty: nothing left to call."""
    if chunk.call == Call.INTENT:
        flying = np.flatnonzero(chunk.statuses == Status.PLANNED)
        if chunk.tried_at is not None and work.now_ms - chunk.tried_at > key_seconds * 1000:
            statuses = chunk.statuses.copy()
            statuses[flying] = Status.IN_DOUBT
            ledger.put(work, broadcast, chunk, statuses)
            flying = flying[:0]
        return Intent(flying, fresh=False)
    if chunk.call == Call.ACCEPTED:
        return Intent(np.empty(0, dtype=np.int64), fresh=False)
    return Intent(ledger.open_call(work, broadcast, chunk), fresh=True)


def withdraw(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    """The call was surely not taken: the intent is taken back."""
    chunk.call = Call.NONE
    chunk.watermark = 0


async def send_keyed(job: Job, api: str, send: Send) -> float | None:
    """Make the chunk's call, which carries an idempotency key. None: closed; seconds: take it up again later."""
    while True:
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, api)
        intent = await job.step(intend)
        if intent.indices.size == 0:
            await job.close()
            return None
        try:
            job.check_live()
            answer = await send(intent)
        except (ChannelError, TagcastError) as error:
            again = await after_refusal(job, error, keyed=True)
            if again is not None:
                return again
            continue
        await accept(job, intent, answer)
        return None


async def accept(job: Job, intent: Intent, answer: Answer) -> None:
    """Commit the platform's acceptance and close the chunk."""
    accepted = {int(index): Status.ACCEPTED for index in intent.indices}
    learnt = Learnt(accepted, taken=True, msgid=answer.msgid)
    for index, reason in answer.unreachable.items():
        learnt.fail(index, reason)

    def finish(work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
        ledger.close_chunk(work, job.lease, broadcast, chunk)
        chunk.done = True

    await job.step(finish, learnt=learnt)


async def after_refusal(job: Job, error: ChannelError | TagcastError, *, keyed: bool) -> float | None:
    """What follows a call without success: None to go on after the pause taken here, or seconds to give the chunk back.

    Raises Stopped, with the broadcast paused, when the refusal concerns all of it.
    """
    if isinstance(error, TagcastError):
        stop = error.code if isinstance(error, Refused) else None
        surely_not, wait = True, 0.0
    else:
        lasting = error.reaction in (Reaction.PERMANENT, Reaction.DUPLICATE) or bool(error.until)
        stop = reason_of(error) if lasting else None
        surely_not, wait = error.reaction is not Reaction.IN_DOUBT, float(error.wait_seconds)
    if stop is not None or (surely_not and not keyed):
        await job.step(withdraw, learnt=Learnt())
    if stop is not None:
        await job.step(lambda _work, _broadcast, _chunk: None, learnt=Learnt(stop=stop))
    if await job.back_off(fruitful=False, least=wait):
        return None
    return max(wait, 5.0)
