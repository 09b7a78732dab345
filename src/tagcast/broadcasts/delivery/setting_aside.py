"""A task that is refused because of one customer: the others get theirs. One that is refused because of its employee:
his customers go to others who hold them.

Nothing was sent by a call that was refused. Whom the employee does not hold any more is found by reading his customers;
if that tells nothing, the chunk is halved, and each half is called by itself.
"""

from functools import partial

import numpy as np
from pyroaring import BitMap

from tagcast import accounts
from tagcast.broadcasts import assigning, ledger, senders, store
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.delivery.job import Job, reason_of
from tagcast.broadcasts.delivery.once import Answer, Intent
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.rules import Numbers, Piece, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.broadcasts.store.tasks import REFUSED
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


async def hand_over(job: Job, reason: str) -> None:
    """After a first call that was refused because of its employee: other holders get his customers, the rest fails."""
    await job.step(partial(_hand_over, reason), learnt=Learnt(refused=True))


def _hand_over(reason: str, work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
    chunk.progress = {**chunk.progress, REFUSED: reason}
    left = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    numbers = np.sort(chunk.recipients[left])
    pieces = [] if _names_sender(work, broadcast, chunk) else _others(work, broadcast, chunk, numbers)
    _carry(work, broadcast, chunk, pieces)
    nobody = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    statuses = chunk.statuses.copy()
    statuses[nobody] = Status.FAILED
    ledger.put(work, broadcast, chunk, statuses, dict.fromkeys(nobody.tolist(), reason))


def _names_sender(work: Work, broadcast: Broadcast, chunk: Chunk) -> bool:
    """Whether the text was written in the employee's name: nobody else can send it."""
    return contents.script(work, contents.content_of(broadcast, chunk.said)).by_sender


def _others(work: Work, broadcast: Broadcast, chunk: Chunk, numbers: Numbers) -> list[Piece]:
    """What each of the other employees who may send gets, but for those who were refused in this broadcast too."""
    refused = {one.sender for one in store.chunks_of(work, broadcast.id) if REFUSED in one.progress} | {chunk.sender}
    able = {name: key for name, key in senders.allowed(work, broadcast).items() if name not in refused}
    who = BitMap(numbers)
    held = {name: np.array((work.bitmaps.read(key) & who).to_array(), np.uint32) for name, key in able.items()}
    shares = assigning.assign(numbers, held)
    return [Piece(share, name, chunk.said, chunk.stage) for name, share in shares.items()]


def _carry(work: Work, broadcast: Broadcast, chunk: Chunk, pieces: list[Piece]) -> None:
    """Recipients go on in new chunks, which hold their status from now on."""
    if not pieces:
        return
    first = max(one.no for one in store.chunks_of(work, broadcast.id)) + 1
    store.insert_chunks(work, broadcast.id, pieces, with_msgids=False, first=first)
    statuses = chunk.statuses.copy()
    statuses[np.isin(chunk.recipients, np.concatenate([piece.recipients for piece in pieces]))] = Status.CARRIED
    ledger.put(work, broadcast, chunk, statuses)
    for no in range(first, first + len(pieces)):
        leases.enqueue(work, ledger.DELIVER, f"{broadcast.id}:{no}", {"broadcast": broadcast.id, "chunk": no})


def _note_look(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    chunk.progress = {**chunk.progress, "looked": True}


def _halve(work: Work, broadcast: Broadcast, chunk: Chunk) -> None:
    """Carry whoever is left into two new chunks."""
    left = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    halves = [half for half in np.array_split(left, 2) if half.size]
    pieces = [Piece(chunk.recipients[half], chunk.sender, chunk.said, chunk.stage) for half in halves]
    _carry(work, broadcast, chunk, pieces)
