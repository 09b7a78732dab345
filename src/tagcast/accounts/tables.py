"""Tables of accounts. What is sealed can be opened only with the workspace's key and the row's own context."""

import sqlalchemy as sa

from tagcast.kit import db

accounts = sa.Table(
    "account",
    db.metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    # The corpid of a wecom account, the appid of an official or service account, empty for a custom one.
    sa.Column("appid", sa.String(64), nullable=False),
    sa.Column("agentid", sa.Integer),
    sa.Column("base_url", sa.String(300), nullable=False),
    sa.Column("profile", sa.String(60), nullable=False),
    sa.Column("zone", sa.String(60), nullable=False),
    sa.Column("callback_path", sa.String(32), nullable=False, unique=True),
    sa.Column("secret", sa.LargeBinary),
    sa.Column("callback_token", sa.LargeBinary),
    sa.Column("encoding_aes_key", sa.LargeBinary),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "name"),
    # Bitmaps are named by account ids: the number of a removed account must not come back.
    sqlite_autoincrement=True,
)

profiles = sa.Table(
    "workspace_profile",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("base", sa.String(60), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

tokens = sa.Table(
    "account_token",
    db.metadata,
    sa.Column("account", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("value", sa.LargeBinary),
    sa.Column("fresh_until", db.Ms, nullable=False, server_default="0"),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.String(40)),
    sa.Column("lease_until", db.Ms, nullable=False, server_default="0"),
    sa.Column("failed_at", db.Ms, nullable=False, server_default="0"),
    sa.Column("problem", sa.JSON),
)

media = sa.Table(
    "account_media",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", sa.Integer, primary_key=True),
    # As what the content was uploaded, and its SHA-256 in hexadecimal.
    sa.Column("use", sa.String(40), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("platform_id", sa.String(512), nullable=False),
    # Null: for ever.
    sa.Column("until", db.Ms),
    sa.Column("made_at", db.Ms, nullable=False),
)
