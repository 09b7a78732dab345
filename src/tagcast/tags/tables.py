"""The tag tree and its synchronisation.

Who holds a tag is a bitmap, `tag:<id>`; whose tag ends at a time, another: `tag-until:<id>:<ms>`.
"""

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
    # How many days it is held when nothing else is said; none: until it is taken.
    sa.Column("lifetime_days", sa.Integer),
    # Of the tags below it a contact holds at most one: "replace" the one held, or "refuse" another; none: any number.
    sa.Column("exclusive", sa.String(10)),
    # Who alone gives and takes it, as the change log names it ("rule:7"); none: whoever may.
    sa.Column("keeper", sa.String(40)),
    sa.UniqueConstraint("workspace", "account", "parent", "key"),
    sa.Index("ix_tag_parent", "workspace", "parent"),
)

# A number that stands for the whole tree of a workspace: drawn anew with each change, so that what was found under it
# holds as long as it stands here, in every process, and what was never committed is never mistaken for what was.
trees = sa.Table(
    "tag_tree",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("stamp", sa.BigInteger, nullable=False),
)

# What a tag was before a change of its own row: {column: value}. With it the tree of any past moment is known.
tag_log = sa.Table(
    "tag_log",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("tag", db.Id, nullable=False),
    sa.Column("was", sa.JSON, nullable=False),
    sa.Column("at", db.Ms, nullable=False),
    sa.Column("who", sa.String(100), nullable=False),
    sa.Index("ix_tag_log_tag", "workspace", "tag"),
)

# Changes of sets that were made because of another, `first`, and are undone with it.
together = sa.Table(
    "tag_change_together",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
)

# How an account is synchronised, and its plan that is not carried out yet.
sync_accounts = sa.Table(
    "tag_sync_account",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", db.Id, primary_key=True, autoincrement=False),
    sa.Column("names", sa.String(10), nullable=False),
    sa.Column("members", sa.String(10), nullable=False),
    sa.Column("deletions", sa.String(10), nullable=False),
    sa.Column("employees", sa.String(10), nullable=False),
    sa.Column("daily", sa.Boolean, nullable=False),
    # When everything was read and carried out last, epoch milliseconds.
    sa.Column("full_at", db.Ms, nullable=False, server_default="0"),
    sa.Column("plan_hash", sa.String(16)),
    sa.Column("plan_at", db.Ms),
    sa.Column("plan_full", sa.Boolean),
    sa.Column("plan", sa.LargeBinary),
)

# Which way a tag and those below it go to an account and come from it; tag 0 is the account's own tree.
sync_directions = sa.Table(
    "tag_sync_direction",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", db.Id, primary_key=True, autoincrement=False),
    sa.Column("tag", db.Id, primary_key=True, autoincrement=False),
    sa.Column("direction", sa.String(10), nullable=False),
)

# A tag here and the platform's, and what both had at the last sync; its people are the set `tag-base:<account>:<tag>`.
sync_links = sa.Table(
    "tag_link",
    db.metadata,
    sa.Column("workspace", sa.Integer, primary_key=True),
    sa.Column("account", db.Id, primary_key=True, autoincrement=False),
    sa.Column("tag", db.Id, primary_key=True, autoincrement=False),
    sa.Column("there", sa.String(64), nullable=False),
    sa.Column("group_id", sa.String(64), nullable=False),
    sa.Column("here_group", sa.Text, nullable=False),
    sa.Column("here_name", sa.Text, nullable=False),
    sa.Column("there_group", sa.Text, nullable=False),
    sa.Column("there_name", sa.Text, nullable=False),
    sa.Column("met", sa.Boolean, nullable=False),
    # The last change of our set, and how many bore the tag there, when both agreed: equal again, nothing is read.
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("bearers", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("workspace", "account", "there"),
)

# A plan being carried out: its steps, how many are done, and how far the present one came (a contact's number).
sync_runs = sa.Table(
    "tag_sync_run",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("account", db.Id, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("plan_hash", sa.String(16), nullable=False),
    sa.Column("anew", sa.Boolean, nullable=False),
    sa.Column("read_all", sa.Boolean, nullable=False),
    sa.Column("steps", sa.LargeBinary, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("told", sa.JSON, nullable=False),
    sa.Column("started_by", sa.String(100), nullable=False),
    sa.Column("started_at", db.Ms, nullable=False),
    sa.Column("ended_at", db.Ms),
    sa.Index("ix_tag_sync_run_account", "workspace", "account"),
)
