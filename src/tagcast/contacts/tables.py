"""Tables of contacts."""

import sqlalchemy as sa

from tagcast.kit import db, sealed

contacts = sa.Table(
    "contact",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)

# Numbers are never given again, so the last one is kept apart from the rows, which may be erased.
counters = sa.Table(
    "contact_counter",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
)

identities = sa.Table(
    "identity",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("account", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary(32), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

attributes = sa.Table(
    "attribute",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("type", sa.String(10), nullable=False),
    sa.Column("scale", sa.Integer, nullable=False),
    sa.Column("purpose", sa.String(200), nullable=False),
    sa.Column("label_zh", sa.String(80), nullable=False),
    sa.Column("label_en", sa.String(80), nullable=False),
    sa.Column("retention_days", sa.Integer),
)

import_jobs = sa.Table(
    "import_job",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(60), nullable=False),
    sa.Column("content", sa.String(64), nullable=False),
    sa.Column("mapping", sa.String(64), nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("matched", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
    sa.Column("refused_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("done_at", db.Ms),
    sa.UniqueConstraint("workspace", "kind", "content", "mapping"),
)

# Syncs of an account. One under way (`started_at` is not 0): how far it came, whom it saw, who followed when it began
# (packed sets). `ended_at`: when the last one ended; `every_hours`: how often there is to be one, 0 for never.
syncs = sa.Table(
    "contact_sync",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cursor", sa.String(128), nullable=False),
    sa.Column("seen", sa.LargeBinary, nullable=False),
    sa.Column("before", sa.LargeBinary, nullable=False),
    sa.Column("started_at", db.Ms, nullable=False),
    sa.Column("ended_at", db.Ms, nullable=False),
    sa.Column("every_hours", sa.Integer),
)

sealed.register(contacts.c.sealed, lambda row: f"contact:{row.number}")
