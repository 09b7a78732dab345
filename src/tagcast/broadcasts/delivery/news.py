"""What the platform said about the recipients of a chunk that was sent."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tagcast import accounts, channels
from tagcast.broadcasts import ledger, rules
from tagcast.broadcasts.rules import Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.channels import ChannelError
from tagcast.kit.uow import Work


@dataclass(slots=True)
class News:
    """What a poll brought for one chunk: index → (status, reason); `final`: there is nothing more to learn.

    `facts` are kept with the chunk's progress.
    """

    outcomes: dict[int, tuple[Status, str]] = field(default_factory=dict)
    final: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def final(chunk: Chunk) -> bool:
    """Whether nothing more can be learnt about a chunk."""
    return bool(chunk.progress.get("final")) or not (chunk.statuses == Status.ACCEPTED).any()


def apply(work: Work, broadcast: Broadcast, chunk: Chunk, news: News) -> None:
    """Bring news to a chunk, in memory; the caller saves it."""
    learnt = chunk.statuses.copy()
    for index, (status, _reason) in news.outcomes.items():
        learnt[index] = status
    reasons = {index: reason for index, (_status, reason) in news.outcomes.items() if reason}
    ledger.put(work, broadcast, chunk, rules.receipts(chunk.statuses, learnt), reasons)
    if news.final:
        chunk.progress = {**chunk.progress, "final": True}
    if news.facts:
        chunk.progress = {**chunk.progress, **news.facts}


async def each(
    connected: accounts.Connected, chunks: Sequence[Chunk], polls: Sequence[Callable[[], Awaitable[News]]]
) -> dict[int, News]:
    """Ask one after another; what the platform cannot tell of one chunk keeps no other from being asked."""
    news = {}
    for chunk, poll in zip(chunks, polls, strict=True):
        try:
            news[chunk.no] = await connected.call(poll)
        except ChannelError as error:
            if error.scope is channels.Scope.ACCOUNT:
                break
    return news
