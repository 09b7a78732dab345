"""Settling: what became of the messages. Receipts are matched and tasks polled until all is final or time is over."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from tagcast import accounts, channels
from tagcast.broadcasts import ledger, rules, store
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.delivery import following_up, subscription
from tagcast.broadcasts.delivery.mass import tag_name
from tagcast.broadcasts.delivery.news import News, apply, each, final
from tagcast.broadcasts.events import BroadcastFinished
from tagcast.broadcasts.rules import Route, State, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit import clock, events, leases, logs
from tagcast.kit.errors import TagcastError
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

# Receipts of a mass send come by callback; if none came for this long, the platform is asked.
ASK_AFTER_SECONDS = 10.0
FASTEST, SLOWEST = 0.5, 60.0
# How long beyond the time for receipts the platform is asked to delete a temporary tag.
CLEAN_SECONDS = 60.0

# Receipts that are matched at a time.
RECEIPTS = 50_000
# Routes whose receipts come by callback, one a person; the platform cannot be asked.
TOLD_EACH = (Route.TEMPLATE, Route.SUBSCRIPTION)

log = logs.get("broadcasts")


async def settle(runtime: Runtime, lease: Lease) -> float | None:
    """One pass over a broadcast that was sent. None: finished; seconds until the next pass.

    What employees confirm is followed while the rest is still being sent, too: stages and windows take days.
    """
    number = int(lease.payload["broadcast"])
    broadcast, chunks, account = await asyncio.to_thread(_look, runtime, lease, number)
    if broadcast.state is not State.SETTLING and not following_up.watched(broadcast):
        await asyncio.to_thread(_step, runtime, lease, number, lambda work, _b: leases.complete(work.connection, lease))
        return None
    now = clock.now()
    ending = broadcast.state is State.SETTLING and (
        all(final(chunk) for chunk in chunks) or _over(runtime, broadcast, now)
    )
    cleaned = ending and _over(runtime, broadcast, now, by=CLEAN_SECONDS)
    news: dict[int, News] = {}
    if broadcast.route not in TOLD_EACH and (ending or any(not final(chunk) for chunk in chunks)):
        try:
            async with accounts.connect(runtime, lease.workspace, account.id, backoff=accounts.DURABLE) as connected:
                news = await _ask(runtime, lease, broadcast, chunks, connected)
                if ending:
                    await _clean_up(connected, broadcast, chunks)
                    cleaned = True
        except (ChannelError, TagcastError) as error:
            log.info("settling", broadcast=number, problem=type(error).__name__)
    waiting: float | None = await asyncio.to_thread(
        _step, runtime, lease, number, lambda work, fresh: _take_up(runtime, work, lease, fresh, news, cleaned=cleaned)
    )
    return waiting


def _over(runtime: Runtime, broadcast: Broadcast, now: datetime, *, by: float = 0.0) -> bool:
    """Whether the time for receipts has passed, by so many seconds."""
    if broadcast.route in CONFIRMED_ROUTES:
        return following_up.over(runtime, broadcast, clock.to_ms(now), by=by)
    return (now - (broadcast.sent_at or now)).total_seconds() >= runtime.settings.settle_seconds + by


def _look(runtime: Runtime, lease: Lease, number: int) -> tuple[Broadcast, list[Chunk], accounts.Account]:
    with runtime.read(lease.workspace, "worker") as work:
        broadcast = store.get(work, number)
        return broadcast, store.chunks_of(work, number), accounts.get(work, broadcast.account)


def _step(runtime: Runtime, lease: Lease, number: int, use_case: Callable[[Work, Broadcast], Any]) -> Any:
    with runtime.work(lease.workspace, "worker") as work:
        return use_case(work, store.get(work, number, lock=True))


def _take_up(
    runtime: Runtime, work: Work, lease: Lease, broadcast: Broadcast, news: Mapping[int, News], *, cleaned: bool
) -> float | None:
    """Commit what was learnt; finish when all is final or the time is over, else seconds until the next look.

    A broadcast with a temporary tag ends with the pass that took the tag off (`cleaned`), or tried for too long.
    """
    chunks = store.chunks_of(work, broadcast.id)
    before = _states(chunks)
    read = {chunk.no: (chunk.statuses, chunk.progress) for chunk in chunks}
    match(work, broadcast, chunks)
    for chunk in chunks:
        if chunk.no in news:
            apply(work, broadcast, chunk, news[chunk.no])
        statuses, progress = read[chunk.no]
        if chunk.statuses is not statuses or chunk.progress is not progress:
            store.save_chunk(work, chunk)
    if broadcast.state is not State.SETTLING:
        return following_up.watch(work, lease, broadcast, chunks)
    tagged = any("tag" in chunk.progress for chunk in chunks)
    if all(final(chunk) for chunk in chunks) or _over(runtime, broadcast, work.now):
        if tagged and not cleaned:
            leases.defer(work.connection, lease, FASTEST)
            return FASTEST
        if broadcast.route in CONFIRMED_ROUTES:
            following_up.end(work, broadcast, chunks)
        ended = State.CANCELLED if broadcast.reason == ledger.CANCELLED else State.FINISHED
        store.move(work, broadcast.id, [State.SETTLING], ended, finished_at=work.now_ms)
        ledger.give_back_send(work, broadcast, chunks)
        leases.complete(work.connection, lease)
        events.publish(work, BroadcastFinished(broadcast.id))
        return None
    if _states(chunks) != before:
        pause = FASTEST
    elif broadcast.route in CONFIRMED_ROUTES:
        following_up.remind_by_itself(work, broadcast, chunks)
        pause = following_up.pause(runtime, work, broadcast, chunks)
    else:
        age = (work.now - (broadcast.sent_at or work.now)).total_seconds()
        pause = min(SLOWEST, max(FASTEST, age / 4))
    leases.defer(work.connection, lease, pause)
    return pause


def _states(chunks: list[Chunk]) -> dict[str, int]:
    return rules.count(np.bincount(chunk.statuses, minlength=len(Status)).tolist() for chunk in chunks)


def match(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Bring receipts that came by callback to the chunks, in memory; the caller saves them."""
    if broadcast.route is Route.TEMPLATE:
        _match_persons(work, broadcast, chunks)
    elif broadcast.route is Route.SUBSCRIPTION:
        by_no = {chunk.no: chunk for chunk in chunks}
        for no, outcomes in subscription.match(work, broadcast, chunks).items():
            apply(work, broadcast, by_no[no], News(outcomes))
    elif broadcast.route not in CONFIRMED_ROUTES:
        _match_jobs(work, broadcast, chunks)


def _match_persons(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Template messages: a receipt per person, found by its msgid; so many receipts at a time."""
    after = 0
    while page := store.open_receipts(work, broadcast.account, after=after, limit=RECEIPTS):
        after = page[-1].seq
        said = {int(receipt.msgid): receipt for receipt in page if receipt.msgid.isdecimal()}
        known = np.fromiter(said, dtype=np.uint64, count=len(said))
        taken = []
        for chunk in chunks:
            news = News()
            there = (chunk.statuses == Status.ACCEPTED) & np.isin(chunk.msgids, known)
            for index in np.flatnonzero(there).tolist():
                receipt = said[int(chunk.msgids[index])]
                ok = receipt.status == "success"
                news.outcomes[index] = (Status.DELIVERED, "") if ok else (Status.FAILED, f"receipt:{receipt.status}")
                taken.append(receipt.seq)
            if news.outcomes:
                apply(work, broadcast, chunk, news)
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
        apply(work, broadcast, chunk, _of_job(chunk, receipt.status, int(receipt.data.get("sent", -1))))
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


async def _ask(
    runtime: Runtime,
    lease: Lease,
    broadcast: Broadcast,
    chunks: list[Chunk],
    connected: accounts.Connected,
) -> dict[int, News]:
    """What the platform says of the chunks that are not final, asked outside any transaction."""
    waiting = [chunk for chunk in chunks if not final(chunk) and chunk.msgid]
    if broadcast.route in CONFIRMED_ROUTES:
        return await following_up.ask(runtime, lease, broadcast, waiting, connected)
    now = clock.now()
    if (now - (broadcast.sent_at or now)).total_seconds() <= ASK_AFTER_SECONDS:
        return {}
    waiting = [chunk for chunk in waiting if not chunk.progress.get("counted")]
    return await each(connected, waiting, [partial(_ask_job, connected.official, chunk) for chunk in waiting])


async def _ask_job(client: channels.OfficialClient, chunk: Chunk) -> News:
    """A mass send's state; one that was deleted had been sent before."""
    state = await client.mass.status(int(chunk.msgid or 0))
    if state == "SENDING":
        return News()
    return _of_job(chunk, "success" if state in ("SEND_SUCCESS", "DELETE") else state.lower(), -1)


async def _clean_up(connected: accounts.Connected, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """Take the temporary tag off the platform; if that fails it stays visible under its name and does no harm."""
    tags = {int(chunk.progress["tag"]): chunk.no for chunk in chunks if "tag" in chunk.progress}
    if not tags:
        return
    names = {tag.id: tag.name for tag in await connected.call(connected.official.tags.all)}
    for tag, no in tags.items():
        if names.get(tag) == tag_name(broadcast, no):
            await connected.call(partial(connected.official.tags.delete, tag))
