"""The tag tree and who holds which tag. Owns: tag, tag_tree, tag_log, tag_change_together; the bitmaps `tag:<id>` and
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
    branch,
    create,
    declare,
    ensure,
    every,
    find,
    find_many,
    get,
    keep,
    key,
    move,
    release,
    rename,
    restore,
    tree,
    usable,
)
from tagcast.tags.events import TagAssigned, TagRemoved
from tagcast.tags.evidence import Evidence, evidence
from tagcast.tags.exclusive import Violation, violations
from tagcast.tags.intake import ON_IMPORT, Intake, Source, assign_file
from tagcast.tags.many import Asked, change_many
from tagcast.tags.past import as_of, contact_history, diff, history
from tagcast.tags.rules import EXCLUSIVE, Bound, Exclusive, Node, Tag
from tagcast.tags.store import stamp
from tagcast.tags.tagging import EXPIRE, assign, check_fits, expire, holders, remove, tag_id_of, tags_of
from tagcast.tags.together import Once, Outcome, Request, Taggings
from tagcast.tags.undoing import undo
from tagcast.tags.uniting import MEMBERS, Members, Merged, merge, unmerge
from tagcast.tags.uniting import pairs as merge_pairs
from tagcast.tags.uses import Notes, Paths, Use, Users, on_move, register, uses
from tagcast.tags.uses import restore as restore_uses
from tagcast.tags.uses import rewrite as rewrite_uses

__all__ = [
    "Asked",
    "Once",
    "Outcome",
    "Request",
    "Taggings",
    "change_many",
    "EXCLUSIVE",
    "EXPIRE",
    "ON_IMPORT",
    "MEMBERS",
    "Evidence",
    "SAME",
    "Bound",
    "Exclusive",
    "Intake",
    "Members",
    "Merged",
    "Node",
    "Notes",
    "Paths",
    "Same",
    "Source",
    "Tag",
    "TagAssigned",
    "TagRemoved",
    "Use",
    "Users",
    "Violation",
    "archive",
    "as_of",
    "assign",
    "assign_file",
    "bound",
    "branch",
    "check_fits",
    "contact_history",
    "create",
    "declare",
    "diff",
    "ensure",
    "every",
    "evidence",
    "expire",
    "find",
    "find_many",
    "get",
    "history",
    "holders",
    "keep",
    "key",
    "merge",
    "merge_pairs",
    "move",
    "on_move",
    "register",
    "release",
    "remove",
    "rename",
    "restore",
    "restore_uses",
    "rewrite_uses",
    "stamp",
    "sync",
    "tag_id_of",
    "tags_of",
    "tree",
    "usable",
    "undo",
    "unmerge",
    "uses",
    "violations",
]
