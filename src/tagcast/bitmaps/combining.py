"""And, or, not over sets of two forms, Roaring bitmaps and dense expressions, by what each step costs.

Dense parts stay an expression as long as possible: they are worked out together, block by block. Sparse parts are
combined as Roaring bitmaps, the smallest first, so that each step has less to do than the one before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from tagcast.bitmaps import planes
from tagcast.bitmaps.planes import Dense, Join, Meet, Plane

Members = BitMap | Dense
_PAIRWISE_BELOW = 4096
_GATHERED_BELOW = 50_000


@dataclass(frozen=True, slots=True)
class Found:
    """`these`, or everyone but these."""

    these: Members
    inverted: bool = False


def invert(found: Found) -> Found:
    """Everyone else."""
    return Found(found.these, not found.inverted)


def all_of(sets: Iterable[Found]) -> Found:
    """The members of every set; without sets everyone."""
    inside, outside = list[Members](), list[Members]()
    for found in sets:
        (outside if found.inverted else inside).append(found.these)
    if not inside:
        return Found(union(outside), inverted=True)
    dense, sparse = _apart(inside)
    not_dense, not_sparse = _apart(outside)
    if not sparse:
        return Found(_subtract(Meet(dense, not_dense) if len(dense) > 1 or not_dense else dense[0], not_sparse))
    left = sparse[0]
    for these in sparse[1:]:
        if not left:
            break
        left = left & these
    if left and not_sparse and (not dense or len(left) < _GATHERED_BELOW):
        left, not_sparse = bitmap(_subtract(left, not_sparse)), []
    if left and (dense or not_dense):
        return Found(_subtract(_filter(left, dense, not_dense), not_sparse))
    return Found(_subtract(left, not_sparse))


def any_of(sets: Iterable[Found]) -> Found:
    """The members of any set; without sets nobody."""
    # a or b = not (not a and not b)
    return invert(all_of([invert(found) for found in sets]))


def union(parts: Sequence[Members]) -> Members:
    """The members of any part."""
    dense, sparse = _apart(parts)
    if dense and sparse:
        dense = (*dense, Plane.union(sparse))
    if dense:
        return Join(dense) if len(dense) > 1 else dense[0]
    return _roaring_union(sparse)


def bitmap(members: Members) -> BitMap:
    """As a Roaring bitmap. Shared: not to be mutated."""
    return members if isinstance(members, BitMap) else planes.solid(members).bitmap()


def solid(members: Members) -> BitMap | Plane:
    """Worked out, so that it is not worked out again."""
    return members if isinstance(members, BitMap) else planes.solid(members)


def count_within(members: Members, everyone: BitMap, plane: Plane | None) -> int:
    """How many of `members` are among everyone; `plane` is everyone as a plane, needed for dense members only."""
    if isinstance(members, BitMap):
        return everyone.intersection_cardinality(members)
    assert plane is not None
    return planes.count(Meet((members, plane)))


def _apart(parts: Sequence[Members]) -> tuple[tuple[Dense, ...], list[BitMap]]:
    """The dense ones, and the sparse ones by size."""
    sparse = sorted((part for part in parts if isinstance(part, BitMap)), key=len)
    return tuple(part for part in parts if not isinstance(part, BitMap)), sparse


def _subtract(left: Members, sparse: list[BitMap]) -> Members:
    if not sparse:
        return left
    rest = bitmap(left)
    for these in reversed(sparse):
        if not rest:
            break
        rest = rest - these
    return rest


def _filter(left: BitMap, dense: tuple[Dense, ...], not_dense: tuple[Dense, ...]) -> Members:
    """Those of `left` in all of `dense` and in none of `not_dense`."""
    if len(left) < _GATHERED_BELOW:
        for part in dense:
            left = planes.solid(part).present(left)
        for part in not_dense:
            left = left - planes.solid(part).present(left)
        return left
    return Meet((Plane.union([left]), *dense), not_dense)


def _roaring_union(sparse: list[BitMap]) -> BitMap:
    if not sparse:
        return BitMap()
    if len(sparse) == 1:
        return sparse[0]
    # Many at once goes over bitsets, which is slow where the result is arrays.
    chunks = max(these.max() for these in sparse if these) // 65536 + 1 if sparse[-1] else 1
    if len(sparse) > 8 or sum(map(len, sparse)) > _PAIRWISE_BELOW * chunks:
        return BitMap.union(*sparse)
    joined = sparse[0] | sparse[1]
    for these in sparse[2:]:
        joined = joined | these
    return joined
