"""A log of its own per test, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tagcast.bitmaps import Bitmaps, View, metadata


@dataclass(frozen=True)
class Log:
    """A database with an empty change log, and a folder for checkpoints."""

    url: str
    engine: sa.Engine
    folder: Path


def open_engine(url: str) -> sa.Engine:
    """An engine whose SQLite write transactions take the write lock at their begin; reading ones carry `reading`."""
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL").close()
            connection.execute("PRAGMA busy_timeout=60000").close()

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            reading = connection.get_execution_options().get("reading", False)
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def writing(bitmaps: Bitmaps, log: Log, *, workspace: int = 1, at_ms: int = 1000) -> Iterator[View]:
    """One committed write transaction."""
    with log.engine.begin() as connection:
        yield bitmaps.view(connection, workspace, who="anna", at_ms=at_ms)


@contextmanager
def reading(bitmaps: Bitmaps, log: Log, *, workspace: int = 1) -> Iterator[View]:
    """One read transaction."""
    with log.engine.connect().execution_options(reading=True) as connection:
        yield bitmaps.view(connection, workspace, who="anna", at_ms=0)


def clear(engine: sa.Engine) -> None:
    metadata.drop_all(engine)
    metadata.create_all(engine)


@pytest.fixture
def sqlite_log(tmp_path: Path) -> Iterator[Log]:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    engine = open_engine(url)
    clear(engine)
    yield Log(url, engine, tmp_path / "checkpoints")
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite_log_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """One for all examples of a property; each empties it."""
    folder = tmp_path_factory.mktemp("log")
    url = f"sqlite:///{folder / 'log.db'}"
    engine = open_engine(url)
    yield Log(url, engine, folder / "checkpoints")
    engine.dispose()


@pytest.fixture
def postgres_log(postgres_url: str, tmp_path: Path) -> Iterator[Log]:
    engine = open_engine(postgres_url)
    clear(engine)
    yield Log(postgres_url, engine, tmp_path / "checkpoints")
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest) -> Log:
    name = "sqlite_log" if request.param == "sqlite" else "postgres_log"
    found: Log = request.getfixturevalue(name)
    return found
