"""Counting in how many of several sets each member is."""

from collections.abc import Sequence

from pyroaring import BitMap


def at_least(bitmaps: Sequence[BitMap], n: int) -> BitMap:
    """The members that are in at least `n` of the sets. Raises ValueError for n below 1.

    The sets are added up as bit planes (plane i holds the members whose count has bit i), so the cost is that of about
    2 * len(bitmaps) set operations plus one pass over the planes, whatever the number of members.
    """
    if n < 1:
        raise ValueError("n must be at least 1")
    if n > len(bitmaps):
        return BitMap()
    if n == 1:
        return BitMap.union(*bitmaps)
    if n == len(bitmaps):
        return BitMap.intersection(*bitmaps)
    planes: list[BitMap] = []
    for members in bitmaps:
        carry = members
        for index, plane in enumerate(planes):
            planes[index], carry = plane ^ carry, plane & carry
            if not carry:
                break
        if carry:
            planes.append(carry)
    if n >= 1 << len(planes):
        return BitMap()
    above, equal = BitMap(), BitMap.union(*planes)
    for index in reversed(range(len(planes))):
        if n >> index & 1:
            equal &= planes[index]
        else:
            above |= equal & planes[index]
            equal -= planes[index]
    return above | equal
