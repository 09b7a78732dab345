"""Where the files of one table lie: a folder here, or a prefix on an object store."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Storage(Protocol):
    """Files by name. A file is written once and never changed."""

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Keep a file, its name below the table's folder; durable when this returns.

        `new`: raises FileExistsError when there is one.
        """

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""

    def names(self) -> dict[str, float]:
        """The Parquet files and their age in seconds."""

    def listed(self, folder: str) -> list[str]:
        """The names of the files in a folder of the table; none for one that is not there."""

    def delete(self, name: str) -> None:
        """Remove a file; nothing for one that is not there."""

    def seal(self, version: int) -> None:
        """Make the log's entry of a version durable."""

    def log(self) -> list[tuple[str, bytes]]:
        """(name, bytes) of the log's entries, newest first."""

    def uri(self, name: str) -> str:
        """What an engine opens."""

    def source(self) -> Any:
        """A pyarrow file system for engines that cannot open the addresses themselves; None if they can."""


class Folder:
    """A local folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Keep a file; its bytes and its name are on the disk when this returns."""
        place = self.path / name
        place.parent.mkdir(exist_ok=True)
        # Two that write the same file at once do not meet.
        aside = place.parent / f".{place.name}.{os.getpid()}-{threading.get_ident()}.new"
        try:
            with aside.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            if new:
                place.hardlink_to(aside)
            else:
                aside.rename(place)
        finally:
            # A full disk is not made fuller.
            aside.unlink(missing_ok=True)
        _sync(place.parent)

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        return (self.path / name).read_bytes()

    def names(self) -> dict[str, float]:
        """The Parquet files, those left half-written too, and their age."""
        now = time.time()
        return {
            one.name: now - one.stat().st_mtime
            for one in self.path.iterdir()
            if one.suffix == ".parquet" or (one.suffix == ".new" and one.is_file())
        }

    def listed(self, folder: str) -> list[str]:
        """The names of the files in a folder."""
        try:
            return [one.name for one in os.scandir(self.path / folder) if one.is_file()]
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def seal(self, version: int) -> None:
        """Sync the log's entry and its folder."""
        entry = self.path / "_delta_log" / f"{version:020}.json"
        if entry.exists():
            with entry.open("rb") as made:
                os.fsync(made.fileno())
        _sync(entry.parent)

    def log(self) -> list[tuple[str, bytes]]:
        """The log's entries."""
        found = sorted((self.path / "_delta_log").glob("*.json"), reverse=True)
        return [(one.name, one.read_bytes()) for one in found if one.stem.isdigit()]

    def uri(self, name: str) -> str:
        """The absolute path."""
        return str((self.path / name).absolute())

    def source(self) -> Any:
        """None: every engine opens a path."""
        return None


class Remote:
    """A prefix on an object store, by the address and options that the table format's own client takes."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import PyFileSystem

        self.url = url.rstrip("/")
        handler = DeltaStorageHandler(self.url, dict(options))
        self._files = PyFileSystem(handler)
        # Written without pyarrow between: its streams hand over buffers, and the client takes nothing but bytes.
        self._client: Any = handler._handler

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Keep a file; a store acknowledges only what it keeps. Of two that write a new one both may come through."""
        if new and name.rpartition("/")[2] in self.listed(name.rpartition("/")[0]):
            raise FileExistsError(name)
        out = self._client.open_output_stream(name, None)
        out.write(data)
        out.close()

    def read(self, name: str) -> bytes:
        """A file's bytes."""
        with self._files.open_input_file(name) as file:
            return bytes(file.read())

    def names(self) -> dict[str, float]:
        """The Parquet files and their age by the store's clock."""
        now = time.time()
        return {
            one.base_name: now - (one.mtime.timestamp() if one.mtime else now)
            for one in self._listed("")
            if one.path.count("/") == 0 and one.base_name.endswith(".parquet")
        }

    def listed(self, folder: str) -> list[str]:
        """The names of the files in a folder."""
        return [one.base_name for one in self._listed(folder)]

    def delete(self, name: str) -> None:
        """Remove a file."""
        try:
            self._files.delete_file(name)
        except FileNotFoundError:
            return

    def seal(self, version: int) -> None:
        """A store acknowledges only what it keeps."""

    def log(self) -> list[tuple[str, bytes]]:
        """The log's entries."""
        names = [one.path for one in self._listed("_delta_log") if one.path.endswith(".json")]
        found = sorted((name for name in names if name.rpartition("/")[2][:-5].isdigit()), reverse=True)
        return [(name.rpartition("/")[2], self.read(name)) for name in found]

    def uri(self, name: str) -> str:
        """The address."""
        return f"{self.url}/{name}"

    def source(self) -> Any:
        """The file system."""
        return self._files

    def _listed(self, folder: str) -> list[Any]:
        from pyarrow.fs import FileSelector, FileType

        found = self._files.get_file_info(FileSelector(folder, allow_not_found=True, recursive=False))
        return [one for one in found if one.type == FileType.File]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
