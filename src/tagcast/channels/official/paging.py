"""Pages that end: whatever a platform answers, no list is read in a circle."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tagcast.channels.calls import Answer
from tagcast.channels.errors import Effect, lost

T = TypeVar("T")
MAX_ITEMS = 20
"""Entries in one page of a list that is read by offset."""


class Page(Answer):
    """A page of openids. `next_openid` continues after it; the last page has none."""

    openids: tuple[str, ...]
    next_openid: str
    total: int


class _Openids(Answer):
    openid: tuple[str, ...] = ()


class PageAnswer(Answer):
    """What the platform answers to a page of openids; a page without any has no `data`."""

    total: int = 0
    count: int
    data: _Openids = _Openids()
    next_openid: str = ""


async def openid_pages(
    operation: str, ask: Callable[[str], Awaitable[PageAnswer]], start: str = ""
) -> AsyncIterator[Page]:
    """Pages after the openid `start`, asked one after another; an empty one is the end.

    Raises `ChannelError` (answer lost, to be read again) when a page leads back to one that was read.
    """
    asked = {start}
    while True:
        answer = await ask(start)
        if not answer.data.openid:
            return
        start = answer.next_openid
        if start in asked - {""}:
            raise lost("official", operation, effect=Effect.READ)
        asked.add(start)
        yield Page(openids=answer.data.openid, next_openid=start, total=answer.total or answer.count)
        if not start:
            return


async def offset_pages(ask: Callable[[int], Awaitable[tuple[int, tuple[T, ...]]]]) -> AsyncIterator[tuple[T, ...]]:
    """Pages by offset; `ask` gives the total and one page. Ends at the total, and at an empty page before it."""
    offset = 0
    while True:
        total, items = await ask(offset)
        if not items:
            return
        yield items
        offset += len(items)
        if offset >= total:
            return
