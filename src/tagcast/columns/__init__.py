"""Dense records per number, kept in memory-mapped files and brought up to date from a log. No product words.

What they hold can always be made again; a file is a checkpoint of it, never the truth.
"""

from pathlib import Path


class Columns:
    """The records of all workspaces of one database, for one process. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder


__all__ = ["Columns"]
