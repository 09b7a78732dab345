"""企业微信 after the tasks were made: who has confirmed, what became of each customer, and the proof of a cancellation.

An employee confirms hours or days later, so his task is asked for ever more seldom, and its results are read once he
has confirmed. A task that is to end is cancelled on the platform; what its results say a while after that is the proof:
who had been reached is delivered, everybody else is cancelled.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import confirming, ledger
from tagcast.broadcasts.confirming import CONFIRMED_ROUTES
from tagcast.broadcasts.delivery.news import News, each
from tagcast.broadcasts.rules import State, Status
from tagcast.broadcasts.senders import figures
from tagcast.broadcasts.store import Broadcast, Chunk, save_chunk
from tagcast.broadcasts.store import tasks as store
from tagcast.channels import ChannelError
from tagcast.kit import clock, leases
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work

_RESULTS = {
    channels.SendStatus.SENT: (Status.DELIVERED, ""),
    channels.SendStatus.NOT_A_FRIEND: (Status.FAILED, "not_a_friend"),
    channels.SendStatus.OVER_LIMIT: (Status.FAILED, "reception_limit"),
}
_KNOWN = frozenset(int(status) for status in channels.SendStatus)
NOT_CONFIRMED = (Status.CANCELLED, "not_confirmed")


def stopping(runtime: Runtime, broadcast: Broadcast, now_ms: int) -> bool:
    """Whether what no employee has confirmed is to be cancelled: somebody cancelled the broadcast, or time is over."""
    if broadcast.reason == ledger.CANCELLED:
        return True
    settings = runtime.settings
    end = confirming.deadline(broadcast, settings.settle_seconds, settings.confirm_hours)
    return confirming.cancels(broadcast) and end is not None and now_ms >= clock.to_ms(end)


async def ask(
    runtime: Runtime, lease: Lease, broadcast: Broadcast, waiting: list[Chunk], connected: accounts.Connected
) -> dict[int, News]:
    """What became of the tasks of chunks that are not final."""
    ends = stopping(runtime, broadcast, clock.to_ms(clock.now()))
    asker = _Asker(runtime, lease, broadcast, connected.wecom)
    polls = [partial(_poll, asker, chunk, ends=ends) for chunk in waiting]
    return await each(connected, waiting, polls)


@dataclass(frozen=True, slots=True)
class _Asker:
    """For whom tasks are asked, and through what."""

    runtime: Runtime
    lease: Lease
    broadcast: Broadcast
    client: channels.WecomClient


async def _poll(asker: _Asker, chunk: Chunk, *, ends: bool) -> News:
    """One employee's task: nothing before he has confirmed it, unless it is to end."""
    client = asker.client
    news, now, msgid = News(), clock.to_ms(clock.now()), chunk.msgid or ""
    if ends and store.CANCELLED not in chunk.progress:
        await _cancel(client, msgid)
        news.facts[store.CANCELLED] = clock.to_ms(clock.now())
        return news
    tasks = [task async for page in client.mass.tasks(msgid) for task in page if task.userid == chunk.sender]
    sent = any(task.status == channels.TaskStatus.SENT for task in tasks)
    if sent and store.CONFIRMED not in chunk.progress:
        news.facts[store.CONFIRMED] = max((task.send_time for task in tasks), default=0) * 1000 or now
    since = chunk.progress.get(store.CANCELLED)
    proof = since is not None and now - since >= asker.runtime.settings.in_doubt_seconds * 1000
    if sent or proof:
        people = await asyncio.to_thread(_places, asker, chunk)
        await _read(client, chunk, people, news, proof=proof)
    if proof:
        news.facts[store.PROVEN] = now
    return news


async def _cancel(client: channels.WecomClient, msgid: str) -> None:
    """Again changes nothing: a task that was cancelled before says so."""
    try:
        await client.mass.cancel(msgid)
    except ChannelError as error:
        if error.reason != "cancelled":
            raise


async def _read(
    client: channels.WecomClient, chunk: Chunk, places: Mapping[str, int], news: News, *, proof: bool
) -> None:
    """The result of each recipient; with `proof`, who was not sent to by now never will be."""
    async for page in client.mass.results(chunk.msgid or "", chunk.sender):
        for result in page:
            index = places.get(result.chat_id or result.external_userid)
            if index is None or result.status not in _KNOWN:
                continue
            outcome = _RESULTS.get(channels.SendStatus(result.status))
            if outcome is not None:
                news.outcomes[index] = outcome
            elif proof:
                news.outcomes[index] = NOT_CONFIRMED


def _places(asker: _Asker, chunk: Chunk) -> dict[str, int]:
    """External user id → index in the chunk."""
    with asker.runtime.read(asker.lease.workspace, "worker") as work:
        numbers = chunk.recipients.tolist()
        known = contacts.identities_of(work, numbers, "external_userid", asker.broadcast.account)
        return {known[number]: index for index, number in enumerate(numbers) if number in known}


def over(runtime: Runtime, broadcast: Broadcast, now_ms: int, *, by: float = 0.0) -> bool:
    """Whether the time for confirmations has passed, by so many seconds. A cancellation at the end has some more."""
    settings = runtime.settings
    end = confirming.deadline(broadcast, settings.settle_seconds, settings.confirm_hours)
    if end is None:
        return False
    more = settings.settle_seconds if confirming.cancels(broadcast) else 0.0
    return now_ms >= clock.to_ms(end) + int((by + more) * 1000)


def end(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> None:
    """At the end of a cancelled broadcast nobody is left as accepted: of whom nothing is proven is in doubt."""
    for chunk in chunks:
        unproven = chunk.statuses == Status.ACCEPTED
        stopped = store.CANCELLED in chunk.progress or broadcast.reason == ledger.CANCELLED
        if stopped and unproven.any():
            statuses = chunk.statuses.copy()
            statuses[unproven] = Status.IN_DOUBT
            ledger.put(work, broadcast, chunk, statuses)
            save_chunk(work, chunk)


def pause(runtime: Runtime, work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> float:
    """Seconds until the next look at tasks, when the last one brought nothing: the longer, the more seldom."""
    confirmed = [chunk.progress.get(store.CONFIRMED, 0) for chunk in chunks]
    sent_at = clock.to_ms(broadcast.sent_at or work.now)
    age = float(work.now_ms - max([sent_at, *confirmed])) / 1000
    seconds: float = min(float(figures()["tasks_slowest_poll_seconds"]), max(0.5, age / 8))
    if stopping(runtime, broadcast, work.now_ms):
        seconds = min(seconds, max(0.5, runtime.settings.in_doubt_seconds))
    settings = runtime.settings
    last = confirming.deadline(broadcast, settings.settle_seconds, settings.confirm_hours)
    if last is not None and last > work.now:
        seconds = min(seconds, (last - work.now).total_seconds() + 0.05)
    if rule := broadcast.settings.get("remind"):
        seconds = min(seconds, max(0.5, float(rule["after_hours"]) * 900))
    return seconds


def watched(broadcast: Broadcast) -> bool:
    """Whether employees are followed although not everything is sent yet."""
    return broadcast.route in CONFIRMED_ROUTES and broadcast.state in (State.SENDING, State.PAUSED)


def watch(work: Work, lease: Lease, broadcast: Broadcast, chunks: list[Chunk]) -> float | None:
    """After a look while it is being sent: seconds until the next, or None when there is nothing to follow."""
    if not watched(broadcast):
        leases.complete(work.connection, lease)
        return None
    remind_by_itself(work, broadcast, chunks)
    leases.defer(work.connection, lease, ledger.WATCH_SECONDS)
    return ledger.WATCH_SECONDS


def remind_by_itself(work: Work, broadcast: Broadcast, chunks: list[Chunk]) -> int:
    """Ask for the reminders that the broadcast's settings want by now; how many."""
    rule = broadcast.settings.get("remind")
    if rule is None or broadcast.reason == ledger.CANCELLED:
        return 0
    told = store.reminders_of(work, broadcast.id)
    wanted = {
        chunk.no: chunk.msgid
        for chunk in waiting(chunks)
        if chunk.msgid
        and confirming.due(rule, chunk.tried_at or 0, [one for one in told if one.chunk == chunk.no], work.now_ms)
    }
    ask_for(work, broadcast, wanted)
    return len(wanted)


def ask_for(work: Work, broadcast: Broadcast, wanted: Mapping[int, str]) -> None:
    """Ask for reminders of tasks (chunk → task); the worker makes the calls."""
    if wanted:
        store.add_reminders(work, broadcast.id, wanted)
        leases.enqueue(work, ledger.REMIND, str(broadcast.id), {"broadcast": broadcast.id}, again=True)


def waiting(chunks: list[Chunk]) -> list[Chunk]:
    """Chunks whose task no employee has confirmed."""
    return [
        chunk
        for chunk in chunks
        if chunk.msgid and store.CONFIRMED not in chunk.progress and np.any(chunk.statuses == Status.ACCEPTED)
    ]
