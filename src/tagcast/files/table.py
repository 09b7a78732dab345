"""A table in a file, CSV or Parquet, as rows of named text values with their line numbers."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from tagcast.files import parquet
from tagcast.files.csv_reader import Limits, read_records
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
        return self._parquet_rows() if not self.encoding else self._csv_rows()

    def batches(self, size: int, *, skip: int = 0) -> Iterator[tuple[list[Row | Refusal], int]]:
        """The rows after the first `skip`, `size` at a time, with the bytes read so far."""
        rows = islice(self.rows(), skip, None)
        while batch := list(islice(rows, size)):
            yield [row for row, _ in batch], batch[-1][1]

    def _csv_rows(self) -> Iterator[tuple[Row | Refusal, int]]:
        width = len(self.columns)
        with self.path.open("rb") as raw, _text(raw, self.encoding) as text:
            records = read_records(text, self.delimiter, self.limits)
            next(records, None)
            for record in records:
                fields = record.fields
                if record.problem or len(fields) != width:
                    yield Refusal(record.line, fields, record.problem or "ragged"), raw.tell()
                    continue
                # Taking off a guard costs a call a cell; the mark that it begins with is rare.
                cells = [strip_guard(cell) if cell[:1] == "'" else cell for cell in fields]
                yield Row(record.line, dict(zip(self.columns, cells, strict=True))), raw.tell()

    def _parquet_rows(self) -> Iterator[tuple[Row | Refusal, int]]:
        line = 1
        for columns, share in parquet.read_batches(self.path):
            done = int(share * self.size)
            for values in zip(*columns, strict=True):
                line += 1
                yield Row(line, dict(zip(self.columns, map(as_text, values), strict=True))), done


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
