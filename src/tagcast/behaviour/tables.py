"""Tables of behaviour."""

import sqlalchemy as sa

from tagcast.kit import db

event_types = sa.Table(
    "event_type",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("purpose", sa.String(200), nullable=False),
    # name -> kind
    sa.Column("properties", sa.JSON, nullable=False),
    # Of the days of its sets and records; empty before the first intake.
    sa.Column("zone", sa.String(40), nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)

batches = sa.Table(
    "behaviour_batch",
    db.metadata,
    sa.Column("seq", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("type", sa.String(40), nullable=False),
    sa.Column("batch_key", sa.String(160), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("first_ms", db.Ms, nullable=False),
    sa.Column("last_ms", db.Ms, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "type", "batch_key"),
    sa.Index("ix_behaviour_batch_time", "workspace", "type", "first_ms"),
    sqlite_autoincrement=True,
)

aggregates = sa.Table(
    "behaviour_aggregate",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("type", sa.String(40), primary_key=True),
    sa.Column("block", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
