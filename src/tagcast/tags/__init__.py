"""The tag tree and who holds which tag. Owns: tag, tag_log, tag_change_together; the bitmaps `tag:<id>` and
`tag-until:<id>:<ms>`; `tags.sync`'s own.

A tag belongs to an account, whose limit profile bounds depth, number, names and holders, or to the workspace, which no
platform limits. Every tagging is a recorded change that can be undone.
"""

from tagcast.tags import sync
from tagcast.tags.actions import (
    SAME,
    Same,
    archive,
    bound,
    create,
    declare,
    ensure,
    every,
    find,
    find_many,
    get,
    key,
    move,
    rename,
    restore,
    tree,
)
from tagcast.tags.events import TagAssigned, TagRemoved
from tagcast.tags.exclusive import Violation, violations
from tagcast.tags.intake import Intake, Source, assign_file
from tagcast.tags.lasting import until_of
from tagcast.tags.past import as_of, contact_history, diff, history
from tagcast.tags.rules import EXCLUSIVE, Bound, Exclusive, Node, Tag
from tagcast.tags.tagging import EXPIRE, assign, expire, holders, remove, tag_id_of, tags_of
from tagcast.tags.undoing import undo

__all__ = [
    "EXCLUSIVE",
    "EXPIRE",
    "SAME",
    "Bound",
    "Exclusive",
    "Intake",
    "Node",
    "Same",
    "Source",
    "Tag",
    "TagAssigned",
    "TagRemoved",
    "Violation",
    "archive",
    "as_of",
    "assign",
    "assign_file",
    "bound",
    "contact_history",
    "create",
    "declare",
    "diff",
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
    "until_of",
    "violations",
]
