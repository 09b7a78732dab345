"""Durable sets of unsigned 32-bit numbers, named by keys and separated by workspace.

The change log in the database is the truth: every change is one row in the caller's transaction and holds exactly the
members that it really added or removed. Sets in memory, checkpoints on disk, history and undo all derive from it. A
set handed out by `View.read` is shared and must never be mutated: combine sets with `|`, `&`, `-`, which make new
ones.
"""

from tagcast.bitmaps import algebra, counting, ordered, sliced
from tagcast.bitmaps.cache import Bitmaps
from tagcast.bitmaps.checkpoints import Checkpoint
from tagcast.bitmaps.codec import from_bytes, pack, pack_pairs, page, to_bytes, unpack
from tagcast.bitmaps.past import Past
from tagcast.bitmaps.records import AlreadyUndone, Change, Difference, Only, Op, UnknownChange, Wanted
from tagcast.bitmaps.store import Row
from tagcast.bitmaps.tables import metadata
from tagcast.bitmaps.view import View

__all__ = [
    "Bitmaps",
    "View",
    "Change",
    "Row",
    "Difference",
    "Only",
    "Op",
    "Past",
    "Checkpoint",
    "AlreadyUndone",
    "UnknownChange",
    "Wanted",
    "metadata",
    "pack",
    "pack_pairs",
    "page",
    "unpack",
    "to_bytes",
    "from_bytes",
    "algebra",
    "counting",
    "ordered",
    "sliced",
]
