"""One table of the lake: Parquet files under a log of atomic commits (Delta).

Every commit names what it did. An append states the number it reaches, and one that was reached already is left out, so
that repeating it after a crash changes nothing. Rewriting commits (compaction, erasure, repair) fence each other: of
two that began from the same state the second fails, because the log alone would let both replace the same file.
"""

import json
import operator
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tagcast.lake import parquet
from tagcast.lake.log import APPENDED, OWNER, REWRITTEN, STAMP, left_at, schema_of, snapshot_of, stats_of, worth_joining
from tagcast.lake.storage import Folder, Remote, Storage
from tagcast.lake.words import WHEN, WHO, Contested, Damaged, File, Gone, Moved, Snapshot, Version

ORPHAN_SECONDS = 3600.0
"""What no commit ever named may belong to a writer at work, until it is so old."""


class LakeTable:
    """A table. Safe to share between threads; several processes may append, read and rewrite at once."""

    def __init__(self, place: str | Path, options: Mapping[str, str]) -> None:
        self._place = str(place)
        self._local = isinstance(place, Path)
        self._options = dict(options)
        self._lock = threading.Lock()
        self._opened: Any = None
        self._snapshot: Snapshot | None = None

    @property
    def storage(self) -> Storage:
        """Where its files lie."""
        return Folder(Path(self._place)) if self._local else Remote(self._place, self._options)

    def exists(self) -> bool:
        """Whether anything was ever appended."""
        if self._local and not (Path(self._place) / "_delta_log").is_dir():
            return False
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self._place, self._options))

    def snapshot(self) -> Snapshot | None:
        """The table as it is now; None before the first append. Raises Damaged when its log cannot be read."""
        with self._lock:
            try:
                return self._looked_at()
            except (_delta_error(), KeyError, TypeError, ValueError) as error:
                raise Damaged(f"_delta_log: {error}") from error

    def _looked_at(self) -> Snapshot | None:
        if self._opened is None:
            if not self.exists():
                return None
            self._opened = self._open()
        else:
            self._opened.update_incremental()
        if self._snapshot is None or self._snapshot.version != self._opened.version():
            self._snapshot = snapshot_of(self._opened)
        return self._snapshot

    def as_of(self, version: int) -> Snapshot:
        """The table at a version. Raises Gone when its files were removed."""
        from deltalake.exceptions import DeltaError

        try:
            found = snapshot_of(self._open(version))
        except DeltaError as error:
            raise Gone(str(version)) from error
        there = self.storage.names()
        if any(one.name not in there for one in found.files):
            raise Gone(str(version))
        return found

    def versions(self, limit: int | None = None) -> list[Version]:
        """The commits, newest first."""
        if not self.exists():
            return []
        return [
            Version(
                one["version"],
                one["timestamp"],
                one["what"],
                int(one["rows"]),
                int(one["upto"]),
                int(one.get("stamp", 0)),
            )
            for one in self._open().history(limit)
            if "what" in one
        ]

    def append(self, rows: pa.Table, *, after: int, upto: int, stamp: int = 0, owner: int = 0) -> bool:
        """Add rows that take the table from `after` to `upto`; False, and nothing done, unless it stands at `after`.

        `stamp` and `owner` are kept for whoever wants to know whether it is their `upto` that was reached. Columns
        that the table lacks are added to it. Raises ArrowInvalid for a value that does not fit its column.
        """
        from deltalake import Transaction

        table = self._open_or_make(rows.schema)
        if (table.transaction_version(APPENDED) or 0) != after or upto <= after:
            return False
        schema = self._widen(table, rows.schema)
        added = self._write(parquet.conform(rows, schema), since=after, upto=upto)
        try:
            marks = [Transaction(OWNER, owner)]
            self._log(table, added, marks, what="append", rows=len(rows), reached=(upto, stamp))
        except Contested:
            return False
        return True

    def compact(self, *, everything: bool = False, go_on: Callable[[], bool] = lambda: True) -> int:
        """Make few files out of many of a month, ordered anew; returns how many files became fewer.

        Small files join files of like size, so that a row is rewritten about as often as the size grows by half; with
        `everything` all of a month become one. Raises Damaged before anything wrong is copied.
        """
        saved = 0
        found = self.snapshot()
        for month in sorted({one.month for one in found.files}) if found else []:
            if not go_on():
                break
            now = self.snapshot()
            assert now is not None
            chosen = worth_joining([one for one in now.files if one.month == month], everything)
            if chosen:
                saved += len(chosen) - self.rewrite(now, chosen, "compact")
        return saved

    def erase(self, numbers: Iterable[int], *, after: int, upto: int, stamp: int = 0) -> int:
        """Remove all rows about these numbers, which takes the table from `after` to `upto`. Returns how many rows.

        The files that hold any are written anew. Raises Contested unless the table stands at `after`.
        """
        wanted = np.unique(np.fromiter(numbers, dtype=np.int64))
        now = self.snapshot()
        if now is None or now.upto != after or upto <= after:
            raise Contested("erase")
        values = pa.array(wanted, pa.int32())

        def holds(file: File) -> bool:
            if not ((wanted >= file.low) & (wanted <= file.high)).any():
                return False
            who = self._read(file, pa.schema([(WHO, pa.int32())])).column(WHO)
            return bool(pc.any(pc.is_in(who, values)).as_py())

        def without(rows: pa.Table) -> pa.Table:
            return rows.filter(pc.invert(pc.is_in(rows.column(WHO), values)))

        chosen = [one for one in now.files if holds(one)]
        added = self._changed(now, chosen, without)
        return -self._replace(now, chosen, added, "erase", reached=(upto, stamp))

    def rewrite(self, seen: Snapshot, chosen: Sequence[File], what: str) -> int:
        """Put the chosen files' rows, ordered anew, into few files, in one commit. Returns how many there are instead.

        Raises Contested when another rewrote meanwhile, Damaged for a file that does not hold what was written.
        """
        added = self._changed(seen, chosen, lambda rows: rows)
        self._replace(seen, chosen, added, what)
        return len(added)

    def put_instead(self, seen: Snapshot, chosen: Sequence[File], rows: pa.Table, *, since: int, upto: int) -> None:
        """Put rows from elsewhere in the place of the chosen files. Raises Contested."""
        self._replace(seen, chosen, self._write(parquet.conform(rows, seen.schema), since=since, upto=upto), "repair")

    def go_back(
        self, seen: Snapshot, keep: Sequence[File], rows: pa.Table, *, since: int, upto: int, stamp: int
    ) -> None:
        """Make the table stand at `upto` again: of its files and former ones `keep` stay, with rows of (since, upto].

        Raises Contested.
        """
        there, wanted = {one.name for one in seen.files}, {one.name for one in keep}
        added = [(one.name, one.size, stats_of(one)) for one in keep if one.name not in there]
        added += self._write(parquet.conform(rows, seen.schema), since=since, upto=upto)
        chosen = [one for one in seen.files if one.name not in wanted]
        self._replace(seen, chosen, added, "return", reached=(upto, stamp))

    def vacuum(self, keep_seconds: float) -> int:
        """Delete files that left the table longer ago than this, or before an erasure. How many files.

        Versions that need them are gone.
        """
        now = self.snapshot()
        if now is None:
            return 0
        storage = self.storage
        live = {one.name for one in now.files}
        removed = left_at(storage.log())
        cutoff = time.time() - keep_seconds
        kept = {name for name, at in removed.items() if at > cutoff}
        gone = 0
        for name, age in storage.names().items():
            if name not in live | kept and (name in removed or age > ORPHAN_SECONDS):
                storage.delete(name)
                gone += 1
        return gone

    def verify(self, *, one: bool = False) -> list[File]:
        """The files that are missing or whose bytes are not those that were written; `one`: looks at one, in turn."""
        found = self.snapshot()
        wrong = []
        files = found.files if found else ()
        if one and found and files:
            files = (files[found.version % len(files)],)
        for file in files:
            try:
                parquet.check(file, self.storage.read(file.name))
            except (Damaged, FileNotFoundError):
                wrong.append(file)
        now = self.snapshot()
        still = {one.name for one in now.files} if now else set()
        return [one for one in wrong if one.name in still]

    def read(
        self,
        file: File,
        schema: pa.Schema,
        *,
        first: int | None = None,
        last: int | None = None,
        only: NDArray[Any] | None = None,
        without: Sequence[int] = (),
    ) -> pa.Table:
        """The rows of a file with first ≤ when ≤ last, about some numbers but not others. Raises Moved, Damaged."""
        # Not `_read`: a file that is missing here was replaced while the reader looked at an older version.
        conditions = []
        if first is not None:
            conditions.append(pc.field(WHEN) >= first)
        if last is not None:
            conditions.append(pc.field(WHEN) <= last)
        if only is not None:
            conditions.append(pc.field(WHO).isin(pa.array(only.astype(np.int32))))
        if without:
            conditions.append(~pc.field(WHO).isin(pa.array(list(without), pa.int32())))
        try:
            data = self.storage.read(file.name)
        except FileNotFoundError:
            raise Moved(file.name) from None
        parquet.check(file, data)
        return parquet.decode(data, schema, reduce(operator.and_, conditions) if conditions else None)

    def uris(self, files: Iterable[File]) -> list[str]:
        """What an engine opens."""
        storage = self.storage
        return [storage.uri(one.name) for one in files]

    def _read(self, file: File, schema: pa.Schema) -> pa.Table:
        try:
            data = self.storage.read(file.name)
        except FileNotFoundError:
            raise Damaged(file.name) from None
        parquet.check(file, data)
        return parquet.decode(data, schema)

    def _write(self, rows: pa.Table, *, since: int, upto: int) -> list[tuple[str, int, str]]:
        """(name, bytes, statistics) of new files that no commit names yet."""
        made = []
        storage = self.storage
        for part in parquet.split(rows):
            data = parquet.encode(part)
            name = parquet.name_of(len(part.schema), since, upto, data)
            storage.write(name, data)
            made.append((name, len(data), parquet.stats(part)))
        return made

    def _changed(
        self, seen: Snapshot, chosen: Sequence[File], change: Callable[[pa.Table], pa.Table]
    ) -> list[tuple[str, int, str]]:
        """New files with the chosen files' rows after `change`, month by month in memory."""
        added: list[tuple[str, int, str]] = []
        for month in sorted({one.month for one in chosen}):
            here = [one for one in chosen if one.month == month]
            rows = change(pa.concat_tables([self._read(one, seen.schema) for one in here]))
            added += self._write(rows, since=min(one.since for one in here), upto=max(one.upto for one in here))
        return added

    def _replace(
        self,
        seen: Snapshot,
        chosen: Sequence[File],
        added: list[tuple[str, int, str]],
        what: str,
        *,
        reached: tuple[int, int] | None = None,
    ) -> int:
        """Commit files in the place of others; how many rows more there are. Raises Contested."""
        from deltalake import Transaction

        table = self._open(seen.version)
        marks = [Transaction(REWRITTEN, (table.transaction_version(REWRITTEN) or 0) + 1)]
        names = {one[0] for one in added}
        more: int = sum(json.loads(one[2])["numRecords"] for one in added) - sum(one.rows for one in chosen)
        gone = [one for one in chosen if one.name not in names]
        self._log(table, added, marks, what=what, rows=more, reached=reached, at=seen, removed=gone)
        return more

    def _log(
        self,
        table: Any,
        added: list[tuple[str, int, str]],
        marks: list[Any],
        *,
        what: str,
        rows: int,
        reached: tuple[int, int] | None,
        at: Snapshot | None = None,
        removed: Sequence[File] = (),
    ) -> None:
        """One commit. Raises Contested when another with the same kind of mark came between.

        One that reaches nothing new may come after an append that it did not see: of `at` it says what it saw.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import CommitFailedError
        from deltalake.transaction import AddAction, RemoveAction

        now = int(time.time() * 1000)
        changes = what != "compact"
        actions: list[Any] = [AddAction(name, size, {}, now, changes, found) for name, size, found in added]
        actions += [RemoveAction(one.name, changes, now, one.size) for one in removed]
        upto, stamp = reached or ((at.upto, at.stamp) if at is not None else (0, 0))
        noted = {"what": what, "rows": str(rows), "upto": str(upto), "stamp": str(stamp)}
        if reached is not None:
            marks = [*marks, Transaction(APPENDED, upto), Transaction(STAMP, stamp)]
        properties = CommitProperties(custom_metadata=noted, app_transactions=marks)
        try:
            table.create_write_transaction(actions, "append", table.schema(), commit_properties=properties)
        except CommitFailedError as error:
            raise Contested(what) from error
        self.storage.seal(self._open().version())

    def _open(self, version: int | None = None) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(self._place, version=version, storage_options=self._options or None)

    def _open_or_make(self, schema: pa.Schema) -> Any:
        from deltalake import DeltaTable, Schema

        if not self.exists():
            if self._local:
                Path(self._place).mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                self._place,
                schema=Schema.from_arrow(schema),
                mode="ignore",
                # Deletion vectors only hide; what is erased has to be gone.
                configuration={"delta.enableDeletionVectors": "false"},
                storage_options=self._options or None,
            )
        return self._open()

    def _widen(self, table: Any, schema: pa.Schema) -> pa.Schema:
        """The table's schema after columns that it lacks were added."""
        from deltalake import Schema

        known = schema_of(table)
        new = [field for field in schema if field.name not in known.names]
        if new:
            table.alter.add_columns(Schema.from_arrow(pa.schema(new)).fields)
            table.update_incremental()
        return schema_of(table)


def _delta_error() -> type[Exception]:
    from deltalake.exceptions import DeltaError

    return DeltaError
