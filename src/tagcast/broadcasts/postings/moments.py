"""客户朋友圈: a job that makes a Moment, which each employee publishes to those of his customers who may see it.

The platform narrows who may see it by its own tags only. Whoever is chosen gets a temporary corp tag of this posting
before the job is started; it is deleted when the posting ends. The recipients of the post are the employees.
"""

import asyncio
from functools import partial
from typing import Any

from tagcast.broadcasts.postings import planning
from tagcast.broadcasts.postings.talk import SKEW_SECONDS, Found, Heard, Talk
from tagcast.channels import Article, ChannelError, Scope, Text
from tagcast.kit import clock, leases
from tagcast.kit.errors import Refused
from tagcast.kit.leases import Lost

GROUP = "Tagcast"
MARKED_AT_ONCE = 200
ALREADY_CANCELLED = 41067


def tag_name(talk: Talk) -> str:
    """The temporary tag: no other posting or home gives the same."""
    return f"tagcast-m{talk.posting.id}-{(talk.posting.plan_hash or '')[:8]}"


async def prepare(talk: Talk) -> dict[str, Any]:
    """Tag those who are chosen, unless everybody is; again changes nothing. Gives what is kept with the post."""
    if talk.posting.plan["everybody"]:
        return {}
    tag = await _tag(talk)
    left = await asyncio.to_thread(_pairs, talk)
    mark = talk.connected.wecom.tags.mark
    gone = 0
    for at, (employee, customer) in enumerate(left):
        if not talk.lease.live:
            raise Lost(talk.lease.key)
        try:
            await talk.connected.call(partial(mark, employee, customer, add=[tag]))
        except ChannelError as error:
            if error.scope is not Scope.RECIPIENT:
                raise
            gone += 1
        if at % MARKED_AT_ONCE == 0:
            await asyncio.to_thread(_renew, talk)
    if gone == len(left):
        raise Refused("broadcasts.nobody", broadcast=talk.posting.name)
    return {"tag": tag}


async def _tag(talk: Talk) -> str:
    """Made once: a name that the group has already is kept."""
    name = tag_name(talk)
    found = await talk.connected.call(lambda: talk.connected.wecom.tags.add([name], group_name=GROUP))
    known = {one.name: one.id for one in found.tag}
    if name not in known:
        groups = await talk.connected.call(talk.connected.wecom.tags.groups)
        known = {one.name: one.id for group in groups for one in group.tag}
    return known[name]


def _pairs(talk: Talk) -> list[tuple[str, str]]:
    with talk.runtime.read(talk.lease.workspace, "worker") as work:
        return planning.pairs(work, talk.posting)


def _renew(talk: Talk) -> None:
    with talk.runtime.work(talk.lease.workspace, "worker") as work:
        leases.renew(work.connection, talk.lease, talk.runtime.settings.lease_seconds)


async def create(talk: Talk) -> Found:
    """Start the job."""
    tag = talk.post.progress.get("tag")
    moments = talk.connected.wecom.moments
    job = await talk.connected.call(
        lambda: moments.create(
            [one for one in talk.message if isinstance(one, Text | Article)],
            employees=talk.recipients,
            tags=[tag] if tag else (),
            everybody=tag is None,
        )
    )
    return Found(job)


async def look_up(talk: Talk, known: set[str]) -> Found:
    """The Moment of a job whose answer was lost. What is not there may still be made, for as long as a job may run."""
    tried, text = (
        (talk.post.tried_at or 0) // 1000,
        "".join(one.content for one in talk.message if isinstance(one, Text)),
    )
    span = tried - SKEW_SECONDS, int(clock.now().timestamp()) + SKEW_SECONDS

    async def read() -> list[str]:
        pages = talk.connected.wecom.moments.list(*span, made_by="app")
        said = [(one.moment_id, one.text.content if one.text else "") async for page in pages for one in page]
        return [moment for moment, words in said if words == text and moment not in known]

    async def employees(moment: str) -> set[str]:
        return {task.userid async for page in talk.connected.wecom.moments.tasks(moment) for task in page}

    for moment in await talk.connected.call(read):
        if await talk.connected.call(partial(employees, moment)) <= set(talk.recipients):
            return Found(None, moment=moment)
    return Found(None)


async def follow(talk: Talk, *, ends: bool) -> Heard:
    """Who has published; with `ends` the Moment is cancelled first, and a while later what is read is final."""
    moment, moments = talk.post.progress.get("moment"), talk.connected.wecom.moments
    if moment is None:
        return await _made(talk)
    if ends and "cancelled" not in talk.post.progress:
        try:
            await talk.connected.call(lambda: moments.cancel(moment))
        except ChannelError as error:
            if error.errcode != ALREADY_CANCELLED:
                raise
        return Heard(facts={"cancelled": clock.to_ms(clock.now())})
    return await _published(talk, moment)


async def _made(talk: Talk) -> Heard:
    """What became of the job: the Moment, or why there is none."""
    heard, moments = Heard(), talk.connected.wecom.moments
    job = await talk.connected.call(lambda: moments.result(talk.post.msgid or ""))
    if not job.done:
        return heard
    if job.result.errcode or not job.result.moment_id:
        for one in talk.recipients:
            heard.add(one, "failed", f"wecom:{job.result.errcode}")
        return heard
    heard.facts["moment"] = job.result.moment_id
    for one in sorted(set(talk.recipients) & set(job.result.invalid_sender_list.user_list)):
        heard.add(one, "failed", "unreachable")
    return heard


async def _published(talk: Talk, moment: str) -> Heard:
    heard, now, moments = Heard(), clock.to_ms(clock.now()), talk.connected.wecom.moments
    since = talk.post.progress.get("cancelled")
    proof = since is not None and now - since >= talk.runtime.settings.in_doubt_seconds * 1000

    async def read() -> list[tuple[str, int]]:
        return [(task.userid, task.publish_status) async for page in moments.tasks(moment) for task in page]

    async def reached(employee: str) -> int:
        return sum([len(page) async for page in moments.delivered(moment, employee)])

    counts = dict(talk.post.progress.get("reached", {}))
    for employee, published in await talk.connected.call(read):
        if published and employee in talk.recipients:
            heard.add(employee, "delivered")
            counts[employee] = await talk.connected.call(partial(reached, employee))
        elif proof and not published:
            heard.add(employee, "cancelled", "not_confirmed")
    heard.facts["reached"] = counts
    if proof:
        heard.proven, heard.facts["proven"] = True, now
    return heard


async def clean_up(talk: Talk) -> None:
    """Delete the temporary tag; one that stays is visible under its name and does no harm."""
    if "tag" not in talk.post.progress:
        return
    try:
        await talk.connected.call(lambda: talk.connected.wecom.tags.delete([talk.post.progress["tag"]]))
    except ChannelError as error:
        if error.scope is Scope.ACCOUNT:
            raise
