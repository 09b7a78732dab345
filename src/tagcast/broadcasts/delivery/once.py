"""Routes with one call a chunk: the intent is committed, the call is made, its answer is committed.

A call whose answer is missing stays an intent. A mass send is repeated with the same client id as long as the platform
remembers it (`clientmsgid`, 24 hours); a repetition that it recognises gives the first one's message id.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from tagcast import accounts
from tagcast.broadcasts import ledger
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, Job, lasting, surely_not, wait_of
from tagcast.broadcasts.ledger import Call, Indices, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work

MessageT = TypeVar("MessageT")

KEY_SECONDS = 23.5 * 3600


@dataclass(frozen=True, slots=True)
class Intent:
    """Whom the chunk's call is for. `fresh` is False when an earlier call may have been made."""

    indices: Indices
    fresh: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The platform took the call under `msgid`.

    `unreachable` are indices that surely got nothing, with the reason; of `doubtful` ones nobody can say.
    """

    msgid: str | None
    unreachable: dict[int, str] = field(default_factory=dict)
    doubtful: frozenset[int] = frozenset()


def intend(
    work: Work, broadcast: Broadcast, chunk: Chunk, *, key_seconds: float = KEY_SECONDS, keyed: bool = True
) -> Intent:
    """The intent, committed by the caller: a fresh one, or the one that was found. Empty: nothing left to call.

    Of an intent that was found, and that a repetition with the key may make true, those who must not be called any more
    are in doubt.
    """
    if chunk.call == Call.ACCEPTED:
        return Intent(np.empty(0, dtype=np.int64), fresh=False)
    if chunk.call == Call.NONE:
        return Intent(ledger.open_call(work, broadcast, chunk), fresh=True)
    flying = np.flatnonzero(chunk.statuses == Status.PLANNED)
    lost = flying[:0]
    if chunk.tried_at is None or work.now_ms - chunk.tried_at > key_seconds * 1000:
        lost = flying
    elif keyed:
        lost = np.fromiter(ledger.refuse_now(work, broadcast, chunk, flying), dtype=np.int64)
    if lost.size:
        statuses = chunk.statuses.copy()
        statuses[lost] = Status.IN_DOUBT
        ledger.put(work, broadcast, chunk, statuses)
    return Intent(np.setdiff1d(flying, lost), fresh=False)


async def send_keyed(
    job: Job,
    api: str,
    prepare: Callable[[], Awaitable[MessageT]],
    send: Callable[[Intent, MessageT], Awaitable[Answer]],
    renew: Callable[[], Awaitable[None]],
) -> float | None:
    """Make the chunk's call, which carries an idempotency key. None: closed; seconds: take it up again later.

    What `prepare` made may be gone on the platform, used up by an earlier call: `renew` forgets it, once.
    """
    renewed = False
    while True:
        message = await prepare()
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, api)
        intent = await job.step(intend)
        if intent.indices.size == 0:
            await job.close()
            return None
        try:
            answer = await send(intent, message)
        except (ChannelError, TagcastError) as error:
            if isinstance(error, ChannelError):
                if error.reaction is Reaction.DUPLICATE:
                    await accept(job, intent, Answer(None))
                    return None
                if error.reason == "media_gone" and not renewed:
                    await job.note(Learnt(refused=intent.fresh))
                    await renew()
                    renewed = True
                    continue
            again = await after_refusal(job, error, fresh=intent.fresh)
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
    for index in answer.doubtful:
        learnt.statuses[index] = Status.IN_DOUBT
    await job.close(learnt)


async def after_refusal(job: Job, error: ChannelError | TagcastError, *, fresh: bool) -> float | None:
    """What follows a call without success: None to go on after the pause taken here, or seconds to give the chunk back.

    `fresh`: no earlier call of the chunk is in doubt, so a certain refusal takes the intent back. Raises Stopped, with
    the broadcast paused, when the refusal concerns all of it.
    """
    job.trouble, wait = error, wait_of(error)
    await job.note(Learnt(refused=fresh and surely_not(error), stop=lasting(error)))
    if await job.back_off(fruitful=False, least=wait):
        return None
    return max(wait, AGAIN_SECONDS)
