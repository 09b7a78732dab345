"""A lake of Parquet tables with atomic commits, and one expression per question for any engine. No product words."""

from pathlib import Path


class Lake:
    """The tables of all workspaces below one folder, for one process. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder


__all__ = ["Lake"]
