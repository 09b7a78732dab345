"""Daily quotas: read from the platform where it tells them (公众号, 服务号), counted by us elsewhere (企业微信).

A refusal for a used-up quota closes the API for all processes: until midnight in Asia/Shanghai when a day's quota is
gone (45009 of 公众号 and 服务号), for 60 s, then 60 min, then to the end of the day when 企业微信 goes on refusing. Its
page says that a block is as long as the window that was hit, and the errcode does not say which one that was.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from tagcast.accounts.pacing import lanes, store
from tagcast.accounts.pacing.lanes import Lane
from tagcast.channels import ChannelError, Scope
from tagcast.kit import clock, logs
from tagcast.kit.errors import TagcastError
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Runtime, Work

log = logs.get("accounts")

ZONE = ZoneInfo("Asia/Shanghai")
STALE_SECONDS = 600
CLOSED_SECONDS = (60, 3600)
"""How long 企业微信's first and second refusal in a row close an API; the third closes it for the day."""
ROW_SECONDS = 600
"""A refusal this soon after an API was opened again is the next one in the row."""


class Told(Protocol):
    """A quota as the platform tells it."""

    @property
    def daily_limit(self) -> int:
        """Calls a day."""

    @property
    def used(self) -> int:
        """Calls made today."""


Read = Callable[[str], Awaitable[Told]]
"""Asks the platform for the quota of a path."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Calls of one API today. `limit` None: the platform publishes or tells none; times are epoch milliseconds."""

    api: str
    zh: str
    en: str
    limit: int | None
    used: int
    left: int | None
    source: Literal["platform", "counted"]
    read_at: int | None
    closed_until: int | None


@cache
def _watched(kind: str) -> dict[str, dict[str, str]]:
    """API → its path and names, for the APIs of a kind whose quota is worth knowing."""
    found: dict[str, dict[str, str]] = read_toml("accounts", "apis.toml").get(kind, {})
    return found


def quotas(work: Work, account_id: int, kind: str) -> list[Quota]:
    """What is known of an account's quotas now, the watched APIs first."""
    rows = {row.api: row for row in store.all_quotas(work, account_id)}
    watched = _watched(kind)
    now = clock.to_ms(clock.now())
    names = [*watched, *(api for api, row in rows.items() if api not in watched and _counts(row, now))]
    return [_quota(api, watched.get(api, {}), rows.get(api), now) for api in names]


def _counts(row: Any, now: int) -> bool:
    return bool(row.day == _day(now) or row.closed_until > now)


def _quota(api: str, names: dict[str, str], row: Any, now: int) -> Quota:
    today = row is not None and row.day == _day(now)
    limit = row.daily_limit if today and row.read_at is not None else None
    used = row.used + row.counted if today else 0
    return Quota(
        api=api,
        zh=names.get("zh", api),
        en=names.get("en", api),
        limit=limit,
        used=used,
        left=None if limit is None else max(0, limit - used),
        source="counted" if limit is None else "platform",
        read_at=row.read_at if today else None,
        closed_until=row.closed_until if row is not None and row.closed_until > now else None,
    )


async def read_quotas(runtime: Runtime, workspace: int, account_id: int, kind: str, read: Read) -> None:
    """Ask the platform for all watched quotas of an account; an API that it does not know is left out.

    An API that is closed and has something left is opened again. Raises `ChannelError` for what concerns the account.
    """
    for api, row in _watched(kind).items():
        try:
            told = await read(row["path"])
        except ChannelError as error:
            if error.scope is Scope.ACCOUNT and error.reason != "daily_quota":
                raise
            continue
        await asyncio.to_thread(_take, runtime, (workspace, account_id, api), told)
    lanes.forget(runtime, workspace, account_id)


def is_stale(found: list[Quota], now: datetime) -> bool:
    """Whether the platform should be asked again: nothing was read for a while."""
    newest = max((quota.read_at or 0 for quota in found), default=0)
    return clock.to_ms(now) - newest > STALE_SECONDS * 1000


def _take(runtime: Runtime, key: lanes.Key, told: Told) -> None:
    workspace, account, api = key
    with runtime.work(workspace, "quota") as work:
        row, now = store.quota(work, account, api)
        facts = {"day": _day(now), "daily_limit": told.daily_limit, "used": told.used, "counted": 0, "read_at": now}
        if row is not None and told.used < told.daily_limit:
            facts |= {"closed_until": 0, "closings": 0}
        store.put_quota(work, account, api, **facts)


def count(runtime: Runtime, lane: Lane) -> None:
    """Add this process's calls since the last time."""
    with lane.lock:
        calls, lane.count = lane.count, 0
        lane.counted_at = time.monotonic()
    if calls:
        workspace, account, api = lane.key
        with runtime.work(workspace, "quota") as work:
            store.count_calls(work, account, api, _day(clock.to_ms(work.now)), calls)


async def learn(
    runtime: Runtime, workspace: int, account_id: int, api: str, error: ChannelError, *, read: Read | None = None
) -> None:
    """What a refusal says of an account's limits is kept for all processes. Not being able to must not hide it."""
    key = (workspace, account_id, api)
    try:
        if error.reason == "daily_quota":
            if read is None or not await _has_left(runtime, key, read):
                await asyncio.to_thread(_close, runtime, key, error)
        elif error.reason == "rate_limited":
            await asyncio.to_thread(_close, runtime, key, error)
        elif error.reason == "too_many_concurrent":
            await asyncio.to_thread(_cut, runtime, key)
    except SQLAlchemyError as problem:
        log.warning("refusal not learnt", account=account_id, errcode=error.errcode, reason=type(problem).__name__)


async def _has_left(runtime: Runtime, key: lanes.Key, read: Read) -> bool:
    """Whether the platform says itself that something is left, so that its refusal was not for the day's quota."""
    path = _watched("official").get(key[2], _watched("service").get(key[2], {})).get("path")
    if path is None:
        return False
    try:
        told = await read(path)
    except (ChannelError, TagcastError):  # no answer is no proof that something is left
        return False
    await asyncio.to_thread(_take, runtime, key, told)
    return told.used < told.daily_limit


def _close(runtime: Runtime, key: lanes.Key, error: ChannelError) -> None:
    workspace, account, api = key
    with runtime.work(workspace, "quota") as work:
        row, now = store.quota(work, account, api)
        was = row.closed_until if row is not None else 0
        if now < was:
            return
        closings = row.closings + 1 if row is not None and now < was + ROW_SECONDS * 1000 else 1
        until = closed_until(error, closings, now)
        facts = {"closed_until": until, "closings": closings, "errcode": error.errcode}
        if row is None or row.day != _day(now):
            facts |= {"day": _day(now), "used": 0, "counted": 0, "read_at": None}
        store.put_quota(work, account, api, **facts)
    # Who waits for the time of a call already sees it too.
    lane = lanes.lane(runtime, key)
    lane.errcode, lane.closed_until_ms = error.errcode or 0, until
    lane.closed_until = time.monotonic() + (until - now) / 1000
    lane.known_until = 0.0


def closed_until(error: ChannelError, closings: int, now: int) -> int:
    """Until when an API is closed after the `closings`-th refusal in a row, in epoch milliseconds like `now`."""
    midnight = (clock.from_ms(now).astimezone(ZONE) + timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    day_end = clock.to_ms(midnight)
    if error.until == "day":
        return day_end
    if error.platform == "wecom" and closings > len(CLOSED_SECONDS):
        return day_end
    seconds = error.wait_seconds or CLOSED_SECONDS[0]
    if error.platform == "wecom":
        seconds = CLOSED_SECONDS[closings - 1]
    return now + seconds * 1000


def _cut(runtime: Runtime, key: lanes.Key) -> None:
    workspace, account, api = key
    lane = lanes.lane(runtime, key)
    with runtime.work(workspace, "slots") as work:
        store.cut_ceiling(work, account, api, lane.at_once or runtime.settings.send_concurrency)
    lane.known_until = 0.0


def _day(ms: int) -> int:
    return int(clock.from_ms(ms).astimezone(ZONE).strftime("%Y%m%d"))
