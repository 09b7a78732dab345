"""Clean-ups that were carried out, and a workspace's own thresholds."""

import sqlalchemy as sa

from tagcast.kit import db

acts = sa.Table(
    "upkeep_act",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False, index=True),
    sa.Column("why", sa.String(300), nullable=False),
    # What each operation did, to be shown; and what must be known to take it back.
    sa.Column("effects", sa.JSON, nullable=False),
    sa.Column("notes", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Column("undone_at", db.Ms),
    sa.Column("undone_by", sa.String(100)),
)

settings = sa.Table(
    "upkeep_setting",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("thresholds", sa.JSON, nullable=False),
)
