"""The home folder: made once with its key, its database and the first workspace; brought up to date by migrations."""

from functools import cache
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from tagcast import access
from tagcast.kit import crypto, db
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, open_runtime

FIRST_WORKSPACE = "default"


@cache
def _needed() -> str:
    """The newest migration. Its file is named by it, so that a command need not load Alembic to compare."""
    files = (resources.files("tagcast") / "migrations" / "versions").iterdir()
    return max("_".join(file.name.split("_")[:2]) for file in files if file.name[:1].isdigit())


def _found(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def migrate(settings: Settings) -> None:
    """Bring the database to this version; can be interrupted and run again."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    engine = db.open_engine(settings.url)
    with engine.connect().execution_options(**{db.WRITE: True}) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def is_current(runtime: Runtime) -> bool:
    """Whether the database is at the version that this Tagcast needs."""
    with runtime.engine.connect() as connection:
        return _found(connection) == _needed()


def is_initialised(settings: Settings) -> bool:
    """Whether the home has a database with our tables."""
    if settings.url.startswith("sqlite") and not (settings.home / "tagcast.db").exists():
        return False
    engine = db.open_engine(settings.url)
    try:
        return sa.inspect(engine).has_table("workspace")
    finally:
        engine.dispose()


def initialise(settings: Settings) -> str:
    """Make the home: key, database, workspace. Returns the first API key. Raises Conflict if there is one already."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_initialised(settings):
        raise Conflict("kit.home_exists", home=str(settings.home))
    if not settings.key and not (settings.home / "key").exists():
        crypto.write_master_key(settings.home / "key")
    migrate(settings)
    runtime = open_runtime(settings)
    try:
        with runtime.system() as connection:
            workspace = access.create_workspace(connection, runtime.master_key, FIRST_WORKSPACE)
        with runtime.work(workspace, "init") as work:
            return access.issue_key(work, "first key")
    finally:
        runtime.close()


def open_home(settings: Settings) -> Runtime:
    """Open a home that is there and current. Raises NotFound, or Conflict when its database needs `tagcast migrate`."""
    file = sa.make_url(settings.url).database if settings.url.startswith("sqlite") else None
    if file and not Path(file).exists():  # opening it would make an empty one
        raise NotFound("kit.no_home", home=str(settings.home))
    runtime = open_runtime(settings)
    with runtime.engine.connect() as connection:
        found = _found(connection)
    if found != _needed():
        runtime.close()
        raise Conflict("kit.database_old", found=found or "nothing", needed=_needed())
    return runtime
