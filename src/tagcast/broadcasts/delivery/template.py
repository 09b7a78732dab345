"""服务号 template messages: a call per recipient with his own data and address, many in flight.

The platform recognises a repetition by `client_msg_id` for ten minutes from the first try, so who is
in flight after a crash is called again with the same key inside that time, and is in doubt after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages, store
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, Job, learn
from tagcast.broadcasts.ledger import Learnt, Window
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work

# The platform promises ten minutes; half a minute is left for the call itself and for clocks that differ.
KEY_SECONDS = 570.0
WINDOW = 256
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

    return await each(job, send, unsayable(addressees, told), width=WINDOW, key_seconds=KEY_SECONDS)


def unsayable(addressees: Sequence[tuple[str, str]], told: contents.Told) -> dict[int, str]:
    """Who cannot be told anything, with the reason: the text lacks a value of his, or he has no identity any more."""
    nameless = {index: "no_identity" for index, (openid, _) in enumerate(addressees) if not openid}
    return dict.fromkeys(told.lacking, "no_value") | nameless


async def each(
    job: Job, send: Callable[[int], Awaitable[int]], unsayable: Mapping[int, str], *, width: int, key_seconds: float
) -> float | None:
    """Call everybody in the chunk by `send`, which gives a message id, 0 for none; windows of `width` at a time.

    Who is in flight after a crash is called again until `key_seconds` after the first try; none: never.
    """
    learnt = Learnt()
    following = partial(_next, width=width, key_seconds=key_seconds)
    while True:
        window = await job.step(following, learnt=learnt)
        if window.indices.size == 0:
            await job.close()
            return None
        learnt = await _call_all(job, window, send, unsayable)
        fruitful = any(status > Status.RETRY for status in learnt.statuses.values())
        if fruitful and not learnt.wait:
            continue
        await job.note(learnt)
        if not await job.back_off(fruitful=fruitful, least=learnt.wait):
            return max(learnt.wait, AGAIN_SECONDS)
        learnt = Learnt()


async def _call_all(
    job: Job, window: Window, send: Callable[[int], Awaitable[int]], unsayable: Mapping[int, str]
) -> Learnt:
    """Call a window, many at a time; `unsayable` are not called, with the reason.

    What was learnt is recorded even if something unforeseen went wrong.
    """
    learnt = Learnt()
    gate = asyncio.Semaphore(job.runtime.settings.send_concurrency)

    async def one(index: int) -> None:
        if index in unsayable:
            if window.repeated:
                learnt.statuses[index] = Status.IN_DOUBT
            else:
                learnt.fail(index, unsayable[index])
            return
        async with gate:
            if job.lease.draining:
                if not window.repeated:
                    learnt.statuses[index] = Status.RETRY
                return
            try:
                if msgid := await send(index):
                    learnt.msgids[index] = msgid
                learnt.statuses[index] = Status.ACCEPTED
            except (ChannelError, TagcastError) as error:
                job.trouble = error
                learn(learnt, index, error, repeated=window.repeated)

    flushing = asyncio.create_task(_flush(job, learnt))
    results = await asyncio.gather(*(one(index) for index in window.indices.tolist()), return_exceptions=True)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    for problem in results:
        if isinstance(problem, BaseException):
            await job.note(learnt)
            raise problem
    return learnt


async def _flush(job: Job, learnt: Learnt) -> None:
    """Keep what is known of a slow window, so that a worker that dies in it leaves few in flight."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await job.keep(learnt)


def _next(work: Work, broadcast: Broadcast, chunk: Chunk, *, width: int, key_seconds: float) -> Window:
    return ledger.open_window(work, broadcast, chunk, width=width, key_seconds=key_seconds)


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
