"""All SQL of features."""

from typing import Any

import sqlalchemy as sa

from tagcast.features.tables import feature_runs
from tagcast.kit import db
from tagcast.kit.uow import Work


def put_run(work: Work, name: str, details: dict[str, Any]) -> None:
    """Remember how a feature was last computed."""
    row = {"workspace": work.workspace, "name": name, "details": details, "computed_at": work.now_ms}
    db.upsert(work.connection, feature_runs, [row], ["workspace", "name"])


def last_run(work: Work, name: str) -> tuple[dict[str, Any], int] | None:
    """(details, epoch milliseconds) of the last computation."""
    row = work.connection.execute(
        sa.select(feature_runs.c.details, feature_runs.c.computed_at).where(
            feature_runs.c.workspace == work.workspace, feature_runs.c.name == name
        )
    ).one_or_none()
    return None if row is None else (row.details, row.computed_at)
