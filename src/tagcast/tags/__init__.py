"""The tag tree and who holds which tag. Owns: tag; the bitmaps `tag:<id>` and `tag-until:<id>:<ms>`; `tags.sync`'s own.

A tag belongs to an account, whose limit profile bounds depth, number, names and holders, or to the workspace, which no
platform limits. Every tagging is a recorded change that can be undone.
"""

from tagcast.tags import sync
from tagcast.tags.actions import archive, create, ensure, every, find, find_many, get, key, move, rename, restore, tree
from tagcast.tags.events import TagAssigned, TagRemoved
from tagcast.tags.intake import Intake, Source, assign_file
from tagcast.tags.rules import Node, Tag
from tagcast.tags.tagging import (
    EXPIRE,
    as_of,
    assign,
    contact_history,
    expire,
    history,
    holders,
    remove,
    tag_id_of,
    tags_of,
    undo,
)

__all__ = [
    "EXPIRE",
    "Intake",
    "Node",
    "Source",
    "Tag",
    "TagAssigned",
    "TagRemoved",
    "archive",
    "as_of",
    "assign",
    "assign_file",
    "contact_history",
    "create",
    "ensure",
    "every",
    "expire",
    "find",
    "find_many",
    "get",
    "history",
    "holders",
    "key",
    "move",
    "remove",
    "rename",
    "restore",
    "sync",
    "tag_id_of",
    "tags_of",
    "tree",
    "undo",
]
