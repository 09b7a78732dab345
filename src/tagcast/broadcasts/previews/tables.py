"""Who is shown a message before it is sent, and what they were shown."""

import sqlalchemy as sa

from tagcast.kit import db

testers = sa.Table(
    "broadcast_tester",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", sa.Integer, nullable=False),
    # A contact of the account, or 0; the userid of an employee (企业微信), or "".
    sa.Column("contact", sa.BigInteger, nullable=False),
    sa.Column("userid", sa.String(64), nullable=False),
    sa.Column("added_at", db.Ms, nullable=False),
    sa.Column("added_by", sa.String(100), nullable=False),
    sa.UniqueConstraint("workspace", "account", "contact", "userid"),
)

tests = sa.Table(
    "broadcast_test",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("broadcast", db.Id, nullable=False),
    sa.Column("tester", db.Id, nullable=False),
    sa.Column("variant", sa.String(60), nullable=False),
    # Of what was said, before anybody's values were put in: another text needs another test.
    sa.Column("digest", sa.String(16), nullable=False),
    # calling, sent or failed. What stands at calling when nobody calls: nobody knows whether it came.
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("reason", sa.String(80)),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("by", sa.String(100), nullable=False),
    sa.UniqueConstraint("workspace", "broadcast", "tester", "digest"),
    sa.Index("ix_broadcast_test_day", "workspace", "at"),
)
