"""Writers of one SQLite database let through in turn, whatever processes they are in.

SQLite lets whoever finds no writer begin, and lets who found one look again ten times a second: beside one who writes
again and again others wait for seconds. So who wants to write stands in a door, alone, until SQLite lets him begin, and
looks often; who has just written finds the door shut, and who is in it goes first. The door is a courtesy among our own
processes: that there is one writer at a time is SQLite's doing, and who waited too long at the door goes on without.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

BUSY_MS = 60_000
"""How long a lock of SQLite is waited for."""
_DOOR_SECONDS = 5.0
"""How long the door is waited for: who stands in it may have been stopped there."""
_FIRST, _LAST = 0.0002, 0.002
"""Seconds between two looks, at first and after a while."""


class Door:
    """The door of a database: a lock on an empty file beside it, let go of when its process dies.

    Without a file, or locks of files (Windows), nobody waits at it.
    """

    def __init__(self, database: str | None) -> None:
        usable = database and database != ":memory:" and sys.platform != "win32"
        self._path = Path(f"{database}-door") if usable else None

    def begin(self, connection: Any) -> None:
        """Begin a write transaction on a connection of the driver. Raises sqlite3.OperationalError."""
        with self._held():
            connection.execute("PRAGMA busy_timeout=0").close()
            try:
                _patiently(lambda: _begun(connection), BUSY_MS / 1000)
            finally:
                connection.execute(f"PRAGMA busy_timeout={BUSY_MS}").close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(BlockingIOError):
                _patiently(lambda: _locked(handle), _DOOR_SECONDS)
            yield
        finally:
            os.close(handle)


def _patiently(attempt: Callable[[], None], seconds: float) -> None:
    """Try until it succeeds; what stood in the way at the end is raised."""
    until = time.monotonic() + seconds
    pause = _FIRST
    while True:
        try:
            attempt()
        except (BlockingIOError, sqlite3.OperationalError) as error:
            # The low byte tells the kind: somebody writes, or mends the log.
            busy = isinstance(error, BlockingIOError) or error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= until:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LAST)


def _begun(connection: Any) -> None:
    connection.execute("BEGIN IMMEDIATE").close()


def _locked(handle: int) -> None:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
