"""Tagging from a file of identities: everyone found is tagged in one change, every row that is not is named."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyroaring import BitMap

from tagcast import bitmaps, contacts, files
from tagcast.kit.errors import Conflict, Invalid, NotFound, TagcastError
from tagcast.kit.uow import Work
from tagcast.tags import actions, rules, store, tagging
from tagcast.tags.actions import Place

_BATCH = 10_000
_SEARCHED = 50
"""So many unknown tags of a chunk are told with the nearest that are there."""


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


class _Imported:
    """Tags of an import of contacts: those of its rows and those of the whole file."""

    def check(self, work: Work, wanted: Collection[Place], *, make: bool) -> dict[Place, TagcastError]:
        """What is wrong with those tags that cannot be given; with `make`, being unknown is not."""
        try:
            ids = {place: branch[0] for place, branch in actions.find_many(work, wanted).items()}
        except NotFound:
            return self._one_by_one(work, wanted, make=make)
        kept = {tag.id: tag for tag in store.every(work, anywhere=True) if tag.keeper is not None}
        found: dict[Place, TagcastError] = {}
        for place, tag_id in ids.items():
            if tag_id in kept:
                try:
                    rules.check_keeper(kept[tag_id], work.actor)
                except Conflict as error:
                    found[place] = error
        return found

    def _one_by_one(self, work: Work, wanted: Collection[Place], *, make: bool) -> dict[Place, TagcastError]:
        found: dict[Place, TagcastError] = {}
        searched = 0
        for place in wanted:
            account, path = place
            # A column that holds no tags at all: the nearest of thousands would take minutes.
            if searched >= _SEARCHED and not make and actions.missing(work, path, account=account):
                found[place] = NotFound("tags.unknown", path=path[:200], near="–")
                continue
            try:
                rules.check_keeper(actions.find(work, path, account=account), work.actor)
            except NotFound as error:
                searched += 1
                try:
                    if not make or error.code != "tags.unknown":
                        raise
                    actions.check_new(work, path, account=account)
                except TagcastError as why:
                    found[place] = why
            except TagcastError as error:
                found[place] = error
        return found

    def give(self, work: Work, members: Mapping[Place, BitMap], *, make: bool, why: str) -> BitMap:
        """Give the tags, making those that are unknown if `make`; who really got one. Raises Refused for a limit."""
        got = BitMap()
        for (account, path), given in members.items():
            tag = (actions.ensure if make else actions.find)(work, path, account=account)
            change = tagging.assign(work, tag.id, given, why=why)
            if change is not None:
                got |= work.bitmaps.members(change.seq)
        return got


ON_IMPORT = _Imported()
"""Handed to an import of contacts, which stands below tags."""


def _problem(row: files.Row | files.Refusal) -> TagcastError:
    if isinstance(row, files.Refusal):
        return Invalid(f"files.{row.reason}")
    return NotFound("tags.row_unknown")
