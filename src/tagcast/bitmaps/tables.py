"""The change log and the register of checkpoints."""

import sqlalchemy as sa

metadata = sa.MetaData()

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Ranges over keys find a prefix; only byte order makes that exact, and PostgreSQL's default order is a language's.
_key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

change = sa.Table(
    "bitmap_change",
    metadata,
    sa.Column("seq", _serial, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("key", _key, nullable=False),
    sa.Column("op", sa.String(6), nullable=False),
    sa.Column("members", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("low", sa.BigInteger, nullable=False),
    sa.Column("high", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger),
    sa.Column("undoes", sa.BigInteger),
    sa.CheckConstraint("op IN ('add', 'remove')", name="bitmap_change_op"),
    sa.Index("bitmap_change_tail", "workspace", "seq"),
    sa.Index("bitmap_change_key", "workspace", "key", "seq"),
    # Without AUTOINCREMENT SQLite would give the number of a deleted last row again.
    sqlite_autoincrement=True,
)
sa.Index(
    "bitmap_change_undoes",
    change.c.workspace,
    change.c.undoes,
    sqlite_where=change.c.undoes.is_not(None),
    postgresql_where=change.c.undoes.is_not(None),
)

checkpoint = sa.Table(
    "bitmap_checkpoint",
    metadata,
    sa.Column("workspace", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("node", sa.String(32), primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)
