"""One call at a time for one subject: the platforms refuse two tag changes of one person at once (45035, 45169).

Within a process calls wait for each other; against other processes the refusal and the back-off do.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary, WeakValueDictionary

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[tuple[int, str], asyncio.Lock]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def alone(account_id: int, subject: str) -> AsyncIterator[None]:
    """Hold one subject of an account, e.g. an openid, or an employee and a customer, in the order of asking."""
    locks = _locks.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    lock = locks.get((account_id, subject))
    if lock is None:
        lock = locks[(account_id, subject)] = asyncio.Lock()
    async with lock:
        yield
