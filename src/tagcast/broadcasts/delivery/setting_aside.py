"""A task that is refused because of one customer: the others get theirs.

Nothing was sent by a call that was refused. Whom the employee does not hold any more is found by reading his customers;
if that tells nothing, the chunk is halved, and each half is called by itself.
"""

import numpy as np

from tagcast import accounts
from tagcast.broadcasts import ledger, store
from tagcast.broadcasts.delivery.job import Job, reason_of
from tagcast.broadcasts.delivery.once import Answer, Intent
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.rules import Piece, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit import leases
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work


def of_one_recipient(error: ChannelError | TagcastError) -> bool:
    """Whether a refusal speaks of one recipient, without naming him."""
    if not isinstance(error, ChannelError):
        return False
    return error.reaction is Reaction.PERMANENT and error.scope is Scope.RECIPIENT


async def set_aside(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], error: ChannelError
) -> Answer | None:
    """After a refused first call. None: whoever is left in the chunk is to be called anew."""
    reason = reason_of(error)
    if intent.indices.size == 1:
        return Answer(None, {int(intent.indices[0]): reason})
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    if not chunk.progress.get("looked"):
        await job.step(_note_look, learnt=Learnt(refused=True))
        held = set(await connected.call(lambda: connected.wecom.customers.ids(chunk.sender)))
        learnt = Learnt()
        for index in intent.indices.tolist():
            if customers[index] not in held:
                learnt.fail(index, reason)
        if learnt.statuses:
            await job.note(learnt)
            return None
    await job.step(_halve, learnt=Learnt(refused=True))
    return None


def _note_look(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    chunk.progress = {**chunk.progress, "looked": True}


def _halve(work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
    """Carry whoever is left into two new chunks."""
    left = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    halves = [half for half in np.array_split(left, 2) if half.size]
    first = max(one.no for one in store.chunks_of(work, broadcast.id)) + 1
    pieces = [Piece(chunk.recipients[half], chunk.sender, chunk.said, chunk.stage) for half in halves]
    store.insert_chunks(work, broadcast.id, pieces, with_msgids=False, first=first)
    statuses = chunk.statuses.copy()
    statuses[left] = Status.CARRIED
    ledger.put(work, broadcast, chunk, statuses)
    for no in range(first, first + len(pieces)):
        leases.enqueue(work, ledger.DELIVER, f"{broadcast.id}:{no}", {"broadcast": broadcast.id, "chunk": no})
