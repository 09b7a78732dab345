"""A table in a file, CSV or Parquet, as rows of named text values with their line numbers."""

import hashlib
import io
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from heapq import merge
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, overload

from tagcast.files import parquet
from tagcast.files.csv_reader import Limits, read_blocks, read_records
from tagcast.files.detect import detect_delimiter, detect_encoding
from tagcast.files.writer import strip_guard
from tagcast.kit.errors import Invalid, NotFound

_HEAD_LINES = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A data row: the line it begins on (header = 1; a Parquet row n counts as line n + 1) and its values by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that could not be read: its line, what was found of it in order, and why (a code of `texts.toml`)."""

    line: int
    cells: list[str]
    reason: str


class Rows(Sequence[Row]):
    """Data rows kept by column: `lines[i]` and `columns[name][i]` are of one row. A `Row` is made when asked for."""

    def __init__(self, lines: Sequence[int], columns: Mapping[str, Sequence[str]]) -> None:
        self.lines = lines
        self.columns = columns

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> "Rows": ...

    def __getitem__(self, at: int | slice) -> "Row | Rows":
        if isinstance(at, slice):
            return Rows(self.lines[at], {name: cells[at] for name, cells in self.columns.items()})
        return Row(self.lines[at], {name: cells[at] for name, cells in self.columns.items()})


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that follow each other in a file: those that could be read, those that could not, the bytes read so far."""

    rows: Rows
    refused: list[Refusal]
    done: int

    def __len__(self) -> int:
        return len(self.rows) + len(self.refused)

    def each(self) -> Iterator[Row | Refusal]:
        """All in the order of the file."""
        return merge(self.rows, self.refused, key=attrgetter("line"))

    def cut(self, size: int) -> "tuple[Batch, Batch]":
        """The first `size` rows, and the others."""
        if size >= len(self):
            return self, Batch(self.rows[:0], [], self.done)
        line = sorted([*self.rows.lines, *(one.line for one in self.refused)])[size] if self.refused else 0
        good = bisect_left(self.rows.lines, line) if line else size
        bad = bisect_left(self.refused, line, key=attrgetter("line"))
        head, tail = self.refused[:bad], self.refused[bad:]
        return Batch(self.rows[:good], head, self.done), Batch(self.rows[good:], tail, self.done)


@dataclass(frozen=True, slots=True)
class Table:
    """An opened table. `size` is in bytes; `encoding` and `delimiter` are empty for Parquet."""

    path: Path
    columns: list[str]
    size: int
    encoding: str
    delimiter: str
    limits: Limits

    def rows(self) -> Iterator[tuple[Row | Refusal, int]]:
        """Every data row in order with the bytes read so far; rows that cannot be read come as Refusal."""
        return ((row, part.done) for part in self._parts() for row in part.each())

    def batches(self, size: int, *, skip: int = 0) -> Iterator[tuple[list[Row | Refusal], int]]:
        """The rows after the first `skip`, `size` at a time, with the bytes read so far."""
        return ((list(batch.each()), batch.done) for batch in self.blocks(size, skip=skip))

    def blocks(self, size: int, *, skip: int = 0) -> Iterator[Batch]:
        """As `batches`, kept by column."""
        waiting: list[Batch] = []
        for each in self._parts():
            left, part = skip, each
            skip = max(0, skip - len(part))
            waiting.append(part.cut(left)[1] if left else part)
            if sum(map(len, waiting)) < size:
                continue
            rest = _joined(waiting)
            while len(rest) >= size:
                head, rest = rest.cut(size)
                yield head
            waiting = [rest]
        if waiting and len(rest := _joined(waiting)):
            yield rest

    def _parts(self) -> Iterator[Batch]:
        return self._csv_parts() if self.encoding else self._parquet_parts()

    def _csv_parts(self) -> Iterator[Batch]:
        with self.path.open("rb") as raw, _text(raw, self.encoding) as text:
            header = True
            for block in read_blocks(text, self.delimiter, self.limits):
                lines, records, problems = block.lines, block.records, block.problems
                if header and records:
                    lines, records, header = lines[1:], records[1:], False
                    problems = {at - 1: problem for at, problem in problems.items() if at}
                if records:
                    yield self._part(lines, records, problems, raw.tell())

    def _part(self, lines: Sequence[int], records: list[list[str]], problems: Mapping[int, str], done: int) -> Batch:
        width = len(self.columns)
        refused: list[Refusal] = []
        if problems or set(map(len, records)) != {width}:
            bad = {
                at: problems.get(at, "ragged") for at, one in enumerate(records) if at in problems or len(one) != width
            }
            refused = [Refusal(lines[at], records[at], why) for at, why in bad.items()]
            lines = [line for at, line in enumerate(lines) if at not in bad]
            records = [fields for at, fields in enumerate(records) if at not in bad]
        cells: list[Sequence[str]] = list(zip(*records, strict=True)) if records else [()] * width
        columns = {name: _unguarded(column) for name, column in zip(self.columns, cells, strict=True)}
        return Batch(Rows(lines, columns), refused, done)

    def _parquet_parts(self) -> Iterator[Batch]:
        line = 2
        for columns, share in parquet.read_batches(self.path):
            cells = {name: _texts(values) for name, values in zip(self.columns, columns, strict=True)}
            lines = range(line, line + len(columns[0]))
            line = lines.stop
            yield Batch(Rows(lines, cells), [], int(share * self.size))


def open_table(
    path: Path, *, encoding: str | None = None, delimiter: str | None = None, limits: Limits | None = None
) -> Table:
    """Open a CSV or Parquet file; its kind is told by its content.

    Raises NotFound for a missing file, Invalid for one that is too large, empty, damaged, or without a usable header.
    """
    bounds = limits or Limits()
    if not path.is_file():
        raise NotFound("files.no_file", file=path.name or str(path))
    size = path.stat().st_size
    if size > bounds.size:
        raise Invalid("files.too_large", file=path.name, size=size, limit=bounds.size)
    if parquet.is_parquet(path):
        return Table(path, _checked(parquet.column_names(path), path, bounds), size, "", "", bounds)
    codec = encoding or detect_encoding(path)
    with path.open("rb") as raw, _text(raw, codec) as text:
        head = [line for line in (text.readline(bounds.line) for _ in range(_HEAD_LINES)) if line]
        mark = delimiter or detect_delimiter(head)
        header = next(read_records(io.StringIO("".join(head)), mark, bounds), None)
    if header is None or header.problem:
        raise Invalid("files.no_header", file=path.name, encoding=codec)
    return Table(path, _checked([strip_guard(cell) for cell in header.fields], path, bounds), size, codec, mark, bounds)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def as_text(value: Any) -> str:
    """A Parquet value as the text a CSV would hold."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime() | date():
            return value.isoformat()
        case float() if value.is_integer():
            return str(int(value))
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)


def _texts(values: Sequence[Any]) -> Sequence[str]:
    """Each as by `as_text`; whole columns of texts or integers are told by their types."""
    kinds = set(map(type, values))
    if kinds <= {str, type(None)}:
        return values if None not in values else [value or "" for value in values]
    return list(map(str if kinds == {int} else as_text, values))


def _unguarded(cells: Sequence[str]) -> Sequence[str]:
    """Taking off a guard costs a call a cell; the mark that it begins with is rare."""
    if "'" in "".join(cells):
        return [strip_guard(cell) if cell[:1] == "'" else cell for cell in cells]
    return cells


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    lines = list(chain.from_iterable(part.rows.lines for part in parts))
    columns = {
        name: list(chain.from_iterable(part.rows.columns[name] for part in parts)) for name in parts[0].rows.columns
    }
    return Batch(Rows(lines, columns), list(chain.from_iterable(part.refused for part in parts)), parts[-1].done)


def _text(raw: BinaryIO, encoding: str) -> io.TextIOWrapper:
    try:
        return io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
    except LookupError:
        raise Invalid("files.no_encoding", encoding=encoding) from None


def _checked(columns: list[str], path: Path, limits: Limits) -> list[str]:
    names = [column.strip() for column in columns]
    if len(names) > limits.columns:
        raise Invalid("files.too_wide", file=path.name, columns=len(names), limit=limits.columns)
    twice = sorted({name for name in names if names.count(name) > 1})
    if "" in names or twice:
        raise Invalid("files.bad_header", file=path.name, columns=", ".join(twice) or "(empty)")
    return names
