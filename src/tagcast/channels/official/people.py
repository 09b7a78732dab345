"""Followers. Source: developers.weixin.qq.com/doc/service/api/usermanage, pages as of 2026-10-07."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from tagcast.channels.calls import Answer, Caller, Done, too_many
from tagcast.channels.official.paging import Page, PageAnswer, openid_pages

MAX_PEOPLE = 100
"""openids in one look-up of people."""
MAX_REMARK_BYTES = 29
"""A remark is shorter than 30 bytes."""

Language = Literal["zh_CN", "zh_TW", "en"]


class Follower(Answer):
    """What the platform tells about a person. Only `openid` and `unionid` are given of one who does not follow.

    Nickname, picture, sex and place have not been given since 2021-12-27.
    """

    subscribe: int
    openid: str
    unionid: str = ""
    subscribe_time: int = 0
    remark: str = ""
    groupid: int = 0
    tagid_list: tuple[int, ...] = ()
    subscribe_scene: str = ""
    qr_scene: int = 0
    qr_scene_str: str = ""


class _People(Answer):
    user_info_list: tuple[Follower, ...]


class People:
    """The account's followers."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def followers(self, start: str = "") -> AsyncIterator[Page]:
        """Pages of up to 10,000 followers, after the openid `start`; to be read one after another."""

        async def ask(after: str) -> PageAnswer:
            return await self._caller.get(
                "/cgi-bin/user/get", PageAnswer, query={"next_openid": after} if after else None
            )

        return openid_pages("user/get", ask, start)

    async def profile(self, openid: str, *, language: Language = "zh_CN") -> Follower:
        """What is known of one person."""
        query = {"openid": openid, "lang": language}
        return await self._caller.get("/cgi-bin/user/info", Follower, query=query)

    async def profiles(self, openids: Sequence[str], *, language: Language = "zh_CN") -> tuple[Follower, ...]:
        """What is known of 1 to 100 people."""
        too_many(len(openids), MAX_PEOPLE, least=1)
        body = {"user_list": [{"openid": openid, "lang": language} for openid in openids]}
        return (await self._caller.post("/cgi-bin/user/info/batchget", body, _People)).user_info_list

    async def set_remark(self, openid: str, remark: str) -> None:
        """Note something about a follower, in fewer than 30 bytes; an empty remark takes it away."""
        if len(remark.encode()) > MAX_REMARK_BYTES:
            raise ValueError(f"a remark has at most {MAX_REMARK_BYTES} bytes")
        await self._caller.post("/cgi-bin/user/info/updateremark", {"openid": openid, "remark": remark}, Done)
