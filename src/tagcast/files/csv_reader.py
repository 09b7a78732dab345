"""CSV as records with their line numbers; a record that cannot be read is refused by itself and loses nobody else's.

A quote that is never closed would swallow what follows. So the lines of a record are kept until it is complete; when it
is not, only its first line is refused and reading goes on with the second.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TextIO

_PLAIN = 100_000
"""Characters of a line that needs no judging; csv refuses a field of 131,072."""
_BLOCK = 1 << 16
"""Characters that are read at once while nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a table file may be: bytes of the file, columns, characters of a line, lines of a record."""

    size: int = 2 << 30
    columns: int = 500
    line: int = 1 << 20
    record_lines: int = 100


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line's number, its fields, and the code of what is wrong with it ('' if nothing)."""

    line: int
    fields: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Records that follow each other: their first lines, their fields, and what is wrong with some, by index."""

    lines: Sequence[int]
    records: list[list[str]]
    problems: dict[int, str] = field(default_factory=dict)


class _Lines:
    """Hands lines to csv.reader, remembers those of the present record and takes some back."""

    def __init__(self, source: TextIO, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.back: deque[tuple[str, str]] = deque()
        self.taken: list[tuple[str, str]] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) >= self.limits.record_lines:
            raise csv.Error("record of too many lines")
        line, problem = self.back.popleft() if self.back else self._read()
        if not line:
            raise StopIteration
        self.taken.append((line, problem))
        self.number += 1
        return line

    def _read(self) -> tuple[str, str]:
        return self._judged(self.source.readline(self.limits.line + 1))

    def _judged(self, line: str) -> tuple[str, str]:
        if len(line) > self.limits.line:
            kept = line[:200] + "\n"
            while line and line[-1] not in "\r\n":
                line = self.source.readline(self.limits.line)
            return kept.replace('"', ""), "long_line"
        if "\0" in line:
            return line.replace("\0", ""), "nul"
        return line, "encoding" if "\ufffd" in line else ""

    def block(self, delimiter: str) -> Block | None:
        """Many records at once, if each is one line and nothing is wrong with any; else None, and the lines stay."""
        if self.back:
            return None
        text = self.source.read(_BLOCK)
        if text and text[-1] != "\n":
            text += self.source.readline(self.limits.line + 1)
        found = _plain(text, delimiter, min(self.limits.line, _PLAIN))
        if found is None:
            self.back.extend(self._judged(line) for line in io.StringIO(text, newline=""))
            return None
        first = self.number + 1
        self.number += len(found)
        if [] not in found:
            return Block(range(first, self.number + 1), found)
        lines = [first + at for at, fields in enumerate(found) if fields]
        return Block(lines, [fields for fields in found if fields])

    def next_record(self) -> None:
        self.taken.clear()

    def give_back_all_but_first(self) -> str:
        first, *rest = self.taken
        self.back.extendleft(reversed(rest))
        self.number -= len(rest)
        self.taken.clear()
        return first[0]


def read_blocks(source: TextIO, delimiter: str, limits: Limits) -> Iterator[Block]:
    """The records of an open text in order, many at a time; blank lines are passed over."""
    lines = _Lines(source, limits)
    one_by_one = _records(lines, delimiter)
    while True:
        if (block := lines.block(delimiter)) is not None:
            yield block
            continue
        records = list(islice(one_by_one, 1))
        while lines.back and (record := next(one_by_one, None)) is not None:
            records.append(record)
        if not records:
            return
        problems = {at: record.problem for at, record in enumerate(records) if record.problem}
        yield Block([record.line for record in records], [record.fields for record in records], problems)


def read_records(source: TextIO, delimiter: str, limits: Limits) -> Iterator[Record]:
    """The records of an open text in order, one by one; blank lines are passed over."""
    return _records(_Lines(source, limits), delimiter)


def _plain(text: str, delimiter: str, longest: int) -> list[list[str]] | None:
    """The records of a text of whole lines, [] for a blank one, if nothing in it asks for a closer look."""
    clean = text.replace("\r\n", "\n") if "\r" in text else text
    if not clean or "\0" in clean or "\ufffd" in clean or "\r" in clean:
        return None
    lines = clean.split("\n")
    if not lines[-1]:
        lines.pop()
    if max(map(len, lines)) >= longest - 1:
        return None
    try:
        records = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return records if len(records) == len(lines) else None


def _records(lines: _Lines, delimiter: str) -> Iterator[Record]:
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            while True:
                lines.next_record()
                start = lines.number + 1
                fields = next(reader)
                problem = next((bad for _, bad in lines.taken if bad), "")
                if fields or problem:
                    yield Record(start, fields, problem)
        except StopIteration:
            return
        except csv.Error:
            first = lines.give_back_all_but_first()
            yield Record(start, first.rstrip("\r\n").split(delimiter), "quote")
