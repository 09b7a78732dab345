"""服务号 subscription messages (订阅消息): a call per recipient, each on one consent that he gave.

No page says how long the platform remembers a key here, so nobody is ever called twice: who is in flight after a crash
is in doubt, and the platform's word on what it sent (`subscribe_msg_sent_event`) settles him. So the window is no wider
than the calls that are under way at a time.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from tagcast import accounts, channels
from tagcast.broadcasts import store
from tagcast.broadcasts.delivery.job import Job
from tagcast.broadcasts.delivery.template import addressees_of, each, unsayable
from tagcast.broadcasts.ledger import members
from tagcast.broadcasts.rules import Route, State, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit import clock
from tagcast.kit.uow import Work

API = "message_subscribe_bizsend"
NEVER_AGAIN = -1.0


async def deliver(job: Job, connected: accounts.Connected) -> float | None:
    """Call everybody in the chunk. Returns None when it is closed, or seconds until it should be taken up again."""
    addressees, told = await job.read(partial(addressees_of, job))
    keywords = list(told.content.data)
    values = told.values(keywords)

    async def send(index: int) -> int:
        openid, url = addressees[index]
        said = dict(zip(keywords, values[index % len(values)], strict=True))
        message = channels.TemplateMessage(told.content.template_id, said, url)
        await accounts.permit(job.runtime, job.lease.workspace, job.account.id, API)
        await connected.call(
            lambda: connected.official.subscriptions.send(openid, message, client_msg_id=_live_key(job, index))
        )
        return 0

    width = job.runtime.settings.send_concurrency
    return await each(job, send, unsayable(addressees, told), width=width, key_seconds=NEVER_AGAIN)


def _live_key(job: Job, index: int) -> str:
    """A key given only to a holder of the chunk, in case the platform knows it. Raises Lost."""
    job.check_live()
    return job.key(index)


def match(work: Work, broadcast: Broadcast, chunks: Sequence[Chunk]) -> dict[int, dict[int, tuple[Status, str]]]:
    """What the platform said of people of this broadcast: chunk no → index → (status, reason). Takes the receipts.

    A receipt names the person and the template, not the call, so it is taken by the broadcast that was started first
    of those that still wait for one of this person.
    """
    template = str(broadcast.content["template_id"])
    started = 0 if broadcast.started_at is None else clock.to_ms(broadcast.started_at)
    elder = _waiting_elsewhere(work, broadcast, template)
    said = {
        int(one.data["contact"]): one
        for one in reversed(store.open_receipts(work, broadcast.account))
        if one.data.get("template") == template and one.at >= started and int(one.data["contact"]) not in elder
    }
    if not said:
        return {}
    news: dict[int, dict[int, tuple[Status, str]]] = {}
    taken = []
    people = np.fromiter(said, dtype=np.uint32)
    for chunk in chunks:
        waits = (chunk.statuses == Status.ACCEPTED) | (chunk.statuses == Status.IN_DOUBT)
        for index in np.flatnonzero(waits & np.isin(chunk.recipients, people)).tolist():
            receipt = said[int(chunk.recipients[index])]
            arrived = receipt.status == "success"
            outcome = (Status.DELIVERED, "") if arrived else (Status.FAILED, f"receipt:{receipt.status}")
            news.setdefault(chunk.no, {})[index] = outcome
            taken.append(receipt.seq)
    store.take_receipts(work, taken)
    return news


def _waiting_elsewhere(work: Work, broadcast: Broadcast, template: str) -> set[int]:
    """Who waits for the same template's receipt of a broadcast that was started before."""
    found: set[int] = set()
    states = (State.SENDING, State.PAUSED, State.SETTLING)
    for other in store.all_(work, account=broadcast.account, states=states):
        same = other.route is Route.SUBSCRIPTION and other.content.get("template_id") == template
        if same and (other.started_at or work.now) < (broadcast.started_at or work.now):
            for chunk in store.chunks_of(work, other.id):
                waits = (chunk.statuses == Status.ACCEPTED) | (chunk.statuses == Status.IN_DOUBT)
                found.update(members(chunk.recipients[waits]))
    return found
