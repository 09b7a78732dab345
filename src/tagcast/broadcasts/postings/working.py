"""The worker's part of a posting: make the call, look it up when its answer was lost, follow it until it is over.

The intent is committed before the call. 企业微信 gives no key here, so a call whose answer is missing is looked up in
the platform's record, and made again only when it is proven absent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tagcast import accounts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.delivery.job import AGAIN_SECONDS, lasting, reason_of, surely_not, wait_of
from tagcast.broadcasts.postings import groups, moments, store
from tagcast.broadcasts.postings.actions import deadline_ms
from tagcast.broadcasts.postings.shapes import (
    CANCELLED,
    FINAL,
    FINISHED,
    GROUPS,
    MOMENTS,
    PAUSED,
    SENDING,
    Post,
    Posting,
)
from tagcast.broadcasts.postings.talk import Found, Heard, Talk
from tagcast.broadcasts.senders import figures
from tagcast.channels import ChannelError, Reaction, Scope
from tagcast.kit import clock, leases
from tagcast.kit.errors import TagcastError
from tagcast.kit.leases import Lease, Lost
from tagcast.kit.uow import Runtime, Work

T = TypeVar("T")
FASTEST = 0.5


@dataclass(slots=True)
class _Job:
    runtime: Runtime
    lease: Lease
    posting: Posting
    post: Post
    recipients: list[str]

    async def step(self, use_case: Callable[[Work, Posting, Post], T]) -> T:
        """One transaction on the post under the posting's lock, fenced by the lease. Raises Lost."""

        def run() -> T:
            with self.runtime.work(self.lease.workspace, "worker") as work:
                posting = store.get(work, self.posting.id, lock=True)
                leases.renew(work.connection, self.lease, self.runtime.settings.lease_seconds)
                post = store.post(work, posting.id, self.post.no)
                result = use_case(work, posting, post)
                store.save_post(work, post)
                self.posting, self.post = posting, post
                self.recipients = [
                    one.recipient for one in store.outcomes_of(work, posting.id, post.no) if one.status not in FINAL
                ]
                return result

        return await asyncio.to_thread(run)


async def work_off(runtime: Runtime, lease: Lease) -> float | None:
    """Do what is next for one post. None: done; seconds until it is taken up again. Raises Lost."""
    number, no = int(lease.payload["posting"]), int(lease.payload["post"])
    job = await asyncio.to_thread(_job, runtime, lease, number, no)
    again: float | None
    try:
        async with accounts.connect(
            runtime, lease.workspace, job.posting.account, backoff=accounts.DURABLE
        ) as connected:
            again = await _go_on(job, connected)
    except (ChannelError, TagcastError) as error:
        again = max(wait_of(error), AGAIN_SECONDS)
        await job.step(partial(_note_trouble, error))
    return await job.step(partial(_end, job, again))


async def _go_on(job: _Job, connected: accounts.Connected) -> float | None:
    """None: the post is over; seconds until the next look."""
    if job.posting.state == PAUSED and not job.posting.stopping:
        return None
    said = contents.parse(job.posting.content)
    placed = await contents.place(connected, contents.messages(said, "wecom", said.url))
    talk = Talk(job.runtime, job.lease, connected, job.posting, job.post, placed.messages, job.recipients)
    if job.post.call == "":
        if not await _prepare(job, talk):
            return None
        return await _call(job, talk)
    if job.post.call == "intent":
        return await _look_up(job, talk)
    return await _follow(job, talk)


async def _prepare(job: _Job, talk: Talk) -> bool:
    """What goes before the call. False: there is nothing to call."""
    if job.posting.stopping or not job.recipients:
        await job.step(_cancel_uncalled)
        return False
    if job.posting.kind == MOMENTS:
        facts = await moments.prepare(talk)
        await job.step(lambda _work, _posting, post: post.progress.update(facts))
        talk.post = job.post
    return True


async def _call(job: _Job, talk: Talk) -> float:
    api = "externalcontact_add_msg_template" if job.posting.kind == GROUPS else "externalcontact_add_moment_task"
    await accounts.permit(job.runtime, job.lease.workspace, job.posting.account, api)
    if not await job.step(_intend):
        return 0.0
    talk.recipients = job.recipients
    try:
        if not job.lease.live:
            raise Lost(job.lease.key)
        found = await (groups.create(talk) if job.posting.kind == GROUPS else moments.create(talk))
    except (ChannelError, TagcastError) as error:
        if isinstance(error, ChannelError) and error.reaction is Reaction.IN_DOUBT:
            await job.step(partial(_note_lost, reason_of(error)))
            return max(0.1, job.runtime.settings.in_doubt_seconds)
        return await job.step(partial(_refused, error))
    await job.step(partial(_accepted, found))
    return FASTEST


async def _look_up(job: _Job, talk: Talk) -> float:
    """After a lost answer: adopt the call, look again later, or make it anew when it is proven absent."""
    age = (clock.to_ms(clock.now()) - (job.post.tried_at or 0)) / 1000
    wait = job.runtime.settings.in_doubt_seconds - age
    if wait > 0:
        return wait
    known = await job.step(lambda work, posting, _post: store.known(work, posting.account))
    try:
        found = await (groups.look_up(talk, known) if job.posting.kind == GROUPS else moments.look_up(talk, known))
    except ChannelError as error:
        if error.scope is Scope.ACCOUNT:
            raise
        found = Found(None, certain=False)
    if found.msgid is not None or found.moment is not None:
        await job.step(partial(_accepted, found))
        return FASTEST
    if not found.certain or (job.posting.kind == MOMENTS and age < figures()["moment_job_seconds"]):
        return min(60.0, max(0.5, job.runtime.settings.in_doubt_seconds, age / 8))
    await job.step(_absent)
    return 0.0


async def _follow(job: _Job, talk: Talk) -> float | None:
    """Ask for results; at the end of the time, or when it is cancelled, nobody is left open."""
    now = clock.to_ms(clock.now())
    over = now >= deadline_ms(job.posting)
    ends = job.posting.stopping
    heard = await (groups.follow(talk, ends=ends) if job.posting.kind == GROUPS else moments.follow(talk, ends=ends))
    left = await job.step(partial(_learn, heard))
    if left == 0 or heard.proven or (over and not ends):
        if job.posting.kind == MOMENTS:
            await moments.clean_up(talk)
        return None
    if ends:
        return max(FASTEST, job.runtime.settings.in_doubt_seconds)
    last = int(job.post.progress.get("moved", job.post.tried_at or now))
    until = max(0.0, (deadline_ms(job.posting) - now) / 1000) + 0.05
    return min(until, float(figures()["tasks_slowest_poll_seconds"]), max(FASTEST, (now - last) / 8000))


def _job(runtime: Runtime, lease: Lease, number: int, no: int) -> _Job:
    with runtime.read(lease.workspace, "worker") as work:
        left = [one.recipient for one in store.outcomes_of(work, number, no) if one.status not in FINAL]
        return _Job(runtime, lease, store.get(work, number), store.post(work, number, no), left)


def _cancel_uncalled(work: Work, posting: Posting, post: Post) -> None:
    left = [one.recipient for one in store.outcomes_of(work, posting.id, post.no)]
    store.set_outcomes(work, post, left, "cancelled", only=["planned"])


def _intend(work: Work, posting: Posting, post: Post) -> bool:
    """Record the intent, unless the posting was stopped meanwhile."""
    if posting.stopping or posting.state != SENDING or post.call:
        return False
    post.call, post.tried_at = "intent", work.now_ms
    return True


def _refused(error: ChannelError | TagcastError, work: Work, posting: Posting, post: Post) -> float:
    """A first call that was surely not made: whom it concerns fails, all of it pauses, or it is made again."""
    reason = reason_of(error)
    if not surely_not(error):
        return AGAIN_SECONDS
    post.call = ""
    if isinstance(error, ChannelError) and (error.reason == "no_recipient" or _of_post(error)):
        left = [one.recipient for one in store.outcomes_of(work, posting.id, post.no)]
        store.set_outcomes(work, post, left, "failed", reason, only=["planned"])
        return 0.0
    if lasting(error) and not posting.stopping:
        store.update(work, posting.id, state=PAUSED, reason=reason)
    return max(wait_of(error), FASTEST)


def _note_lost(reason: str, work: Work, posting: Posting, _post: Post) -> None:
    store.update(work, posting.id, reason=reason)


def _of_post(error: ChannelError) -> bool:
    return error.reaction is Reaction.PERMANENT and error.scope in (Scope.SENDER, Scope.RECIPIENT)


def _accepted(found: Found, work: Work, posting: Posting, post: Post) -> None:
    post.call, post.msgid = "accepted", found.msgid
    store.update(work, posting.id, reason=None)
    if found.moment is not None:
        post.progress["moment"] = found.moment
    left = [one.recipient for one in store.outcomes_of(work, posting.id, post.no)]
    store.set_outcomes(work, post, found.failed, "failed", "unreachable", only=["planned"])
    store.set_outcomes(work, post, set(left) - set(found.failed), "accepted", only=["planned"])


def _absent(_work: Work, _posting: Posting, post: Post) -> None:
    post.call = ""


def _learn(heard: Heard, work: Work, posting: Posting, post: Post) -> int:
    """Keep what was heard; how many recipients are still open."""
    for (status, reason), recipients in heard.outcomes.items():
        store.set_outcomes(work, post, recipients, status, reason, only=["accepted", "in_doubt"])
        post.progress["moved"] = work.now_ms
    post.progress.update(heard.facts)
    return sum(one.status == "accepted" for one in store.outcomes_of(work, posting.id, post.no))


def _note_trouble(error: ChannelError | TagcastError, work: Work, posting: Posting, _post: Post) -> None:
    """What no repetition helps stops the posting with its reason; a call that is under way is followed all the same."""
    stop = lasting(error)
    if stop and posting.state == SENDING and not posting.stopping:
        store.update(work, posting.id, state=PAUSED, reason=stop)


def _end(job: _Job, again: float | None, work: Work, posting: Posting, post: Post) -> float | None:
    """Give the lease back, or close the post; the last one ends the posting."""
    if posting.state == PAUSED and not posting.stopping:
        leases.complete(work.connection, job.lease)
        return None
    if again is not None:
        leases.defer(work.connection, job.lease, again)
        return again
    if posting.stopping:
        left = [one.recipient for one in store.outcomes_of(work, posting.id, post.no)]
        store.set_outcomes(work, post, left, "in_doubt", only=["accepted"])
    post.done = True
    store.save_post(work, post)
    leases.complete(work.connection, job.lease)
    if all(one.done for one in store.posts_of(work, posting.id)):
        state = CANCELLED if posting.stopping else FINISHED
        store.update(work, posting.id, state=state, finished_at=work.now_ms)
    return None
