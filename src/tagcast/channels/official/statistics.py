"""Statistics (数据统计): reports of finished days. Reads and shares are counted per article, never per person or tag.

Source: developers.weixin.qq.com/doc/service/api/datacube, pages as of 2026-10-07; spans in `limits.toml`.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

from tagcast.channels.calls import Answer, Caller
from tagcast.kit import clock
from tagcast.kit.shipped import read_toml

ZONE = "Asia/Shanghai"
"""Where the platform's days begin."""

RowT = TypeVar("RowT", bound=Answer)
Row = dict[str, Any]
"""A row as it came, where no page that was seen confirms its fields."""


class FollowersChange(Answer):
    """Followers won and lost on a day by a way of coming (`user_source`)."""

    ref_date: date
    user_source: int
    new_user: int
    cancel_user: int


class FollowersTotal(Answer):
    """Followers at the end of a day."""

    ref_date: date
    cumulate_user: int


class Reading(Answer):
    """Reads, shares and favourites, by people and by times; `ori_page` is the link 阅读原文."""

    int_page_read_user: int = 0
    int_page_read_count: int = 0
    ori_page_read_user: int = 0
    ori_page_read_count: int = 0
    share_user: int = 0
    share_count: int = 0
    add_to_fav_user: int = 0
    add_to_fav_count: int = 0


class ArticleDay(Reading):
    """An article's reading on a day; `msgid` is `<msg_data_id>_<article, from 1>`."""

    ref_date: date
    msgid: str
    title: str = ""


class ArticleDetail(Reading):
    """An article's figures up to `stat_date`; `target_user` people were sent it."""

    stat_date: date
    target_user: int = 0
    int_page_from_session_read_user: int = 0
    int_page_from_session_read_count: int = 0
    int_page_from_hist_msg_read_user: int = 0
    int_page_from_hist_msg_read_count: int = 0
    int_page_from_feed_read_user: int = 0
    int_page_from_feed_read_count: int = 0
    int_page_from_friends_read_user: int = 0
    int_page_from_friends_read_count: int = 0
    int_page_from_other_read_user: int = 0
    int_page_from_other_read_count: int = 0
    feed_share_from_session_user: int = 0
    feed_share_from_session_cnt: int = 0
    feed_share_from_feed_user: int = 0
    feed_share_from_feed_cnt: int = 0
    feed_share_from_other_user: int = 0
    feed_share_from_other_cnt: int = 0


class ArticleTotal(Answer):
    """An article that was sent on `ref_date`, and its figures on the days after."""

    ref_date: date
    msgid: str
    title: str = ""
    details: tuple[ArticleDetail, ...] = ()


class ReadingDay(Reading):
    """All articles' reading of a day (and hour, 0 to 2300) by where it began (`user_source`).

    0 session, 1 friends, 2 moments, 4 history, 5 other, 99999999 all (the numbers are not confirmed by a page seen).
    """

    ref_date: date
    ref_hour: int = 0
    user_source: int


class Shares(Answer):
    """Shares of a day (and hour) by where to: 1 friends, 2 moments, 255 other (numbers not confirmed)."""

    ref_date: date
    ref_hour: int = 0
    share_scene: int
    share_count: int
    share_user: int


class Upstream(Answer):
    """Messages that people sent to the account, by kind."""

    ref_date: date
    ref_hour: int = 0
    msg_type: int
    msg_user: int
    msg_count: int = 0


class UpstreamSpread(Answer):
    """How many people sent how many messages (`count_interval`: 0 none, 1 up to 5, 2 up to 10, 3 more)."""

    ref_date: date
    count_interval: int
    msg_user: int


class Interface(Answer):
    """Callbacks to our server: how many, how many failed, and the time they took, in milliseconds."""

    ref_date: date
    ref_hour: int = 0
    callback_count: int
    fail_count: int
    total_time_cost: int
    max_time_cost: int


class _Rows(Answer):
    list: tuple[Row, ...]


class Statistics:
    """Reports from `first` to `last`, both included, of days that are over (yesterday's are ready in the morning).

    Raises ValueError for dates in disorder, a span longer than the platform takes, and a day that is not over.
    """

    def __init__(self, caller: Caller, now: Callable[[], datetime] = clock.now) -> None:
        self._caller = caller
        self._now = now

    async def followers_change(self, first: date, last: date) -> tuple[FollowersChange, ...]:
        """Followers won and lost."""
        return await self._report("/datacube/getusersummary", first, last, FollowersChange)

    async def followers_total(self, first: date, last: date) -> tuple[FollowersTotal, ...]:
        """Followers in all."""
        return await self._report("/datacube/getusercumulate", first, last, FollowersTotal)

    async def articles(self, first: date, last: date) -> tuple[ArticleDay, ...]:
        """The reading of each article on a day."""
        return await self._report("/datacube/getarticlesummary", first, last, ArticleDay)

    async def article_totals(self, first: date, last: date) -> tuple[ArticleTotal, ...]:
        """The articles sent on a day, and their reading since. No longer maintained by the platform."""
        return await self._report("/datacube/getarticletotal", first, last, ArticleTotal)

    async def reading(self, first: date, last: date) -> tuple[ReadingDay, ...]:
        """Reading of all articles."""
        return await self._report("/datacube/getuserread", first, last, ReadingDay)

    async def reading_by_hour(self, first: date, last: date) -> tuple[ReadingDay, ...]:
        """Reading of all articles, hour by hour."""
        return await self._report("/datacube/getuserreadhour", first, last, ReadingDay)

    async def shares(self, first: date, last: date) -> tuple[Shares, ...]:
        """Shares of all articles."""
        return await self._report("/datacube/getusershare", first, last, Shares)

    async def shares_by_hour(self, first: date, last: date) -> tuple[Shares, ...]:
        """Shares of all articles, hour by hour."""
        return await self._report("/datacube/getusersharehour", first, last, Shares)

    async def upstream(self, first: date, last: date) -> tuple[Upstream, ...]:
        """Messages that people sent."""
        return await self._report("/datacube/getupstreammsg", first, last, Upstream)

    async def upstream_by_hour(self, first: date, last: date) -> tuple[Upstream, ...]:
        """Messages that people sent, hour by hour."""
        return await self._report("/datacube/getupstreammsghour", first, last, Upstream)

    async def upstream_by_week(self, first: date, last: date) -> tuple[Upstream, ...]:
        """Messages that people sent, week by week (`ref_date` is the Monday)."""
        return await self._report("/datacube/getupstreammsgweek", first, last, Upstream)

    async def upstream_by_month(self, first: date, last: date) -> tuple[Upstream, ...]:
        """Messages that people sent, month by month (`ref_date` is the first day)."""
        return await self._report("/datacube/getupstreammsgmonth", first, last, Upstream)

    async def upstream_spread(self, first: date, last: date) -> tuple[UpstreamSpread, ...]:
        """How many people sent how many messages."""
        return await self._report("/datacube/getupstreammsgdist", first, last, UpstreamSpread)

    async def upstream_spread_by_week(self, first: date, last: date) -> tuple[UpstreamSpread, ...]:
        """How many people sent how many messages, week by week."""
        return await self._report("/datacube/getupstreammsgdistweek", first, last, UpstreamSpread)

    async def upstream_spread_by_month(self, first: date, last: date) -> tuple[UpstreamSpread, ...]:
        """How many people sent how many messages, month by month."""
        return await self._report("/datacube/getupstreammsgdistmonth", first, last, UpstreamSpread)

    async def interface(self, first: date, last: date) -> tuple[Interface, ...]:
        """Callbacks to our server."""
        return await self._report("/datacube/getinterfacesummary", first, last, Interface)

    async def interface_by_hour(self, first: date, last: date) -> tuple[Interface, ...]:
        """Callbacks to our server, hour by hour."""
        return await self._report("/datacube/getinterfacesummaryhour", first, last, Interface)

    async def article_read(self, first: date, last: date) -> tuple[Row, ...]:
        """Reading of articles, of the new series: rows as they came."""
        return await self._rows("/datacube/getarticleread", first, last)

    async def article_share(self, first: date, last: date) -> tuple[Row, ...]:
        """Shares of articles, of the new series: rows as they came."""
        return await self._rows("/datacube/getarticleshare", first, last)

    async def account_summary(self, first: date, last: date) -> tuple[Row, ...]:
        """The account's figures, of the new series: rows as they came."""
        return await self._rows("/datacube/getbizsummary", first, last)

    async def article_total_detail(self, first: date, last: date) -> tuple[Row, ...]:
        """Figures of articles since they were published, of the new series: rows as they came."""
        return await self._rows("/datacube/getarticletotaldetail", first, last)

    async def _report(self, path: str, first: date, last: date, shape: type[RowT]) -> tuple[RowT, ...]:
        rows = await self._rows(path, first, last)
        return tuple(self._caller.shaped(path, row, shape) for row in rows)

    async def _rows(self, path: str, first: date, last: date) -> tuple[Row, ...]:
        _check(path, first, last, today=clock.local_day(self._now(), ZONE))
        body = {"begin_date": first.isoformat(), "end_date": last.isoformat()}
        return (await self._caller.post(path, body, _Rows)).list


def longest(path: str) -> int:
    """The longest span that a report takes, in days; 0 where no page that was seen says."""
    return int(_spans()[path.rpartition("/")[2]])


@cache
def _spans() -> dict[str, Any]:
    return dict(read_toml("channels", "official", "limits.toml")["datacube"]["days"])


def _check(path: str, first: date, last: date, *, today: date) -> None:
    days = (last - first).days + 1
    most = longest(path)
    if days < 1 or (most and days > most):
        raise ValueError(f"{path} takes 1 to {most or 'more'} days, not {days}")
    if last >= today:
        raise ValueError(f"{path} tells of days that are over, not of {last}")
