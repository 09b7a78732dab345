"""Sets of numbers as arrays and as bytes.

A BitMap is built from `array('I')`, whose buffer pyroaring reads directly; iterating a NumPy array is several times
slower.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap


def pack(numbers: NDArray[np.integer] | Iterable[int]) -> BitMap:
    """The set of `numbers`, each from 0 to 2**32 - 1, in any order, repeats allowed.

    Raises OverflowError for a number outside the range and TypeError for an array that is not of integers.
    """
    if not isinstance(numbers, np.ndarray):
        return BitMap(array("I", numbers))
    if numbers.size == 0:
        return BitMap()
    if not np.issubdtype(numbers.dtype, np.integer):
        raise TypeError(f"members must be integers, not {numbers.dtype}")
    if int(numbers.min()) < 0 or int(numbers.max()) > 0xFFFFFFFF:
        raise OverflowError("members must lie between 0 and 4294967295")
    return BitMap(array("I", np.ascontiguousarray(numbers, dtype=np.uint32).tobytes()))


def pack_pairs(owners: NDArray[np.integer], numbers: NDArray[np.integer]) -> Iterator[tuple[int, BitMap]]:
    """Pairs in any order, repeats allowed, as one set for each owner, by owner; both from 0 to 2**32 - 1.

    Raises ValueError for arrays of different lengths, OverflowError and TypeError as `pack`.
    """
    if len(owners) != len(numbers):
        raise ValueError("owners and numbers must have the same length")
    if not len(owners):
        return
    for given in (owners, numbers):
        if not np.issubdtype(given.dtype, np.integer):
            raise TypeError(f"pairs must be integers, not {given.dtype}")
        if int(given.min()) < 0 or int(given.max()) > 0xFFFFFFFF:
            raise OverflowError("pairs must lie between 0 and 4294967295")
    # One sort of single words is several times faster than sorting one array by the other.
    pairs = owners.astype(np.uint64) << np.uint64(32) | numbers.astype(np.uint64)
    pairs.sort()
    halves = pairs.astype("<u8", copy=False).view("<u4").reshape(-1, 2)
    starts = np.flatnonzero(np.diff(halves[:, 1], prepend=halves[0, 1] ^ 1))
    for start, end in pairwise([*starts.tolist(), len(pairs)]):
        yield int(halves[start, 1]), BitMap(array("I", halves[start:end, 0].tobytes()))


def unpack(members: BitMap) -> NDArray[np.uint32]:
    """The members in ascending order, as an array of its own."""
    return np.frombuffer(members.to_array(), dtype=np.uint32)


def page(members: BitMap, after: int, limit: int) -> tuple[list[int], int | None]:
    """At most `limit` members above `after`, ascending, and the last of them when more follow."""
    start = members.rank(after)
    found = list(members[start : start + limit])
    return found, found[-1] if found and start + len(found) < len(members) else None


def to_bytes(members: BitMap) -> bytes:
    """The set in the portable Roaring format (https://github.com/RoaringBitmap/RoaringFormatSpec)."""
    return bytes(members.serialize())


def from_bytes(data: bytes) -> BitMap:
    """The set that `to_bytes` wrote. The bytes must be trusted or checked before: the format carries no checksum."""
    return BitMap.deserialize(data)
