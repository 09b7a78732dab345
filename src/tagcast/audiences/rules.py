"""Expressions, pure: the tree, what it may be, its JSON form, and how segments stand on each other.

The text form is `language`, the meaning `leaves` and `compiler`.
"""

from collections.abc import Collection, Mapping

from tagcast.audiences.checks import (
    Limits,
    check,
    check_text,
    limits,
    over,
)
from tagcast.audiences.forms import (
    from_json,
    to_json,
)
from tagcast.audiences.spans import (
    Span,
)
from tagcast.audiences.tree import (
    All,
    And,
    BirthdayLeaf,
    DateLeaf,
    DidLeaf,
    Expression,
    FieldLeaf,
    Leaf,
    Named,
    Nobody,
    Not,
    Op,
    Or,
    RankLeaf,
    Scalar,
    SegmentLeaf,
    SendLeaf,
    TagLeaf,
    ThenLeaf,
    Value,
    parts_of,
    questions_of,
    substitute,
    walk,
)

__all__ = [
    "All",
    "And",
    "BirthdayLeaf",
    "DateLeaf",
    "DidLeaf",
    "Expression",
    "FieldLeaf",
    "Leaf",
    "Limits",
    "Named",
    "Nobody",
    "Not",
    "Op",
    "Or",
    "RankLeaf",
    "Scalar",
    "SegmentLeaf",
    "SendLeaf",
    "Span",
    "TagLeaf",
    "ThenLeaf",
    "Value",
    "check",
    "check_text",
    "from_json",
    "height",
    "limits",
    "over",
    "parts_of",
    "questions_of",
    "ring",
    "substitute",
    "to_json",
    "walk",
]


def ring(uses: Mapping[str, Collection[str]], name: str) -> list[str]:
    """The way from a segment over those it uses back to itself, or nothing."""
    ways, seen = [[name]], set[str]()
    while ways:
        way = ways.pop()
        for used in sorted(uses.get(way[-1], ())):
            if used == name:
                return [*way, name]
            if used not in seen:
                seen.add(used)
                ways.append([*way, used])
    return []


def height(uses: Mapping[str, Collection[str]]) -> int:
    """How many segments stand on each other at most; there must be no ring."""
    heights: dict[str, int] = {}
    waiting = list(uses)
    while waiting:
        below = uses.get(waiting[-1], ())
        if missing := [used for used in below if used not in heights]:
            waiting += missing
        else:
            heights[waiting.pop()] = 1 + max((heights[used] for used in below), default=0)
    return max(heights.values(), default=0)
