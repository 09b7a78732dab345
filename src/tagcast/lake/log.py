"""What the log of a table says: which files it has at a version, which left it when, which are worth joining."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from tagcast.lake import parquet, seals
from tagcast.lake.opening import APPENDED, OWNER, REWRITTEN, STAMP
from tagcast.lake.words import WHEN, WHO, File, Snapshot, Version

LEAST_FILES = 4
"""So many files of like size and of one month are made one."""


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
    upto, *others = (table.transaction_version(name) or 0 for name in (APPENDED, STAMP, OWNER, REWRITTEN))
    schema = seals.schema_of((field.name, field.type.type) for field in table.schema().fields)
    return Snapshot(table.version(), upto, schema, tuple(files), *others)


def versions_of(log: Iterable[tuple[str, bytes]]) -> Iterator[Version]:
    """The commits that say what they did; what cannot be read is left out."""
    for name, data in log:
        try:
            lines = [json.loads(line) for line in data.splitlines()]
            told: dict[str, Any] = next((line["commitInfo"] for line in lines if "commitInfo" in line), {})
            if "what" in told:
                yield Version(
                    int(name.partition(".")[0]), told["timestamp"], told["what"],
                    int(told["rows"]), int(told["upto"]), int(told["stamp"]),
                )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            continue


def stats_of(file: File) -> str:
    """What the log keeps of a file, so that readers can leave it out."""
    ends = {"minValues": {WHO: file.low, WHEN: file.first}, "maxValues": {WHO: file.high, WHEN: file.last}}
    return json.dumps({"numRecords": file.rows, **ends, "nullCount": {WHO: 0, WHEN: 0}})


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
    """When each file left the table, epoch seconds; 0 for one that left with an erasure or before one."""
    found: dict[str, float] = {}
    erased = False
    for _, data in log:
        try:
            entries = [json.loads(line) for line in data.splitlines()]
        except ValueError:
            # The file that it let go of is no commit's any more then, and goes as such.
            continue
        erased = erased or any(one.get("commitInfo", {}).get("what") == "erase" for one in entries)
        for gone in (one["remove"] for one in entries if "remove" in one):
            found.setdefault(gone["path"], 0.0 if erased else gone.get("deletionTimestamp", 0) / 1000)
    return found
