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
    # Names the last rebuild at random: records made before it are not used.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
)

# The log of what was recorded, one type a row. A workspace's rows become visible in the order of their seq.
batches = sa.Table(
    "behaviour_batch",
    db.metadata,
    sa.Column("seq", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("type", sa.String(40), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("first_ms", db.Ms, nullable=False),
    sa.Column("last_ms", db.Ms, nullable=False),
    # Null once the events are in the lake and need not be here any more.
    sa.Column("payload", sa.LargeBinary),
    # A bit an event: whether it was the first of its contact on that day.
    sa.Column("fresh", sa.LargeBinary),
    # A contact whose events were deleted; then there are no others in the row.
    sa.Column("gone", sa.BigInteger),
    # Told of a row to whoever derived something from it: after a restored backup a seq may stand for another row.
    sa.Column("stamp", sa.BigInteger, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Index("ix_behaviour_batch_time", "workspace", "type", "first_ms"),
    sa.Index("ix_behaviour_batch_tail", "workspace", "seq"),
    # The log of one type: rules ask for its newest row several times a second, which may be an old one.
    sa.Index("ix_behaviour_batch_type", "workspace", "type", "seq"),
    sqlite_autoincrement=True,
)

# Fingerprints of batch keys and of events' own ids that were recorded.
seen = sa.Table(
    "behaviour_seen",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mark", sa.LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)
