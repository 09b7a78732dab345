"""服务号 mass sends to lists of openids, 公众号 mass sends to a temporary tag. The platform tells totals only."""

import asyncio
from functools import partial
from importlib import resources

import numpy as np

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages, store
from tagcast.broadcasts.delivery.job import Job
from tagcast.broadcasts.delivery.once import Answer, Intent, accept, after_refusal, intend, send_keyed
from tagcast.broadcasts.ledger import Call, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit.errors import Refused, TagcastError
from tagcast.kit.uow import Work

# The platform takes 50 openids a call; calls that tag different people may run side by side.
TAGGING = 50
SIDE_BY_SIDE = 4
TAGGING_TRIES = 3
MASS = "mass"


async def deliver_list(job: Job, connected: accounts.Connected) -> float | None:
    """One mass send to the chunk's openids."""
    openids = await _openids(job)
    message = await _message(job, connected)

    async def send(intent: Intent) -> Answer:
        if intent.indices.size == 1:
            return Answer(None, {int(intent.indices[0]): "list_of_one"})
        people = [openids[int(index)] for index in intent.indices]
        accepted = await connected.call(
            partial(connected.official.send_to_people, message, people, client_id=client_id(job))
        )
        return Answer(str(accepted.msg_id))

    return await send_keyed(job, MASS, send)


async def deliver_tag(job: Job, connected: accounts.Connected) -> float | None:
    """Tag the recipients with a tag of this broadcast alone, mass-send to it. Settling deletes the tag."""
    openids = await _openids(job)
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    if chunk.call == Call.NONE:
        message = await _message(job, connected)
        tag = await _ensure_tag(job, connected, chunk)
        again = await _tag_all(job, connected, tag, openids)
        if again is not None:
            return again
    else:
        message = await _message(job, connected)
        tag = int(chunk.progress["tag"])

    async def send(_intent: Intent) -> Answer:
        accepted = await connected.call(lambda: connected.official.send_to_tag(message, tag, client_id=client_id(job)))
        return Answer(str(accepted.msg_id))

    while True:
        gone = await job.step(_refused_since)
        if gone:
            await _untag(connected, tag, [openids[index] for index in gone])
            await job.step(partial(_note_untagged, gone))
            continue
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, MASS)
        intent = await job.step(intend)
        if intent.indices.size == 0:
            await job.close()
            return None
        try:
            job.check_live()
            if intent.fresh:
                await _check_tag(connected, tag, int(intent.indices.size))
            answer = await send(intent)
        except (ChannelError, TagcastError) as error:
            again = await after_refusal(job, error, keyed=True)
            if again is not None:
                return again
            continue
        await accept(job, intent, answer)
        return None


def client_id(job: Job) -> str:
    """The idempotency key of a mass send, at most 32 bytes."""
    return f"tc{job.lease.workspace}-{job.broadcast.id}-{job.no}"


def tag_name(broadcast: Broadcast) -> str:
    """The temporary tag of a broadcast."""
    return f"tagcast-{broadcast.id}"


async def _openids(job: Job) -> list[str]:
    """openids in step with the chunk; who has none by now is failed first."""

    def look(work: Work) -> list[str]:
        numbers = store.chunk(work, job.broadcast.id, job.no).recipients.tolist()
        known = contacts.identities_of(work, numbers, "openid", job.account.id)
        return [known.get(number, "") for number in numbers]

    openids = await job.read(look)
    missing = [index for index, openid in enumerate(openids) if not openid]
    if missing:
        learnt = Learnt()
        for index in missing:
            learnt.fail(index, "no_identity")
        await job.step(lambda _work, _broadcast, _chunk: None, learnt=learnt)
    return openids


async def _message(job: Job, connected: accounts.Connected) -> channels.Message:
    """The message; an article becomes a draft once, remembered with the chunk, because sending consumes it."""
    content = contents.parse(job.broadcast.content)

    def address(work: Work, broadcast: Broadcast, chunk: Chunk) -> tuple[str, str]:
        url = pages.shared(work, broadcast, job.runtime.settings.public_url)
        return url, str(chunk.progress.get("draft", ""))

    url, draft = await job.step(address)
    message = contents.messages(content, job.account.kind, url)[-1]
    if not isinstance(message, channels.Article):
        return message
    if not draft:
        cover = resources.files("tagcast.broadcasts").joinpath("cover.jpg").read_bytes()
        material = await connected.call(lambda: connected.official.add_material("thumb", "cover.jpg", cover))
        article = contents.with_cover(message, material.media_id)
        draft = await connected.call(lambda: connected.official.add_draft([article]))
        await job.step(lambda _work, _broadcast, chunk: _remember(chunk, draft=draft))
    return contents.with_draft(message, draft)


def _remember(chunk: Chunk, **facts: object) -> None:
    chunk.progress = {**chunk.progress, **facts}


async def _ensure_tag(job: Job, connected: accounts.Connected, chunk: Chunk) -> int:
    """The broadcast's own tag, found by its name if an earlier try made it."""
    if "tag" in chunk.progress:
        return int(chunk.progress["tag"])
    name = tag_name(job.broadcast)
    known = {tag.name: tag.id for tag in await connected.call(connected.official.tags)}
    if name not in known:
        known[name] = (await connected.call(lambda: connected.official.create_tag(name))).id
    tag = known[name]
    await job.step(lambda _work, _broadcast, locked: _remember(locked, tag=tag))
    return tag


async def _tag_all(job: Job, connected: accounts.Connected, tag: int, openids: list[str]) -> float | None:
    """Tag everybody planned; progress is committed, and tagging somebody twice is harmless."""
    while True:
        chunk = await job.step(_copy)
        done = int(chunk.progress.get("tagged", 0))
        if done >= chunk.recipients.size:
            return None
        stop = min(done + TAGGING * SIDE_BY_SIDE * 2, chunk.recipients.size)
        planned = [index for index in range(done, stop) if chunk.statuses[index] in (Status.PLANNED, Status.RETRY)]
        groups = [planned[at : at + TAGGING] for at in range(0, len(planned), TAGGING)]
        learnt = Learnt()
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def group(indices: list[int], into: Learnt = learnt, gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                await _tag_group(job, connected, tag, {openids[index]: index for index in indices}, into)

        results = await asyncio.gather(*(group(indices) for indices in groups), return_exceptions=True)
        problems = [result for result in results if isinstance(result, BaseException)]
        if problems:
            if not isinstance(problems[0], ChannelError | TagcastError):
                raise problems[0]
            again = await after_refusal(job, problems[0], keyed=False)
            if again is not None:
                return again
            continue
        await job.step(partial(_note_tagged, stop), learnt=learnt)
        job.fruitless = 0


def _note_tagged(stop: int, _work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    _remember(chunk, tagged=stop)


def _copy(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> Chunk:
    return chunk


async def _tag_group(job: Job, connected: accounts.Connected, tag: int, people: dict[str, int], into: Learnt) -> None:
    """Tag up to 50; those whom the platform refuses one by one are failed with its reason."""
    left = list(people)
    for _ in range(TAGGING_TRIES):
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "batchtagging")
        try:
            left = list(await connected.call(partial(connected.official.tag_people, tag, left)))
        except ChannelError as error:
            if error.scope is not channels.Scope.RECIPIENT:
                raise
            if len(left) == 1:
                into.fail(people[left[0]], f"{error.platform}:{error.errcode}")
                return
            for openid in left:
                await _tag_group(job, connected, tag, {openid: people[openid]}, into)
            return
        if not left:
            return
    for openid in left:
        into.fail(people[openid], "not_tagged")


def _refused_since(work: Work, broadcast: Broadcast, chunk: Chunk) -> list[int]:
    """Who must not be called any more although the tag is on him: those held now, and those not untagged yet."""
    if chunk.call != Call.NONE:
        return []
    planned = np.flatnonzero(chunk.statuses == Status.PLANNED)
    refused = ledger.refuse_now(work, broadcast, chunk, planned)
    if refused:
        statuses = chunk.statuses.copy()
        statuses[list(refused)] = Status.HELD
        ledger.put(work, broadcast, chunk, statuses, refused)
    untagged = set(chunk.progress.get("untagged", []))
    held = np.flatnonzero(chunk.statuses == Status.HELD)
    return [int(index) for index in held if int(index) not in untagged]


def _note_untagged(indices: list[int], _work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    _remember(chunk, untagged=sorted({*chunk.progress.get("untagged", []), *indices}))


async def _untag(connected: accounts.Connected, tag: int, openids: list[str]) -> None:
    for at in range(0, len(openids), TAGGING):
        part = openids[at : at + TAGGING]
        await connected.call(partial(connected.official.untag_people, tag, part))


async def _check_tag(connected: accounts.Connected, tag: int, expected: int) -> None:
    """A tag that is gone, or holds others than ours, is never sent to. Raises Refused."""
    counts = {found.id: found.count for found in await connected.call(connected.official.tags)}
    if counts.get(tag) != expected:
        raise Refused("broadcasts.tag_differs", expected=expected, found=counts.get(tag, "no such tag"))
