"""Files: temporary media (three days), pictures inside articles, and permanent materials (素材).

Source: developers.weixin.qq.com/doc/service/api/material, pages as of 2026-10-07.
"""

from collections.abc import AsyncIterator
from functools import cache
from pathlib import PurePath
from typing import Any, Literal

import orjson

from tagcast.channels.calls import Answer, Caller, Done, Downloaded
from tagcast.channels.official.paging import MAX_ITEMS, offset_pages
from tagcast.kit.shipped import read_toml

MediaKind = Literal["image", "voice", "video", "thumb"]
StoredKind = Literal["image", "voice", "video"]


class Material(Answer):
    """An uploaded file; `url` is given for permanent images only, `created_at` (Unix seconds) for temporary ones."""

    media_id: str
    url: str = ""
    created_at: int = 0


class VideoLink(Answer):
    """Where a temporary video can be fetched (the shape is not confirmed by a page of the platform)."""

    video_url: str


class StoredVideo(Answer):
    """A permanent video, fetched from `down_url`."""

    title: str = ""
    description: str = ""
    down_url: str


class StoredFile(Answer):
    """A permanent material in the list; `update_time` in Unix seconds."""

    media_id: str
    name: str = ""
    update_time: int = 0
    url: str = ""


class StoredCounts(Answer):
    """How many permanent materials there are; images and articles up to 100,000 together, others 1,000 each."""

    voice_count: int
    video_count: int
    image_count: int
    news_count: int


class StoredArticle(Answer):
    """An article of a draft, of a publication, or of an old permanent material, as the platform keeps it."""

    title: str = ""
    author: str = ""
    digest: str = ""
    content: str = ""
    content_source_url: str = ""
    thumb_media_id: str = ""
    thumb_url: str = ""
    url: str = ""
    article_type: str = "news"
    need_open_comment: int = 0
    only_fans_can_comment: int = 0
    is_deleted: bool = False


class StoredArticles(Answer):
    """Articles that belong together."""

    news_item: tuple[StoredArticle, ...]


class _Files(Answer):
    total_count: int
    item: tuple[StoredFile, ...] = ()


class _Url(Answer):
    url: str


class Media:
    """The account's files. A file of a wrong kind or size raises ValueError before it is sent."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def upload(self, kind: MediaKind, name: str, content: bytes) -> Material:
        """Upload a file for three days."""
        _check(kind, name, content)
        return await self._caller.upload("/cgi-bin/media/upload", name, content, Material, query={"type": kind})

    async def download(self, media_id: str) -> Downloaded | VideoLink:
        """A temporary file; of a video its address."""
        got = await self._caller.download("/cgi-bin/media/get", query={"media_id": media_id})
        return got if isinstance(got, Downloaded) else self._caller.shaped("/cgi-bin/media/get", got, VideoLink)

    async def upload_for_article(self, name: str, content: bytes) -> str:
        """Upload a picture for use inside an article's HTML; gives its URL. JPG or PNG, below 1 MB.

        It is no material and is not counted. Pictures of other servers are taken out of an article by the platform.
        """
        _check("article_image", name, content)
        answer = await self._caller.upload("/cgi-bin/media/uploadimg", name, content, _Url)
        return answer.url

    async def store(self, kind: Literal["image", "voice", "thumb"], name: str, content: bytes) -> Material:
        """Upload a permanent file, such as an article's cover."""
        _check(kind, name, content)
        return await self._caller.upload(
            "/cgi-bin/material/add_material", name, content, Material, query={"type": kind}
        )

    async def store_video(self, name: str, content: bytes, *, title: str, introduction: str = "") -> Material:
        """Upload a permanent video with its title."""
        _check("video", name, content)
        if not title:
            raise ValueError("a permanent video needs a title")
        fields = {"description": orjson.dumps({"title": title, "introduction": introduction}).decode()}
        return await self._caller.upload(
            "/cgi-bin/material/add_material", name, content, Material, query={"type": "video"}, fields=fields
        )

    async def read_stored(self, media_id: str) -> Downloaded | StoredVideo | StoredArticles:
        """A permanent material: a file, a video's address, or old articles."""
        path = "/cgi-bin/material/get_material"
        got = await self._caller.download("/cgi-bin/material/get_material", body={"media_id": media_id})
        if isinstance(got, Downloaded):
            return got
        if "news_item" in got:
            return self._caller.shaped(path, got, StoredArticles)
        return self._caller.shaped(path, got, StoredVideo)

    def stored(self, kind: StoredKind) -> AsyncIterator[tuple[StoredFile, ...]]:
        """Pages of up to 20 permanent files, the newest first."""

        async def ask(offset: int) -> tuple[int, tuple[StoredFile, ...]]:
            body = {"type": kind, "offset": offset, "count": MAX_ITEMS}
            answer = await self._caller.post("/cgi-bin/material/batchget_material", body, _Files)
            return answer.total_count, answer.item

        return offset_pages(ask)

    async def count_stored(self) -> StoredCounts:
        """How many permanent materials there are."""
        return await self._caller.get("/cgi-bin/material/get_materialcount", StoredCounts)

    async def delete_stored(self, media_id: str) -> None:
        """Delete a permanent material. One that a menu or an auto-reply uses is refused (48005)."""
        await self._caller.post("/cgi-bin/material/del_material", {"media_id": media_id}, Done)


@cache
def _files() -> dict[str, Any]:
    return dict(read_toml("channels", "official", "limits.toml")["media"])


def _check(kind: str, name: str, content: bytes) -> None:
    limit = _files()[kind]
    ending = PurePath(name).suffix.lower().removeprefix(".")
    if ending not in limit["endings"]:
        raise ValueError(f"a file of kind {kind} ends with one of {', '.join(limit['endings'])}")
    if not 0 < len(content) <= limit["max"]:
        raise ValueError(f"a file of kind {kind} has 1 to {limit['max']} bytes, not {len(content)}")
