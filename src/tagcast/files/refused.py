"""Rows that an import refused, as a CSV to correct and import again: line, reason in two languages, the row itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tagcast.files.writer import csv_writer, safe_cell

HEADER = ("line", "reason_zh", "reason_en")


class RefusedRows:
    """An append-only file that can be cut back to a known length, so that a repeated chunk does not refuse twice."""

    def __init__(self, path: Path, columns: Sequence[str], *, at: int = 0) -> None:
        """Open for appending behind the first `at` bytes; what stands behind them is dropped."""
        self._width = len(columns)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(handle, at)
        self._target = os.fdopen(handle, "r+", encoding="utf-8", newline="")
        self._target.seek(0, os.SEEK_END)
        self._writer = csv_writer(self._target)
        if at == 0:
            self._target.write("\ufeff")
            self._writer.writerow([*HEADER, *(safe_cell(column) for column in columns)])

    def add(self, line: int, reason_zh: str, reason_en: str, cells: Sequence[str]) -> None:
        """Write one refused row; fields beyond the last column are joined into it."""
        surplus = max(0, len(cells) - self._width)
        shown = [*cells[: self._width - 1], ",".join(cells[self._width - 1 :])] if surplus else cells
        shown = [*shown, *[""] * (self._width - len(shown))]
        self._writer.writerow([line, reason_zh, reason_en, *(safe_cell(cell.replace("\0", "")) for cell in shown)])

    def sync(self) -> int:
        """Make what was written durable; returns the file's length in bytes."""
        self._target.flush()
        os.fsync(self._target.fileno())
        return os.fstat(self._target.fileno()).st_size

    def __enter__(self) -> "RefusedRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._target.close()
