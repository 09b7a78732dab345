"""How several expressions overlap: the size of every region, and of every pair."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from tagcast.audiences import bounds, compiler
from tagcast.audiences.rules import And, Expression, Not, Or
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Region:
    """Those who are in just these expressions (places in the list) and in none of the others."""

    inside: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two expressions by their places: how many in both, in only one; `jaccard` is both over either, 0 to 1."""

    a: int
    b: int
    both: int
    only_a: int
    only_b: int
    jaccard: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sizes of each, of every region (also the empty ones), of every pair; `either`: in any, `total`: all contacts."""

    sizes: tuple[int, ...]
    regions: tuple[Region, ...]
    pairs: tuple[Pair, ...]
    either: int
    total: int


def overlap(work: Work, expressions: Sequence[Expression]) -> Overlap:
    """Every region of 2 to 6 expressions. Raises Invalid, Refused for more."""
    bounds.check("overlapping", len(expressions))
    sets, total = _sets(work, expressions)
    # Who is in a region, by the places as bits: each set splits every region in two.
    found: dict[int, BitMap] = {}
    for place, members in enumerate(sets):
        split: dict[int, BitMap] = {}
        rest = members
        for mask, held in found.items():
            split[mask | 1 << place], split[mask] = held & members, held - members
            rest = rest - held
        split[1 << place] = rest
        found = {mask: held for mask, held in split.items() if held}
    regions = tuple(
        Region(tuple(i for i in range(len(sets)) if mask >> i & 1), len(found.get(mask, ())))
        for mask in range(1, 1 << len(sets))
    )
    return Overlap(tuple(len(one) for one in sets), regions, _pairs(sets), sum(one.size for one in regions), total)


def matrix(work: Work, expressions: Sequence[Expression]) -> Overlap:
    """Every pair of many expressions, without regions. Raises Invalid, Refused for more than can be read."""
    bounds.check("matrix", len(expressions))
    sets, total = _sets(work, expressions)
    return Overlap(tuple(len(one) for one in sets), (), _pairs(sets), len(BitMap.union(*sets)), total)


def region(expressions: Sequence[Expression], inside: Sequence[int]) -> Expression:
    """The expression that selects just one region. Raises Invalid for no place or one that is not there."""
    chosen = set(inside)
    if not chosen or not chosen <= set(range(len(expressions))):
        raise Invalid("audiences.no_region", most=len(expressions) - 1)
    parts = [one for place, one in enumerate(expressions) if place in chosen]
    others = [one for place, one in enumerate(expressions) if place not in chosen]
    if others:
        parts.append(Not(Or(tuple(others)) if len(others) > 1 else others[0]))
    return And(tuple(parts)) if len(parts) > 1 else parts[0]


def _sets(work: Work, expressions: Sequence[Expression]) -> tuple[list[BitMap], int]:
    if len(expressions) < 2:
        raise Invalid("audiences.overlap_of_one")
    known = compiler.evaluation(work, *expressions)
    return [known.members(one) for one in expressions], known.everyone()


def _pairs(sets: Sequence[BitMap]) -> tuple[Pair, ...]:
    return tuple(_pair(a, b, sets) for a in range(len(sets)) for b in range(a + 1, len(sets)))


def _pair(a: int, b: int, sets: Sequence[BitMap]) -> Pair:
    both = sets[a].intersection_cardinality(sets[b])
    only_a, only_b = len(sets[a]) - both, len(sets[b]) - both
    either = both + only_a + only_b
    return Pair(a, b, both, only_a, only_b, both / either if either else 0.0)
