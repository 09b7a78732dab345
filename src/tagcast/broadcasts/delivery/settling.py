"""Settling: what became of the messages. Receipts are matched and tasks polled until all is final or time is over."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import ledger, rules, store
from tagcast.broadcasts.delivery.mass import tag_name
from tagcast.broadcasts.events import BroadcastFinished
from tagcast.broadcasts.rules import Route, State, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit import clock, events, leases
from tagcast.kit.errors import TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

# Receipts of a mass send come by callback; if none came for this long, the platform is asked.
ASK_AFTER_SECONDS = 10.0
FASTEST, SLOWEST = 0.5, 60.0
_RESULTS = {
    channels.SendStatus.SENT: (Status.DELIVERED, ""),
    channels.SendStatus.NOT_A_FRIEND: (Status.FAILED, "not_a_friend"),
    channels.SendStatus.OVER_LIMIT: (Status.FAILED, "reception_limit"),
}


@dataclass(slots=True)
class News:
    """What a poll brought for one chunk: index → (status, reason); `final`: there is nothing more to learn."""

    outcomes: dict[int, tuple[Status, str]] = field(default_factory=dict)
    final: bool = False


async def settle(runtime: Runtime, lease: Lease) -> float | None:
    """One pass over a broadcast that was sent. None: finished; seconds until the next pass."""
    number = int(lease.payload["broadcast"])
    broadcast, chunks, account = await asyncio.to_thread(_look, runtime, lease, number)
    if broadcast.state is not State.SETTLING:
        await asyncio.to_thread(_step, runtime, lease, number, lambda work, _b: leases.complete(work.connection, lease))
        return None
    news: dict[int, News] = {}
    if broadcast.route is not Route.TEMPLATE and any(not final(chunk) for chunk in chunks):
        try:
            async with accounts.connect(runtime, lease.workspace, account.id) as connected:
                news = await _ask(runtime, lease, broadcast, chunks, connected)
        except (ChannelError, TagcastError):
            news = {}
    waiting: float | None = await asyncio.to_thread(
        _step, runtime, lease, number, lambda work, fresh: _take_up(runtime, work, lease, fresh, news)
    )
    if waiting is None:
        await _clean_up(runtime, lease, broadcast, chunks)
        return None
    return waiting


def final(chunk: Chunk) -> bool:
    """Whether nothing more can be learnt about a chunk."""
    return bool(chunk.progress.get("final")) or not (chunk.statuses == Status.ACCEPTED).any()


def _look(runtime: Runtime, lease: Lease, number: int) -> tuple[Broadcast, list[Chunk], accounts.Account]:
    with runtime.read(lease.workspace, "worker") as work:
        broadcast = store.get(work, number)
        return broadcast, store.chunks_of(work, number), accounts.get(work, broadcast.account)


def _step(runtime: Runtime, lease: Lease, number: int, use_case: Callable[[Work, Broadcast], Any]) -> Any:
    with runtime.work(lease.workspace, "worker") as work:
        return use_case(work, store.get(work, number, lock=True))


def _take_up(
    runtime: Runtime, work: Work, lease: Lease, broadcast: Broadcast, news: Mapping[int, News]
) -> float | None:
    """Commit what was learnt; finish when all is final or the time is over, else seconds until the next look."""
    chunks = store.chunks_of(work, broadcast.id)
    before = _states(chunks)
    if broadcast.route is Route.TEMPLATE:
        _match_persons(work, broadcast, chunks)
    elif broadcast.route is not Route.TASKS:
        _match_jobs(work, broadcast, chunks)
    for chunk in chunks:
        if chunk.no in news:
            _apply(work, broadcast, chunk, news[chunk.no])
        store.save_chunk(work, chunk)
    age = (work.now - (broadcast.sent_at or work.now)).total_seconds()
    if all(final(chunk) for chunk in chunks) or age >= runtime.settings.settle_seconds:
        ended = State.CANCELLED if broadcast.reason == ledger.CANCELLED else State.FINISHED
        store.move(work, broadcast.id, [State.SETTLING], ended, finished_at=work.now_ms)
        leases.complete(work.connection, lease)
        events.publish(work, BroadcastFinished(broadcast.id))
        return None
    moved = _states(chunks) != before
    pause = FASTEST if moved else min(SLOWEST, max(FASTEST, age / 4))
    leases.defer(work.connection, lease, pause)
    return pause


def _states(chunks: list[Chunk]) -> dict[str, int]:
    return rules.count([chunk.statuses.tobytes() for chunk in chunks])


def _match_persons(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Template messages: a receipt per person, found by its msgid."""
    open_receipts = store.open_receipts(work, broadcast.account)
    if not open_receipts:
        return
    place: dict[int, tuple[Chunk, int]] = {}
    for chunk in chunks:
        for index in np.flatnonzero(chunk.statuses == Status.ACCEPTED).tolist():
            place[int(chunk.msgids[index])] = (chunk, index)
    taken = []
    news: dict[int, News] = {}
    for receipt in open_receipts:
        found = place.get(int(receipt.msgid))
        if found is None:
            continue
        chunk, index = found
        ok = receipt.status == "success"
        outcome = (Status.DELIVERED, "") if ok else (Status.FAILED, f"receipt:{receipt.status}")
        news.setdefault(chunk.no, News()).outcomes[index] = outcome
        taken.append(receipt.seq)
    for chunk in chunks:
        if chunk.no in news:
            _apply(work, broadcast, chunk, news[chunk.no])
    store.take_receipts(work, taken)


def _match_jobs(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Mass sends: a receipt per job with totals; persons are known only when all or none were reached."""
    receipts = {receipt.msgid: receipt for receipt in store.open_receipts(work, broadcast.account)}
    totals: Counter[str] = Counter({name: int(value) for name, value in broadcast.totals.items()})
    taken = []
    for chunk in chunks:
        receipt = receipts.get(chunk.msgid or "")
        if receipt is None:
            continue
        taken.append(receipt.seq)
        if not chunk.progress.get("counted"):
            totals.update({name: int(receipt.data.get(name, 0)) for name in ("total", "filtered", "sent", "failed")})
        chunk.progress = {**chunk.progress, "counted": True}
        _apply(work, broadcast, chunk, _of_job(chunk, receipt.status, int(receipt.data.get("sent", -1))))
    if taken:
        store.update(work, broadcast.id, totals=dict(totals))
        store.take_receipts(work, taken)


def _of_job(chunk: Chunk, status: str, sent: int) -> News:
    """What a finished mass send says of the chunk's people. `sent` −1: unknown."""
    accepted = np.flatnonzero(chunk.statuses == Status.ACCEPTED)
    if status != "success":
        return News({int(index): (Status.FAILED, f"mass:{status}") for index in accepted}, final=True)
    if sent == accepted.size:
        return News({int(index): (Status.DELIVERED, "") for index in accepted}, final=True)
    return News(final=True)


def _apply(work: Work, broadcast: Broadcast, chunk: Chunk, news: News) -> None:
    learnt = chunk.statuses.copy()
    for index, (status, _reason) in news.outcomes.items():
        learnt[index] = status
    reasons = {index: reason for index, (_status, reason) in news.outcomes.items() if reason}
    ledger.put(work, broadcast, chunk, rules.receipts(chunk.statuses, learnt), reasons)
    if news.final:
        chunk.progress = {**chunk.progress, "final": True}


async def _ask(
    runtime: Runtime,
    lease: Lease,
    broadcast: Broadcast,
    chunks: list[Chunk],
    connected: accounts.Connected,
) -> dict[int, News]:
    """What the platform says of the chunks that are not final, asked outside any transaction."""
    if broadcast.route is Route.TASKS:
        people = await asyncio.to_thread(_customers, runtime, lease, broadcast, chunks)
        return {
            chunk.no: await connected.call(partial(_poll, connected.wecom, chunk, people[chunk.no]))
            for chunk in chunks
            if not final(chunk) and chunk.msgid
        }
    now = clock.now()
    late = (now - (broadcast.sent_at or now)).total_seconds() > ASK_AFTER_SECONDS
    news = {}
    for chunk in chunks:
        if late and not final(chunk) and chunk.msgid and not chunk.progress.get("counted"):
            state = await connected.call(partial(connected.official.mass_status, int(chunk.msgid)))
            if state != "SENDING":
                news[chunk.no] = _of_job(chunk, "success" if state == "SEND_SUCCESS" else state.lower(), -1)
    return news


def _customers(runtime: Runtime, lease: Lease, broadcast: Broadcast, chunks: list[Chunk]) -> dict[int, dict[str, int]]:
    """chunk no → external user id → index."""
    with runtime.read(lease.workspace, "worker") as work:
        found = {}
        for chunk in chunks:
            numbers = chunk.recipients.tolist()
            known = contacts.identities_of(work, numbers, "external_userid", broadcast.account)
            found[chunk.no] = {known[number]: index for index, number in enumerate(numbers) if number in known}
        return found


async def _poll(client: channels.WecomClient, chunk: Chunk, people: Mapping[str, int]) -> News:
    """An employee's task: each customer's result; final when none is open any more."""
    news = News()
    async for page in client.send_results(chunk.msgid or "", chunk.sender):
        for result in page:
            index = people.get(result.external_userid)
            outcome = _RESULTS.get(channels.SendStatus(result.status)) if result.status in _KNOWN else None
            if index is not None and outcome is not None:
                news.outcomes[index] = outcome
    return news


_KNOWN = frozenset(int(status) for status in channels.SendStatus)


async def _clean_up(runtime: Runtime, lease: Lease, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Take the temporary tag off the platform; if that fails it stays visible under its name and does no harm."""
    tags = [int(chunk.progress["tag"]) for chunk in chunks if "tag" in chunk.progress]
    if broadcast.route is not Route.TAG or not tags:
        return
    try:
        async with accounts.connect(runtime, lease.workspace, broadcast.account) as connected:
            names = {tag.id: tag.name for tag in await connected.call(connected.official.tags)}
            for tag in tags:
                if names.get(tag) == tag_name(broadcast):
                    await connected.call(partial(connected.official.delete_tag, tag))
    except (ChannelError, TagcastError):
        return
