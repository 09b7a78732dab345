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
from dataclasses import replace
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tagcast.lake import opening, parquet, seals
from tagcast.lake.log import left_at, snapshot_of, stats_of, versions_of, worth_joining
from tagcast.lake.opening import APPENDED, OWNER, REWRITTEN, STAMP
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
                with opening.reading():
                    return self._looked_at()
            except Damaged:
                self._opened = self._snapshot = None
                raise

    def _looked_at(self) -> Snapshot | None:
        if self._opened is None:
            if not self.exists():
                return None
            self._opened = self._open()
        else:
            self._opened.update_incremental()
        if self._snapshot is None or self._snapshot.version != self._opened.version():
            found = snapshot_of(self._opened)
            seals.check(self.storage, found)
            self._snapshot = found
        return self._snapshot

    def as_of(self, version: int) -> Snapshot:
        """The table at a version. Raises Gone when its files were removed, or the log does not tell of it any more."""
        try:
            found = seals.state_at(self.storage, version)
        except Damaged as error:
            raise Gone(str(version)) from error
        there = self.storage.names()
        if not found.version or any(one.name not in there for one in found.files):
            raise Gone(str(version))
        return found

    def versions(self, limit: int | None = None) -> list[Version]:
        """The commits, newest first."""
        return list(islice(versions_of(self.storage.log()), limit)) if self.exists() else []

    def append(self, rows: pa.Table, *, after: int, upto: int, stamp: int = 0, owner: int = 0) -> bool:
        """Add rows that take the table from `after` to `upto`; False, and nothing done, unless it stands at `after`.

        `stamp` and `owner` are kept for whoever wants to know whether it is their `upto` that was reached. Columns
        that the table lacks are added to it. Raises ArrowInvalid for a value that does not fit its column.
        """
        if not self.exists():
            if self._local:
                Path(self._place).mkdir(parents=True, exist_ok=True)
            opening.begin(self._place, self._options, rows.schema)
        now = self.snapshot()
        if now is None or now.upto != after or upto <= after:
            return False
        table = self._open(now.version)
        schema = opening.widen(table, now.schema, rows.schema)
        added = self._write(parquet.conform(rows, schema), since=after, upto=upto)
        try:
            self._log(table, added, {OWNER: owner}, what="append", rows=len(rows), reached=(upto, stamp))
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
        seals.tidy(storage)
        for name, age in storage.names().items():
            if name not in live | kept and (name in removed or age > ORPHAN_SECONDS):
                storage.delete(name)
                gone += 1
        return gone

    def broken_log(self, *, quick: bool = False) -> list[str]:
        """The entries of the log and its seals that are not what was written; `quick`: only what the newest needs."""
        if not self.exists():
            return []
        found = [] if quick else seals.broken(self.storage)
        try:
            with opening.reading():
                seals.check(self.storage, snapshot_of(self._open()))
        except Damaged as error:
            found = found or [str(error)]
        return found

    def mend_log(self, again: Callable[[int], bool] = lambda _: False) -> bool:
        """Make the log say again what the table is, by its seals and whole commits; False when they do not tell.

        Commits that nothing tells of are given up if `again` says that what came after a number can be appended anew.
        Raises Contested when another writer was first.
        """
        storage = self.storage
        last = seals.newest(storage)
        known = seals.furthest(storage, last)
        if known.version < last and not again(known.upto):
            return False
        # A version of its own, so that whoever has the table open comes to see it.
        state = replace(known, version=last + 1)
        try:
            storage.write(seals.entry(last + 1), seals.bare(state, int(time.time() * 1000)), new=True)
        except FileExistsError:
            raise Contested("repair") from None
        checkpoint = opening.checkpoint(state, {one.name: stats_of(one) for one in state.files})
        seals.mend(storage, known, checkpoint, last)
        with self._lock:
            self._opened = self._snapshot = None
        return True

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
        table = self._open(seen.version)
        marks = {REWRITTEN: seen.rewritten + 1}
        names = {one[0] for one in added}
        more: int = sum(json.loads(one[2])["numRecords"] for one in added) - sum(one.rows for one in chosen)
        gone = [one for one in chosen if one.name not in names]
        self._log(table, added, marks, what=what, rows=more, reached=reached, at=seen, removed=gone)
        return more

    def _seal(self) -> None:
        """Make the newest commit durable, and write down what the table is after it."""
        version = seals.newest(self.storage)
        self.storage.seal(version)
        seals.put(self.storage, seals.state_at(self.storage, version))

    def _log(
        self,
        table: Any,
        added: list[tuple[str, int, str]],
        marks: Mapping[str, int],
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
        upto, stamp = reached or ((at.upto, at.stamp) if at is not None else (0, 0))
        noted = {"what": what, "rows": str(rows), "upto": str(upto), "stamp": str(stamp)}
        if reached is not None:
            marks = {**marks, APPENDED: upto, STAMP: stamp}
        opening.write(table, added, removed, marks, noted, now_ms=int(time.time() * 1000))
        self._seal()

    def _open(self, version: int | None = None) -> Any:
        return opening.open_table(self._place, self._options, version)
