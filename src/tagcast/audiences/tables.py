"""Segments, and audiences that were frozen. The members of a frozen one are the bitmap `frozen:<id>`."""

import sqlalchemy as sa

from tagcast.kit import db

segments = sa.Table(
    "segment",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("expression", sa.JSON, nullable=False),
    # [[account or null, path, tag id], …]: which tags the paths meant when they were written.
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("description", sa.String(500), nullable=False, server_default=""),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("changed_at", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "name"),
)

frozen = sa.Table(
    "frozen_audience",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("segment", sa.String(100)),
    sa.Column("expression", sa.JSON, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("why", sa.String(300), nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Index("ix_frozen_audience_created", "workspace", "created_at"),
)
