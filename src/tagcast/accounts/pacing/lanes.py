"""What one process knows of the limits of an (account, API), read again every few seconds.

One look at the database serves all calls of that time, so a call that needs no waiting costs microseconds.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine

from tagcast.accounts import actions
from tagcast.accounts.pacing import store
from tagcast.kit.uow import Runtime

KNOWN_SECONDS = 10.0
SHARE = 0.98
"""The share of a published rate that is used: clocks and scheduling move calls about a little."""

Key = tuple[int, int, str]
"""(workspace, account, API)."""


@dataclass(slots=True)
class Lane:
    """This process's view of one account and API; times are local monotonic seconds."""

    key: Key
    account: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    slots: deque[float] = field(default_factory=deque)
    per_second: float | None = None
    at_once: int | None = None
    closed_until: float = 0.0
    closed_until_ms: int = 0
    errcode: int = 0
    known_until: float = 0.0
    count: int = 0
    counted_at: float = field(default_factory=time.monotonic)

    def is_known(self) -> bool:
        """Whether the last look still holds."""
        return time.monotonic() < self.known_until


_lanes: WeakKeyDictionary[Engine, dict[Key, Lane]] = WeakKeyDictionary()
_lanes_lock = threading.Lock()


def lane(runtime: Runtime, key: Key) -> Lane:
    """The lane of an account and API in this process."""
    found = _lanes.get(runtime.engine, {}).get(key)
    if found is None:
        with _lanes_lock:
            found = _lanes.setdefault(runtime.engine, {}).setdefault(key, Lane(key))
    return found


def look(runtime: Runtime, one: Lane) -> None:
    """Read the limits again. Raises NotFound for an unknown account. The caller holds the lane's lock."""
    workspace, account, api = one.key
    with runtime.read(workspace, "limits") as work:
        limits = actions.limits(work, account)
        per_minute, one.at_once = limits.rate_per_minute(api), limits.at_once(api)
        if one.at_once is None and store.is_cut(work, account, api):
            one.at_once = runtime.settings.send_concurrency
        row, now = store.quota(work, account, api)
        one.account = actions.get(work, account).name
    closed = row.closed_until if row is not None else 0
    one.closed_until_ms = closed
    one.closed_until = time.monotonic() + (closed - now) / 1000
    one.errcode = (row.errcode if row is not None else 0) or 0
    if runtime.settings.rate_per_second > 0:
        one.per_second = runtime.settings.rate_per_second * SHARE
    else:
        one.per_second = None if per_minute is None else per_minute / 60 * SHARE
    one.known_until = time.monotonic() + KNOWN_SECONDS


def forget(runtime: Runtime, workspace: int, account: int) -> None:
    """Let the next call of an account look again."""
    for key, one in list(_lanes.get(runtime.engine, {}).items()):
        if key[:2] == (workspace, account):
            one.known_until = one.closed_until = 0.0
