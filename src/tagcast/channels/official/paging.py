"""Pages that end: whatever a platform answers, no list is read in a circle."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from tagcast.channels.calls import Answer
from tagcast.channels.errors import Effect, lost

T = TypeVar("T")
_SLACK = 10
"""So many people, and one in a hundred, may leave while a list is read."""
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

    Raises `ChannelError` (answer lost, to be read again) when a page leads back to one that was read, or holds fewer
    than it says.
    """
    asked = {start}
    while True:
        answer = await ask(start)
        if answer.count > len(answer.data.openid) or (answer.total and not start and not answer.data.openid):
            raise lost("official", operation, effect=Effect.READ)
        if not answer.data.openid:
            return
        start = answer.next_openid
        if start in asked - {""}:
            raise lost("official", operation, effect=Effect.READ)
        asked.add(start)
        yield Page(openids=answer.data.openid, next_openid=start, total=answer.total or answer.count)
        if not start:
            return


async def each_page(
    call: Callable[[Callable[[], Awaitable[Page | None]]], Awaitable[Page | None]],
    ask: Callable[[str], AsyncIterator[Page]],
    start: str = "",
) -> AsyncIterator[Page]:
    """The pages that `ask(start)` gives, each asked for by its own `call`, which may repeat it: a generator that raised
    is over.

    Raises `ChannelError` (answer lost, to be read again) when a page leads back to one that was read, and when a list
    that was read from its beginning ends long before its own total: who is not in it would be taken for gone.
    """
    asked, read, total = {start}, 0, 0
    whole = not start
    while (page := await call(lambda: anext(ask(start), None))) is not None:  # noqa: B023 - awaited at once
        read, total, start = read + len(page.openids), page.total, page.next_openid
        yield page
        if not start:
            break
        if start in asked:
            raise lost("official", "pages of openids", effect=Effect.READ)
        asked.add(start)
    if whole and total - read > _SLACK + total // 100:
        raise lost("official", "pages of openids", effect=Effect.READ)


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
