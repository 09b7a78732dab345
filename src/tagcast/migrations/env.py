"""Alembic's way into the database: always through the connection that `access` opened, in its one transaction."""

import importlib
import pkgutil
from pathlib import Path

from alembic import context

import tagcast
from tagcast import bitmaps
from tagcast.kit import db


def import_tables() -> None:
    """Load every module's tables, so that a comparison with the database sees all of them."""
    package = Path(tagcast.__file__).parent
    for module in pkgutil.iter_modules(tagcast.__path__):
        if module.ispkg and (package / module.name / "tables.py").exists():
            importlib.import_module(f"tagcast.{module.name}.tables")
    for name in ("leases", "events", "schedules"):
        importlib.import_module(f"tagcast.kit.{name}")


def run() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes["connection"]
    if context.config.attributes.get("compare"):
        import_tables()
    context.configure(
        connection=connection,
        target_metadata=[db.metadata, bitmaps.metadata],
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
    with context.begin_transaction():
        context.run_migrations()


run()
