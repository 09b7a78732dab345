"""The way out to an account's platform: every request passes its slot, its rate and its quota, and is counted.

Callers need not remember any of it: the API is told by the path of the request.
"""

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext

from sqlalchemy.exc import SQLAlchemyError

from tagcast.accounts.pacing import lanes, quota, rate
from tagcast.accounts.pacing.lanes import Lane
from tagcast.accounts.pacing.slots import slot
from tagcast.kit import logs
from tagcast.kit.errors import TagcastError
from tagcast.kit.http import Response, Transport
from tagcast.kit.uow import Runtime

log = logs.get("accounts")

COUNT_SECONDS = 5.0
_FREE = nullcontext()
_NO_LETTER = re.compile(r"[^a-z0-9]+")


def api_of(path: str) -> str:
    """The name of an API: its path, or a channel error's operation, in small letters with underscores."""
    return _NO_LETTER.sub("_", path.lower()).strip("_").removeprefix("cgi_bin_")[:60]


class Door:
    """A transport of one account whose requests keep its limits. `seconds` is the longest that one may take.

    With `api` all requests are of this one, whatever their path.
    """

    def __init__(
        self,
        runtime: Runtime,
        workspace: int,
        account_id: int,
        *,
        base_url: str,
        inner: Transport,
        seconds: float,
        api: str = "",
    ) -> None:
        self._runtime = runtime
        self._workspace = workspace
        self._account = account_id
        self._start = len(base_url.rstrip("/"))
        self._api = api
        self._inner = inner
        self._seconds = seconds
        self._lanes: dict[str, Lane] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        timeout: float = 0.0,  # noqa: ASYNC109 - the protocol's
    ) -> Response:
        """Send when the limits allow it. Raises what the transport raises, and as `permit` does."""
        lane = self._lane(url)
        is_limited = lane.at_once is not None or not lane.is_known()
        async with slot(self._runtime, *lane.key) if is_limited else _FREE:
            if not rate.has_ahead(lane.key):
                await rate.admit(self._runtime, lane)
            lane.count += 1
            answer = await self._inner.request(
                method, url, body=body, headers=headers, timeout=timeout or self._seconds
            )
        if time.monotonic() - lane.counted_at > COUNT_SECONDS:
            await asyncio.to_thread(self._count, [lane])
        return answer

    async def close(self) -> None:
        """Keep what was counted."""
        await asyncio.to_thread(self._count, list(self._lanes.values()))

    def _count(self, counted: Iterable[Lane]) -> None:
        """A figure that could not be kept must not hide what became of a call."""
        try:
            for lane in counted:
                quota.count(self._runtime, lane)
        except (SQLAlchemyError, TagcastError) as error:
            log.warning("calls not counted", problem=type(error).__name__)

    def _lane(self, url: str) -> Lane:
        path = self._api or url[self._start :].partition("?")[0]
        found = self._lanes.get(path)
        if found is None:
            key = (self._workspace, self._account, api_of(path))
            found = self._lanes[path] = lanes.lane(self._runtime, key)
        return found
