"""Call rates that hold over all processes: GCRA with one row per account and API, reserved in blocks.

A process reserves 50 ms worth of slots with one small write and spends each slot at its time. A slot whose time passed
unused is dropped after `LATE`: spent later it would come on top of the others. 95 % of the published figure is used, so
that the shares of a window which clocks and scheduling move about stay below it.
"""

import asyncio
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine

from tagcast.accounts import actions, store
from tagcast.kit.uow import Runtime

BLOCK_SECONDS = 0.05
LATE = 0.05
SHARE = 0.95
_PROFILE_SECONDS = 60.0


@dataclass(slots=True)
class _Lane:
    """This process's slots of one account and API, as local monotonic seconds."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    slots: deque[float] = field(default_factory=deque)
    per_second: float | None = None
    known_until: float = 0.0


_lanes: WeakKeyDictionary[Engine, dict[tuple[int, int, str], _Lane]] = WeakKeyDictionary()
_lanes_lock = threading.Lock()


async def permit(runtime: Runtime, workspace: int, account_id: int, api: str, n: int = 1) -> None:
    """Wait until `n` calls of an API may be made. Raises NotFound for an unknown account."""
    lane = _lane(runtime, (workspace, account_id, api))
    slot = _take(lane, n)
    if slot is None:
        slot = await asyncio.to_thread(_take_or_reserve, runtime, lane, (workspace, account_id, api), n)
    if (wait := slot - time.monotonic()) > 0:
        await asyncio.sleep(wait)


def _lane(runtime: Runtime, key: tuple[int, int, str]) -> _Lane:
    with _lanes_lock:
        return _lanes.setdefault(runtime.engine, {}).setdefault(key, _Lane())


def _take(lane: _Lane, n: int) -> float | None:
    """The time of the last of `n` slots held already, or None."""
    if not lane.lock.acquire(blocking=False):
        return None
    try:
        return _spend(lane, n)
    finally:
        lane.lock.release()


def _spend(lane: _Lane, n: int) -> float | None:
    now = time.monotonic()
    if lane.known_until < now:
        return None
    if lane.per_second is None:
        return now
    while lane.slots and lane.slots[0] < now - LATE:
        lane.slots.popleft()
    if len(lane.slots) < n:
        return None
    slot = now
    for _ in range(n):
        slot = lane.slots.popleft()
    return slot


def _take_or_reserve(runtime: Runtime, lane: _Lane, key: tuple[int, int, str], n: int) -> float:
    with lane.lock:
        slot = _spend(lane, n)
        while slot is None:
            _reserve(runtime, lane, key, n)
            slot = _spend(lane, n)
        return slot


def _reserve(runtime: Runtime, lane: _Lane, key: tuple[int, int, str], n: int) -> None:
    workspace, account, api = key
    if lane.known_until < time.monotonic():
        with runtime.read(workspace, "rate") as work:
            lane.per_second = _per_second(runtime, actions.limits(work, account).rate_per_minute(api))
        lane.known_until = time.monotonic() + _PROFILE_SECONDS
    if lane.per_second is None:
        return
    step = 1 / lane.per_second
    calls = max(n - len(lane.slots), int(BLOCK_SECONDS * lane.per_second), 1)
    with runtime.work(workspace, "rate") as work:
        first, now_us = store.reserve_calls(work, account, api, max(1, round(step * 1_000_000)), calls)
        start = time.monotonic() + (first - now_us) / 1_000_000
    lane.slots.extend(start + index * step for index in range(calls))


def _per_second(runtime: Runtime, per_minute: int | None) -> float | None:
    if runtime.settings.rate_per_second > 0:
        return runtime.settings.rate_per_second * SHARE
    return None if per_minute is None else per_minute / 60 * SHARE
