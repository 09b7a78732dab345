"""The segment language and the audiences it stands for. Owns: segment, frozen_audience; the bitmaps `frozen:<id>`.

An expression is written as text, as JSON or built in the console, and means one exact set of contacts.
"""

from tagcast.audiences.actions import (
    create,
    delete,
    digest,
    every,
    find,
    freeze,
    frozen,
    frozen_members,
    get,
    tag_segment,
    update,
    where_used,
)
from tagcast.audiences.compiler import Explained, Overlap, count, explain, members, overlap, sample
from tagcast.audiences.language import parse, to_text
from tagcast.audiences.rewriting import tag_uses, with_tag
from tagcast.audiences.rules import (
    All,
    And,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    SegmentLeaf,
    TagLeaf,
    from_json,
    to_json,
)
from tagcast.audiences.store import Frozen, Segment

__all__ = [
    "All",
    "And",
    "Explained",
    "Expression",
    "FieldLeaf",
    "Frozen",
    "Nobody",
    "Not",
    "Or",
    "Overlap",
    "Segment",
    "SegmentLeaf",
    "TagLeaf",
    "count",
    "create",
    "delete",
    "digest",
    "every",
    "explain",
    "find",
    "freeze",
    "from_json",
    "frozen",
    "frozen_members",
    "get",
    "members",
    "overlap",
    "parse",
    "sample",
    "tag_segment",
    "tag_uses",
    "to_json",
    "to_text",
    "update",
    "where_used",
    "with_tag",
]
