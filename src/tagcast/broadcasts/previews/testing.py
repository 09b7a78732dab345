"""Test sends: testers are shown the message by the platform's own means, outside of caps, figures and tracking.

公众号, 服务号: mass/preview, one call a tester; a template message as it is. 企业微信: an application message to the
employee who tests, since tasks have no preview. 第三方: a delivery to one member. What was shown is written down before
the call and after it, so that nobody is shown the same twice unless somebody asks for it again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib import resources

import numpy as np

from tagcast import accounts, channels, contacts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import store as broadcasts
from tagcast.broadcasts import variants, views
from tagcast.broadcasts.content import Content, kinds, scripts
from tagcast.broadcasts.delivery.job import reason_of, surely_not
from tagcast.broadcasts.previews import looking, store, testers
from tagcast.broadcasts.previews.store import Tester
from tagcast.broadcasts.store import Broadcast
from tagcast.channels import ChannelError
from tagcast.channels.webhook import Recipient
from tagcast.kit import clock
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Refused, TagcastError
from tagcast.kit.uow import Runtime, Work

SENT, FAILED, CALLING = "sent", "failed", "calling"
PREVIEW, TEMPLATE, MEMBER = "message_mass_preview", "message_template_send", "message_send"


@dataclass(frozen=True, slots=True)
class Asked:
    """To whom, and what. `testers`: none means the first of the list. `variant`: none means each.

    `like`: as this contact gets it; else a contact who tests sees his own, an employee a sampled one's. `again`: also
    to those who were shown it, or of whom nobody knows.
    """

    testers: Sequence[int] = ()
    variant: str | None = None
    like: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """One message for one tester. `test` 0: it is not sent; `before` says why, already or unknown."""

    test: int
    tester: Tester
    variant: str
    said: Content
    to: str
    key: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of it for one tester. `state`: sent, failed, unknown, or already (he was shown it before)."""

    tester: int
    contact: int
    userid: str
    variant: str
    state: str
    reason: str
    sentence_zh: str
    sentence_en: str


async def send(runtime: Runtime, workspace: int, actor: str, broadcast_id: int, asked: Asked) -> list[Shown]:
    """Show the message to testers now. What a call came to is told for each; what cannot be begun is raised: Refused,
    NotFound, Invalid.
    """

    def prepared() -> tuple[int, list[Shot]]:
        with runtime.work(workspace, actor) as work:
            broadcast = broadcasts.get(work, broadcast_id, lock=True)
            return broadcast.account, _shots(work, broadcast, asked)

    account, shots = await asyncio.to_thread(prepared)
    found = [_told(shot, shot.before, None) for shot in shots if not shot.test]
    async with accounts.connect(runtime, workspace, account) as connected:
        for shot in shots:
            if shot.test:
                state, reason = await _try(connected, shot)
                await asyncio.to_thread(_end, runtime, workspace, actor, shot.test, (state, reason))
                found.append(_told(shot, "unknown" if state == CALLING else state, reason))
    return found


def _end(runtime: Runtime, workspace: int, actor: str, test: int, outcome: tuple[str, str | None]) -> None:
    with runtime.work(workspace, actor) as work:
        store.end(work, test, *outcome)


def _told(shot: Shot, state: str, reason: str | None) -> Shown:
    zh, en = views.sentences(reason or f"test_{state}")
    return Shown(shot.tester.id, shot.tester.contact, shot.tester.userid, shot.variant, state, reason or "", zh, en)


def _shots(work: Work, broadcast: Broadcast, asked: Asked) -> list[Shot]:
    """What is to be shown to whom, each written down as being called. Raises Refused."""
    account = accounts.get(work, broadcast.account)
    digests = testers.digests(broadcast)
    keys = list(digests) if asked.variant is None else [variants.key_of(broadcast, asked.variant)]
    before = {(one.tester, one.digest): one for one in store.trials_of(work, broadcast.id)}
    sample = asked.like or next(iter(looking.audience(work, broadcast)), 0)
    found = []
    for tester in testers.able(work, broadcast, list(asked.testers)):
        to = tester.userid or _id_of(work, broadcast, account.kind, tester)
        for key in keys:
            known = before.get((tester.id, digests[key]))
            said = _said(work, broadcast, key, asked.like or tester.contact or sample)
            name = variants.name_of(broadcast, key)
            if known is not None and known.state != FAILED and not asked.again:
                told = "unknown" if known.state == CALLING else "already"
                found.append(Shot(0, tester, name, said, to, "", told))
                continue
            # Of one of whom nobody knows the call is repeated with its key: the platform may recognise it.
            at = known.at if known is not None and known.state == CALLING else work.now
            number = store.begin(work, broadcast.id, tester.id, name, digests[key], at=clock.to_ms(at))
            found.append(Shot(number, tester, name, said, to, _call_key(work, number, at)))
    day, limit = clock.to_ms(work.now - timedelta(days=1)), testers.limits()["calls"]["per_day"]
    if store.count_since(work, account.id, day) > limit:
        raise Refused("broadcasts.tests_a_day", account=account.name, limit=limit)
    return found


def _call_key(work: Work, number: int, at: datetime) -> str:
    """The call's idempotency key."""
    return "t" + digest(str(work.workspace), str(number), at.isoformat())[:30]


def _id_of(work: Work, broadcast: Broadcast, account_kind: str, tester: Tester) -> str:
    kind = testers.ID_OF[account_kind]
    found = contacts.identities_of(work, [tester.contact], kind, broadcast.account)
    return found.get(tester.contact, "")


def _said(work: Work, broadcast: Broadcast, key: str, contact: int) -> Content:
    """As a contact gets it; addresses lead where they lead in the end, untracked."""
    one = scripts.script(work, contents.contents_of(broadcast)[key])
    numbers = np.array([contact], dtype=np.uint32)
    links = {url: url for url in kinds.links_of(one.content)}
    sender = looking.sender_of(work, broadcast, contact)
    return one.one(scripts.frame(work, broadcast, one, numbers, sender=sender, links=links))


async def _try(connected: accounts.Connected, shot: Shot) -> tuple[str, str | None]:
    """(state, reason) of showing it; calling: nobody knows."""
    if not shot.to:
        return FAILED, "no_identity"
    try:
        refused = await _show(connected, shot)
    except ChannelError as error:
        return (FAILED if surely_not(error) else CALLING), reason_of(error)
    except TagcastError as error:
        return FAILED, reason_of(error)
    return (FAILED, refused) if refused else (SENT, None)


async def _show(connected: accounts.Connected, shot: Shot) -> str | None:
    """Show it by the account's own means; the platform's word when the tester could not get it."""
    kind = connected.account.kind
    messages = contents.messages(shot.said, kind, shot.said.url, {})
    if kind == "custom":
        recipient = Recipient(shot.to, shot.said.url)
        taken = await connected.call(lambda: connected.webhook.deliver(shot.key, messages[-1], [recipient]))
        return f"refused:{taken.refused[shot.to]}" if shot.to in taken.refused else None
    if kind == "wecom":
        return await _to_member(connected, shot.to, messages)
    message = messages[-1]
    if isinstance(message, channels.TemplateMessage):
        if shot.said.kind != "template":
            raise Refused("broadcasts.no_test_of_kind", kind=shot.said.kind)
        call = channels.TemplateCall(message)
        values = [message.data[keyword] for keyword in call.keywords]
        await _permit(connected, TEMPLATE)
        await connected.call(
            lambda: connected.official.templates.send(call, shot.to, values, url=message.url, client_msg_id=shot.key)
        )
        return None
    if isinstance(message, channels.Article):
        await _preview_article(connected, shot, message)
        return None
    placed = await contents.place(connected, [message])
    await _permit(connected, PREVIEW)
    await connected.call(lambda: connected.official.mass.preview(placed.messages[0], openid=shot.to))
    return None


async def _preview_article(connected: accounts.Connected, shot: Shot, article: channels.Article) -> None:
    """By a draft that is made for it and deleted afterwards."""
    cover = await contents.cover(connected, shot.said) or _cover(connected)

    async def add(picture: str) -> str:
        return await connected.official.drafts.add([contents.with_cover(article, picture)])

    draft = await accounts.use_file(connected, cover, add)
    try:
        await _permit(connected, PREVIEW)
        await connected.call(
            lambda: connected.official.mass.preview(contents.with_draft(article, draft), openid=shot.to)
        )
    finally:
        # One that stays among the account's drafts does no harm.
        with suppress(ChannelError, TagcastError):
            await connected.call(partial(connected.official.drafts.delete, draft))


def _cover(connected: accounts.Connected) -> accounts.File:
    """Our picture, for an article that has none of its own."""
    picture = resources.files("tagcast.broadcasts").joinpath("cover.jpg").read_bytes()

    async def upload() -> str:
        return (await connected.official.media.store("thumb", "cover.jpg", picture)).media_id

    return accounts.File("thumb", picture, upload, lasting=True)


async def _to_member(
    connected: accounts.Connected, userid: str, messages: Sequence[channels.Message]
) -> str | None:  # fmt: skip
    """One application message after the other; the same within half an hour is shown once, by the platform."""
    if connected.account.agentid is None:
        raise Refused("broadcasts.test_needs_agent", account=connected.account.name)
    placed = await contents.place(connected, messages)
    for message in placed.messages:
        await _permit(connected, MEMBER)
        agent = connected.account.agentid
        shown = await connected.call(partial(connected.wecom.messages.send, [userid], message, agent_id=agent))
        if shown.invalid or shown.unlicensed:
            return "not_visible"
    return None


async def _permit(connected: accounts.Connected, api: str) -> None:
    await accounts.permit(connected.runtime, connected.workspace, connected.account.id, api)


def tested(work: Work, broadcast_id: int) -> list[Shown]:
    """What was shown of a broadcast so far, the oldest first; of testers who left the list only what came of it."""
    broadcast = broadcasts.get(work, broadcast_id)
    known: Mapping[int, Tester] = {one.id: one for one in store.listed(work, broadcast.account)}
    found = []
    for one in store.trials_of(work, broadcast_id):
        tester = known.get(one.tester)
        state = "unknown" if one.state == CALLING else one.state
        zh, en = views.sentences(one.reason or f"test_{state}")
        who = (one.tester, tester.contact if tester else 0, tester.userid if tester else "")
        found.append(Shown(*who, one.variant, state, one.reason or "", zh, en))
    return found
