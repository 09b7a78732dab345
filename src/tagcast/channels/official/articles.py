"""Drafts (草稿箱) and publications (发布). A publication is on the account's page and is pushed to nobody.

Three ids must not be mixed: a draft's `media_id`, a mass send's `msg_data_id`, a publication's `article_id`.
Source: developers.weixin.qq.com/doc/service/api/draftbox and /freepublish, pages as of 2026-10-07.
"""

from collections.abc import AsyncIterator, Sequence
from enum import IntEnum
from typing import Any

from pydantic import ConfigDict

from tagcast.channels.calls import Answer, Caller, Done
from tagcast.channels.errors import Effect
from tagcast.channels.messages import Article, problems
from tagcast.channels.official.bodies import draft_body
from tagcast.channels.official.media import StoredArticle, StoredArticles
from tagcast.channels.official.paging import MAX_ITEMS, offset_pages


class PublishStatus(IntEnum):
    """How far a publication is."""

    PUBLISHED = 0
    PUBLISHING = 1
    NOT_ORIGINAL = 2
    FAILED = 3
    REJECTED = 4
    DELETED_BY_USER = 5
    BANNED = 6


class Draft(Answer):
    """A draft in the list."""

    media_id: str
    content: StoredArticles
    update_time: int = 0


class Submitted(Answer):
    """A publication that was accepted; whether it came to pass is asked with `publish_id`."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    publish_id: str
    msg_data_id: str = ""


class PublishedUrl(Answer):
    """The address of one article of a publication, counted from 1."""

    idx: int
    article_url: str


class _Details(Answer):
    item: tuple[PublishedUrl, ...] = ()


class Publication(Answer):
    """What became of a publication; `publish_status` is a `PublishStatus`, `fail_idx` the articles that failed."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    publish_id: str
    publish_status: int
    article_id: str = ""
    article_detail: _Details = _Details()
    fail_idx: tuple[int, ...] = ()


class Published(Answer):
    """A publication in the list."""

    article_id: str
    content: StoredArticles
    update_time: int = 0


class _MediaId(Answer):
    media_id: str


class _Drafts(Answer):
    total_count: int
    item: tuple[Draft, ...] = ()


class _Total(Answer):
    total_count: int


class _PublishedList(Answer):
    total_count: int
    item: tuple[Published, ...] = ()


class Drafts:
    """The account's drafts. A draft dies when it is mass-sent."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def add(self, articles: Sequence[Article]) -> str:
        """Store articles as one draft; gives its media_id. Raises ValueError for an article that would be refused."""
        body = {"articles": [_checked(article) for article in articles]}
        if not body["articles"]:
            raise ValueError("a draft needs an article")
        return (await self._caller.post("/cgi-bin/draft/add", body, _MediaId)).media_id

    async def read(self, media_id: str) -> tuple[StoredArticle, ...]:
        """The articles of a draft."""
        return (await self._caller.post("/cgi-bin/draft/get", {"media_id": media_id}, StoredArticles)).news_item

    async def update(self, media_id: str, article: Article, *, index: int = 0) -> None:
        """Put an article in the place of the one at `index`, counted from 0."""
        if index < 0:
            raise ValueError("articles of a draft are counted from 0")
        body = {"media_id": media_id, "index": index, "articles": _checked(article)}
        await self._caller.post("/cgi-bin/draft/update", body, Done)

    async def delete(self, media_id: str) -> None:
        """Delete a draft. Not to be undone."""
        await self._caller.post("/cgi-bin/draft/delete", {"media_id": media_id}, Done)

    def all(self, *, with_content: bool = False) -> AsyncIterator[tuple[Draft, ...]]:
        """Pages of up to 20 drafts; the articles' HTML only when asked for."""

        async def ask(offset: int) -> tuple[int, tuple[Draft, ...]]:
            answer = await self._caller.post("/cgi-bin/draft/batchget", _slice(offset, with_content), _Drafts)
            return answer.total_count, answer.item

        return offset_pages(ask)

    async def count(self) -> int:
        """How many drafts there are."""
        return (await self._caller.get("/cgi-bin/draft/count", _Total)).total_count


class Publishing:
    """Publications of drafts."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def submit(self, media_id: str) -> Submitted:
        """Ask for a draft's publication. The answer means accepted, not published."""
        body = {"media_id": media_id}
        return await self._caller.post("/cgi-bin/freepublish/submit", body, Submitted, effect=Effect.SEND)

    async def status(self, publish_id: str) -> Publication:
        """What became of a publication."""
        return await self._caller.post("/cgi-bin/freepublish/get", {"publish_id": publish_id}, Publication)

    async def delete(self, article_id: str, *, article: int = 0) -> None:
        """Take a publication away: one article from 1 on, or all (0). Not to be undone."""
        if article < 0:
            raise ValueError("articles are counted from 1; 0 means all")
        body = {"article_id": article_id, "index": article}
        await self._caller.post("/cgi-bin/freepublish/delete", body, Done)

    async def read(self, article_id: str) -> tuple[StoredArticle, ...]:
        """The articles of a publication."""
        body = {"article_id": article_id}
        return (await self._caller.post("/cgi-bin/freepublish/getarticle", body, StoredArticles)).news_item

    def all(self, *, with_content: bool = False) -> AsyncIterator[tuple[Published, ...]]:
        """Pages of up to 20 publications; the articles' HTML only when asked for."""

        async def ask(offset: int) -> tuple[int, tuple[Published, ...]]:
            body = _slice(offset, with_content)
            answer = await self._caller.post("/cgi-bin/freepublish/batchget", body, _PublishedList)
            return answer.total_count, answer.item

        return offset_pages(ask)


def _slice(offset: int, with_content: bool) -> dict[str, int]:
    return {"offset": offset, "count": MAX_ITEMS, "no_content": 0 if with_content else 1}


def _checked(article: Article) -> dict[str, Any]:
    for problem in problems([article], "official"):
        raise ValueError(f"{problem.field}: {problem.size} {problem.unit}, at most {problem.limit}")
    return draft_body(article)
