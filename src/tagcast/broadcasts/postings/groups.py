"""企业群发 to customer groups: a task for each owner of groups, whose recipients are chats."""

from functools import partial

from tagcast import channels
from tagcast.broadcasts.postings.talk import SKEW_SECONDS, Found, Heard, Talk
from tagcast.channels import ChannelError, SendStatus
from tagcast.kit import clock

_RESULTS = {
    SendStatus.SENT: ("delivered", ""),
    SendStatus.NOT_A_FRIEND: ("failed", "chat_gone"),
    SendStatus.OVER_LIMIT: ("failed", "reception_limit"),
}


async def create(talk: Talk) -> Found:
    """Make the owner's task for the chats that are open."""
    made = await talk.connected.call(
        lambda: talk.connected.wecom.mass.create_for_groups(
            talk.message, sender=talk.post.sender, chat_ids=talk.recipients
        )
    )
    return Found(made.msgid, made.fail_list)


async def look_up(talk: Talk, known: set[str]) -> Found:
    """The task of a call whose answer was lost: it says the same, is nobody else's, and is for chats of ours."""
    certain, tried = True, (talk.post.tried_at or 0) // 1000
    span = tried - SKEW_SECONDS, int(clock.now().timestamp()) + SKEW_SECONDS
    for msgid in await talk.connected.call(partial(_record, talk, span)):
        if msgid in known:
            continue
        chats = await talk.connected.call(partial(_chats, talk.connected.wecom, msgid, talk.post.sender))
        if chats and chats <= set(talk.recipients):
            return Found(msgid, tuple(set(talk.recipients) - chats))
        certain = certain and chats != set()
    return Found(None, certain=certain)


async def _record(talk: Talk, span: tuple[int, int]) -> list[str]:
    pages = talk.connected.wecom.mass.list(*span, chat_type="group", creator=talk.post.sender, made_by="app")
    return [found.msgid async for page in pages for found in page if found.says(talk.message)]


async def _chats(client: channels.WecomClient, msgid: str, sender: str) -> set[str] | None:
    """The chats of one owner's part; None when he has none, empty when it is not dealt out yet."""
    employees = {task.userid async for page in client.mass.tasks(msgid) for task in page}
    if employees and sender not in employees:
        return None
    return {result.chat_id async for page in client.mass.results(msgid, sender) for result in page}


async def follow(talk: Talk, *, ends: bool) -> Heard:
    """The results of the chats; with `ends` the task is cancelled first, and a while later they are final."""
    heard, now = Heard(), clock.to_ms(clock.now())
    msgid, sender, mass = talk.post.msgid or "", talk.post.sender, talk.connected.wecom.mass
    if ends and "cancelled" not in talk.post.progress:
        try:
            await talk.connected.call(lambda: mass.cancel(msgid))
        except ChannelError as error:
            if error.reason != "cancelled":
                raise
        heard.facts["cancelled"] = clock.to_ms(clock.now())
        return heard
    since = talk.post.progress.get("cancelled")
    proof = since is not None and now - since >= talk.runtime.settings.in_doubt_seconds * 1000

    async def read() -> list[tuple[str, int]]:
        return [(result.chat_id, result.status) async for page in mass.results(msgid, sender) for result in page]

    for chat, status in await talk.connected.call(read):
        if status in {int(one) for one in _RESULTS}:
            heard.add(chat, *_RESULTS[SendStatus(status)])
        elif proof:
            heard.add(chat, "cancelled", "not_confirmed")
    if proof:
        heard.proven, heard.facts["proven"] = True, now
    return heard
