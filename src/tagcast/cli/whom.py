"""People whom a command is about: named one by one, in a file, or by a segment."""

from dataclasses import dataclass
from pathlib import Path

import typer
from pyroaring import BitMap

from tagcast import accounts, audiences, bitmaps, contacts, files
from tagcast.cli.account import which
from tagcast.cli.contacts import number_of
from tagcast.cli.frame import readable
from tagcast.cli.segment import expression
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

_BATCH = 10_000

WHO = typer.Argument(metavar="WHO…", help="Numbers or <kind>:<value>.")
FILE = typer.Option(help="CSV or Parquet of people; - is stdin.")
COLUMN = typer.Option(help="Its column.")
KIND = typer.Option(help="What the column holds: customer_id, unionid, openid …")
ACCOUNT = typer.Option(help="Whose openid, external_userid or member_id it holds.")
SEGMENT = typer.Option(help="Everybody of an expression, or =NAME of a kept one.")


@dataclass(frozen=True, slots=True)
class Whom:
    """One of the three ways to say whom."""

    who: list[str] | None
    file: Path | None
    segment: str | None
    column: str = "customer_id"
    kind: str = "customer_id"
    account: str | None = None

    def read(self, work: Work) -> tuple[BitMap, int]:
        """The people, and how many rows of the file named nobody. Raises Invalid, NotFound."""
        if [bool(self.who), self.file is not None, self.segment is not None].count(True) != 1:
            raise Invalid("cli.who", options="WHO…, --file, --segment")
        if self.segment is not None:
            return audiences.members(work, expression(work, self.segment)), 0
        if self.file is not None:
            return self._of_file(work, self.file)
        return bitmaps.pack([_there(work, one) for one in self.who or []]), 0

    def _of_file(self, work: Work, file: Path) -> tuple[BitMap, int]:
        account = 0 if self.account is None else _account(work, self.account)
        numbers, unknown = set[int](), 0
        with readable(file) as source:
            table = files.open_table(source)
            if self.column not in table.columns:
                raise Invalid("cli.no_column", file=file.name, column=self.column, columns=", ".join(table.columns))
            for batch, _ in table.batches(_BATCH):
                values = [row.values[self.column] for row in batch if isinstance(row, files.Row)]
                found = contacts.numbers_of(work, self.kind, values, account)
                numbers.update(number for number in found if number is not None)
                unknown += len(batch) - len(found) + found.count(None)
        return bitmaps.pack(numbers), unknown


def _there(work: Work, who: str) -> int:
    number = number_of(work, who)
    contacts.describe(work, number)
    return number


def _account(work: Work, account: str) -> int:

    return accounts.get(work, which(account)).id
