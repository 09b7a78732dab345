"""The migrations make exactly the tables that the code defines, on both databases, and are one line of history."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import tagcast
from tagcast import access, bitmaps
from tagcast.kit import db
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.settings import Settings
from tests.conftest import _import_tables, wipe


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        wipe(url)
    return Settings(home=tmp_path / "home", database_url=url)


def test_migrations_make_what_the_code_defines(settings: Settings) -> None:
    access.initialise(settings)
    _import_tables()
    engine = db.open_engine(settings.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, [db.metadata, bitmaps.metadata])  # type: ignore[arg-type]  # Alembic takes several
        tables = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    assert differences == []
    expected = {*db.metadata.tables, *bitmaps.metadata.tables, "alembic_version"}
    assert {name for name in tables if not name.startswith("sqlite_")} == expected


def test_partial_indexes_stay_partial(settings: Settings) -> None:
    access.initialise(settings)
    _import_tables()
    dialect = "postgresql" if settings.database_url else "sqlite"
    wanted = {
        index.name
        for metadata in (db.metadata, bitmaps.metadata)
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options[dialect]["where"] is not None
    }
    engine = db.open_engine(settings.url)
    inspector = sa.inspect(engine)
    found = {
        index["name"]
        for table in inspector.get_table_names()
        for index in inspector.get_indexes(table)
        if index.get("dialect_options", {}).get(f"{dialect}_where") is not None
    }
    engine.dispose()
    assert found == wanted
    assert wanted


def test_migrating_again_changes_nothing(settings: Settings) -> None:
    access.initialise(settings)
    access.migrate(settings)
    runtime = access.open_home(settings)
    assert access.only_workspace(runtime) == 1
    runtime.close()


def test_an_old_database_is_refused_with_the_remedy(settings: Settings) -> None:
    access.initialise(settings)
    engine = db.open_engine(settings.url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '20000101_00'"))
    engine.dispose()
    with pytest.raises(Conflict) as caught:
        access.open_home(settings)
    assert caught.value.code == "kit.database_old"
    assert "tagcast migrate" in caught.value.remedy("en")


def test_a_home_is_made_once(settings: Settings) -> None:
    key = access.initialise(settings)
    assert (settings.home / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict) as caught:
        access.initialise(settings)
    assert caught.value.code == "kit.home_exists"
    runtime = access.open_home(settings)
    caller = access.authenticate(runtime, key)
    runtime.close()
    assert caller is not None
    assert caller.workspace == 1


def test_a_folder_without_a_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        access.open_home(Settings(home=tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in caught.value.text("en")


def test_history_is_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(tagcast.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert len(scripts.get_heads()) == 1
    assert all(not script.is_merge_point for script in scripts.walk_revisions())


def test_the_newest_file_names_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(tagcast.__path__[0]) / "migrations"))
    assert access.home._needed() == ScriptDirectory.from_config(config).get_current_head()
