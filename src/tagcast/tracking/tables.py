"""Tables of tracking. A hit batch holds many hits packed; a link never changes, so it can be remembered."""

import sqlalchemy as sa

from tagcast.kit import db

links = sa.Table(
    "link",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("ref", sa.String(80), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("no", sa.Integer, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "ref", "kind", "no"),
)

pages = sa.Table(
    "message_page",
    db.metadata,
    sa.Column("link", db.Id, primary_key=True, autoincrement=False),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("button_label", sa.String(40), nullable=False),
    sa.Column("button_link", db.Id),
)

hit_batches = sa.Table(
    "hit_batch",
    db.metadata,
    sa.Column("seq", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("hits", sa.LargeBinary, nullable=False),
    sa.Column("folded_at", db.Ms),
    # Found by this mark and not by a cursor: PostgreSQL hands out numbers in another order than it commits.
    sa.Index("ix_hit_batch_open", "workspace", "seq", **db.where("folded_at IS NULL")),
)

tallies = sa.Table(
    "link_tally",
    db.metadata,
    sa.Column("link", db.Id, primary_key=True, autoincrement=False),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("people_hits", sa.BigInteger, nullable=False),
    sa.Column("machine_hits", sa.BigInteger, nullable=False),
)
