"""Tables of features."""

import sqlalchemy as sa

from tagcast.kit import db

feature_runs = sa.Table(
    "feature_run",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("computed_at", db.Ms, nullable=False),
)
