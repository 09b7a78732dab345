"""The records that a process holds: opened from a checkpoint, changed in place, written to the next one."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagcast.columns import files
from tagcast.columns.files import Mark

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LEAST = 4096


class Columns:
    """The records of all workspaces of one database, for one process. Safe to share between threads.

    Processes share the files, not the memory: each brings its own records up to date.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[int, str], Records] = {}
        self._lock = threading.Lock()

    @contextmanager
    def records(self, workspace: int, name: str, fields: Mapping[str, str]) -> Iterator["Records"]:
        """The workspace's records of this name, for the caller alone while the block lasts.

        `fields`: name → NumPy type. Raises ValueError for a name that cannot name a folder.
        """
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise ValueError(f"{name} cannot name records")
        with self._lock:
            folder = self._folder / f"workspace-{workspace}" / name
            held = self._held.setdefault((workspace, name), Records(folder, fields))
        with held.lock:
            yield held

    def drop(self, workspace: int, name: str) -> None:
        """Forget the records and their files."""
        with self._lock:
            held = self._held.pop((workspace, name), None)
        if held is not None:
            with held.lock:
                held.reset(-1)
        shutil.rmtree(self._folder / f"workspace-{workspace}" / name, ignore_errors=True)


class Records:
    """One column for each field, indexed by number. To be used while `lock` is held.

    `mark` says up to which entry of its log it is true; an epoch of -1 that nothing was loaded yet. `entries` counts
    what came in since the last checkpoint. Who changes columns sets both with them.
    """

    def __init__(self, folder: Path, fields: Mapping[str, str]) -> None:
        self.lock = threading.RLock()
        self.mark = Mark(-1, 0, 0)
        self.entries = 0
        self._folder = folder
        self._types = {name: np.dtype(kind) for name, kind in fields.items()}
        self._columns: dict[str, NDArray[Any]] = {}
        self._unread: dict[str, int] = {}
        self.reset(-1)

    @property
    def size(self) -> int:
        """One more than the highest number that has a place."""
        return len(next(iter(self._columns.values())))

    def reset(self, epoch: int) -> None:
        """Records of zeros, at the beginning of a log."""
        self._columns = {name: np.zeros(0, dtype) for name, dtype in self._types.items()}
        self._unread = {}
        self.mark, self.entries = Mark(epoch, 0, 0), 0

    def load(self, epoch: int, known: Callable[[Mark], bool]) -> None:
        """Start from the newest sound checkpoint of this epoch whose mark the log `known`s; from zeros without one."""
        self.reset(epoch)
        for one in files.opened(self._folder):
            types = {name: column.dtype for name, column in one.columns.items()}
            if one.mark.epoch == epoch and types == self._types and known(one.mark):
                self._columns, self._unread, self.mark = one.columns, dict(one.unread), one.mark
                return

    def column(self, name: str) -> NDArray[Any]:
        """One column, to be read or changed in place. Raises Damaged when its checkpoint is; `reset` helps."""
        crc = self._unread.get(name)
        if crc is not None:
            files.compare(self._columns[name], crc)
            del self._unread[name]
        return self._columns[name]

    def reserve(self, size: int) -> None:
        """Make room for the numbers below `size`. Raises Damaged."""
        before = self.size
        if size <= before:
            return
        for name, dtype in self._types.items():
            grown = np.zeros(max(size, before + before // 2, _LEAST), dtype)
            grown[:before] = self.column(name)
            self._columns[name] = grown

    def write(self) -> None:
        """Write a checkpoint of the records as they are. Raises Damaged, OSError."""
        columns = {name: self.column(name) for name in self._types}
        files.write(self._folder, self.mark, self.size, columns)
        self.entries = 0

    def copy(self) -> "Records":
        """Records of the caller's own, to be changed without a trace. Raises Damaged."""
        made = Records(self._folder, {name: dtype.str for name, dtype in self._types.items()})
        made._columns = {name: self.column(name).copy() for name in self._types}
        made.mark = self.mark
        return made
