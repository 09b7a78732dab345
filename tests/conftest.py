"""Fixtures: a runtime on real SQLite and on real PostgreSQL, a workspace, an open unit of work."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import tagcast
from tagcast import access, bitmaps
from tagcast.kit import crypto, db
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work, open_runtime
from tests.postgres import start_postgres


def _import_tables() -> None:
    for module in pkgutil.iter_modules(tagcast.__path__):
        if module.ispkg and (Path(tagcast.__path__[0]) / module.name / "tables.py").exists():
            importlib.import_module(f"tagcast.{module.name}.tables")
    for name in ("leases", "events", "schedules"):
        importlib.import_module(f"tagcast.kit.{name}")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with start_postgres() as url:
        yield url


def wipe(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()


def make_runtime(folder: Path, url: str = "", **settings: object) -> Runtime:
    """A runtime in a new folder with all tables and workspace 1."""
    _import_tables()
    home = folder / "home"
    home.mkdir()
    crypto.write_master_key(home / "key")
    given = {"lease_seconds": 1.0, "in_doubt_seconds": 0.3, "allow_private": True, **settings}
    runtime = open_runtime(Settings(home=home, database_url=url, **given))  # type: ignore[arg-type]  # test settings
    db.metadata.create_all(runtime.engine)
    bitmaps.metadata.create_all(runtime.engine)
    with runtime.system() as connection:
        assert access.create_workspace(connection, runtime.master_key, "test") == 1
    return runtime


@pytest.fixture(params=["sqlite", "postgresql"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        wipe(url)
    made = make_runtime(tmp_path, url)
    yield made
    made.close()


@pytest.fixture
def runtime_sqlite(tmp_path: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path)
    yield made
    made.close()


@pytest.fixture
def work(runtime: Runtime) -> Iterator[Work]:
    with runtime.work(1, "test") as made:
        yield made
