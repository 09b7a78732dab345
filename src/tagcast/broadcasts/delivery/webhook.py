"""第三方: a signed delivery a chunk to the company's own system, with each member's own address.

The receiver remembers a delivery's id, so one whose answer was lost is repeated with the same id for `once.KEY_SECONDS`
and is in doubt after that. Its answer is all that is ever learnt: who was taken, and who was refused and why.
"""

import asyncio
from functools import partial

from pyroaring import BitMap

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages
from tagcast.broadcasts.delivery.job import Job
from tagcast.broadcasts.delivery.once import Answer, Intent, send_keyed
from tagcast.broadcasts.ledger import Call, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction
from tagcast.channels.webhook import Recipient
from tagcast.kit.uow import Work

DELIVER = "deliver"
# Words of a receiver that say that somebody is no member of it.
GONE = frozenset({"left", "unknown"})


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Deliver the chunk. None: closed; seconds: take it up again later."""
    numbers, people, shared = await job.step(partial(_people, public_url=job.runtime.settings.public_url))

    async def message() -> channels.Message:
        (said,) = contents.messages(shared, "custom")
        return said

    async def send(intent: Intent, said: channels.Message) -> Answer:
        asked = {int(index): people[int(index)] for index in intent.indices}
        nameless = frozenset(index for index, person in asked.items() if not person.id)
        named = {person.id: index for index, person in asked.items() if person.id}
        if not named:
            return Answer(None, doubtful=nameless)
        try:
            recipients = [asked[index] for index in named.values()]
            taken = await connected.call(lambda: connected.webhook.deliver(_live_key(job), said, recipients))
            refused = dict(taken.refused)
        except ChannelError as error:
            if error.reaction is not Reaction.DUPLICATE:
                raise
            if intent.fresh:
                return Answer(None, doubtful=frozenset(asked))
            refused = {member: word for member, word in error.answer["refused"].items() if member in named}
        gone = [numbers[named[member]] for member, word in refused.items() if word in GONE]
        await asyncio.to_thread(_let_go, job, BitMap(gone))
        return Answer(job.key(), {named[member]: f"refused:{word}" for member, word in refused.items()}, nameless)

    return await send_keyed(job, DELIVER, message, send, _nothing)


def _people(
    work: Work, broadcast: Broadcast, chunk: Chunk, *, public_url: str
) -> tuple[list[int], list[Recipient], contents.Content]:
    """Contacts and members in step with the chunk, and what all are told.

    Who has no id by now, or lacks a value that the text needs, and was not called yet, is failed first.
    """
    numbers = chunk.recipients.tolist()
    known = contacts.identities_of(work, numbers, "member_id", broadcast.account)
    told = contents.tell_each(work, broadcast, chunk, public_url)
    if chunk.call == Call.NONE:
        learnt = Learnt()
        for index, number in enumerate(numbers):
            reason = "no_identity" if number not in known else "no_value" if index in told.lacking else ""
            if reason and chunk.statuses[index] in (Status.PLANNED, Status.RETRY):
                learnt.fail(index, reason)
        ledger.record(work, broadcast, chunk, learnt)
    chunk.progress = {**chunk.progress, "final": True}
    urls = pages.personal(work, broadcast, chunk.said, numbers, public_url)
    people = [
        Recipient(known.get(number, ""), url, told.fields(index))
        for index, (number, url) in enumerate(zip(numbers, urls, strict=True))
    ]
    return numbers, people, told.shared


def _live_key(job: Job) -> str:
    """The delivery's id, given only to the chunk's holder. Raises Lost."""
    job.check_live()
    return job.key()


def _let_go(job: Job, gone: BitMap) -> None:
    """They are members no more: true whoever holds the chunk, and told again if the answer is not recorded."""
    if gone:
        with job.runtime.work(job.lease.workspace, "worker") as work:
            contacts.no_members(work, job.account.id, gone)


async def _nothing() -> None:
    """A delivery uses nothing up."""
