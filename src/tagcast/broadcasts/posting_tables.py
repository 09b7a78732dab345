"""Tables of postings: the message, its calls, and what became of each recipient (a chat or an employee)."""

import sqlalchemy as sa

from tagcast.kit import db

postings = sa.Table(
    "posting",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", db.Id, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("purpose", sa.String(60), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("target", sa.JSON, nullable=False),
    sa.Column("within_hours", sa.Float, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(200)),
    sa.Column("stopping", sa.Boolean, nullable=False),
    sa.Column("plan_hash", sa.String(16)),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    sa.Column("started_at", db.Ms),
    sa.Column("finished_at", db.Ms),
    sa.Index("ix_posting_account", "workspace", "account", "started_at"),
    sa.Index("ix_posting_plan", "workspace", "plan_hash"),
)

posts = sa.Table(
    "posting_post",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("posting", db.Id, primary_key=True, autoincrement=False),
    sa.Column("no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sender", sa.String(64), nullable=False),
    sa.Column("call", sa.String(20), nullable=False),
    sa.Column("tried_at", db.Ms),
    sa.Column("msgid", sa.String(80)),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("done_at", db.Ms),
)

outcomes = sa.Table(
    "posting_outcome",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("posting", db.Id, primary_key=True, autoincrement=False),
    sa.Column("post", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("recipient", sa.String(64), primary_key=True),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(80), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Index("ix_posting_outcome_recipient", "workspace", "recipient"),
)
