"""企业微信: a task per employee, who confirms it. There is no idempotency key, so a lost answer is looked up.

A repeated add_msg_template makes a second task. After a lost answer the record of mass messages is read: a task made
since the intent that says the same, is nobody else's and reaches our customers is ours. Only when the record is
complete and holds no such task is the call made again.
"""

from functools import partial

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import pages, store
from tagcast.broadcasts.delivery.job import Job
from tagcast.broadcasts.delivery.once import Answer, Intent, accept, after_refusal, intend, withdraw
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction
from tagcast.kit import clock
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work

# A lost answer is looked up as long as it takes; the record of the platform reaches back months.
NEVER = 10.0**9
# Clocks of ours and the platform's may differ.
SKEW_SECONDS = 60


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Make the employee's task. None: closed; seconds: take it up again later."""
    public_url = job.runtime.settings.public_url
    customers, message = await job.step(lambda work, broadcast, chunk: _said(work, broadcast, chunk, public_url))
    while True:
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "add_msg_template")
        intent = await job.step(lambda work, broadcast, chunk: intend(work, broadcast, chunk, key_seconds=NEVER))
        if intent.indices.size == 0:
            await job.close()
            return None
        if not intent.fresh:
            again = await _look_up(job, connected, intent, customers, message)
            if again is not None:
                return again if again >= 0 else None
            await job.step(withdraw)
            continue
        try:
            answer = await _create(job, connected, intent, customers, message)
        except (ChannelError, TagcastError) as error:
            if isinstance(error, ChannelError) and error.reason == "no_recipient":
                await accept(job, intent, Answer(None, {int(index): "unreachable" for index in intent.indices}))
                return None
            if isinstance(error, ChannelError) and error.reaction is Reaction.IN_DOUBT:
                return max(0.1, job.runtime.settings.in_doubt_seconds)
            again = await after_refusal(job, error, keyed=False)
            if again is not None:
                return again
            continue
        await accept(job, intent, answer)
        return None


def _said(work: Work, broadcast: Broadcast, chunk: Chunk, public_url: str) -> tuple[list[str], list[channels.Message]]:
    """External user ids in step with the chunk, and what is said."""
    known = contacts.identities_of(work, chunk.recipients.tolist(), "external_userid", broadcast.account)
    said = contents.messages(contents.parse(broadcast.content), "wecom", pages.shared(work, broadcast, public_url))
    return [known.get(number, "") for number in chunk.recipients.tolist()], said


async def _create(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], message: list[channels.Message]
) -> Answer:
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    asked = {customers[int(index)]: int(index) for index in intent.indices if customers[int(index)]}
    job.check_live()
    created = await connected.call(
        lambda: connected.wecom.create_mass_message(message, external_userids=list(asked), sender=chunk.sender)
    )
    unreachable = {asked[customer]: "unreachable" for customer in created.fail_list if customer in asked}
    nameless = {int(index): "no_identity" for index in intent.indices if not customers[int(index)]}
    return Answer(created.msgid, unreachable | nameless)


async def _look_up(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], message: list[channels.Message]
) -> float | None:
    """After a lost answer: −1 when the task was found and adopted, seconds to look again, None: proven absent."""
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    tried = (chunk.tried_at or 0) / 1000
    wait = tried + job.runtime.settings.in_doubt_seconds - clock.now().timestamp()
    if wait > 0:
        return wait
    known = await job.read(lambda work: store.known_msgids(work, job.account.id))
    ours = {customers[int(index)]: int(index) for index in intent.indices if customers[int(index)]}
    span = int(tried) - SKEW_SECONDS, int(clock.now().timestamp()) + SKEW_SECONDS
    complete = True
    try:
        for msgid in await connected.call(lambda: _record(connected.wecom, span, message)):
            reached = (
                None
                if msgid in known
                else await connected.call(partial(_reached, connected.wecom, msgid, chunk.sender))
            )
            if reached is None:
                continue
            if reached and reached <= ours.keys():
                missing = {index: "unreachable" for customer, index in ours.items() if customer not in reached}
                await accept(job, intent, Answer(msgid, missing))
                return -1.0
            complete = complete and bool(reached)
    except (ChannelError, TagcastError):
        complete = False
    return None if complete else max(0.5, job.runtime.settings.in_doubt_seconds)


async def _record(client: channels.WecomClient, span: tuple[int, int], message: list[channels.Message]) -> list[str]:
    """Ids of the mass messages that apps made in a span of Unix seconds and that say the same."""
    pages_ = client.mass_messages(*span, made_by="app")
    return [found.msgid async for page in pages_ for found in page if found.says(message)]


async def _reached(client: channels.WecomClient, msgid: str, sender: str) -> set[str] | None:
    """The customers of one employee's part of a mass message.

    None when he has no part in it; empty when the platform has not dealt it out yet.
    """
    employees = {task.userid async for page in client.tasks(msgid) for task in page}
    if employees and sender not in employees:
        return None
    return {result.external_userid async for page in client.send_results(msgid, sender) for result in page}
