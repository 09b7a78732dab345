"""Tables of outcomes."""

import sqlalchemy as sa

from tagcast.kit import db

sendings = sa.Table(
    "sending",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("ref", sa.String(80), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("account", sa.Integer, nullable=False),
    # When it was launched.
    sa.Column("at", db.Ms, nullable=False),
    sa.Index("ix_sending_name", "workspace", "name"),
)
