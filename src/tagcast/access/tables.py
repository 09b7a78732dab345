"""Tables of access. `workspace` itself stands in kit, because the unit of work needs its data key."""

import sqlalchemy as sa

from tagcast.kit import db

api_keys = sa.Table(
    "api_key",
    db.metadata,
    sa.Column("key_id", sa.String(12), primary_key=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("revoked_at", db.Ms),
)

idempotency = sa.Table(
    "idempotency",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)
