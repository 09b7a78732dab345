"""User tags (用户标签) and the blacklist (黑名单).

Source: developers.weixin.qq.com/doc/service/api/usermanage, pages as of 2026-10-07.
"""

from collections.abc import AsyncIterator, Sequence

from tagcast.channels.calls import Answer, Caller, Done, too_many
from tagcast.channels.errors import ChannelError, Effect
from tagcast.channels.official.paging import Page, PageAnswer, openid_pages

MAX_TAGGING = 50
"""openids in one tagging call."""
MAX_BLOCKING = 20
"""openids in one call that blocks or unblocks."""
MAX_NAME_BYTES = 30
"""Length of a tag's name; the current page says 30 characters, the older one and errcode 45158 say bytes."""
LARGEST_SYSTEM_TAG = 2
"""Tags 0 to 2 are the platform's own."""


class Tag(Answer):
    """A tag of the account; `count` followers wear it (0 right after its creation)."""

    id: int
    name: str
    count: int = 0


class _TagAnswer(Answer):
    tag: Tag


class _TagsAnswer(Answer):
    tags: tuple[Tag, ...]


class _TagsOfPerson(Answer):
    tagid_list: tuple[int, ...]


class Tags:
    """The account's flat tags: at most 100, at most 20 on a person. Writes on one person must not run side by side."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, name: str) -> Tag:
        """Create a tag. After a lost answer look it up in `all`: a second creation is refused as a duplicate."""
        body = {"tag": {"name": _checked(name)}}
        return (await self._caller.post("/cgi-bin/tags/create", body, _TagAnswer, effect=Effect.SEND)).tag

    async def all(self) -> tuple[Tag, ...]:
        """All tags, the system's (ids 0 to 2) included."""
        return (await self._caller.get("/cgi-bin/tags/get", _TagsAnswer)).tags

    async def rename(self, tag_id: int, name: str) -> None:
        """Give a tag another name."""
        body = {"tag": {"id": tag_id, "name": _checked(name)}}
        await self._caller.post("/cgi-bin/tags/update", body, Done)

    async def delete(self, tag_id: int) -> None:
        """Delete a tag of at most 100,000 followers."""
        await self._caller.post("/cgi-bin/tags/delete", {"tag": {"id": tag_id}}, Done)

    async def put_on(self, tag_id: int, openids: Sequence[str]) -> tuple[str, ...]:
        """Put a tag on 1 to 50 people; gives those on whom it failed and may be tried again (errcode 45171)."""
        body = _tagging(tag_id, openids)
        try:
            await self._caller.post("/cgi-bin/tags/members/batchtagging", body, Done)
        except ChannelError as error:
            return _failed(error, openids)
        return ()

    async def take_off(self, tag_id: int, openids: Sequence[str]) -> tuple[str, ...]:
        """Take a tag off 1 to 50 people; gives those on whom it failed, as `put_on`.

        The platform documents no limit here; that of `put_on` is kept.
        """
        body = _tagging(tag_id, openids)
        try:
            await self._caller.post("/cgi-bin/tags/members/batchuntagging", body, Done)
        except ChannelError as error:
            return _failed(error, openids)
        return ()

    def wearers(self, tag_id: int, start: str = "") -> AsyncIterator[Page]:
        """Pages of the followers with a tag, after the openid `start`."""

        async def ask(after: str) -> PageAnswer:
            return await self._caller.post("/cgi-bin/user/tag/get", {"tagid": tag_id, "next_openid": after}, PageAnswer)

        return openid_pages("user/tag/get", ask, start)

    async def of_person(self, openid: str) -> tuple[int, ...]:
        """The tags on one person; there is no call for many."""
        return (await self._caller.post("/cgi-bin/tags/getidlist", {"openid": openid}, _TagsOfPerson)).tagid_list


class Blacklist:
    """Followers from whom the account hears nothing, and who get no mass send."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def all(self, start: str = "") -> AsyncIterator[Page]:
        """Pages of those on the blacklist, after the openid `start`."""

        async def ask(after: str) -> PageAnswer:
            body = {"begin_openid": after}
            return await self._caller.post("/cgi-bin/tags/members/getblacklist", body, PageAnswer)

        return openid_pages("tags/members/getblacklist", ask, start)

    async def put_on(self, openids: Sequence[str]) -> None:
        """Block 1 to 20 followers."""
        too_many(len(openids), MAX_BLOCKING, least=1)
        await self._caller.post("/cgi-bin/tags/members/batchblacklist", {"openid_list": list(openids)}, Done)

    async def take_off(self, openids: Sequence[str]) -> None:
        """Unblock 1 to 20 people."""
        too_many(len(openids), MAX_BLOCKING, least=1)
        await self._caller.post("/cgi-bin/tags/members/batchunblacklist", {"openid_list": list(openids)}, Done)


def _checked(name: str) -> str:
    if not name.strip() or len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"a tag's name has 1 to {MAX_NAME_BYTES} bytes")
    return name


def _tagging(tag_id: int, openids: Sequence[str]) -> dict[str, object]:
    too_many(len(openids), MAX_TAGGING, least=1)
    return {"openid_list": list(openids), "tagid": tag_id}


def _failed(error: ChannelError, openids: Sequence[str]) -> tuple[str, ...]:
    """Those whom a partial failure names. Raises every other error again."""
    failed = error.answer.get("fail_openid_list")
    if error.reason != "partly_failed" or not isinstance(failed, list):
        raise error
    return tuple(openid for openid in openids if openid in failed)
