"""What the log of a table ought to say, kept beside it, so that a flipped bit in the log is noticed and mended.

Every commit carries the digest of its own actions. After it, what the table was then is written to a file of its own, a
seal, from the seal before and the commits since: not from what the log's reader makes of the log. A reader compares. A
missing or damaged seal is made up from an older one and the commits after it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from tagcast.lake import parquet
from tagcast.lake.storage import Storage
from tagcast.lake.words import WHEN, WHO, Damaged, File, Snapshot

FOLDER, LOG = "_seals", "_delta_log"
NOTED = ("what", "rows", "upto", "stamp")
"""What a commit says of itself."""

_KEPT, _EVERY = 8, 64
"""The newest so many seals stay, and of older ones each so many-th."""

_TYPES: Mapping[str, pa.DataType] = {
    "integer": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
}
_NAMES = {str(kind): name for name, kind in _TYPES.items()}

EMPTY = Snapshot(-1, 0, pa.schema([(WHO, pa.int32()), (WHEN, pa.int64())]), ())
"""Before the first commit."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The actions of one commit: files with their size and statistics, names that left, numbers, columns if new."""

    added: tuple[tuple[str, int, str], ...] = ()
    removed: tuple[str, ...] = ()
    marks: tuple[tuple[str, int], ...] = ()
    columns: tuple[tuple[str, str], ...] | None = None
    noted: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """Of everything that changes what the table is; in no order."""
        body = [sorted(self.added), sorted(self.removed), sorted(self.marks), self.columns, sorted(self.noted)]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def schema_of(columns: Iterable[tuple[str, str]]) -> pa.Schema:
    """Columns by the names that the log has for types, in plain Arrow types; every one may be null."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in columns])


def columns_of(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """(name, the log's name of the type) of every column."""
    return tuple((field.name, _NAMES[str(field.type)]) for field in schema)


def entry(version: int) -> str:
    """The name of a commit in the log."""
    return f"{LOG}/{version:020}.json"


def read_commit(data: bytes) -> Commit:
    """A commit of the log. Raises Damaged unless its actions are those that were committed."""
    added, removed, marks = [], [], []
    columns: tuple[tuple[str, str], ...] | None = None
    noted: tuple[tuple[str, str], ...] = ()
    told = ""
    try:
        for line in data.splitlines():
            ((kind, body),) = json.loads(line).items()
            if kind == "add":
                added.append((body["path"], body["size"], body["stats"]))
            elif kind == "remove":
                removed.append(body["path"])
            elif kind == "txn":
                marks.append((body["appId"], body["version"]))
            elif kind == "metaData":
                columns = tuple((one["name"], one["type"]) for one in json.loads(body["schemaString"])["fields"])
            elif kind == "commitInfo":
                told = body.get("digest", "")
                noted = tuple((name, body[name]) for name in NOTED if name in body)
        found = Commit(tuple(added), tuple(removed), tuple(marks), columns, noted)
        if told != found.digest:
            raise Damaged(LOG)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{LOG}: {error}") from error
    return found


def file_of(name: str, size: int, stats: str) -> File:
    """A file as a commit tells of it."""
    told = json.loads(stats)
    least, most = told["minValues"], told["maxValues"]
    ends = (least[WHEN], most[WHEN], least[WHO], most[WHO])
    return File(name, size, told["numRecords"], *ends, *parquet.read_name(name))


def after(before: Snapshot, commit: Commit) -> Snapshot:
    """What a table is after one more commit."""
    files = {one.name: one for one in before.files}
    for name in commit.removed:
        files.pop(name, None)
    files |= {name: file_of(name, size, stats) for name, size, stats in commit.added}
    marks = {"appended": before.upto, "stamp": before.stamp, "owner": before.owner, "rewritten": before.rewritten}
    marks |= dict(commit.marks)
    return Snapshot(
        before.version + 1,
        marks["appended"],
        before.schema if commit.columns is None else schema_of(commit.columns),
        tuple(sorted(files.values(), key=lambda one: (one.first, one.name))),
        marks["stamp"],
        marks["owner"],
        marks["rewritten"],
    )


def _file(name: str, *numbers: int) -> File:
    size, rows, first, last, low, high = numbers
    return File(name, size, rows, first, last, low, high, *parquet.read_name(name))


def put(storage: Storage, state: Snapshot) -> None:
    """Keep what the table is, and let go of a seal that is older."""
    rows = [[one.name, one.size, one.rows, one.first, one.last, one.low, one.high] for one in state.files]
    numbers = [state.version, state.upto, state.stamp, state.owner, state.rewritten]
    body = json.dumps([numbers, columns_of(state.schema), rows], separators=(",", ":")).encode()
    storage.write(_name(state.version), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    for old in (state.version - _KEPT, state.version - _KEPT - 1):
        if old > 0 and old % _EVERY:
            storage.delete(_name(old))


def get(storage: Storage, version: int) -> Snapshot | None:
    """What the table was by its seal; None without one that is whole."""
    try:
        told, _, body = storage.read(_name(version)).partition(b"\n")
    except FileNotFoundError:
        return None
    if told != hashlib.sha256(body).hexdigest().encode():
        return None
    read: tuple[list[int], list[tuple[str, str]], list[Any]] = json.loads(body)
    numbers, columns, rows = read
    number, upto, stamp, owner, rewritten = numbers
    files = tuple(_file(*one) for one in rows)
    return Snapshot(number, upto, schema_of(columns), files, stamp, owner, rewritten)


def state_at(storage: Storage, version: int) -> Snapshot:
    """What the table was by its seals and the commits after them. Raises Damaged when they do not tell."""
    found = _below(storage, version)
    while found.version < version:
        try:
            found = after(found, read_commit(storage.read(entry(found.version + 1))))
        except FileNotFoundError:
            raise Damaged(entry(found.version + 1)) from None
    return found


def furthest(storage: Storage, version: int) -> Snapshot:
    """As `state_at`, or the latest before it that can be told."""
    found = _below(storage, version)
    while found.version < version:
        try:
            found = after(found, read_commit(storage.read(entry(found.version + 1))))
        except (FileNotFoundError, Damaged):
            break
    return found


def check(storage: Storage, seen: Snapshot) -> None:
    """Raises Damaged unless the table is what it ought to be."""
    if state_at(storage, seen.version) != seen:
        raise Damaged(LOG)


def newest(storage: Storage) -> int:
    """The newest version that the log has a file of; -1 without one."""
    return max((number for name in storage.listed(LOG) if (number := _number(name)) is not None), default=-1)


def broken(storage: Storage) -> list[str]:
    """The names of commits and seals that are not what was written."""
    wrong = []
    for name in storage.listed(LOG):
        if name.endswith(".json") and _number(name) is not None:
            try:
                read_commit(storage.read(f"{LOG}/{name}"))
            except Damaged:
                wrong.append(f"{LOG}/{name}")
            except FileNotFoundError:
                continue
    for name in storage.listed(FOLDER):
        number = _number(name)
        if number is not None and get(storage, number) is None:
            wrong.append(f"{FOLDER}/{name}")
    return wrong


def tidy(storage: Storage) -> None:
    """Remove seals from before the log's first commit but for the last of them."""
    commits = [number for name in storage.listed(LOG) if name.endswith(".json") and (number := _number(name))]
    first = min(commits, default=0)
    old = sorted(number for name in storage.listed(FOLDER) if (number := _number(name)) is not None and number < first)
    for number in old[:-1]:
        storage.delete(_name(number))


def bare(state: Snapshot, at_ms: int) -> bytes:
    """A commit that changes nothing, of a repair."""
    noted = {"what": "repair", "rows": "0", "upto": str(state.upto), "stamp": str(state.stamp)}
    digest = Commit(noted=tuple(noted.items())).digest
    told = {"timestamp": at_ms, "operation": "WRITE", "operationParameters": {}, **noted, "digest": digest}
    return json.dumps({"commitInfo": told}).encode() + b"\n"


def mend(storage: Storage, known: Snapshot, checkpoint: Sequence[tuple[str, bytes]], last: int) -> None:
    """Remove what is broken, once the log begins anew with a checkpoint after its `last` version.

    Of the commits those up to the known state stay that are whole.
    """
    if known.version == last:
        put(storage, known)
    put(storage, replace(known, version=last + 1))
    for name, data in checkpoint:
        storage.write(f"{LOG}/{name}", data)
    old = set(broken(storage)) | {entry(number) for number in range(known.version + 1, last + 1)}
    for name in storage.listed(LOG):
        if ".checkpoint" in name and name != checkpoint[0][0]:
            old.add(f"{LOG}/{name}")
    for name in sorted(old):
        storage.delete(name)


def _below(storage: Storage, version: int) -> Snapshot:
    """The newest state that has a whole seal, at most of a version."""
    if (found := get(storage, version)) is not None:
        return found
    numbers = (_number(name) for name in storage.listed(FOLDER))
    for number in sorted((one for one in numbers if one is not None and one < version), reverse=True):
        if (found := get(storage, number)) is not None:
            return found
    return EMPTY


def _number(name: str) -> int | None:
    told = name.partition(".")[0]
    return int(told) if len(told) == 20 and told.isdigit() else None


def _name(version: int) -> str:
    return f"{FOLDER}/{version:020}.json"
