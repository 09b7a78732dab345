"""服务号 template messages: a call per recipient with his own data and address, many in flight.

The platform recognises a repetition by `client_msg_id` for ten minutes from the first try, so who is
in flight after a crash is called again with the same key inside that time, and is in doubt after it.
"""

import asyncio

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages, store
from tagcast.broadcasts.delivery.job import Job, learn
from tagcast.broadcasts.ledger import Indices, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work

# The platform promises ten minutes; half a minute is left for the call itself and for clocks that differ.
KEY_SECONDS = 570.0
WINDOW = 256


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Call everybody in the chunk. Returns None when it is closed, or seconds until it should be taken up again."""
    addressees = await job.read(lambda work: _addressees(job, work))
    call = _call(job)
    values = list(contents.parse(job.broadcast.content).data.values())
    learnt = Learnt()
    gate = asyncio.Semaphore(job.runtime.settings.send_concurrency)
    while True:
        window = await job.step(lambda work, broadcast, chunk: _next(job, work, broadcast, chunk), learnt=learnt)
        if window.size == 0:
            await job.close()
            return None
        learnt = Learnt()

        async def one(index: int, into: Learnt = learnt) -> None:
            openid, url = addressees[index]
            if openid is None:
                into.fail(index, "no_identity")
                return
            async with gate:
                if not job.lease.live:
                    return
                try:
                    await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "template_send")
                    into.msgids[index] = await connected.call(
                        lambda: connected.official.send_template(
                            call, openid, values, url=url, client_msg_id=_key(job, index)
                        )
                    )
                    into.statuses[index] = Status.ACCEPTED
                except (ChannelError, TagcastError) as error:
                    learn(into, index, error)

        await asyncio.gather(*(one(int(index)) for index in window))
        fruitful = any(status >= Status.FAILED for status in learnt.statuses.values())
        if not await job.back_off(fruitful=fruitful, least=learnt.wait):
            await job.step(lambda _work, _broadcast, _chunk: None, learnt=learnt)
            return max(learnt.wait, 5.0)


def _next(job: Job, work: Work, broadcast: Broadcast, chunk: Chunk) -> Indices:
    return ledger.open_window(work, job.lease, broadcast, chunk, width=WINDOW, key_seconds=KEY_SECONDS)


def _addressees(job: Job, work: Work) -> list[tuple[str | None, str]]:
    """(openid, address of the page) of each recipient of the chunk."""
    numbers = store.chunk(work, job.broadcast.id, job.no).recipients.tolist()
    openids = contacts.identities_of(work, numbers, "openid", job.account.id)
    urls = pages.personal(work, job.broadcast, numbers, job.runtime.settings.public_url)
    return [(openids.get(number), url) for number, url in zip(numbers, urls, strict=True)]


def _call(job: Job) -> channels.TemplateCall:
    content = contents.parse(job.broadcast.content)
    return channels.TemplateCall(channels.TemplateMessage(content.template_id, dict(content.data)))


def _key(job: Job, index: int) -> str:
    return f"b{job.broadcast.id}-{job.no}-{index}"
