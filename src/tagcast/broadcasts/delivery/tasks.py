"""企业微信: a task per employee, who confirms it. There is no idempotency key, so a lost answer is looked up.

A repeated add_msg_template makes a second task. After a lost answer the record of mass messages is read: a task made
since the intent that says the same, is nobody else's and reaches our customers is ours. Only when the record is
complete and holds no such task is the call made again.
"""

from collections.abc import Iterable
from functools import partial

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import pages, store
from tagcast.broadcasts.delivery.job import Job, lasting, reason_of, wait_of
from tagcast.broadcasts.delivery.once import Answer, Intent, accept, after_refusal, intend
from tagcast.broadcasts.delivery.setting_aside import hand_over, of_one_recipient, set_aside
from tagcast.broadcasts.ledger import Learnt
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit import clock
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Work

# A lost answer is looked up as long as it takes; the record of the platform reaches back months.
NEVER = 10.0**9
# Clocks of ours and the platform's may differ. A task outside this span would count as absent, and be made again.
SKEW_SECONDS = 15 * 60


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Make the employee's task. None: closed; seconds: take it up again later."""
    public_url = job.runtime.settings.public_url
    customers, said = await job.step(lambda work, broadcast, chunk: _said(work, broadcast, chunk, public_url))
    placed = await contents.place(connected, said)
    message = placed.messages
    while True:
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "externalcontact_add_msg_template")
        intent = await job.step(partial(intend, key_seconds=NEVER, keyed=False))
        if intent.indices.size == 0:
            await job.close()
            return None
        if intent.fresh:
            answer = await _try(job, connected, intent, customers, placed)
        else:
            answer = await _look_up(job, connected, intent, customers, message)
            if answer is None:
                await job.note(Learnt(refused=True))
        if isinstance(answer, float):
            return answer
        if answer is not None:
            await accept(job, intent, answer)
            return None


async def _try(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], placed: contents.Placed
) -> Answer | float | None:
    """Make the task: its answer, seconds until it should be taken up again, or None to go on at once."""
    try:
        return await _create(job, connected, intent, customers, placed.messages)
    except (ChannelError, TagcastError) as error:
        if placed.ids and isinstance(error, ChannelError) and error.reason == "media_gone":
            await placed.forget(connected)
            if await job.step(_first_renewal, learnt=Learnt(refused=True)):
                return 0.0
        if isinstance(error, ChannelError) and (of_one_recipient(error) or _of_this_employee(error)):
            return await _of_some(job, connected, intent, customers, error)
        if isinstance(error, ChannelError) and error.reaction is Reaction.IN_DOUBT:
            job.trouble = error
            return max(0.1, job.runtime.settings.in_doubt_seconds)
        return await after_refusal(job, error, fresh=True)


async def _of_some(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], error: ChannelError
) -> Answer | None:
    """A refusal that concerns one customer or one employee, and nobody else."""
    reason = _of_this_employee(error)
    if reason is None:
        return await set_aside(job, connected, intent, customers, error)
    if reason == "unreachable":
        return Answer(None, {int(index): reason for index in intent.indices})
    await hand_over(job, reason)
    return None


def _of_this_employee(error: ChannelError | TagcastError) -> str | None:
    """The reason of a refusal that concerns this task alone: none of its customers, or its sender, can be used."""
    if not isinstance(error, ChannelError):
        return None
    if error.reason == "no_recipient":
        return "unreachable"
    lost_sender = error.reaction is Reaction.PERMANENT and error.scope is Scope.SENDER
    return reason_of(error) if lost_sender else None


def _said(work: Work, broadcast: Broadcast, chunk: Chunk, public_url: str) -> tuple[list[str], list[channels.Message]]:
    """External user ids in step with the chunk, and what is said."""
    known = contacts.identities_of(work, chunk.recipients.tolist(), "external_userid", broadcast.account)
    content = contents.tell(work, broadcast, chunk, public_url)
    links = contents.shared_links(work, broadcast, content, public_url)
    said = contents.messages(content, "wecom", pages.shared(work, broadcast, chunk.said, public_url), links)
    return [known.get(number, "") for number in chunk.recipients.tolist()], said


def _first_renewal(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> bool:
    """Whether the chunk's files are uploaded anew for the first time."""
    first = "renewed" not in chunk.progress
    chunk.progress = {**chunk.progress, "renewed": True}
    return first


async def _create(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], message: list[channels.Message]
) -> Answer:
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    asked = {customers[int(index)]: int(index) for index in intent.indices if customers[int(index)]}
    nameless = {int(index): "no_identity" for index in intent.indices if not customers[int(index)]}
    if not asked:
        # A task without customers would go to all whom the employee has.
        return Answer(None, nameless)

    created = await connected.call(
        lambda: connected.wecom.mass.create(message, external_userids=_live(job, asked), sender=chunk.sender)
    )
    unreachable = {asked[customer]: "unreachable" for customer in created.fail_list if customer in asked}
    return Answer(created.msgid, unreachable | nameless)


def _live(job: Job, customers: Iterable[str]) -> list[str]:
    """The customers, for a holder of the chunk only. Raises Lost."""
    job.check_live()
    return list(customers)


async def _look_up(
    job: Job, connected: accounts.Connected, intent: Intent, customers: list[str], message: list[channels.Message]
) -> Answer | float | None:
    """After a lost answer: the task that was found, seconds to look again, or None: proven absent."""
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    tried = (chunk.tried_at or 0) / 1000
    wait = tried + job.runtime.settings.in_doubt_seconds - clock.now().timestamp()
    if wait > 0:
        return wait
    known = await job.read(lambda work: store.known_msgids(work, job.account.id))
    ours = {customers[int(index)]: int(index) for index in intent.indices if customers[int(index)]}
    span = int(tried) - SKEW_SECONDS, int(clock.now().timestamp()) + SKEW_SECONDS
    complete, later = True, 0.0
    try:
        for msgid in await connected.call(partial(_record, connected.wecom, span, message)):
            if msgid in known:
                continue
            reached = await connected.call(partial(_reached, connected.wecom, msgid, chunk.sender))
            if reached and reached <= ours.keys():
                return Answer(msgid, {index: "unreachable" for one, index in ours.items() if one not in reached})
            complete = complete and reached != set()
    except (ChannelError, TagcastError) as error:
        job.trouble, complete = error, False
        if isinstance(error, TagcastError) or error.scope is Scope.ACCOUNT:
            later = wait_of(error)
        await job.note(Learnt(stop=lasting(error)))
    return None if complete else max(0.5, job.runtime.settings.in_doubt_seconds, later)


async def _record(client: channels.WecomClient, span: tuple[int, int], message: list[channels.Message]) -> list[str]:
    """Ids of the mass messages that apps made in a span of Unix seconds and that say the same."""
    pages_ = client.mass.list(*span, made_by="app")
    return [found.msgid async for page in pages_ for found in page if found.says(message)]


async def _reached(client: channels.WecomClient, msgid: str, sender: str) -> set[str] | None:
    """The customers of one employee's part of a mass message.

    None when he has no part in it; empty when the platform has not dealt it out yet.
    """
    employees = {task.userid async for page in client.mass.tasks(msgid) for task in page}
    if employees and sender not in employees:
        return None
    return {result.external_userid async for page in client.mass.results(msgid, sender) for result in page}
