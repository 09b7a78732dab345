"""Tables of limits. All times are of the leases' clock."""

import sqlalchemy as sa

from tagcast.kit import db


def _key() -> tuple[sa.Column[int], sa.Column[int], sa.Column[str]]:
    return (
        sa.Column("workspace", sa.Integer, primary_key=True),
        sa.Column("account", sa.Integer, primary_key=True),
        sa.Column("api", sa.String(60), primary_key=True),
    )


rates = sa.Table(
    "rate",
    db.metadata,
    *_key(),
    # Theoretical arrival time of the next call, epoch microseconds.
    sa.Column("tat", sa.BigInteger, nullable=False),
)

slots = sa.Table(
    "account_slot",
    db.metadata,
    *_key(),
    # A process, or one event loop of it.
    sa.Column("owner", sa.String(40), primary_key=True),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    # Since when it holds some, or waits for the first.
    sa.Column("since", db.Ms, nullable=False),
    sa.Column("until", db.Ms, nullable=False),
)

ceilings = sa.Table(
    "account_ceiling",
    db.metadata,
    *_key(),
    # How many calls at a time the platform bore when it last refused one as too many, and when that was.
    sa.Column("ceiling", sa.Integer, nullable=False),
    sa.Column("cut_at", db.Ms, nullable=False),
)

quotas = sa.Table(
    "account_quota",
    db.metadata,
    *_key(),
    # yyyymmdd in Asia/Shanghai; another day's figures are void.
    sa.Column("day", sa.Integer, nullable=False, server_default="0"),
    sa.Column("daily_limit", sa.Integer),
    # What the platform said, and the calls that we made since.
    sa.Column("used", sa.Integer, nullable=False, server_default="0"),
    sa.Column("counted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("read_at", db.Ms),
    # No call before this time, and how many times in a row it was closed.
    sa.Column("closed_until", db.Ms, nullable=False, server_default="0"),
    sa.Column("closings", sa.Integer, nullable=False, server_default="0"),
    sa.Column("errcode", sa.Integer),
)
