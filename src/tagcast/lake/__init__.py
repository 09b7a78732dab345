"""A lake of Parquet tables with atomic commits, and one expression per question for any engine. No product words.

A row is about somebody (`contact`, a number) at some time (`at_ms`); a table may have more columns, and get more.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tagcast.lake.asking import Ask, Condition, Days, Followed, Measured, Rows
from tagcast.lake.direct import answer as answer_few
from tagcast.lake.direct import chosen
from tagcast.lake.words import (
    WHEN,
    WHO,
    Contested,
    Damaged,
    Down,
    Engine,
    File,
    Gone,
    Moved,
    Numbers,
    Part,
    Snapshot,
    Source,
    Version,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tagcast.lake.engines import Runner
    from tagcast.lake.table import LakeTable as LakeTable

_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*")


class Lake:
    """The tables below one folder or one address, for one process. Safe to share between threads.

    `engine` answers questions; `options` are the storage options of the table format's client for an address.
    """

    def __init__(
        self,
        place: Path | str,
        *,
        engine: Engine = "duckdb",
        spark_url: str = "",
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.place = place
        self._options = dict(options or {})
        self.engine = engine
        self._spark_url = spark_url
        self._runner: Runner | None = None
        self._lock = threading.Lock()
        self._tables: dict[str, LakeTable] = {}

    def table(self, name: str) -> "LakeTable":
        """A table by name, small letters, digits, `_` and `/`; it is made by its first append."""
        # Arrow, the table format and the engines are loaded when they are needed.
        from tagcast.lake.table import LakeTable

        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a table")
        with self._lock:
            if name not in self._tables:
                place = self.place / name if isinstance(self.place, Path) else f"{self.place.rstrip('/')}/{name}"
                self._tables[name] = LakeTable(place, self._options)
            return self._tables[name]

    def source(
        self,
        name: str,
        seen: Snapshot | None,
        tail: "pa.Table",
        *,
        files: Sequence[File] | None = None,
        without: Sequence[int] = (),
    ) -> Source:
        """What to ask: the files of a table as it was seen, or some of them, and rows that are in no file yet.

        `without`: few numbers whose rows in files do not count any more.
        """
        import pyarrow as pa

        from tagcast.lake.parquet import conform

        if seen is None:
            return Source(tail.schema, (), tail)
        table = self.table(name)
        schema = pa.schema([*seen.schema, *(field for field in tail.schema if field.name not in seen.schema.names)])
        by_columns: dict[int, list[File]] = {}
        for one in seen.files if files is None else files:
            by_columns.setdefault(one.columns, []).append(one)
        parts = tuple(Part(columns, tuple(table.uris(some))) for columns, some in sorted(by_columns.items()))
        files_of = table.storage.source() if self.engine == "duckdb" else None
        return Source(schema, parts, conform(tail, schema), tuple(without), files_of)

    def ask(self, ask: Ask, sources: Sequence[Source], within: Numbers | None = None) -> Numbers:
        """Who it is, those of `within` if given; in no order, maybe more than once.

        Raises Moved when a file left its table meanwhile, Down when the engine does not answer.
        """
        return self._engine().ask(ask, sources, within)

    def close(self) -> None:
        """Let go of the engine."""
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _engine(self) -> "Runner":
        from tagcast.lake.engines import Duck, Spark

        with self._lock:
            if self._runner is None:
                self._runner = Spark(self._spark_url) if self.engine == "spark" else Duck()
            return self._runner


def conform(rows: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    """Rows under a schema: columns that they lack are null, those that it lacks are left out."""
    from tagcast.lake import parquet

    return rows if rows.schema == schema else parquet.conform(rows, schema)


__all__ = [
    "WHEN",
    "WHO",
    "Ask",
    "Condition",
    "Contested",
    "Damaged",
    "Days",
    "Down",
    "Engine",
    "File",
    "Followed",
    "Gone",
    "Lake",
    "Measured",
    "Moved",
    "Numbers",
    "Part",
    "Rows",
    "Snapshot",
    "Source",
    "Version",
    "answer_few",
    "chosen",
    "conform",
]
