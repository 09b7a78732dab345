"""Files from which a process starts fast: the sets of one workspace after one change.

A file is a fixed header, one block per key, and a directory with each block's CRC-32; the header carries the SHA-256
of header and directory. It is written aside, synced and renamed, and counts only once its generation, seq and digest
are recorded in the database; so whatever a crash leaves behind is either whole or never looked at. Blocks are read
when their key is first used.
"""

import hashlib
import logging
import os
import secrets
import struct
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps import store
from tagcast.bitmaps.codec import from_bytes, to_bytes
from tagcast.bitmaps.entries import DamagedBlock, Entry

_log = logging.getLogger(__name__)
_MAGIC = b"BITMAPS1"
_HEADER = struct.Struct("<8s6Q")  # magic, workspace, generation, seq, keys, directory's offset, file's length
_DIGEST_SIZE = 32
_BLOCKS_AT = _HEADER.size + _DIGEST_SIZE
_BLOCK = struct.Struct("<H4QI")  # key's length, version, count, offset, length, CRC-32
_ABANDONED_AFTER_S = 3600


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that is written, and what is recorded of it."""

    workspace: int
    node: str
    generation: int
    seq: int
    file: str
    digest: bytes


class Damaged(Exception):
    """A file is not what was recorded."""


def load(connection: sa.Connection, folder: Path | None, workspace: int, top: int) -> tuple[int, dict[str, Entry]]:
    """The seq and the entries of this machine's newest sound checkpoint not after `top`; (0, nothing) without one."""
    if folder is None or not folder.is_dir():
        return 0, {}
    node = _node(folder)
    for row in store.checkpoints(connection, workspace, node):
        if row.seq > top:
            continue
        recorded = Checkpoint(workspace, node, row.generation, row.seq, row.file, bytes(row.digest))
        try:
            return recorded.seq, _open(folder, recorded)
        except (OSError, Damaged) as error:
            _log.warning("checkpoint %s is not used: %s", row.file, error)
    return 0, {}


def write(
    connection: sa.Connection, folder: Path, workspace: int, seq: int, entries: Mapping[str, Entry]
) -> Checkpoint | None:
    """Write the entries to a file of the next generation; None if the newest recorded one is the same and sound."""
    folder.mkdir(parents=True, exist_ok=True)
    node = _node(folder)
    known = store.checkpoints(connection, workspace, node)
    if known and known[0].seq == seq:
        newest = Checkpoint(workspace, node, known[0].generation, seq, known[0].file, bytes(known[0].digest))
        if _sound(folder, newest):
            return None
    _sweep(folder, workspace, keep_from=known[1].generation if len(known) > 1 else 0)
    generation = known[0].generation + 1 if known else 1
    name = f"{_prefix(workspace)}{generation:012d}-{secrets.token_hex(4)}.bitmaps"
    aside = folder / f"{name}.tmp"
    with aside.open("wb") as file:
        file.write(bytes(_BLOCKS_AT))
        directory, offset = bytearray(), _BLOCKS_AT
        for key, entry in sorted(entries.items()):
            members = entry.bitmap().copy()
            members.run_optimize()
            block, encoded = to_bytes(members), key.encode()
            file.write(block)
            directory += _BLOCK.pack(len(encoded), entry.version, entry.count, offset, len(block), zlib.crc32(block))
            directory += encoded
            offset += len(block)
        file.write(directory)
        header = _HEADER.pack(_MAGIC, workspace, generation, seq, len(entries), offset, offset + len(directory))
        digest = hashlib.sha256(header + directory).digest()
        file.seek(0)
        file.write(header + digest)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / name)
    _sync_folder(folder)
    return Checkpoint(workspace, node, generation, seq, name, digest)


def record(connection: sa.Connection, checkpoint: Checkpoint) -> bool:
    """Record a written checkpoint, forget all but it and the one before; False if its generation was taken."""
    values = {
        "generation": checkpoint.generation,
        "seq": checkpoint.seq,
        "file": checkpoint.file,
        "digest": checkpoint.digest,
    }
    if not store.record_checkpoint(connection, checkpoint.workspace, checkpoint.node, values):
        return False
    store.drop_checkpoints(connection, checkpoint.workspace, checkpoint.node, checkpoint.generation - 1)
    return True


class _BlockFile:
    """A checkpoint file held open, so that its blocks stay readable when a newer one has replaced it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = Lock()
        weakref.finalize(self, self._file.close)

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            data = bytearray()
            while len(data) < length and (piece := self._file.read(length - len(data))):
                data += piece
        return bytes(data)

    def members(self, offset: int, length: int, crc: int) -> BitMap:
        block = self.read(offset, length)
        if len(block) != length or zlib.crc32(block) != crc:
            raise DamagedBlock(f"checksum of the block at {offset} differs")
        return from_bytes(block)


def _open(folder: Path, recorded: Checkpoint) -> dict[str, Entry]:
    file = _BlockFile(folder / recorded.file)
    head = file.read(0, _BLOCKS_AT)
    if len(head) != _BLOCKS_AT:
        raise Damaged("the header is cut off")
    header, digest = head[: _HEADER.size], head[_HEADER.size :]
    magic, workspace, generation, seq, keys, directory_at, length = _HEADER.unpack(header)
    if (magic, workspace, generation, seq) != (_MAGIC, recorded.workspace, recorded.generation, recorded.seq):
        raise Damaged("the header is not the recorded one")
    if length != file.size() or not _BLOCKS_AT <= directory_at <= length:
        raise Damaged("the file's length is not the written one")
    directory = file.read(directory_at, length - directory_at)
    if not digest == hashlib.sha256(header + directory).digest() == recorded.digest:
        raise Damaged("the digest differs")
    entries, at = {}, 0
    for _ in range(keys):
        size, version, count, offset, block, crc = _BLOCK.unpack_from(directory, at)
        at += _BLOCK.size + size
        load_block: Callable[[], BitMap] = partial(file.members, offset, block, crc)
        entries[directory[at - size : at].decode()] = Entry.lazy(version, count, load_block)
    return entries


def _sound(folder: Path, recorded: Checkpoint) -> bool:
    try:
        for entry in _open(folder, recorded).values():
            entry.bitmap()
    except (OSError, Damaged, DamagedBlock):
        return False
    return True


def _prefix(workspace: int) -> str:
    return f"workspace-{workspace}-"


def _sweep(folder: Path, workspace: int, keep_from: int) -> None:
    """Delete files of generations that are no longer recorded, and what a killed process left half-written."""
    prefix = _prefix(workspace)
    for path in folder.glob(f"{prefix}*.bitmaps"):
        if int(path.name[len(prefix) :].split("-")[0]) < keep_from:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()
        except FileNotFoundError:
            continue


def _node(folder: Path) -> str:
    """The name under which this folder's checkpoints are recorded; made once, then kept in the folder."""
    path = folder / "node"
    try:
        return path.read_text()
    except FileNotFoundError:
        aside = folder / f"node-{secrets.token_hex(8)}.tmp"
        aside.write_text(secrets.token_hex(16))
        try:
            path.hardlink_to(aside)
        except FileExistsError:
            _log.debug("another process named the folder first")
        finally:
            aside.unlink()
        return path.read_text()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
