"""Tagging from a file of identities: everyone found is tagged in one change, every row that is not is named."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tagcast import bitmaps, contacts, files
from tagcast.kit.errors import Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work
from tagcast.tags import tagging

_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Intake:
    """What a file did: data rows, contacts found in them, contacts newly tagged, rows refused; `seq` of the change."""

    rows: int
    found: int
    tagged: int
    refused: int
    seq: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where the identities stand: a column of a CSV or Parquet file, of one kind, for `openid` of one account."""

    path: Path
    column: str
    kind: str
    account: int = 0


def assign_file(
    work: Work, tag_id: int, source: Source, *, why: str, refused: Path, until: datetime | None = None
) -> Intake:
    """Give the tag to everyone in a file; rows that name nobody go to the CSV `refused`, with line and reason.

    Raises Invalid for an unusable file, column or kind; Refused when there is no room for all: then nobody is tagged.
    """
    table = files.open_table(source.path)
    if source.column not in table.columns:
        columns = ", ".join(table.columns)
        raise Invalid("tags.no_column", file=source.path.name, column=source.column, columns=columns)
    numbers: set[int] = set()
    rows = bad = 0
    with files.RefusedRows(refused, table.columns) as out:
        for batch, _ in table.batches(_BATCH):
            good = [row for row in batch if isinstance(row, files.Row)]
            found = contacts.numbers_of(work, source.kind, [row.values[source.column] for row in good], source.account)
            known = dict(zip((row.line for row in good), found, strict=True))
            rows += len(batch)
            for row in batch:
                if (number := known.get(row.line)) is not None:
                    numbers.add(number)
                    continue
                bad += 1
                problem = _problem(row)
                cells = row.cells if isinstance(row, files.Refusal) else list(row.values.values())
                out.add(row.line, problem.text("zh"), problem.text("en"), cells)
        out.sync()
    change = tagging.assign(work, tag_id, bitmaps.pack(numbers), why=why, until=until)
    return Intake(rows, len(numbers), change.size if change else 0, bad, change.seq if change else None)


def _problem(row: files.Row | files.Refusal) -> TagcastError:
    if isinstance(row, files.Refusal):
        return Invalid(f"files.{row.reason}")
    return NotFound("tags.row_unknown")
