"""Tables of group chats. Who is in one is a bitmap: `group:<id>`; who joined by an invitation: `join-way:<id>`."""

import sqlalchemy as sa

from tagcast.kit import db

chats = sa.Table(
    "group_chat",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", db.Id, nullable=False),
    sa.Column("chat_id", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("dismissed_at", db.Ms),
    sa.Column("read_at", db.Ms, nullable=False),
    # state of an invitation ("" for none) -> members who are nobody's contact
    sa.Column("strangers", sa.JSON, nullable=False),
    sa.UniqueConstraint("workspace", "account", "chat_id"),
)

ways = sa.Table(
    "join_way",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", db.Id, nullable=False),
    sa.Column("tag", db.Id, nullable=False),
    sa.Column("name", sa.String(60), nullable=False),
    sa.Column("chats", sa.JSON, nullable=False),
    sa.Column("auto_create", sa.Boolean, nullable=False),
    sa.Column("base_name", sa.String(60), nullable=False),
    sa.Column("joined_tag", db.Id),
    sa.Column("state", sa.String(30), nullable=False),
    sa.Column("config_id", sa.String(100), nullable=False),
    sa.Column("qr_code", sa.Text, nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.UniqueConstraint("workspace", "account", "name"),
)
