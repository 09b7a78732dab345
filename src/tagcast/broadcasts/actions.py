"""Use cases of broadcasts: plan, send, pause, resume, cancel; what the worker's steps commit is in `ledger`."""

from datetime import datetime, timedelta

import numpy as np
from pyroaring import BitMap

from tagcast import accounts, compliance, outcomes
from tagcast.broadcasts import approving, breaker, cutting, ledger, pages, planning, previews, running, stages, store
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.events import BroadcastStarted
from tagcast.broadcasts.planning import numbers
from tagcast.broadcasts.rules import Route, State, Status
from tagcast.broadcasts.store import Broadcast, SavedPlan
from tagcast.kit import clock, leases
from tagcast.kit.errors import Conflict, NotFound, Refused
from tagcast.kit.events import publish
from tagcast.kit.uow import Work

DELIVER = stages.DELIVER
SETTLE = ledger.SETTLE
RECEIPTS_KEPT = timedelta(days=30)


@accounts.guard
def in_progress(work: Work, account: int) -> list[str]:
    """Names of the broadcasts that need an account until they have ended: it cannot be removed before."""
    states = (State.SCHEDULED, State.SENDING, State.PAUSED, State.SETTLING)
    return [f"{found.name} ({found.id})" for found in store.all_(work, account=account, states=states)]


def plan(work: Work, broadcast_id: int, at: datetime | None = None) -> SavedPlan:
    """Make the plan of a draft anew and keep it: each step with its set under `broadcast:<id>:plan:<step>`.

    `at`: the moment of sending that it is made for; None: its schedule's next one, or now. What stopped before it was
    sent is planned like a draft.
    """
    broadcast = store.get(work, broadcast_id, lock=True)
    if not broadcast.waits:
        _only(broadcast, State.DRAFT)
    made = planning.make(work, broadcast, at)
    planning.keep(work, broadcast, made)
    return made.saved


def send(work: Work, plan_hash: str) -> Broadcast:
    """Send what was planned, exactly. Raises Conflict when anything that the plan rests on has moved, saying what.

    Raises Refused for nobody, and for what a second person has to approve first.
    """
    broadcast_id = store.broadcast_of_plan(work, plan_hash)
    if broadcast_id is None:
        raise NotFound("broadcasts.no_plan", plan=plan_hash)
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.plan_hash == plan_hash:
        return broadcast
    if not broadcast.waits:
        _only(broadcast, State.DRAFT)
    made = planning.make(work, broadcast)
    check_plan(work, broadcast, plan_hash, made)
    start(work, broadcast, made)
    return store.get(work, broadcast_id)


def check_plan(work: Work, broadcast: Broadcast, plan_hash: str, made: planning.Draft) -> None:
    """Whether what was planned is what would be sent, and may be. Raises Conflict or Refused."""
    if made.saved.hash != plan_hash:
        raise Conflict("broadcasts.plan_moved", plan=plan_hash, **planning.difference(work, broadcast, made))
    if not made.sets["assigned"]:
        raise Refused("broadcasts.nobody", broadcast=broadcast.name)
    if broadcast.route is Route.LIST and len(made.sets["assigned"]) == 1:
        raise Refused("broadcasts.list_of_one", broadcast=broadcast.name)
    previews.check(work, broadcast, made.sets["assigned"])
    approving.check(work, broadcast, plan_hash, len(made.sets["assigned"]))


def moved(work: Work, broadcast_id: int) -> tuple[SavedPlan, list[planning.Move]]:
    """What moved since the plan of a draft was made, as if it were sent now. Raises NotFound without a plan."""
    broadcast = store.get(work, broadcast_id)
    _only(broadcast, State.DRAFT, State.SCHEDULED)
    before = store.plan_of(work, broadcast_id)
    if before is None:
        raise NotFound("broadcasts.no_plan", plan=f"{broadcast.name} ({broadcast_id})")
    made = planning.make(work, broadcast)
    return before, planning.moves(planning.sets_of(work, broadcast, before), made.sets)


def start(work: Work, broadcast: Broadcast, made: planning.Draft) -> None:
    """One commit: the frozen sets, the reserved slots, the chunks, the leases, the state.

    Raises Conflict when somebody's slot is gone.
    """
    for name, who in made.sets.items():
        if who:
            work.bitmaps.add(f"{broadcast.key}:{name}", who, why=f"send {made.saved.hash}")
    assigned = made.sets["assigned"]
    late = assigned - compliance.reserve(work, broadcast.account, broadcast.key, assigned, work.now)
    if late:
        raise Conflict("broadcasts.plan_moved", plan=made.saved.hash, **planning.late(late))
    running.hold_consents(work, broadcast, assigned, made.saved.hash)
    pieces = cutting.pieces(work, broadcast, assigned)
    store.insert_chunks(work, broadcast.id, pieces, with_msgids=broadcast.route is Route.TEMPLATE)
    pages.make(work, broadcast)
    outcomes.register(work, broadcast.key, broadcast.name, account=broadcast.account)
    started = {"plan_hash": made.saved.hash, "started_at": work.now_ms, "reason": None}
    store.move(work, broadcast.id, [State.DRAFT, State.SCHEDULED, State.PAUSED], State.SENDING, **started)
    stages.begin(work, broadcast)
    publish(work, BroadcastStarted(broadcast.id, assigned=len(assigned), holdout=len(made.sets["holdout"])))


def pause(work: Work, broadcast_id: int, reason: str = "operator") -> Broadcast:
    """Stop calling; what is in flight ends and is recorded. Raises Conflict when it is not being sent."""
    _only(store.get(work, broadcast_id, lock=True), State.SENDING)
    store.move(work, broadcast_id, [State.SENDING], State.PAUSED, reason=reason)
    return store.get(work, broadcast_id)


def resume(work: Work, broadcast_id: int) -> Broadcast:
    """Go on with a paused broadcast. Raises Conflict when it is not paused, or has no plan that was sent."""
    broadcast = store.get(work, broadcast_id, lock=True)
    _only(broadcast, State.PAUSED)
    if broadcast.waits:
        raise Conflict("broadcasts.plan_first", broadcast=broadcast.name)
    if (broadcast.reason or "").startswith(breaker.PREFIX):
        breaker.pardon(work, broadcast)
    store.move(work, broadcast_id, [State.PAUSED], State.SENDING, reason=None)
    stages.ask_on(work, store.get(work, broadcast_id))
    return store.get(work, broadcast_id)


def cancel(work: Work, broadcast_id: int) -> Broadcast:
    """Stop for good: whoever was surely not called is cancelled; what is in flight is still recorded and settled."""
    broadcast = store.get(work, broadcast_id, lock=True)
    if broadcast.reason == ledger.CANCELLED:
        return broadcast
    if broadcast.waits or broadcast.state is State.SCHEDULED:
        unsent = [State.SCHEDULED, State.PAUSED]
        store.move(work, broadcast_id, unsent, State.CANCELLED, finished_at=work.now_ms, reason=ledger.CANCELLED)
        return store.get(work, broadcast_id)
    if broadcast.state is State.SETTLING and broadcast.route in CONFIRMED_ROUTES:
        # All tasks are made; what no employee has confirmed is cancelled on the platform.
        store.move(work, broadcast_id, [State.SETTLING], State.SETTLING, reason=ledger.CANCELLED)
        leases.hasten(work, SETTLE, str(broadcast_id))
        return store.get(work, broadcast_id)
    _only(broadcast, State.SENDING, State.PAUSED)
    for chunk in store.chunks_of(work, broadcast_id):
        if chunk.done or chunk.call == ledger.Call.INTENT:
            continue
        statuses = chunk.statuses.copy()
        uncalled = np.arange(statuses.size) >= chunk.watermark
        statuses[(uncalled & (statuses == Status.PLANNED)) | (statuses == Status.RETRY)] = Status.CANCELLED
        ledger.put(work, broadcast, chunk, statuses)
        store.save_chunk(work, chunk)
    store.move(work, broadcast_id, [State.SENDING, State.PAUSED], State.SENDING, reason=ledger.CANCELLED)
    stages.enqueue(work, broadcast_id, [one.no for one in store.tallies(work, broadcast_id) if one.done_at is None])
    return store.get(work, broadcast_id)


def resolve(work: Work, broadcast_id: int, contacts: BitMap, *, arrived: bool) -> int:
    """A person decides about recipients in doubt: they arrived, or they failed. Returns how many were decided."""
    broadcast = store.get(work, broadcast_id, lock=True)
    decided = 0
    chunks = store.chunks_of(work, broadcast_id)
    for chunk in chunks:
        chosen = (chunk.statuses == Status.IN_DOUBT) & np.isin(chunk.recipients, numbers(contacts))
        if not chosen.any():
            continue
        statuses = chunk.statuses.copy()
        statuses[chosen] = Status.ACCEPTED if arrived else Status.FAILED
        reasons = {} if arrived else {int(index): "in_doubt_closed" for index in np.flatnonzero(chosen)}
        ledger.put(work, broadcast, chunk, statuses, reasons)
        store.save_chunk(work, chunk)
        decided += int(chosen.sum())
    if broadcast.state in (State.FINISHED, State.CANCELLED):
        ledger.give_back_send(work, broadcast, chunks)
    return decided


def purge_receipts(work: Work) -> int:
    """Delete receipts older than `RECEIPTS_KEPT`, taken up or of messages that others sent; returns how many."""
    return store.delete_receipts(work, clock.to_ms(work.now - RECEIPTS_KEPT))


def _only(broadcast: Broadcast, *allowed: State) -> None:
    cancelled = broadcast.reason == ledger.CANCELLED
    if broadcast.state not in allowed or cancelled:
        raise Conflict(
            "broadcasts.wrong_state",
            broadcast=broadcast.name,
            state=ledger.CANCELLED if cancelled else broadcast.state,
            needed=" / ".join(allowed),
        )
