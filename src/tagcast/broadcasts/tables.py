"""Tables of broadcasts: the broadcast, its plans, and the ledger (chunks with packed statuses, exceptions as rows)."""

import sqlalchemy as sa

from tagcast.broadcasts import posting_tables
from tagcast.kit import db, sealed

# Kept in a file of their own, known with the others.
postings = posting_tables.postings

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
    # Of the roll-out and its breaker: the stage that is due, since when, what the breaker saw.
    sa.Column("running", sa.JSON, nullable=False),
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
    # What the plan tells beside its hash: duration, cost, claims of other broadcasts.
    sa.Column("notes", sa.JSON, nullable=False),
    sa.Column("made_at", db.Ms, nullable=False),
)

# What a draft was before each change of it, so that the change can be undone.
edits = sa.Table(
    "broadcast_edit",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("broadcast", db.Id, nullable=False),
    sa.Column("before", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("who", sa.String(80), nullable=False),
    sa.Column("undone_at", db.Ms),
    sa.Index("ix_broadcast_edit_of", "workspace", "broadcast", "id"),
)

# What a second person said about a plan; the newest counts.
approvals = sa.Table(
    "broadcast_approval",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("broadcast", db.Id, nullable=False),
    sa.Column("plan_hash", sa.String(16), nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("note", sa.String(500), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("who", sa.String(80), nullable=False),
    sa.Index("ix_broadcast_approval_of", "workspace", "broadcast", "id"),
)

# What a workspace sets for all its broadcasts: approval, costs.
settings = sa.Table(
    "broadcast_setting",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("who", sa.String(80), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)

# What became of the moments at which a scheduled broadcast was due.
occurrences = sa.Table(
    "broadcast_occurrence",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    sa.Column("due_at", db.Ms, primary_key=True, autoincrement=False),
    sa.Column("verdict", sa.String(10), nullable=False),
    # The broadcast that was made for it, of one that comes again.
    sa.Column("made", db.Id),
    sa.Column("said", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)

chunks = sa.Table(
    "broadcast_chunk",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("broadcast", db.Id, primary_key=True, autoincrement=False),
    sa.Column("no", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sender", sa.String(64), nullable=False),
    # What its recipients are told, beside the broadcast's content: {} or {"variant": name, "fill": {…}}. The fill holds
    # people's values and is kept sealed beside it.
    sa.Column("said", sa.JSON, nullable=False),
    sa.Column("fill", sa.LargeBinary),
    # Of the roll-out: chunks of a later stage wait until the earlier ones went well.
    sa.Column("stage", sa.Integer, nullable=False),
    # Its people are called no sooner.
    sa.Column("due_at", db.Ms),
    # How many have each status, when that changed last, and between which numbers its recipients are: what progress and
    # the question for one person need, before the wide columns.
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("moved_at", db.Ms),
    sa.Column("low", sa.BigInteger, nullable=False),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Column("done_at", db.Ms),
    sa.Column("recipients", sa.LargeBinary, nullable=False),
    sa.Column("statuses", sa.LargeBinary, nullable=False),
    sa.Column("msgids", sa.LargeBinary, nullable=False),
    sa.Column("watermark", sa.Integer, nullable=False),
    sa.Column("tried_at", db.Ms),
    sa.Column("call", sa.String(20), nullable=False),
    sa.Column("msgid", sa.String(80)),
    sa.Column("progress", sa.JSON, nullable=False),
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

# Reminders of employees' tasks: asked for, being called, and what became of them.
reminders = sa.Table(
    "broadcast_reminder",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("broadcast", db.Id, nullable=False),
    sa.Column("chunk", sa.Integer, nullable=False),
    sa.Column("msgid", sa.String(80), nullable=False),
    sa.Column("state", sa.String(80), nullable=False),
    sa.Column("asked_at", db.Ms, nullable=False),
    sa.Column("asked_by", sa.String(80), nullable=False),
    sa.Column("at", db.Ms),
    sa.Index("ix_reminder_broadcast", "workspace", "broadcast", "id"),
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

# Files that messages show; the same content under the same kind once.
media = sa.Table(
    "broadcast_media",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(80), nullable=False),
    sa.UniqueConstraint("workspace", "kind", "digest"),
)


def fill_context(broadcast: int, no: int) -> str:
    """With what a chunk's fill is sealed."""
    return f"broadcast_fill:{broadcast}:{no}"


sealed.register(chunks.c.fill, lambda row: fill_context(row.broadcast, row.no))
