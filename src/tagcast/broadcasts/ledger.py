"""The delivery ledger: what was intended, called and learnt, committed so that no crash loses or doubles a message.

A recipient below a chunk's watermark may have been called; one above it surely was not. Moving the watermark is the
intent and is committed before the calls; outcomes are committed with the next move. Whoever takes a dead worker's lease
finds the recipients below the watermark without an outcome: they are in flight, and only a repetition that the platform
recognises, or a look at the platform, may touch them again.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from tagcast import audiences, compliance
from tagcast.broadcasts import consents, options, rules, stages, store
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.rules import Route, State, Status, Statuses
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit import leases
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Work

DELIVER = "broadcasts.deliver"
SETTLE = "broadcasts.settle"
REMIND = "broadcasts.remind"

# How often employees are followed while a broadcast is still being sent.
WATCH_SECONDS = 30.0

Indices = npt.NDArray[np.int64]

OUTCOME_SETS = {
    Status.ACCEPTED: "accepted",
    Status.DELIVERED: "delivered",
    Status.FAILED: "failed",
    Status.IN_DOUBT: "in_doubt",
    Status.HELD: "held",
    Status.CANCELLED: "cancelled",
}

# The platform's word that a person has no consent left for a subscription message.
NO_CONSENT_THERE = "official:43101"

# Statuses whose people surely got nothing: their slot is free for another message.
NOT_REACHED = (Status.HELD, Status.CANCELLED, Status.FAILED)

# Reason of a broadcast that is being sent no more but still has calls in flight or receipts to come.
CANCELLED = "cancelled"


class Call(StrEnum):
    """Where the one call of a chunk stands, on routes with one call a chunk."""

    NONE = ""
    INTENT = "intent"
    ACCEPTED = "accepted"


@dataclass(slots=True)
class Learnt:
    """What calls taught: a status per index of the chunk, message ids and reasons beside it."""

    statuses: dict[int, Status] = field(default_factory=dict)
    msgids: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    # The one call of the chunk was taken; under this id, where the platform gave one.
    taken: bool = False
    msgid: str | None = None
    # The one call of the chunk was surely not taken, and no earlier call of it is in doubt.
    refused: bool = False
    # A refusal that concerns the whole broadcast: it is paused with this reason.
    stop: str | None = None
    # Least seconds before the next call.
    wait: float = 0.0

    def fail(self, index: int, reason: str) -> None:
        """A definite failure of one recipient."""
        self.statuses[index] = Status.FAILED
        self.reasons[index] = reason

    def facts(self) -> "Learnt":
        """What stays true whoever holds the chunk: outcomes, and no word on who may be called again."""
        known: dict[int, Status] = {
            index: status for index, status in self.statuses.items() if status is not Status.RETRY
        }
        return replace(
            self, statuses=known, msgids=dict(self.msgids), reasons=dict(self.reasons), refused=False, stop=None
        )


def members(numbers: npt.NDArray[np.uint32]) -> BitMap:
    """A set of contact numbers."""
    return BitMap(array("I", numbers.astype(np.uint32).tobytes()))


def record(work: Work, broadcast: Broadcast, chunk: Chunk, learnt: Learnt) -> None:
    """Merge what was learnt into the chunk (in memory and in the outcome sets); the caller saves the chunk."""
    if learnt.taken:
        chunk.call, chunk.msgid = Call.ACCEPTED, chunk.msgid or learnt.msgid
    elif learnt.refused and chunk.call == Call.INTENT:
        chunk.call, chunk.watermark = Call.NONE, 0
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
    """Set the chunk's statuses and keep sets, slots and reasons in step.

    A definite failure gives its slot back; who turns out to have been reached all the same takes it again.
    """
    before, changed = chunk.statuses, statuses != chunk.statuses
    for status, name in OUTCOME_SETS.items():
        came = chunk.recipients[changed & (statuses == status)]
        if came.size:
            work.bitmaps.add(f"{broadcast.key}:{name}", members(came), why=broadcast.key)
        left = chunk.recipients[changed & (before == status)]
        if status is Status.ACCEPTED:
            # Who got it stays among the accepted; who is cancelled on the platform does not.
            left = chunk.recipients[changed & (before == status) & (statuses == Status.CANCELLED)]
        if left.size:
            work.bitmaps.remove(f"{broadcast.key}:{name}", members(left), why=broadcast.key)
    was_free, is_free = np.isin(before, NOT_REACHED), np.isin(statuses, NOT_REACHED)
    freed, taken = chunk.recipients[is_free & ~was_free], chunk.recipients[was_free & ~is_free]
    if broadcast.started_at is not None:
        if freed.size:
            compliance.release(work, broadcast.account, broadcast.key, members(freed))
            uncalled = np.isin(before, (Status.PLANNED, Status.RETRY))
            _consent_back(work, broadcast, chunk, is_free & uncalled, reasons or {})
        if taken.size:
            compliance.record_sent(work, broadcast.account, broadcast.key, members(taken), broadcast.started_at)
    if taken.size:
        store.delete_failures(work, broadcast.id, taken.tolist())
    if reasons:
        store.insert_failures(
            work, broadcast.id, {int(chunk.recipients[index]): reason for index, reason in reasons.items()}
        )
    chunk.statuses = statuses


def carry(work: Work, broadcast: Broadcast, chunk: Chunk, who: npt.NDArray[np.bool_]) -> None:
    """Those who failed are tried again in a later chunk: it holds their status from now on. Saves the chunk."""
    gone = chunk.recipients[who]
    work.bitmaps.remove(f"{broadcast.key}:{OUTCOME_SETS[Status.FAILED]}", members(gone), why=broadcast.key)
    store.delete_failures(work, broadcast.id, gone.tolist())
    statuses = chunk.statuses.copy()
    statuses[who] = Status.CARRIED
    chunk.statuses = statuses
    store.save_chunk(work, chunk)


def _consent_back(
    work: Work, broadcast: Broadcast, chunk: Chunk, freed: npt.NDArray[np.bool_], reasons: Mapping[int, str]
) -> None:
    """A subscription message that was not sent leaves its consent, unless the platform says that there was none."""
    if broadcast.route is not Route.SUBSCRIPTION:
        return
    template = str(broadcast.content["template_id"])
    none = [index for index in np.flatnonzero(freed).tolist() if reasons.get(index) == NO_CONSENT_THERE]
    if none:
        consents.withdraw(work, broadcast.account, template, members(chunk.recipients[none]))
    kept = np.setdiff1d(np.flatnonzero(freed), none)
    if kept.size:
        consents.give_back(work, broadcast.account, template, members(chunk.recipients[kept]), why=broadcast.key)


def refuse_now(work: Work, broadcast: Broadcast, chunk: Chunk, indices: Indices) -> dict[int, str]:
    """Who among `indices` may not be called any more, and why: all that forbids it is asked at the last moment."""
    asked = members(chunk.recipients[indices])
    by_text = _by_segment(broadcast, chunk) or contents.chooses(work, broadcast)
    chosen = by_text or audiences.personalised(work, audiences.from_json(broadcast.audience))
    refused = compliance.refusals(work, broadcast.account, broadcast.purpose, chosen, asked)
    if broadcast.settings.get("quiet") == options.EXPIRE:
        left = asked - BitMap.union(BitMap(), *refused.values())
        quiet = compliance.quiet(work, broadcast.account, left, work.now, purpose=broadcast.purpose)
        refused["quiet_hours"] = quiet
    if broadcast.route is Route.SUBSCRIPTION:
        gone = consents.withdrawn(work, broadcast.account, str(broadcast.content["template_id"]))
        refused.setdefault("no_subscription", asked & gone)
    return _by_index(chunk, indices, refused)


def _by_segment(broadcast: Broadcast, chunk: Chunk) -> bool:
    """Whether people are told what the chunk says for the segments that they are in."""
    return "variant" in chunk.said and broadcast.settings.get("variants", {}).get("choose") == "segments"


def _by_index(chunk: Chunk, indices: Indices, refused: Mapping[str, BitMap]) -> dict[int, str]:
    reasons: dict[int, str] = {}
    for reason, gone in refused.items():
        if gone:
            inside = np.isin(chunk.recipients[indices], np.array(gone.to_array(), dtype=np.uint32))
            reasons.update((int(index), reason) for index in indices[inside])
    return reasons


@dataclass(frozen=True, slots=True)
class Window:
    """Whom to call next. `repeated`: they may have been called before, so a refusal now proves nothing of then.

    `opened`: their first try, in ms.
    """

    indices: Indices
    repeated: bool
    opened: int = 0


NOBODY: Indices = np.empty(0, dtype=np.int64)


def open_window(
    work: Work,
    broadcast: Broadcast,
    chunk: Chunk,
    *,
    width: int,
    key_seconds: float,
    calling: Indices = NOBODY,
    since: int | None = None,
) -> Window:
    """The next window, with the intent recorded in `chunk`. Empty: the chunk has no more to call.

    In flight first, as long as the platform still recognises the repetition (`key_seconds` from the first try), then
    those that surely did not arrive, then fresh ones above the watermark. The holder is `calling` some of those in
    flight himself at the moment, the first of them `since` a time in ms.
    """
    left = _still_flying(work, broadcast, chunk, key_seconds, calling)
    if left.size:
        return Window(left, repeated=True, opened=chunk.tried_at or work.now_ms)
    while True:
        asked: Indices = np.flatnonzero(chunk.statuses == Status.RETRY)
        if asked.size == 0:
            if chunk.watermark == chunk.recipients.size:
                return Window(asked, repeated=False)
            stop = min(chunk.watermark + width, chunk.recipients.size)
            asked = np.setdiff1d(np.flatnonzero(rules.in_flight(chunk.statuses, stop)), calling)
            chunk.watermark = stop
        called = hold_refused(work, broadcast, chunk, asked)
        if called.size:
            chunk.tried_at = work.now_ms if since is None else since
            return Window(called, repeated=False, opened=work.now_ms)


def _still_flying(
    work: Work, broadcast: Broadcast, chunk: Chunk, key_seconds: float, calling: Indices = NOBODY
) -> Indices:
    """Those in flight who may be called again with the same key; the others are in doubt from now on."""
    flying: Indices = np.setdiff1d(np.flatnonzero(rules.in_flight(chunk.statuses, chunk.watermark)), calling)
    if flying.size == 0:
        return flying
    expired = chunk.tried_at is None or work.now_ms - chunk.tried_at > key_seconds * 1000
    refused = np.fromiter(refuse_now(work, broadcast, chunk, flying), dtype=np.int64)
    lost = flying if expired else refused
    if lost.size:
        statuses = chunk.statuses.copy()
        statuses[lost] = Status.IN_DOUBT
        put(work, broadcast, chunk, statuses)
    left: Indices = np.setdiff1d(flying, lost)
    return left


def hold_refused(work: Work, broadcast: Broadcast, chunk: Chunk, asked: Indices) -> Indices:
    """Those of `asked` who may be called at this moment; the others are held."""
    refused = refuse_now(work, broadcast, chunk, asked)
    able = members(chunk.recipients[np.setdiff1d(asked, np.fromiter(refused, dtype=np.int64))])
    # Their slots are those of the day of the call, which may not be the day on which the broadcast was started.
    kept = compliance.renew(work, broadcast.account, broadcast.key, able, work.now) if able else able
    refused |= _by_index(chunk, asked, {"no_slot": able - kept})
    statuses = chunk.statuses.copy()
    statuses[asked] = Status.PLANNED
    statuses[list(refused)] = Status.HELD
    put(work, broadcast, chunk, statuses, refused)
    called: Indices = asked[statuses[asked] == Status.PLANNED]
    return called


def open_call(work: Work, broadcast: Broadcast, chunk: Chunk) -> Indices:
    """Record the intent of a chunk's one call; the recipients it is for. Those refused at the last moment are held."""
    fresh = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    called = hold_refused(work, broadcast, chunk, fresh)
    if called.size:
        chunk.watermark, chunk.tried_at, chunk.call = chunk.recipients.size, work.now_ms, Call.INTENT
    return called


def close_chunk(work: Work, lease: Lease, broadcast: Broadcast, chunk: Chunk) -> None:
    """The chunk has nothing more to call. The last one moves the broadcast on to settling."""
    chunk.done = True
    store.save_chunk(work, chunk)
    leases.complete(work.connection, lease)
    if store.open_chunks(work, broadcast.id):
        if broadcast.route in CONFIRMED_ROUTES:
            # Employees confirm while the rest waits for its stage or its hour.
            due = work.now + timedelta(seconds=WATCH_SECONDS)
            leases.enqueue(work, SETTLE, str(broadcast.id), {"broadcast": broadcast.id}, due=due)
        if broadcast.reason != CANCELLED and "stages" in broadcast.settings:
            stages.ended(work, store.get(work, broadcast.id))
    else:
        reason = CANCELLED if broadcast.reason == CANCELLED else None
        if store.move(
            work, broadcast.id, [State.SENDING, State.PAUSED], State.SETTLING, sent_at=work.now_ms, reason=reason
        ):
            leases.enqueue(work, SETTLE, str(broadcast.id), {"broadcast": broadcast.id})
            leases.hasten(work, SETTLE, str(broadcast.id))


def give_back_send(work: Work, broadcast: Broadcast, chunks: Iterable[Chunk]) -> bool:
    """Give the account's send back when nothing of the broadcast went out; whether it did."""
    for chunk in chunks:
        maybe = np.isin(chunk.statuses, (Status.IN_DOUBT, Status.ACCEPTED, Status.DELIVERED)).any()
        if maybe or chunk.msgid is not None or chunk.msgids.any():
            return False
    return compliance.release_send(work, broadcast.account, broadcast.key)


def states(work: Work, broadcast: int) -> dict[str, int]:
    """How many recipients have each status; the sum is the frozen audience. `in_flight` are counted as planned."""
    return rules.count(one.counts for one in store.tallies(work, broadcast))
