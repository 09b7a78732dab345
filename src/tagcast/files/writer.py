"""Writing tables. A cell that a spreadsheet would run gets an apostrophe in front, which reading takes off again.

Source of the rule: OWASP, CSV Injection (https://owasp.org/www-community/attacks/CSV_Injection), ASVS 5.0 §1.2.10.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tagcast.files import parquet

if TYPE_CHECKING:
    import _csv

Cell = str | int | float | Decimal | date | None

_RISKY = "=+-@\t\r\0＝＋－＠"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def safe_cell(value: Cell) -> str | int | float:
    """The value as it may stand in a CSV file: numbers as they are, risky texts behind an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = value.isoformat() if isinstance(value, date) else str(value)
    if text[:1] and (text[0] in _RISKY or _guarded(text)) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def strip_guard(text: str) -> str:
    """Take off the apostrophe that `safe_cell` put there."""
    return text[1:] if text[:1] == "'" and _guarded(text) else text


def _guarded(text: str) -> bool:
    rest = text.lstrip("'")
    return text[0] == "'" and rest[:1] != "" and rest[0] in _RISKY


def csv_writer(target: IO[str]) -> "_csv.Writer":
    """A writer that quotes every text, with the line ends that spreadsheets expect."""
    return csv.writer(target, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write a table as UTF-8 with byte order mark; returns the number of data rows."""
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as target:
        writer = csv_writer(target)
        writer.writerow([safe_cell(column) for column in columns])
        for row in rows:
            writer.writerow([safe_cell(cell) for cell in row])
            count += 1
    return count


def write_parquet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write a table as Parquet; returns the number of rows."""
    kept = list(rows)
    parquet.write(path, columns, kept)
    return len(kept)
