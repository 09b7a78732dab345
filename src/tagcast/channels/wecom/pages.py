"""Paging by cursor, which always comes to an end."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from tagcast.channels.calls import Answer, Caller
from tagcast.channels.errors import Effect, lost

MOST_PAGES = 1_000_000
"""More pages than any list has: 100 million customers."""


class Page(Answer):
    """A part of a list; an empty `next_cursor` is its end."""

    next_cursor: str = ""


PageT = TypeVar("PageT", bound=Page)


async def pages(caller: Caller, path: str, body: dict[str, Any], shape: type[PageT]) -> AsyncIterator[PageT]:
    """Follow `next_cursor` from `body`'s own cursor to the end.

    A cursor that came before leads in a circle: the list cannot be complete, so it is an answer that cannot be used
    (`ChannelError`, reaction retry), never an end.
    """
    seen = {body.get("cursor", "")}
    for _ in range(MOST_PAGES):
        page = await caller.post(path, body, shape)
        yield page
        if not page.next_cursor:
            return
        if page.next_cursor in seen:
            break
        seen.add(page.next_cursor)
        body = body | {"cursor": page.next_cursor}
    raise lost("wecom", path.removeprefix("/cgi-bin/"), effect=Effect.READ)
