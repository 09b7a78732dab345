"""Imports from files, chunk by chunk, and exports.

Each chunk commits together with the import's progress: a killed import goes on where it stopped and repeats nothing.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pyroaring import BitMap

from tagcast import bitmaps, files
from tagcast.contacts import actions, store, values
from tagcast.contacts.imports import IGNORE, NOTHING_ABOVE, Above, Handler, PeopleHandler, parse_identity
from tagcast.files import Batch, Refusal, RefusedRows, Row, Table
from tagcast.kit.crypto import digest
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused, TagcastError
from tagcast.kit.uow import Runtime, Work

_SHOWN_PROBLEMS = 20
_EXPORT_CHUNK = 5000

Progress = Callable[[int, int, int], None]
"""Called after each chunk with (bytes read, bytes in all, rows read)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row was refused."""

    line: int
    code: str
    zh: str
    en: str


@dataclass(slots=True)
class ImportResult:
    """Counts of an import: `rows` = made + matched + refused; `changed` are those matched who got something new.

    `dropped` are columns without a target. `already`: this content was imported under this mapping before, so that
    nothing was done; the counts are those of then. `refused_file` is a CSV of the refused rows, if there are any.
    """

    job: int = 0
    rows: int = 0
    made: int = 0
    matched: int = 0
    changed: int = 0
    refused: int = 0
    dropped: tuple[str, ...] = ()
    dry_run: bool = False
    already: bool = False
    refused_file: Path | None = None
    problems: list[Problem] = field(default_factory=list)


class _Rehearsed(Exception):
    """Ends the transaction of a dry run."""


@dataclass(slots=True)
class _Run:
    """One run of an import over an opened table."""

    runtime: Runtime
    workspace: int
    actor: str
    table: Table
    handler: Handler
    result: ImportResult
    progress: Progress | None = None

    def chunk(self, work: Work, batch: Batch, refused: RefusedRows | None) -> None:
        """Apply one chunk in the transaction given, and count it."""
        rows = batch.rows
        try:
            outcome = self.handler.apply(work, rows, f"import {self.result.job or 'rehearsal'}")
        except Refused as full:
            raise Refused(
                "contacts.import_stopped",
                rows=self.result.rows,
                size=len(batch),
                said_zh=full.text("zh") + full.remedy("zh"),
                said_en=f"{full.text('en')} {full.remedy('en')}",
            ) from full
        problems: list[tuple[Row | Refusal, TagcastError]] = [
            *((rows[at], error) for at, error in outcome.problems.items()),
            *((row, Invalid(f"files.{row.reason}")) for row in batch.refused),
        ]
        for row, error in sorted(problems, key=lambda one: one[0].line):
            self._refuse(row, error, refused)
        self.result.rows += len(batch)
        self.result.made += outcome.made
        self.result.matched += outcome.matched
        self.result.changed += outcome.changed

    def _refuse(self, row: Row | Refusal, error: TagcastError, refused: RefusedRows | None) -> None:
        problem = Problem(
            row.line, error.code, f"{error.text('zh')}{error.remedy('zh')}", f"{error.text('en')} {error.remedy('en')}"
        )
        self.result.refused += 1
        if len(self.result.problems) < _SHOWN_PROBLEMS:
            self.result.problems.append(problem)
        if refused is not None:
            cells = row.cells if isinstance(row, Refusal) else [row.values[name] for name in self.table.columns]
            refused.add(row.line, problem.zh, problem.en, cells)

    def told(self, done: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(done, self.table.size, self.result.rows)


def import_contacts(
    runtime: Runtime,
    workspace: int,
    source: Path | Table,
    mapping: Mapping[str, str],
    *,
    actor: str = "import",
    above: Above = NOTHING_ABOVE,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Import people from a CSV or Parquet file, or from a table opened with an encoding of its own.

    `mapping`: column → `identity:<kind>[:<account>]`, `attribute:<name>`, `text:<name>`, `consent:<purpose>`,
    `tag[:<account>]` (paths between ; or 、), `ignore`; `*` → `tag[:<account>]=<paths>` for every row. `above`: who
    takes consents and tags, and whether tags that are not there are made; they refuse their row else. Columns without
    a target are dropped. Empty cells change nothing. Raises NotFound and Invalid before anything is changed, Conflict
    when the same import runs elsewhere at the same time, Refused when a chunk does not fit a limit: those before it
    stand, and running it again goes on there.
    """
    handler = PeopleHandler(mapping, above)
    table = files.open_table(source) if isinstance(source, Path) else source
    # No column has an empty name: with tags made, it is another import than without.
    wanted = {**mapping, "": "make_tags"} if above.make_tags else mapping
    return run_import(runtime, workspace, table, wanted, handler, actor=actor, dry_run=dry_run, progress=progress)


def run_import(
    runtime: Runtime,
    workspace: int,
    table: Table,
    mapping: Mapping[str, str],
    handler: Handler,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Run any kind of import over a table: resumable, once per (kind, content, mapping). A dry run changes nothing."""
    dropped = tuple(name for name in table.columns if mapping.get(name, IGNORE) == IGNORE)
    run = _Run(runtime, workspace, actor, table, handler, ImportResult(dropped=dropped, dry_run=dry_run), progress)
    if dry_run:
        _rehearse(run)
    else:
        _import(run, digest(json.dumps(mapping, sort_keys=True), table.encoding, table.delimiter))
    return run.result


def refused_path(runtime: Runtime, workspace: int, job: int) -> Path:
    """Where the refused rows of an import stand."""
    return runtime.settings.home / "imports" / f"{workspace}-{job}.refused.csv"


def find_refused(runtime: Runtime, work: Work, job: int) -> Path:
    """The refused rows of an import of this workspace. Raises NotFound."""
    path = refused_path(runtime, work.workspace, job)
    if not store.job_exists(work, job) or not path.exists():
        raise NotFound("contacts.no_refused", job=job)
    return path


def _rehearse(run: _Run) -> None:
    with suppress(_Rehearsed), run.runtime.work(run.workspace, run.actor) as work:
        run.handler.prepare(work, run.table.columns)
        for batch in run.table.blocks(run.handler.chunk):
            run.chunk(work, batch, None)
            run.told(batch.done)
        raise _Rehearsed


def _import(run: _Run, mapping: str) -> None:
    content = files.sha256(run.table.path)
    result = run.result
    with run.runtime.work(run.workspace, run.actor) as work:
        run.handler.prepare(work, run.table.columns)
        job = store.open_job(work, run.handler.kind, content, mapping)
    result.job, result.rows, result.already = job.id, job.records, job.done_at is not None
    result.made, result.matched, result.changed, result.refused = job.made, job.matched, job.changed, job.refused
    path = refused_path(run.runtime, run.workspace, job.id)
    if not result.already:
        with _refused_rows(path, run.table.columns, job.refused_bytes) as refused:
            with _Ahead(run.table.blocks(run.handler.chunk, skip=job.records)) as ahead:
                while (batch := ahead.take()) is not None:
                    _commit_chunk(run, batch, refused, ahead)
                    run.told(batch.done)
            with run.runtime.work(run.workspace, run.actor) as work:
                _advance(work, result, result.rows, done_at=work.now_ms)
    if result.refused:
        result.refused_file = path
    else:
        path.unlink(missing_ok=True)


class _Ahead:
    """Batches, of which the next is read while the last one's commit waits for the disk.

    Not earlier: a thread that is busy would take turns with each of the thousands of statements before the commit.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._reader = ThreadPoolExecutor(1, "import-reader")
        self._next: Future[Batch | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown()

    def read(self) -> None:
        """Begin to read the next batch."""
        self._next = self._reader.submit(next, self._batches, None)

    def take(self) -> Batch | None:
        """The next batch, None after the last. Raises what reading it raised."""
        if self._next is None:
            self.read()
        assert self._next is not None
        found, self._next = self._next, None
        return found.result()


def _commit_chunk(run: _Run, batch: Batch, refused: RefusedRows, ahead: _Ahead) -> None:
    before = run.result.rows
    with run.runtime.work(run.workspace, run.actor) as work:
        run.chunk(work, batch, refused)
        ahead.read()
        _advance(work, run.result, before, refused_bytes=refused.sync())


def _advance(work: Work, result: ImportResult, before: int, **more: int) -> None:
    values = {
        "records": result.rows,
        "made": result.made,
        "matched": result.matched,
        "changed": result.changed,
        "refused": result.refused,
    }
    if not store.advance_job(work, result.job, before, values | more):
        raise Conflict("contacts.import_moved", job=result.job)


@contextmanager
def _refused_rows(path: Path, columns: Sequence[str], at: int) -> Iterator[RefusedRows]:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with RefusedRows(path, columns, at=at) as refused:
        yield refused


def export(
    work: Work,
    members: BitMap,
    columns: Sequence[str],
    path: Path,
    *,
    format: Literal["csv", "parquet"] = "csv",  # noqa: A002 - the word of the command line
) -> int:
    """Write contacts as a file; returns the number of rows.

    Columns: `number`, `identity:<kind>[:<account>]`, `attribute:<name>` (texts too). Raises Invalid, NotFound.
    """
    readers = [_reader(work, column) for column in columns]
    numbers = bitmaps.unpack(members).tolist()

    def rows() -> Iterator[list[Any]]:
        for start in range(0, len(numbers), _EXPORT_CHUNK):
            part = numbers[start : start + _EXPORT_CHUNK]
            found = [read(part) for read in readers]
            yield from ([column.get(number) for column in found] for number in part)

    writer = files.write_parquet if format == "parquet" else files.write_csv
    return writer(path, columns, rows())


def _reader(work: Work, column: str) -> Callable[[Sequence[int]], Mapping[int, Any]]:
    what, _, name = column.partition(":")
    if column == "number":
        return lambda part: {number: number for number in part}
    if what == "identity":
        identity = parse_identity(name, column)
        return lambda part: actions.identities_of(work, part, *identity)
    if what in {"attribute", "text"}:
        values.find_attribute(work, name)
        return lambda part: values.values_of(work, name, part)
    raise Invalid("contacts.bad_export", column=column)
