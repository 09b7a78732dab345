"""The tag tree. Who holds a tag is a bitmap: `tag:<id>`; whose tag ends at a time, another: `tag-until:<id>:<ms>`."""

import sqlalchemy as sa

from tagcast.kit import db

tags = sa.Table(
    "tag",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    # 0 stands for "none": unique constraints take two NULLs for different.
    sa.Column("account", db.Id, nullable=False, server_default="0"),
    sa.Column("parent", db.Id, nullable=False, server_default="0"),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("created_at", db.Ms, nullable=False),
    sa.Column("created_by", sa.String(100), nullable=False),
    sa.Column("archived_at", db.Ms),
    sa.UniqueConstraint("workspace", "account", "parent", "key"),
    sa.Index("ix_tag_parent", "workspace", "parent"),
)
