"""Tables of compliance. Who consents now is a bitmap; the records prove how it came about."""

import sqlalchemy as sa

from tagcast.kit import db

consents = sa.Table(
    "consent_record",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("purpose", sa.String(40), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("notice_version", sa.String(100), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    # The bitmap change that it made; none when all of them stood so already.
    sa.Column("seq", sa.BigInteger),
    # All whom the record concerns, in the portable Roaring format, with their lowest and highest number.
    sa.Column("members", sa.LargeBinary, nullable=False),
    sa.Column("low", sa.BigInteger, nullable=False),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Index("ix_consent_record_purpose", "workspace", "purpose", "id"),
)

sends = sa.Table(
    "account_send",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", sa.Integer, primary_key=True),
    sa.Column("ref", sa.String(100), primary_key=True),
    # Calendar day in the account's zone, yyyymmdd: what goes on over midnight is a send of both days.
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Index("ix_account_send_day", "workspace", "account", "day"),
)

caps = sa.Table(
    "compliance_cap",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    # `<scope>:<period>`, e.g. all:month, kind:wecom:day, account:3:week.
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.Integer, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)

settings = sa.Table(
    "compliance_setting",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    # zones, quiet or minors.
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Column("at", db.Ms, nullable=False),
)
