"""Tables of features."""

import sqlalchemy as sa

from tagcast.kit import db

definitions = sa.Table(
    "feature_definition",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    # The highest counts; what was computed by an older one says so.
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    sa.Column("retired_at", db.Ms),
)

feature_runs = sa.Table(
    "feature_run",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    # The definition, the day and the newest batch of events that the values stand for.
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("as_of", sa.Integer, nullable=False),
    sa.Column("seq", db.Id, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("computed_at", db.Ms, nullable=False),
)

progress = sa.Table(
    "feature_progress",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("problem", sa.String(200)),
    sa.Column("at", db.Ms, nullable=False),
)
