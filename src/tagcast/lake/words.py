"""The words of the lake: its columns, its files, what can go wrong. Light: no engine is loaded for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

WHO = "contact"
WHEN = "at_ms"
"""The columns that every table has: whom a row is about, and when in epoch milliseconds."""

Engine = Literal["duckdb", "spark"]
Numbers = NDArray[np.int32]


class Damaged(Exception):
    """A file does not hold what was written."""


class Moved(Exception):
    """A file left the table while it was read. Look again."""


class Contested(Exception):
    """Another writer was first. Look again."""


class Gone(Exception):
    """A version whose files were removed."""


class Down(Exception):
    """An engine does not answer."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a table. Its rows came with the appends (since, upto]; it has the table's first `columns` columns."""

    name: str
    size: int
    rows: int
    first: int
    last: int
    low: int
    high: int
    columns: int
    since: int
    upto: int

    @property
    def digest(self) -> str:
        """What its bytes hash to."""
        return self.name.removesuffix(".parquet").rpartition("-")[2]

    @property
    def month(self) -> int:
        """The UTC month of all of its rows, from 1970-01 on."""
        return int(np.datetime64(self.first, "ms").astype("datetime64[M]").astype(np.int64))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table at one version. `upto` is the number that its appends have reached.

    `stamp` is what the writer put beside that number, `owner` whose the table is, as its writer told, `rewritten` how
    often files were put in the place of others; 0 for nothing.
    """

    version: int
    upto: int
    schema: "pa.Schema"
    files: tuple[File, ...]
    stamp: int = 0
    owner: int = 0
    rewritten: int = 0

    @property
    def rows(self) -> int:
        """How many rows."""
        return sum(one.rows for one in self.files)

    def between(self, first: int | None, last: int | None) -> "tuple[File, ...]":
        """The files that may hold rows with first ≤ when ≤ last."""
        return tuple(
            one for one in self.files if (first is None or one.last >= first) and (last is None or one.first <= last)
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One commit: its number, when, what it did, how many rows it brought or took, how far appends were after it."""

    version: int
    at_ms: int
    what: str
    rows: int
    upto: int
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Files with the same columns, the first so many of the table's."""

    columns: int
    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to ask: files but for some numbers' rows, and rows that are in no file yet.

    `files_of` opens addresses for engines that cannot.
    """

    schema: "pa.Schema"
    parts: tuple[Part, ...]
    tail: "pa.Table"
    without: tuple[int, ...] = ()
    files_of: Any = None
