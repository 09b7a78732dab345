"""Tables of the inbox."""

import sqlalchemy as sa

from tagcast.kit import db

messages = sa.Table(
    "inbox_message",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", sa.Integer, nullable=False),
    # Equal for equal deliveries, see `rules.dedupe`.
    sa.Column("dedupe", sa.LargeBinary(32), nullable=False),
    sa.Column("received_at", db.Ms, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("workspace", "account", "dedupe"),
    sa.Index("ix_inbox_message_last", "workspace", "account", "received_at"),
    # Events name messages by number: the number of a purged one must not come back.
    sqlite_autoincrement=True,
)
