"""Call rates that hold over all processes: GCRA with one row per account and API, reserved in blocks.

A process reserves 50 ms worth of calls with one small write and spends each at its time. One whose time passed unused
is dropped after `LATE`: spent later it would come on top of the others.
"""

import asyncio
import math
import time
from contextvars import ContextVar
from dataclasses import dataclass

from tagcast.accounts.pacing import lanes, store
from tagcast.accounts.pacing.lanes import Key, Lane
from tagcast.kit import clock
from tagcast.kit.errors import Refused, Unavailable
from tagcast.kit.uow import Runtime

BLOCK_SECONDS = 0.05
LATE = 0.05
PERMIT_SECONDS = 30.0
"""How long a permit that was given ahead of its call is good."""
LONG_SECONDS = 3600.0
"""A closing longer than this is somebody's to know; a shorter one is waited for."""


@dataclass(slots=True)
class _Ahead:
    """Permits of one API that this task has, and has not used."""

    key: Key
    left: int
    until: float


_ahead: ContextVar[tuple[_Ahead, ...]] = ContextVar("permits", default=())


async def permit(runtime: Runtime, workspace: int, account_id: int, api: str, n: int = 1) -> None:
    """Wait until `n` calls of an API may be made; the next calls of this task then go through without another wait.

    Every call asks for itself. Ask ahead when what is done between the permit and the call should be short, such as
    committing that the call is about to be made. Raises NotFound for an unknown account; Refused when the API's quota
    is used up, Unavailable when it is closed for a while.
    """
    key = (workspace, account_id, api)
    await admit(runtime, lanes.lane(runtime, key), n)
    now = time.monotonic()
    held = tuple(ahead for ahead in _ahead.get() if ahead.left and ahead.until > now)
    _ahead.set((*held, _Ahead(key, n, now + PERMIT_SECONDS)))


def has_ahead(key: Key) -> bool:
    """Use a permit that this task was given ahead, if it has one."""
    for ahead in _ahead.get():
        if ahead.key == key and ahead.left and ahead.until > time.monotonic():
            ahead.left -= 1
            return True
    return False


async def admit(runtime: Runtime, lane: Lane, n: int = 1) -> None:
    """Wait until `n` calls of a lane may be made. Raises as `permit` does."""
    slot = _take(lane, n)
    if slot is None:
        slot = await asyncio.to_thread(_take_or_reserve, runtime, lane, n)
    if (wait := slot - time.monotonic()) > 0:
        await asyncio.sleep(wait)
        refuse_closed(lane)


def refuse_closed(lane: Lane) -> None:
    """Raises Refused or Unavailable while the API of a lane is closed."""
    left = lane.closed_until - time.monotonic()
    if left <= 0:
        return
    until = clock.from_ms(lane.closed_until_ms).isoformat(timespec="seconds")
    params: dict[str, object] = {"account": lane.account, "api": lane.key[2], "until": until, "errcode": lane.errcode}
    if left > LONG_SECONDS:
        raise Refused("accounts.quota_used", **params)
    raise Unavailable("accounts.api_closed", seconds=math.ceil(left), **params)


def _take(lane: Lane, n: int) -> float | None:
    """The time of the last of `n` calls reserved already, or None."""
    if not lane.lock.acquire(blocking=False):
        return None
    try:
        return _spend(lane, n)
    finally:
        lane.lock.release()


def _spend(lane: Lane, n: int, *, late: float = LATE) -> float | None:
    """As `_take`; what is older than `late` seconds is dropped, as spent later it would come on top of the others."""
    now = time.monotonic()
    if lane.known_until < now:
        return None
    if lane.closed_until > now:
        refuse_closed(lane)
    if lane.per_second is None:
        return now
    while lane.slots and lane.slots[0] < now - late:
        lane.slots.popleft()
    if len(lane.slots) < n:
        return None
    slot = now
    for _ in range(n):
        slot = lane.slots.popleft()
    return slot


def _take_or_reserve(runtime: Runtime, lane: Lane, n: int) -> float:
    with lane.lock:
        slot = _spend(lane, n)
        while slot is None:
            _reserve(runtime, lane, n)
            # A slow disk must not make every reservation too old to be used.
            slot = _spend(lane, n, late=math.inf)
        return slot


def _reserve(runtime: Runtime, lane: Lane, n: int) -> None:
    if not lane.is_known():
        lanes.look(runtime, lane)
        refuse_closed(lane)
    if lane.per_second is None:
        return
    workspace, account, api = lane.key
    step = 1 / lane.per_second
    calls = max(n - len(lane.slots), int(BLOCK_SECONDS * lane.per_second), 1)
    with runtime.work(workspace, "rate") as work:
        first, now_us = store.reserve_calls(work, account, api, max(1, round(step * 1_000_000)), calls)
        start = time.monotonic() + (first - now_us) / 1_000_000
    lane.slots.extend(start + index * step for index in range(calls))
