"""Segments, how large they were, and audiences that were frozen.

The members of a segment that is kept as a set are the bitmap `segment:<id>`, those of a frozen audience `frozen:<id>`.
"""

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
    # "asked": worked out when it is asked. Kept as a set: "scheduled" every so many hours, "live" with every change.
    sa.Column("refresh", sa.String(10), nullable=False, server_default="asked"),
    sa.Column("every_hours", sa.Integer, nullable=False, server_default="0"),
    # For which moment the set is true; null while there is no set.
    sa.Column("fresh_at", db.Ms),
    # 0 while it is there: the name of a deleted one is free again.
    sa.Column("deleted_at", db.Ms, nullable=False, server_default="0"),
    sa.UniqueConstraint("workspace", "name", "deleted_at"),
)

sizes = sa.Table(
    "segment_size",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("segment", db.Id, primary_key=True, autoincrement=False),
    sa.Column("at", db.Ms, primary_key=True, autoincrement=False),
    # Days since 1970-01-01 in the workspace's zone.
    sa.Column("day", sa.Integer, nullable=False),
    # Of the segment: another version is another question.
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Index("ix_segment_size_day", "workspace", "day"),
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

# Sets that are kept true (`live`): the set `target` is what `node` was worth after these changes, events and moment.
kept = sa.Table(
    "kept_set",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("target", sa.String(60), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("node", sa.LargeBinary, nullable=False),
    # Digest of the expression with the segments it stands on.
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("whole_at", db.Ms, nullable=False),
)
