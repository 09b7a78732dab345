"""The engines that run a compiled question on the same files: DuckDB in this process, Spark over Spark Connect."""

import threading
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tagcast.lake import expressions
from tagcast.lake.asking import Ask
from tagcast.lake.words import WHO, Down, Moved, Numbers, Source

RETRIES = 4
"""Tries again of a call to Spark, over about two seconds."""


class Runner(Protocol):
    """An engine."""

    def ask(self, ask: Ask, sources: Sequence[Source], within: Numbers | None) -> Numbers:
        """Who it is, in no order, maybe more than once. Raises Down, Moved."""

    def close(self) -> None:
        """Let go of everything."""


class Duck:
    """DuckDB inside this process; each question has a connection of its own."""

    def __init__(self, *, threads: int = 0) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._database: Any = None

    def ask(self, ask: Ask, sources: Sequence[Source], within: Numbers | None) -> Numbers:
        """Who it is."""
        import duckdb

        schemas = tuple(one.schema for one in sources)
        sql, values = expressions.compiled(ask, schemas, within is not None, "duckdb")
        with self._cursor() as cursor:
            texts = [self._select(cursor, index, one) for index, one in enumerate(sources)]
            if within is not None:
                cursor.register("within_0", pa.table({WHO: pa.array(within, pa.int32())}))
            try:
                found = cursor.sql(sql.fill(values, texts, "within_0")).to_arrow_table()
            except (duckdb.IOException, duckdb.HTTPException) as error:
                raise Moved(str(error)) from error
        return _numbers(found)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _cursor(self) -> Any:
        import duckdb

        with self._lock:
            if self._database is None:
                self._database = duckdb.connect(":memory:")
                # A file never changes, so what its footer says stays true.
                self._database.execute("SET parquet_metadata_cache = true")
                self._database.execute("SET preserve_insertion_order = false")
                if self._threads:
                    self._database.execute(f"SET threads = {self._threads}")
            return self._database.cursor()

    def _select(self, cursor: Any, index: int, source: Source) -> str:
        branches = []
        for number, part in enumerate(source.parts):
            if source.files_of is None:
                where = f"read_parquet([{', '.join(_quoted(uri) for uri in part.uris)}], hive_partitioning = false)"
            else:
                import pyarrow.dataset as ds

                where = f"files_{index}_{number}"
                paths = [uri.rpartition("/")[2] for uri in part.uris]
                cursor.register(where, ds.dataset(paths, filesystem=source.files_of, format="parquet"))
            picked = ", ".join(
                f'"{field.name}"' if place < part.columns else f'CAST(NULL AS {_DUCK[field.type]}) AS "{field.name}"'
                for place, field in enumerate(source.schema)
            )
            branches.append(f"FROM {where} SELECT {picked}{_but(source.without)}")
        if len(source.tail) or not branches:
            cursor.register(f"tail_{index}", source.tail)
            branches.append(f"FROM tail_{index} SELECT *")
        return f"({' UNION ALL '.join(branches)})"


def _but(numbers: Sequence[int]) -> str:
    return f" WHERE {WHO} NOT IN ({', '.join(map(str, numbers))})" if numbers else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Spark:
    """A Spark cluster, or Sail, which speaks the same protocol. What it opens must be reachable for its workers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._session: Any = None

    def ask(self, ask: Ask, sources: Sequence[Source], within: Numbers | None) -> Numbers:
        """Who it is."""
        schemas = tuple(one.schema for one in sources)
        sql, values = expressions.compiled(ask, schemas, within is not None, "pyspark")
        session = self._open()
        mark = uuid.uuid4().hex
        views: list[str] = []

        def view(name: str, frame: Any) -> str:
            frame.createOrReplaceTempView(name)
            views.append(name)
            return f"`{name}`"

        try:
            texts = [view(f"s{index}_{mark}", _frame(session, one)) for index, one in enumerate(sources)]
            inside = ""
            if within is not None:
                only = pa.table({WHO: pa.array(within, pa.int32())})
                inside = view(f"w_{mark}", _local(session, only))
            return _numbers(session.sql(sql.fill(values, texts, inside)).toArrow())
        except Exception as error:
            problem = _problem(error)
            if isinstance(problem, Down):
                # The next question opens another; this one cannot even be ended.
                views.clear()
                with self._lock:
                    self._session = None
            raise problem from error
        finally:
            _drop(session, views)

    def close(self) -> None:
        """End the session, not the cluster."""
        with self._lock:
            if self._session is not None:
                session, self._session = self._session, None
                session.stop()

    def _open(self) -> Any:
        with self._lock:
            if self._session is None:
                try:
                    from pyspark.sql.connect.client.retries import DefaultPolicy
                    from pyspark.sql.connect.session import SparkSession

                    made = SparkSession.builder.remote(self._url).create()
                except ImportError as error:
                    raise Down("the extra `spark` is not installed") from error
                except Exception as error:
                    raise _problem(error) from error
                # Its own policy goes on for ten minutes.
                made.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES, max_backoff=1000)])
                self._session = made
            return self._session


def _frame(session: Any, source: Source) -> Any:
    """The rows of a source as Spark sees them. Columns that a file lacks are null by the schema that is asked of it."""
    found = None
    if uris := [uri for part in source.parts for uri in part.uris]:
        schema = ", ".join(f"`{field.name}` {_SPARK[field.type]}" for field in source.schema)
        found = session.read.schema(schema).parquet(*uris)
        if source.without:
            found = found.where(_but(source.without).removeprefix(" WHERE "))
    if len(source.tail) or found is None:
        tail = _local(session, source.tail)
        found = tail if found is None else found.unionAll(tail)
    return found


def _local(session: Any, rows: pa.Table) -> Any:
    """Rows of ours as the engine's. Types are said again: an empty or all-null column tells nothing."""
    if not len(rows):
        columns = ", ".join(f"CAST(NULL AS {_SPARK[field.type]}) AS `{field.name}`" for field in rows.schema)
        return session.sql(f"SELECT {columns} WHERE 1 = 0")
    return session.createDataFrame(rows)


def _drop(session: Any, views: list[str]) -> None:
    for name in views:
        try:
            session.catalog.dropTempView(name)
        except Exception:  # noqa: BLE001 - the session is gone, and its views with it
            return


def _problem(error: Exception) -> Exception:
    text = str(error)
    if any(
        mark in text for mark in ("PATH_NOT_FOUND", "FAILED_READ_FILE", "No such file", "not found in object store")
    ):
        return Moved(text)
    if type(error).__name__ in (
        "RetriesExceeded",
        "SparkConnectGrpcException",
        "_MultiThreadedRendezvous",
        "_InactiveRpcError",
    ):
        return Down(text.splitlines()[0][:200])
    return error


def _numbers(found: pa.Table) -> Numbers:
    column = found.column(0).combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int32)


_UNREACHABLE = ("RetriesExceeded", "SparkConnectGrpcException", "_MultiThreadedRendezvous", "_InactiveRpcError")

_DUCK = {
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
}
_SPARK = {
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "STRING",
    pa.bool_(): "BOOLEAN",
}
