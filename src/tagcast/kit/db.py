"""The database: one metadata, engines for SQLite and PostgreSQL, bulk writes."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from tagcast.kit.door import BUSY_MS, Door

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for INTEGER PRIMARY KEY; PostgreSQL wants BIGINT for what grows.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Ms = sa.BigInteger

WRITE = "tagcast_write"
IDLE_MS = 60_000


def where(condition: str) -> dict[str, Any]:
    """Options of a partial index, for both dialects."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def open_engine(url: str, *, pool_size: int = 8) -> Engine:
    """An engine with our pragmas: SQLite in WAL with full sync and immediate writes; PostgreSQL read committed."""
    pool: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 32, "json_serializer": json}
    if url.startswith("sqlite"):
        # The connection used last has its pages in memory.
        engine = sa.create_engine(url, **pool, pool_use_lifo=True, connect_args={"timeout": 60})
        sa.event.listen(engine, "connect", _sqlite_connect)
        sa.event.listen(engine, "begin", partial(_sqlite_begin, Door(engine.url.database)))
        return engine
    # A process that was stopped in the middle of a transaction must not keep its locks for ever.
    options = {"options": f"-c idle_in_transaction_session_timeout={IDLE_MS}"}
    return sa.create_engine(url, **pool, pool_pre_ping=True, connect_args=options)


def json(value: object) -> str:
    """The text of a JSON column."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
        "secure_delete=ON",
        "cache_size=-65536",
        # Pages; a commit that finds so many in the log copies them, and who waits for it waits longer.
        "wal_autocheckpoint=4000",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _sqlite_begin(door: Door, connection: Connection) -> None:
    # Past SQLAlchemy's cursor: every transaction does it, and nothing comes back.
    raw = connection.connection.dbapi_connection
    assert raw is not None
    try:
        if connection.get_execution_options().get(WRITE, False):
            door.begin(raw)
        else:
            raw.execute("BEGIN").close()
    except sqlite3.OperationalError as error:
        raise sa.exc.OperationalError("BEGIN", None, error) from error


def insert_many(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in bulk; nothing for none."""
    if rows:
        connection.execute(sa.insert(table), list(rows))


def insert_packed(connection: Connection, into: str, rows: Sequence[Sequence[Any]], *, tail: str = "") -> int:
    """SQLite only: many rows a statement, for hot paths beside a busy thread; how many were inserted.

    `into` is "table (columns)", `tail` what follows the values, e.g. ON CONFLICT. The driver lets other threads run at
    each step of a statement and then waits for its turn; a statement for each row would wait as often. Statements are
    of few lengths, so that the driver finds them prepared.
    """
    inserted = 0
    start = 0
    while start < len(rows):
        left = min(len(rows) - start, _MOST_PACKED)
        size = left - left % _STEP or left
        part = rows[start : start + size]
        start += size
        statement = _packed(into, len(part[0]), size, tail)
        inserted += connection.exec_driver_sql(statement, tuple(chain.from_iterable(part))).rowcount
    return inserted


_MOST_PACKED = 256
_STEP = 16


@lru_cache(maxsize=1024)
def _packed(into: str, width: int, size: int, tail: str) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * size)} {tail}"  # noqa: S608 - names from our own code


def insert_or(connection: Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert of the connection's dialect, which takes an `on_conflict_…`."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def upsert_ignore(
    connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], index_elements: Sequence[str]
) -> None:
    """Insert rows, leaving alone those whose key is there already."""
    if not rows:
        return
    statement = insert_or(connection, table).on_conflict_do_nothing(index_elements=list(index_elements))
    connection.execute(statement, list(rows))


def upsert(
    connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], index_elements: Sequence[str]
) -> None:
    """Insert rows, or overwrite the other columns where the key is there already."""
    if not rows:
        return
    statement = insert_or(connection, table)
    others = {name: statement.excluded[name] for name in rows[0] if name not in index_elements}
    connection.execute(statement.on_conflict_do_update(index_elements=list(index_elements), set_=others), list(rows))
