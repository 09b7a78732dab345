"""服务号 mass sends to lists of openids, 公众号 mass sends to a temporary tag. The platform tells totals only."""

import asyncio
from functools import partial
from importlib import resources

import numpy as np

from tagcast import accounts, channels, contacts, tags
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import ledger, pages, store
from tagcast.broadcasts.delivery.job import Job
from tagcast.broadcasts.delivery.once import Answer, Intent, after_refusal, send_keyed
from tagcast.broadcasts.ledger import Call, Learnt
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit.errors import NotFound, Refused, TagcastError
from tagcast.kit.uow import Work

# The platform takes 50 openids a call; calls that tag different people may run side by side.
TAGGING = 50
SIDE_BY_SIDE = 4
TAGGING_TRIES = 3
# In a chunk's progress: the platform's own tag to which it is sent; None: not to it any more.
OWN_TAG = "own_tag"
TO_LIST, TO_TAG = "message_mass_send", "message_mass_sendall"


async def deliver_list(job: Job, connected: accounts.Connected) -> float | None:
    """One mass send to the chunk's openids."""
    openids = await _openids(job)
    placed: list[contents.Placed] = []

    async def send(intent: Intent, message: channels.Message) -> Answer:
        if intent.indices.size == 1:
            alone = int(intent.indices[0])
            return Answer(None, {alone: "list_of_one"}) if intent.fresh else Answer(None, doubtful=frozenset({alone}))
        people = [openids[int(index)] for index in intent.indices]
        accepted = await connected.call(
            lambda: connected.official.mass.send_to_people(message, people, client_id=_live_key(job))
        )
        return Answer(str(accepted.msg_id))

    prepare = partial(_message, job, connected, placed)
    return await send_keyed(job, TO_LIST, prepare, send, partial(_forget, job, connected, placed))


async def deliver_tag(job: Job, connected: accounts.Connected) -> float | None:
    """Mass-send to the platform's own tag of the audience where it holds exactly the recipients; else tag them with a
    tag of this broadcast alone, which settling deletes.
    """
    openids = await _openids(job)
    found = await _own_tag(job, connected, openids)
    if found is not None:
        try:
            return await _to_own_tag(job, connected, found, openids)
        except _Differs:
            await job.step(_leave_own_tag, learnt=Learnt(refused=True))
    return await _to_temporary_tag(job, connected, openids)


class _Differs(Exception):
    """The platform's own tag does not hold exactly the recipients any more, and no call to it was made."""


async def _own_tag(job: Job, connected: accounts.Connected, openids: list[str]) -> int | None:
    """The platform's tag that is the audience, proved by reading who bears it; remembered before any call to it."""
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    if OWN_TAG in chunk.progress or "tag" in chunk.progress or chunk.call != Call.NONE:
        return chunk.progress.get(OWN_TAG)
    tag = await job.read(partial(_synced, job.broadcast))
    if tag is None or await connected.call(partial(_bearers, connected.official, tag)) != set(openids):
        return None
    await job.step(lambda _work, _broadcast, locked: _remember(locked, **{OWN_TAG: tag}))
    return tag


def _synced(broadcast: Broadcast, work: Work) -> int | None:
    """The platform's id of the tag that alone is the audience, if it is synchronised with this account."""
    said = broadcast.audience
    if "tag" not in said or not set(said) <= {"tag", "account", "exactly"}:
        return None
    try:
        ours = tags.find(work, str(said["tag"]), account=said.get("account"))
    except NotFound:
        return None
    link = tags.sync.link_of(work, broadcast.account, tag=ours.id)
    return int(link[1]) if link is not None and link[1].isdecimal() else None


def _leave_own_tag(_work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    _remember(chunk, **{OWN_TAG: None})


async def _to_own_tag(job: Job, connected: accounts.Connected, tag: int, openids: list[str]) -> float | None:
    """One mass send to a tag that is not ours to change. Raises _Differs before any call when it holds others."""
    placed: list[contents.Placed] = []

    async def send(intent: Intent, message: channels.Message) -> Answer:
        ours = {openids[int(index)] for index in intent.indices}
        if await connected.call(partial(_bearers, connected.official, tag)) != ours:
            if intent.fresh:
                raise _Differs
            return Answer(None, doubtful=frozenset(intent.indices.tolist()))
        accepted = await connected.call(
            lambda: connected.official.mass.send_to_tag(message, tag, client_id=_live_key(job))
        )
        return Answer(str(accepted.msg_id))

    prepare = partial(_message, job, connected, placed)
    return await send_keyed(job, TO_TAG, prepare, send, partial(_forget, job, connected, placed))


async def _to_temporary_tag(job: Job, connected: accounts.Connected, openids: list[str]) -> float | None:
    placed: list[contents.Placed] = []
    chunk = await job.read(lambda work: store.chunk(work, job.broadcast.id, job.no))
    tag = await _ensure_tag(job, connected, chunk)
    if chunk.call == Call.NONE:
        again = await _tag_all(job, connected, tag, openids)
        if again is not None:
            return again

    async def send(intent: Intent, message: channels.Message) -> Answer:
        ours = {openids[int(index)]: int(index) for index in intent.indices}
        bearing = await _fit_tag(connected, tag, set(ours), set(openids))
        missing = frozenset(index for openid, index in ours.items() if openid not in bearing)
        if len(missing) == len(ours) and intent.fresh:
            return Answer(None, dict.fromkeys(missing, "not_tagged"))
        accepted = await connected.call(
            lambda: connected.official.mass.send_to_tag(message, tag, client_id=_live_key(job))
        )
        if intent.fresh:
            return Answer(str(accepted.msg_id), dict.fromkeys(missing, "not_tagged"))
        return Answer(str(accepted.msg_id), doubtful=missing)

    prepare = partial(_message, job, connected, placed)
    return await send_keyed(job, TO_TAG, prepare, send, partial(_forget, job, connected, placed))


def _live_key(job: Job) -> str:
    """The chunk's idempotency key, given only to its holder. Raises Lost."""
    job.check_live()
    return job.key()


def tag_name(broadcast: Broadcast, no: int = 0) -> str:
    """The temporary tag of a chunk, at most 30 bytes; no other home that uses the account gives the same."""
    name = f"tagcast-{broadcast.id}-{(broadcast.plan_hash or '')[:8]}"
    return f"{name}-{no}" if no else name


async def _openids(job: Job) -> list[str]:
    """openids in step with the chunk; who has none by now, and was not called yet, is failed first."""

    def look(work: Work, broadcast: Broadcast, chunk: Chunk) -> list[str]:
        numbers = chunk.recipients.tolist()
        known = contacts.identities_of(work, numbers, "openid", broadcast.account)
        if chunk.call == Call.NONE:
            learnt = Learnt()
            for index, number in enumerate(numbers):
                if number not in known and chunk.statuses[index] in (Status.PLANNED, Status.RETRY):
                    learnt.fail(index, "no_identity")
            ledger.record(work, broadcast, chunk, learnt)
        return [known.get(number, "") for number in numbers]

    return await job.step(look)


async def _message(job: Job, connected: accounts.Connected, placed: list[contents.Placed]) -> channels.Message:
    """The message; an article becomes a draft once, remembered with the chunk, because sending consumes it.

    Files that it shows are on the platform then, and noted in `placed`.
    """

    def told(work: Work, broadcast: Broadcast, chunk: Chunk) -> tuple[contents.Content, str, str]:
        base_url = job.runtime.settings.public_url
        url = pages.shared(work, broadcast, chunk.said, base_url)
        return contents.tell(work, broadcast, chunk, base_url), url, str(chunk.progress.get("draft", ""))

    content, url, draft = await job.step(told)
    message = contents.messages(content, job.account.kind, url)[-1]
    if not isinstance(message, channels.Article):
        placed[:] = [await contents.place(connected, [message])]
        return placed[0].messages[0]
    if not draft:
        cover = await _cover(connected, content)
        draft = await accounts.use_file(connected, cover, partial(_add_draft, connected.official, message))
        await job.step(lambda _work, _broadcast, chunk: _remember(chunk, draft=draft))
    return contents.with_draft(message, draft)


async def _cover(connected: accounts.Connected, content: contents.Content) -> accounts.File:
    """The picture over an article: permanent material, uploaded once for an account; ours if it has none."""
    own = await contents.cover(connected, content)
    if own is not None:
        return own
    picture = resources.files("tagcast.broadcasts").joinpath("cover.jpg").read_bytes()

    async def upload() -> str:
        return (await connected.official.media.store("thumb", "cover.jpg", picture)).media_id

    return accounts.File("thumb", picture, upload, lasting=True)


async def _add_draft(client: channels.OfficialClient, article: channels.Article, cover: str) -> str:
    return await client.drafts.add([contents.with_cover(article, cover)])


async def _forget(job: Job, connected: accounts.Connected, placed: list[contents.Placed]) -> None:
    """What the message shows is not on the platform any more: its draft, its files."""
    for one in placed:
        await one.forget(connected)
    await job.step(lambda _work, _broadcast, chunk: _remember(chunk, draft=""))


def _remember(chunk: Chunk, **facts: object) -> None:
    chunk.progress = {**chunk.progress, **facts}


async def _ensure_tag(job: Job, connected: accounts.Connected, chunk: Chunk) -> int:
    """The broadcast's own tag, found by its name if an earlier try made it."""
    if "tag" in chunk.progress:
        return int(chunk.progress["tag"])
    name = tag_name(job.broadcast, job.no)
    known = {tag.name: tag.id for tag in await connected.call(connected.official.tags.all)}
    if name not in known:
        known[name] = (await connected.call(lambda: connected.official.tags.create(name))).id
    tag = known[name]
    await job.step(lambda _work, _broadcast, locked: _remember(locked, tag=tag))
    return tag


async def _tag_all(job: Job, connected: accounts.Connected, tag: int, openids: list[str]) -> float | None:
    """Tag everybody planned; progress is committed, and tagging somebody twice is harmless."""
    while True:
        planned, stop = await job.step(_slice)
        if not stop:
            return None
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
            again = await after_refusal(job, problems[0], fresh=False)
            if again is not None:
                return again
            continue
        await job.step(partial(_note_tagged, stop), learnt=learnt)
        job.fruitless = 0


def _note_tagged(stop: int, _work: Work, _broadcast: Broadcast, chunk: Chunk) -> None:
    _remember(chunk, tagged=stop)


def _slice(work: Work, broadcast: Broadcast, chunk: Chunk) -> tuple[list[int], int]:
    """Whom to tag next, and where the part of the chunk ends that is tagged then; 0: all of it is.

    Who must not be called any more is held, and not tagged.
    """
    done = int(chunk.progress.get("tagged", 0))
    if done >= chunk.recipients.size:
        return [], 0
    stop = min(done + TAGGING * SIDE_BY_SIDE * 2, chunk.recipients.size)
    open_ = np.flatnonzero((chunk.statuses == Status.PLANNED) | (chunk.statuses == Status.RETRY))
    return ledger.hold_refused(work, broadcast, chunk, open_[(open_ >= done) & (open_ < stop)]).tolist(), stop


async def _tag_group(job: Job, connected: accounts.Connected, tag: int, people: dict[str, int], into: Learnt) -> None:
    """Tag up to 50; those whom the platform refuses one by one are failed with its reason."""
    left = list(people)
    for _ in range(TAGGING_TRIES):
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, "tags_members_batchtagging")
        try:
            left = list(await connected.call(partial(connected.official.tags.put_on, tag, left)))
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


async def _fit_tag(connected: accounts.Connected, tag: int, ours: set[str], chunk: set[str]) -> set[str]:
    """Make the tag hold nobody but `ours`: those of the chunk who must not be called any more are untagged.

    Returns who bears it; somebody who unfollowed has lost it. Raises Refused when a stranger to the broadcast bears it.
    """
    for _ in range(TAGGING_TRIES):
        bearing = await connected.call(partial(_bearers, connected.official, tag))
        extra = sorted(bearing - ours)
        if not extra:
            return bearing
        if not chunk.issuperset(extra):
            break
        for at in range(0, len(extra), TAGGING):
            await connected.call(partial(connected.official.tags.take_off, tag, extra[at : at + TAGGING]))
    raise Refused("broadcasts.tag_differs", expected=len(ours), found=len(bearing))


async def _bearers(client: channels.OfficialClient, tag: int) -> set[str]:
    return {openid async for page in client.tags.wearers(tag) for openid in page.openids}
