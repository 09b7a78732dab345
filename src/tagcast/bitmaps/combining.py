"""And, or, not over sets of two forms, Roaring bitmaps and dense expressions, by what each step costs.

Dense parts stay an expression as long as possible: they are worked out together, block by block, and what is sparse
joins them as a plane, unless so few are left that it is cheaper to look each of them up. Without any dense part all is
done by Roaring, the smallest first.
"""

from collections.abc import Sequence

from pyroaring import BitMap

from tagcast.bitmaps import blocks
from tagcast.bitmaps.blocks import Dense, Join, Meet
from tagcast.bitmaps.planes import Plane

_PAIRWISE_BELOW = 4096
_LOOKED_UP_BELOW = 30_000


class Some:
    """Those in any of two or more Roaring bitmaps, not united yet: as a plane they never need to be."""

    __slots__ = ("parts",)
    __match_args__ = ("parts",)

    def __init__(self, parts: tuple[BitMap, ...]) -> None:
        self.parts = parts


Sparse = BitMap | Some
Members = Sparse | Dense
_SPARSE = (BitMap, Some)  # to ask for a tuple is several times faster than for a union, and it is asked for each leaf
Found = tuple[Members, bool]
"""(these, False), or (these, True): everyone but these."""


def all_of(sets: Sequence[Found]) -> Found:
    """The members of every set; without sets everyone."""
    inside = [these for these, inverted in sets if not inverted]
    outside = [these for these, inverted in sets if inverted]
    return (_but(inside, outside), False) if inside else (union(outside), True)


def any_of(sets: Sequence[Found]) -> Found:
    """The members of any set; without sets nobody."""
    inside = [these for these, inverted in sets if not inverted]
    outside = [these for these, inverted in sets if inverted]
    # a or not b = not (b and not a)
    return (_but(outside, inside), True) if outside else (union(inside), False)


def _but(inside: Sequence[Members], outside: Sequence[Members]) -> Members:
    """The members of all of `inside`, at least one, and of none of `outside`."""
    dense, sparse = _apart(inside)
    not_dense, not_sparse = _apart(outside)
    if not dense and not not_dense:
        return _roaring(sparse, not_sparse)
    if sparse and _size(sparse[0]) < _LOOKED_UP_BELOW:
        return _looked_up(_roaring(sparse, not_sparse), dense, not_dense)
    if sparse:
        dense = (*dense, *(Plane.union(_parts([part])) for part in sparse))
    if not_sparse:
        not_dense = (*not_dense, Plane.union(_parts(not_sparse)))
    return Meet(dense, not_dense) if len(dense) > 1 or not_dense else dense[0]


def union(parts: Sequence[Members]) -> Members:
    """The members of any part."""
    dense, sparse = _apart(parts)
    if dense and sparse:
        dense = (*dense, Plane.union(_parts(sparse)))
    if dense:
        return Join(dense) if len(dense) > 1 else dense[0]
    flat = _parts(sparse)
    return Some(tuple(flat)) if len(flat) > 1 else flat[0] if flat else BitMap()


def bitmap(members: Members) -> BitMap:
    """As a Roaring bitmap. Shared: not to be mutated."""
    found = solid(members)
    return found.bitmap() if isinstance(found, Plane) else found


def solid(members: Members) -> BitMap | Plane:
    """Worked out, so that it is not worked out again."""
    match members:
        case BitMap():
            return members
        case Some(parts):
            return _united(parts)
        case _:
            return blocks.solid(members)


def count_within(members: Members, everyone: BitMap, plane: Plane | None) -> int:
    """How many of `members` are among everyone; `plane` is everyone as a plane, needed for dense members only."""
    if isinstance(members, _SPARSE):
        return everyone.intersection_cardinality(bitmap(members))
    assert plane is not None
    return blocks.count(Meet((members, plane)))


def _apart(parts: Sequence[Members]) -> tuple[tuple[Dense, ...], list[Sparse]]:
    """The dense ones, and the sparse ones by size."""
    dense, sparse = list[Dense](), list[Sparse]()
    for part in parts:
        if isinstance(part, _SPARSE):
            sparse.append(part)
        else:
            dense.append(part)
    if len(sparse) > 1:
        sparse.sort(key=_size)
    return tuple(dense), sparse


def _parts(sparse: Sequence[Sparse]) -> list[BitMap]:
    return [one for part in sparse for one in (part.parts if isinstance(part, Some) else (part,))]


def _size(part: Sparse) -> int:
    return len(part) if isinstance(part, BitMap) else sum(map(len, part.parts))


def _roaring(inside: Sequence[Sparse], outside: Sequence[Sparse]) -> BitMap:
    left = bitmap(inside[0])
    for part in inside[1:]:
        if not left:
            return left
        left = left & bitmap(part)
    without = _parts(outside)
    if len(without) > 1:
        without.sort(key=len, reverse=True)
    for these in without:
        if not left:
            return left
        left = left - these
    return left


def _looked_up(left: BitMap, dense: tuple[Dense, ...], not_dense: tuple[Dense, ...]) -> BitMap:
    """Those of `left` in all of `dense` and in none of `not_dense`."""
    for part in dense:
        left = blocks.present(part, left)
    for part in not_dense:
        left = left - blocks.present(part, left)
    return left


def _united(parts: Sequence[BitMap]) -> BitMap:
    # All at once goes over bitsets, which is slow where the result is arrays.
    if len(parts) == 2:
        return parts[0] | parts[1]
    by_size = sorted(parts, key=len)
    if len(parts) > 8 or _size(Some(tuple(parts))) > _PAIRWISE_BELOW * (max(map(_top, parts)) // 65536 + 1):
        return BitMap.union(*by_size)
    joined = by_size[0] | by_size[1]
    for these in by_size[2:]:
        joined = joined | these
    return joined


def _top(members: BitMap) -> int:
    return members.max() if members else 0
