"""CSV as records with their line numbers; a record that cannot be read is refused by itself and loses nobody else's.

A quote that is never closed would swallow what follows. So the lines of a record are kept until it is complete; when it
is not, only its first line is refused and reading goes on with the second.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

_PLAIN = 100_000
"""Characters of a line that needs no reader; csv refuses a field of 131,072."""


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
        line = self.source.readline(self.limits.line + 1)
        if len(line) > self.limits.line:
            kept = line[:200] + "\n"
            while line and not line.endswith("\n"):
                line = self.source.readline(self.limits.line)
            return kept.replace('"', ""), "long_line"
        if "\0" in line:
            return line.replace("\0", ""), "nul"
        return line, "encoding" if "\ufffd" in line else ""

    def plain(self) -> str | None:
        """The next line without its end, if it is a record by itself (no quote, nothing wrong); else None: it stays."""
        line, problem = self.back.popleft() if self.back else self._read()
        if not line or problem or '"' in line or len(line) > _PLAIN:
            if line:
                self.back.appendleft((line, problem))
            return None
        self.number += 1
        return line.rstrip("\r\n")

    def next_record(self) -> None:
        self.taken.clear()

    def give_back_all_but_first(self) -> str:
        first, *rest = self.taken
        self.back.extendleft(reversed(rest))
        self.number -= len(rest)
        self.taken.clear()
        return first[0]


def read_records(source: TextIO, delimiter: str, limits: Limits) -> Iterator[Record]:
    """The records of an open text in order; blank lines are passed over."""
    lines = _Lines(source, limits)
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            while True:
                while (plain := lines.plain()) is not None:
                    if plain:
                        yield Record(lines.number, plain.split(delimiter))
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
