"""Checkpoint files of records: a header of JSON, then one column after the other.

The header carries the CRC-32 of each column and is itself sealed with SHA-256. A file is written aside, synced and
renamed, so a crash leaves it whole or not there. A column's checksum is compared when the column is first used.
"""

import hashlib
import json
import logging
import mmap
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_MAGIC = b"COLUMNS1"
_START = struct.Struct("<8sI32s")  # magic, header's length, SHA-256 of the header
_PAGE = 4096
_PIECE = 1 << 22
_SUFFIX = ".columns"


class Damaged(Exception):
    """A file is not what was written."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a file is a checkpoint of: the generation of the log, the last entry in it, and that entry's own stamp."""

    epoch: int
    seq: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened file: columns are private copies on write, `unread` their checksums not compared yet."""

    mark: Mark
    size: int
    columns: dict[str, NDArray[Any]]
    unread: dict[str, int]


def write(folder: Path, mark: Mark, size: int, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write the first `size` records; older files of the folder are removed once the new one is durable."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{mark.epoch:010d}-{mark.seq:016d}-{secrets.token_hex(4)}{_SUFFIX}"
    aside = folder / f"{name}.tmp"
    described: list[dict[str, Any]] = []
    with aside.open("wb") as file:
        # The header's length must be known before it is: checksums are written with a fixed width.
        head = _header(mark, size, [_described(key, column, 0) for key, column in columns.items()])
        file.seek(_aligned(_START.size + len(head)))
        for key, column in columns.items():
            crc = 0
            raw = _bytes(column[:size])
            for at in range(0, len(raw), _PIECE):
                crc = zlib.crc32(raw[at : at + _PIECE], crc)
                file.write(raw[at : at + _PIECE])
            file.seek(_aligned(file.tell()))
            described.append(_described(key, column, crc))
        file.truncate(file.tell())
        head = _header(mark, size, described)
        file.seek(0)
        file.write(_START.pack(_MAGIC, len(head), hashlib.sha256(head).digest()) + head)
        file.flush()
        os.fsync(file.fileno())
    path = aside.replace(folder / name)
    _sync(folder)
    for other in found(folder):
        # A later one of the same log was written by another process meanwhile.
        if other.name < name or not other.name.startswith(f"{mark.epoch:010d}-"):
            other.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """The checkpoint files of a folder, newest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"), reverse=True)


def opened(folder: Path) -> Iterator[Checkpoint]:
    """The folder's files that can be opened, newest first."""
    for path in found(folder):
        try:
            yield _open(path)
        except (OSError, ValueError, KeyError, Damaged) as error:
            _log.warning("records %s are not used: %s", path.name, error)


def compare(column: NDArray[Any], crc: int) -> None:
    """Raises Damaged when a column's bytes have another checksum."""
    if zlib.crc32(_bytes(column)) != crc:
        raise Damaged("a column's checksum differs")


def _open(path: Path) -> Checkpoint:
    with path.open("rb") as file:
        start = file.read(_START.size)
        if len(start) != _START.size:
            raise Damaged("the file is cut off")
        magic, length, digest = _START.unpack(start)
        head = file.read(length)
        if magic != _MAGIC or hashlib.sha256(head).digest() != digest:
            raise Damaged("the header differs")
        told = json.loads(head)
        size, offset = int(told["size"]), _aligned(_START.size + length)
        end = offset + sum(_aligned(size * np.dtype(one["type"]).itemsize) for one in told["columns"])
        if os.fstat(file.fileno()).st_size != end:
            raise Damaged("the file's length is not the written one")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    columns: dict[str, NDArray[Any]] = {}
    for one in told["columns"]:
        dtype = np.dtype(one["type"])
        columns[one["name"]] = np.frombuffer(mapped, dtype=dtype, count=size, offset=offset)
        offset += _aligned(size * dtype.itemsize)
    mark = Mark(told["epoch"], told["seq"], told["stamp"])
    return Checkpoint(mark, size, columns, {one["name"]: int(one["crc"], 16) for one in told["columns"]})


def _header(mark: Mark, size: int, columns: list[dict[str, Any]]) -> bytes:
    told = {"epoch": mark.epoch, "seq": mark.seq, "stamp": mark.stamp, "size": size, "columns": columns}
    return json.dumps(told).encode()


def _described(name: str, column: NDArray[Any], crc: int) -> dict[str, Any]:
    return {"name": name, "type": column.dtype.str, "crc": f"{crc:08x}"}


def _bytes(column: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(column).view(np.uint8).data


def _aligned(offset: int) -> int:
    return -(-offset // _PAGE) * _PAGE


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
