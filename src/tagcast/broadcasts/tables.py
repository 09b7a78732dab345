"""Tables of broadcasts: the broadcast, its plans, and the ledger (chunks with packed statuses, exceptions as rows)."""

import sqlalchemy as sa

from tagcast.kit import db

broadcasts = sa.Table(
    "broadcast",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", sa.Integer, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("purpose", sa.String(60), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("audience", sa.JSON, nullable=False),
    sa.Column("holdout_percent", sa.Float, nullable=False),
    sa.Column("route", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(200)),
    sa.Column("plan_hash", sa.String(16)),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("totals", sa.JSON, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    # Of a scheduled one: when it is to be sent, and after when no more.
    sa.Column("due_at", db.Ms),
    sa.Column("deadline_at", db.Ms),
    sa.Column("started_at", db.Ms),
    sa.Column("sent_at", db.Ms),
    sa.Column("finished_at", db.Ms),
    sa.Index("ix_broadcast_state", "workspace", "state"),
)

plans = sa.Table(
    "broadcast_plan",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(16), nullable=False),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("made_at", db.Ms, nullable=False),
)

chunks = sa.Table(
    "broadcast_chunk",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    sa.Column("no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sender", sa.String(64), nullable=False),
    # What its recipients are told, beside the broadcast's content: {} or {"variant": name, "fill": {…}}.
    sa.Column("said", sa.JSON, nullable=False),
    # Of the roll-out: chunks of a later stage wait until the earlier ones went well.
    sa.Column("stage", sa.Integer, nullable=False),
    sa.Column("recipients", sa.LargeBinary, nullable=False),
    sa.Column("statuses", sa.LargeBinary, nullable=False),
    sa.Column("msgids", sa.LargeBinary, nullable=False),
    sa.Column("watermark", sa.Integer, nullable=False),
    sa.Column("tried_at", db.Ms),
    sa.Column("call", sa.String(20), nullable=False),
    sa.Column("msgid", sa.String(80)),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("done_at", db.Ms),
)

failures = sa.Table(
    "broadcast_failure",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    sa.Column("contact", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.String(80), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)

receipts = sa.Table(
    "delivery_receipt",
    db.metadata,
    sa.Column("seq", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", sa.Integer, nullable=False),
    sa.Column("msgid", sa.String(80), nullable=False),
    sa.Column("status", sa.String(80), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("matched_at", db.Ms),
    sa.UniqueConstraint("workspace", "account", "msgid"),
    sa.Index("ix_receipt_open", "workspace", "account", "seq", **db.where("matched_at IS NULL")),
)
