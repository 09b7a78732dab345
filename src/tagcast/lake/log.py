"""What the log of a table says: which files it has at a version, which left it when, which are worth joining."""

import json
from typing import Any

import pyarrow as pa

from tagcast.lake import parquet
from tagcast.lake.words import WHEN, WHO, File, Snapshot

APPENDED, REWRITTEN = "appended", "rewritten"
"""The names of the log's running numbers: how far appends came, and how often files were put in the place of others."""

LEAST_FILES = 4
"""So many files of like size and of one month are made one."""


def schema_of(table: Any) -> pa.Schema:
    """In plain Arrow types; every column may be null."""
    return pa.schema([(field.name, _TYPES[field.type.type]) for field in table.schema().fields])


_TYPES = {
    "integer": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
}


def snapshot_of(table: Any) -> Snapshot:
    """A table as its opened log has it."""
    listed = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    files = [
        File(
            one["path"], one["size_bytes"], one["num_records"], one[f"min.{WHEN}"], one[f"max.{WHEN}"],
            one[f"min.{WHO}"], one[f"max.{WHO}"], *parquet.read_name(one["path"]),
        )
        for one in listed
    ]  # fmt: skip
    files.sort(key=lambda one: (one.first, one.name))
    return Snapshot(table.version(), table.transaction_version(APPENDED) or 0, schema_of(table), tuple(files))


def worth_joining(files: list[File], everything: bool) -> list[File]:
    """Files by size, as many as possible, none more than twice as large as those before it together."""
    small = sorted((one for one in files if one.rows < parquet.FILE_ROWS), key=lambda one: (one.size, one.name))
    if everything:
        return small if len(small) > 1 else []
    for start in range(len(small)):
        chosen = [small[start]]
        size = small[start].size
        for one in small[start + 1 :]:
            if one.size > 2 * size:
                break
            chosen.append(one)
            size += one.size
        if len(chosen) >= LEAST_FILES:
            return chosen
    return []


def left_at(log: list[tuple[str, bytes]]) -> dict[str, float]:
    """When each file left the table, epoch seconds, by the log's entries."""
    found: dict[str, float] = {}
    for _, data in log:
        for line in data.splitlines():
            entry = json.loads(line)
            if (gone := entry.get("remove")) is not None:
                found.setdefault(gone["path"], gone.get("deletionTimestamp", 0) / 1000)
    return found
