"""Counting in how many of several sets each member is."""

from collections.abc import Sequence

from pyroaring import BitMap

from tagcast.bitmaps import blocks, planes
from tagcast.bitmaps.planes import Plane

_FLIPPED_FROM = 50_000
"""Members of all sets together from which it is faster to cross out who has not been met than to add who has."""
_STEPS_MOST = 8
"""Up to so many times each set is passed from level to level, above that counts are added up as bit planes."""


def at_least(sets: Sequence[BitMap], n: int) -> BitMap:
    """The members that are in at least `n` of the sets. Raises ValueError for n below 1."""
    found = at_least_of(sets, n)
    return found.bitmap() if isinstance(found, Plane) else found


def at_least_of(sets: Sequence[BitMap | Plane], n: int) -> BitMap | Plane:
    """As `at_least`, of sets in either form.

    For a small `n` each set goes once over those met already, and what it has met again over those met twice: about
    two operations a set, for few are met often.
    """
    if n < 1:
        raise ValueError("n must be at least 1")
    if n > len(sets):
        return BitMap()
    sparse = [members for members in sets if isinstance(members, BitMap)]
    dense = [members for members in sets if isinstance(members, Plane)]
    if n > _STEPS_MOST:
        return _added_up([*sparse, *(plane.bitmap() for plane in dense)], n)
    levels = _levels(sparse, n)
    return levels[-1] if not dense else blocks.at_least(dense, [Plane.union([level]) for level in levels])


def _levels(sets: Sequence[BitMap], n: int) -> list[BitMap]:
    """Who is in at least one, two, … `n` of the sets."""
    most = max((members.max() for members in sets if members), default=0)
    # A set that is nearly full stays in the form in which members are crossed out fastest.
    if sum(map(len, sets)) < max(_FLIPPED_FROM, most // 64):
        return _met(sets, n)
    everything = planes.everything(most)
    absent = [everything | BitMap() for _ in range(n - 1)]
    last = BitMap()
    for members in sets:
        left = members
        for level in absent:
            again = left - level
            level -= left  # noqa: PLW2901 - in place
            left = again
            if not left:
                break
        else:
            last |= left
    return [*(everything - level for level in absent), last]


def _met(sets: Sequence[BitMap], n: int) -> list[BitMap]:
    found = [BitMap() for _ in range(n)]
    for members in sets:
        left = members
        for level in found:
            again = left & level
            level |= left  # noqa: PLW2901 - in place
            left = again
            if not left:
                break
    return found


def _added_up(bitmaps: Sequence[BitMap], n: int) -> BitMap:
    """The sets added up as bit planes: plane i holds the members whose count has bit i."""
    added: list[BitMap] = []
    for members in bitmaps:
        carry = members
        for index, plane in enumerate(added):
            added[index], carry = plane ^ carry, plane & carry
            if not carry:
                break
        if carry:
            added.append(carry)
    if n >= 1 << len(added):
        return BitMap()
    above, equal = BitMap(), BitMap.union(*added)
    for index in reversed(range(len(added))):
        if n >> index & 1:
            equal &= added[index]
        else:
            above |= equal & added[index]
            equal -= added[index]
    return above | equal
