"""服务号 template messages: a call per recipient with his own data and address, many in flight.

The platform recognises a repetition by `client_msg_id` for ten minutes from the first try, so who is
in flight after a crash is called again with the same key inside that time, and is in doubt after it.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages, store
from tagcast.broadcasts.delivery.crew import Crew, Send
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, Job
from tagcast.broadcasts.ledger import Learnt, Window
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit.uow import Work

# The platform promises ten minutes; half a minute is left for the call itself and for clocks that differ.
KEY_SECONDS = 570.0
WINDOW, WIDEST = 256, 2048
FLUSH_SECONDS = 0.1


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Call everybody in the chunk. Returns None when it is closed, or seconds until it should be taken up again."""
    addressees, told = await job.read(partial(addressees_of, job))
    call = channels.TemplateCall(channels.TemplateMessage(told.content.template_id, dict(told.content.data)))
    values = told.values(call.keywords)

    async def send(index: int) -> int:
        openid, url = addressees[index]
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "message_template_send")
        return await connected.call(
            lambda: connected.official.templates.send(
                call, openid, values[index % len(values)], url=url, client_msg_id=_live_key(job, index)
            )
        )

    return await each(job, send, unsayable(addressees, told), width=WINDOW, key_seconds=KEY_SECONDS, widest=WIDEST)


def unsayable(addressees: Sequence[tuple[str, str]], told: contents.Told) -> dict[int, str]:
    """Who cannot be told anything, with the reason: the text lacks a value of his, or he has no identity any more."""
    nameless = {index: "no_identity" for index, (openid, _) in enumerate(addressees) if not openid}
    return dict.fromkeys(told.lacking, "no_value") | nameless


async def each(
    job: Job, send: Send, unsayable: Mapping[int, str], *, width: int, key_seconds: float, widest: int = 0
) -> float | None:
    """Call everybody in the chunk by `send`, which gives a message id, 0 for none; `width` may be in flight at a time.

    Who is in flight after a crash is called again until `key_seconds` after the first try; none: never. Where that does
    no harm, the window grows to `widest` with the speed of the platform, so that commits are few.
    """
    crew = Crew(job, send, unsayable, job.runtime.settings.send_concurrency)
    try:
        return await _all(job, crew, width, max(width, widest), key_seconds)
    finally:
        await crew.wind_down()
        if crew.has_news:
            await job.keep(crew.take())


async def _all(job: Job, crew: Crew, width: int, widest: int, key_seconds: float) -> float | None:
    while True:
        busy, room = crew.busy, max(1, width - crew.busy)
        following = partial(_next, width=room, key_seconds=key_seconds, calling=crew.calling, since=crew.since)
        learnt = crew.take()
        window = await job.step(following, learnt=learnt, busy=busy > 0)
        if window is None:
            return await _end(job, crew, learnt)
        if not busy and not window.indices.size:
            await job.close()
            return None
        crew.begin(window)
        began = time.monotonic()
        await crew.until(width // 2 if window.indices.size else 0, FLUSH_SECONDS)
        if crew.troubled:
            again = await _after_trouble(job, crew)
            if again is not None:
                return again
        elif time.monotonic() - began < FLUSH_SECONDS / 2:
            width = min(2 * width, widest)


async def _end(job: Job, crew: Crew, learnt: Learnt) -> float | None:
    """The broadcast is not to go on: what was begun ends, then the chunk is given back as its state asks."""
    await crew.wind_down()
    last = crew.take()
    last.stop = last.stop or learnt.stop
    await job.note(last)
    return 0.0


async def _after_trouble(job: Job, crew: Crew) -> float | None:
    """The platform asks for patience, or something went wrong: nobody else is called until what was begun has ended.

    None to go on, or seconds until the chunk should be taken up again.
    """
    await crew.wind_down()
    learnt = crew.take()
    await job.note(learnt)
    crew.raise_problem()
    fruitful = any(status > Status.RETRY for status in learnt.statuses.values())
    if not await job.back_off(fruitful=fruitful, least=learnt.wait):
        return max(learnt.wait, AGAIN_SECONDS)
    return None


def _next(work: Work, broadcast: Broadcast, chunk: Chunk, **how: Any) -> Window:
    return ledger.open_window(work, broadcast, chunk, **how)


def addressees_of(job: Job, work: Work) -> tuple[list[tuple[str, str]], contents.Told]:
    """(openid, address of the page) of each recipient of the chunk, an empty openid if he has none any more; and what
    they are told.
    """
    chunk = store.chunk(work, job.broadcast.id, job.no)
    numbers, base_url = chunk.recipients.tolist(), job.runtime.settings.public_url
    openids = contacts.identities_of(work, numbers, "openid", job.account.id)
    urls = pages.personal(work, job.broadcast, chunk.said, numbers, base_url)
    told = contents.tell_each(work, job.broadcast, chunk, base_url)
    return [(openids.get(number, ""), url) for number, url in zip(numbers, urls, strict=True)], told


def _live_key(job: Job, index: int) -> str:
    """The recipient's idempotency key, given only to a holder of the chunk. Raises Lost."""
    job.check_live()
    return job.key(index)
