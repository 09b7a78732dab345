"""The delivery ledger: what was intended, called and learnt, committed so that no crash loses or doubles a message.

A recipient below a chunk's watermark may have been called; one above it surely was not. Moving the watermark is the
intent and is committed before the calls; outcomes are committed with the next move. Whoever takes a dead worker's lease
finds the recipients below the watermark without an outcome: they are in flight, and only a repetition that the platform
recognises, or a look at the platform, may touch them again.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from tagcast import accounts, compliance
from tagcast.broadcasts import rules, store
from tagcast.broadcasts.rules import State, Status, Statuses
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit import leases
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Work

Indices = npt.NDArray[np.int64]

OUTCOME_SETS = {
    Status.ACCEPTED: "accepted",
    Status.DELIVERED: "delivered",
    Status.FAILED: "failed",
    Status.IN_DOUBT: "in_doubt",
    Status.HELD: "held",
    Status.CANCELLED: "cancelled",
}


# Reason of a broadcast that is being sent no more but still has calls in flight or receipts to come.
CANCELLED = "cancelled"


class Call(StrEnum):
    """Where the one call of a chunk stands, on routes with one call a chunk."""

    NONE = ""
    INTENT = "intent"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(slots=True)
class Learnt:
    """What calls taught: a status per index of the chunk, message ids and reasons beside it."""

    statuses: dict[int, Status] = field(default_factory=dict)
    msgids: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    # The one call of the chunk was taken; under this id, where the platform gave one.
    taken: bool = False
    msgid: str | None = None
    # A refusal that concerns the whole broadcast: it is paused with this reason.
    stop: str | None = None
    # Least seconds before the next call.
    wait: float = 0.0

    def fail(self, index: int, reason: str) -> None:
        """A definite failure of one recipient."""
        self.statuses[index] = Status.FAILED
        self.reasons[index] = reason


def members(numbers: npt.NDArray[np.uint32]) -> BitMap:
    """A set of contact numbers."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))


def record(work: Work, broadcast: Broadcast, chunk: Chunk, learnt: Learnt) -> None:
    """Merge what was learnt into the chunk (in memory and in the outcome sets); the caller saves the chunk."""
    if learnt.taken:
        chunk.call, chunk.msgid = Call.ACCEPTED, learnt.msgid
    if not learnt.statuses:
        return
    news = np.zeros(chunk.statuses.size, dtype=np.uint8)
    indices = np.fromiter(learnt.statuses, dtype=np.int64, count=len(learnt.statuses))
    news[indices] = np.fromiter(learnt.statuses.values(), dtype=np.uint8, count=len(learnt.statuses))
    for index, msgid in learnt.msgids.items():
        chunk.msgids[index] = msgid
    put(work, broadcast, chunk, rules.merge(chunk.statuses, news), learnt.reasons)


def put(
    work: Work, broadcast: Broadcast, chunk: Chunk, statuses: Statuses, reasons: Mapping[int, str] | None = None
) -> None:
    """Set the chunk's statuses, keep the outcome sets in step, give the slot of a definite failure back."""
    changed = statuses != chunk.statuses
    for status, name in OUTCOME_SETS.items():
        came = chunk.recipients[changed & (statuses == status)]
        if came.size:
            work.bitmaps.add(f"{broadcast.key}:{name}", members(came), why=broadcast.key)
        if status is Status.IN_DOUBT:
            left = chunk.recipients[changed & (chunk.statuses == status)]
            if left.size:
                work.bitmaps.remove(f"{broadcast.key}:{name}", members(left), why=broadcast.key)
    freed = chunk.recipients[changed & np.isin(statuses, (Status.FAILED, Status.HELD, Status.CANCELLED))]
    if freed.size and broadcast.started_at is not None:
        compliance.release(work, broadcast.account, members(freed), broadcast.started_at)
    if reasons:
        store.insert_failures(
            work, broadcast.id, {int(chunk.recipients[index]): reason for index, reason in reasons.items()}
        )
    chunk.statuses = statuses


def refuse_now(work: Work, broadcast: Broadcast, chunk: Chunk, indices: Indices) -> dict[int, str]:
    """Who among `indices` may not be called any more, and why: consent and suppression are asked at the last moment."""
    asked = members(chunk.recipients[indices])
    reasons: dict[int, str] = {}
    for reason, gone in (
        ("no_consent", asked - compliance.consented(work, broadcast.purpose)),
        ("suppressed", asked & compliance.suppressed(work)),
        ("not_following", asked - work.bitmaps.read(f"following:{broadcast.account}")),
    ):
        if gone:
            inside = np.isin(chunk.recipients[indices], np.array(gone.to_array(), dtype=np.uint32))
            for index in indices[inside]:
                reasons.setdefault(int(index), reason)
    return reasons


def open_window(
    work: Work, lease: Lease, broadcast: Broadcast, chunk: Chunk, *, width: int, key_seconds: float
) -> Indices:
    """Whom to call next, with the intent recorded in `chunk`. Empty: the chunk has no more to call.

    In flight first, as long as the platform still recognises the repetition (`key_seconds` from the first try), then
    those that surely did not arrive, then fresh ones above the watermark.
    """
    flying = np.flatnonzero(rules.in_flight(chunk.statuses, chunk.watermark))
    if flying.size:
        expired = chunk.tried_at is None or work.now_ms - chunk.tried_at > key_seconds * 1000
        refused = np.fromiter(refuse_now(work, broadcast, chunk, flying), dtype=np.int64)
        lost = flying if expired else refused
        if lost.size:
            statuses = chunk.statuses.copy()
            statuses[lost] = Status.IN_DOUBT
            put(work, broadcast, chunk, statuses)
        left: Indices = np.setdiff1d(flying, lost)
        if left.size:
            return left
    again: Indices = np.flatnonzero(chunk.statuses == Status.RETRY)
    if again.size == 0:
        stop = min(chunk.watermark + width, chunk.recipients.size)
        again = np.arange(chunk.watermark, stop)
        chunk.watermark = stop
    if again.size == 0:
        return again
    refused_now = refuse_now(work, broadcast, chunk, again)
    statuses = chunk.statuses.copy()
    statuses[again] = Status.PLANNED
    for index in refused_now:
        statuses[index] = Status.HELD
    put(work, broadcast, chunk, statuses, refused_now)
    chunk.tried_at = work.now_ms
    called: Indices = again[chunk.statuses[again] == Status.PLANNED]
    if called.size == 0:
        return open_window(work, lease, broadcast, chunk, width=width, key_seconds=key_seconds)
    return called


def open_call(work: Work, broadcast: Broadcast, chunk: Chunk) -> Indices:
    """Record the intent of a chunk's one call; the recipients it is for. Those refused at the last moment are held."""
    fresh = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    refused = refuse_now(work, broadcast, chunk, fresh)
    statuses = chunk.statuses.copy()
    statuses[fresh] = Status.PLANNED
    for index in refused:
        statuses[index] = Status.HELD
    put(work, broadcast, chunk, statuses, refused)
    chunk.watermark = chunk.recipients.size
    chunk.tried_at = work.now_ms
    chunk.call = Call.INTENT
    return np.flatnonzero(chunk.statuses == Status.PLANNED)


def close_chunk(work: Work, lease: Lease, broadcast: Broadcast, chunk: Chunk) -> None:
    """The chunk has nothing more to call. The last one moves the broadcast on to settling."""
    store.save_chunk(work, chunk, done=True)
    leases.complete(work.connection, lease)
    if store.open_chunks(work, broadcast.id) == 0:
        reason = CANCELLED if broadcast.reason == CANCELLED else None
        if store.move(
            work, broadcast.id, [State.SENDING, State.PAUSED], State.SETTLING, sent_at=work.now_ms, reason=reason
        ):
            leases.enqueue(work, "broadcasts.settle", str(broadcast.id), {"broadcast": broadcast.id})


def states(work: Work, broadcast: int) -> dict[str, int]:
    """How many recipients have each status; the sum is the frozen audience. `in_flight` are counted as planned."""
    return rules.count(store.status_blobs(work, broadcast))


def limits_of(work: Work, broadcast: Broadcast, key: str) -> Any:
    """A figure of the account's limit profile."""
    return accounts.limits(work, broadcast.account).value(key).value
