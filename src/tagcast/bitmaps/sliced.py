"""Signed 64-bit integers per member, kept as bit planes in ordinary sets.

The number of `key` is spread over the sets `<key>#known` (who has a number), `<key>#sign` (whose number is negative)
and `<key>#0`, `<key>#1`, … (the bits of its absolute value). A comparison is then one pass of set operations over at
most 66 sets (bit-sliced index: O'Neil and Quass, Improved Query Performance with Variant Indexes, SIGMOD 1997), and a
sum is a few cardinalities.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast.bitmaps.codec import pack, unpack
from tagcast.bitmaps.view import View

Comparison = Literal["<", "<=", "=", "!=", ">=", ">"]


def set_values(view: View, key: str, members: NDArray[np.uint32], values: NDArray[np.int64], *, why: str) -> BitMap:
    """Give each of `members` its value; of a repeated member the last counts. Returns those whose value really changed.

    Raises ValueError if the arrays differ in length.
    """
    if len(members) != len(values):
        raise ValueError("members and values must have the same length")
    if not len(members):
        return BitMap()
    unique, last = np.unique(members[::-1], return_index=True)
    chosen = np.asarray(values, dtype=np.int64)[::-1][last]
    # The absolute value of the least int64 exists only as an unsigned number.
    size = np.where(chosen < 0, ~chosen.view(np.uint64) + np.uint64(1), chosen.view(np.uint64))
    concerned, changed = pack(unique), BitMap()
    width = max(int(size.max()).bit_length(), _width(view, key))
    wanted = {"known": concerned, "sign": pack(unique[chosen < 0])}
    wanted |= {str(bit): pack(unique[(size >> np.uint64(bit)) & np.uint64(1) == 1]) for bit in range(width)}
    for plane, ones in wanted.items():
        name, zeros = f"{key}#{plane}", concerned - ones
        before = view.read(name)
        changed |= (ones - before) | (zeros & before)
        view.remove(name, zeros, why=why)
        view.add(name, ones, why=why)
    return changed


def clear(view: View, key: str, members: BitMap, *, why: str) -> BitMap:
    """Take the number away from `members`; returns those who had one."""
    had = known(view, key) & members
    for plane in ("known", "sign", *range(_width(view, key))):
        view.remove(f"{key}#{plane}", had, why=why)
    return had


def known(view: View, key: str, *, within: BitMap | None = None) -> BitMap:
    """The members that have a number; with `within`, those of them. Shared: not to be mutated."""
    return _read(view, f"{key}#known", within)


def compare(view: View, key: str, op: Comparison, value: int, *, within: BitMap | None = None) -> BitMap:
    """The members whose number stands in the relation `op` to `value`; who has no number is never among them.

    With `within`, those of them, at the cost of those. Raises ValueError for an unknown `op`.
    """
    everyone, negative = known(view, key, within=within), _read(view, f"{key}#sign", within)
    if value >= 0:
        below, equal, above = _by_size(view, key, everyone - negative, value, within)
        below |= negative
    else:
        above, equal, below = _by_size(view, key, negative, -value, within)
        above |= everyone - negative
    match op:
        case "<":
            return below
        case "<=":
            return below | equal
        case "=":
            return equal
        case "!=":
            return below | above
        case ">=":
            return above | equal
        case ">":
            return above
    raise ValueError(f"unknown comparison {op!r}")


def between(view: View, key: str, low: int, high: int) -> BitMap:
    """The members whose number is at least `low` and at most `high`."""
    return compare(view, key, ">=", low) & compare(view, key, "<=", high)


def values(view: View, key: str, members: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number of each of `members`, in their order, and a mask of who has one (0 where it is False)."""
    unique, back = np.unique(np.asarray(members, dtype=np.uint32), return_inverse=True)
    asked = pack(unique)

    def held(plane: str | int) -> NDArray[np.bool_]:
        mask = np.zeros(len(unique), dtype=np.bool_)
        mask[np.searchsorted(unique, unpack(view.read(f"{key}#{plane}") & asked))] = True
        return mask

    size = np.zeros(len(unique), dtype=np.uint64)
    for bit in range(_width(view, key)):
        size[held(bit)] |= np.uint64(1 << bit)
    negative = held("sign")
    size[negative] = ~size[negative] + np.uint64(1)
    return size.view(np.int64)[back], held("known")[back]


def total(view: View, key: str, members: BitMap) -> int:
    """The sum of the numbers of `members`, exact; who has none adds nothing."""
    negative = view.read(f"{key}#sign") & members
    result = 0
    for bit in range(_width(view, key)):
        plane = view.read(f"{key}#{bit}")
        result += (plane.intersection_cardinality(members) - 2 * plane.intersection_cardinality(negative)) << bit
    return result


def _width(view: View, key: str) -> int:
    """How many bit planes have members, counted up to the highest."""
    prefix = f"{key}#"
    bits = (name[len(prefix) :] for name in view.keys(prefix))
    return max((int(bit) + 1 for bit in bits if bit.isdecimal()), default=0)


def _by_size(view: View, key: str, among: BitMap, size: int, within: BitMap | None) -> tuple[BitMap, BitMap, BitMap]:
    """Split `among` into those whose absolute value is less than, equal to and greater than `size`."""
    less, equal, greater = BitMap(), among.copy(), BitMap()
    for bit in reversed(range(max(size.bit_length(), _width(view, key)))):
        if not equal:
            break
        plane = _read(view, f"{key}#{bit}", within)
        if size >> bit & 1:
            less |= equal - plane
            equal &= plane
        else:
            greater |= equal & plane
            equal -= plane
    return less, equal, greater


def _read(view: View, key: str, within: BitMap | None) -> BitMap:
    return view.read(key) if within is None else view.present(key, within)
