"""One keeper a workspace: what two did would be thrown away by the second's commit."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from tagcast.kit.uow import Runtime, Work

if sys.platform != "win32":
    import fcntl

ONE_AT_A_TIME = 0x7A67_0002
"""The lock's name on PostgreSQL."""


@contextmanager
def alone(runtime: Runtime, workspace: int) -> Iterator[bool]:
    """On SQLite, whose processes share a machine: whether no other takes a turn now; one that dies lets go.

    Without locks of files (Windows) two may work; what the second did is thrown away by its commit.
    """
    if sys.platform == "win32" or runtime.engine.dialect.name == "postgresql":
        yield True
        return
    handle = os.open(runtime.settings.home / f"keeper-{workspace}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def mine(work: Work) -> bool:
    """On PostgreSQL: whether no other takes a turn now; the lock is the transaction's."""
    if work.connection.dialect.name != "postgresql":
        return True
    lock = sa.func.pg_try_advisory_xact_lock(ONE_AT_A_TIME, work.workspace)
    return bool(work.connection.scalar(sa.select(lock)))
