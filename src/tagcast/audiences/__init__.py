"""The segment language and the audiences it stands for. Owns: segment, segment_size, kept_set,
frozen_audience; the bitmaps `frozen:<id>` and `segment:<id>`.

An expression is written as text, as JSON or built in the console, and means one exact set of contacts.
"""

from tagcast.audiences import live
from tagcast.audiences.actions import (
    create,
    delete,
    deleted,
    digest,
    every,
    find,
    freeze,
    frozen,
    get,
    rename,
    renew,
    restore,
    tag_segment,
    update,
)
from tagcast.audiences.choosing import personalised
from tagcast.audiences.compiler import count, draw, members, sample
from tagcast.audiences.crosstab import Table, cross_table
from tagcast.audiences.csv_forms import table_csv, trend_csv
from tagcast.audiences.dimensions import Category, Dimension
from tagcast.audiences.dimensions import read as dimension
from tagcast.audiences.evidence import Fact
from tagcast.audiences.explaining import Explained, Moved, explain, moved
from tagcast.audiences.keeping import KIND, keep, renew_due, start_due, waiting, work_off
from tagcast.audiences.language import parse, to_text
from tagcast.audiences.naming import on_rename, renamed, uses, where_used
from tagcast.audiences.past import Difference, difference
from tagcast.audiences.past import count as past_count
from tagcast.audiences.past import members as past_members
from tagcast.audiences.planning import Plan, Planned, plan
from tagcast.audiences.regions import Overlap, Pair, Region, matrix, overlap, region
from tagcast.audiences.rewriting import moved_tags, noted, recalled, tag_uses, with_tag
from tagcast.audiences.rules import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Nobody,
    Not,
    Or,
    RankLeaf,
    SegmentLeaf,
    SendLeaf,
    Span,
    TagLeaf,
    ThenLeaf,
    from_json,
    to_json,
)
from tagcast.audiences.sizes import Size, Trend, record_due, record_size, trend
from tagcast.audiences.store import Frozen, Segment

__all__ = [
    "All",
    "And",
    "BirthdayLeaf",
    "Category",
    "DateLeaf",
    "DidLeaf",
    "Difference",
    "Dimension",
    "Explained",
    "Expression",
    "Fact",
    "FieldLeaf",
    "Frozen",
    "KIND",
    "Moved",
    "Nobody",
    "Not",
    "Or",
    "Overlap",
    "Pair",
    "Plan",
    "Planned",
    "RankLeaf",
    "Region",
    "Segment",
    "SegmentLeaf",
    "SendLeaf",
    "Size",
    "Span",
    "Table",
    "TagLeaf",
    "ThenLeaf",
    "Trend",
    "count",
    "create",
    "cross_table",
    "delete",
    "deleted",
    "difference",
    "dimension",
    "digest",
    "draw",
    "every",
    "explain",
    "find",
    "freeze",
    "from_json",
    "frozen",
    "get",
    "keep",
    "live",
    "matrix",
    "members",
    "moved",
    "moved_tags",
    "noted",
    "on_rename",
    "overlap",
    "parse",
    "past_count",
    "past_members",
    "personalised",
    "plan",
    "recalled",
    "record_due",
    "record_size",
    "region",
    "rename",
    "renamed",
    "renew",
    "renew_due",
    "restore",
    "sample",
    "start_due",
    "table_csv",
    "tag_segment",
    "tag_uses",
    "to_json",
    "to_text",
    "trend",
    "trend_csv",
    "update",
    "uses",
    "waiting",
    "where_used",
    "with_tag",
    "work_off",
]
