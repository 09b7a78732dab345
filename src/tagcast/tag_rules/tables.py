"""Rules that keep tags true, and what was done to each. How far a rule was followed is `audiences.live`'s business."""

import sqlalchemy as sa

from tagcast.kit import db

rules = sa.Table(
    "tag_rule",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("tag", db.Id, nullable=False),
    # {"expression", "tags": [[account or null, path, tag id], …], "mode", "until_days", "owner"}
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    # Why it stopped by itself: {"code", "en", "en_remedy", "zh", "zh_remedy"}.
    sa.Column("problem", sa.JSON),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("changed_at", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "tag"),
    # The number of a deleted rule stands in the history of its tag.
    sqlite_autoincrement=True,
)

# What was done to a rule, by whom; each line holds the rule as it was from then on.
log = sa.Table(
    "tag_rule_log",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("rule", db.Id, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("what", sa.String(20), nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("problem", sa.JSON),
    sa.Index("ix_tag_rule_log_rule", "workspace", "rule"),
)

# Why the last turn of a workspace's keeper failed; no row while they succeed.
trouble = sa.Table(
    "tag_rule_trouble",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True, autoincrement=False),
    # The first turn that failed, and the last.
    sa.Column("since", db.Ms, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    # As a rule's.
    sa.Column("problem", sa.JSON, nullable=False),
)
