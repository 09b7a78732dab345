"""Expressions over planes, worked out block by block, so that what lies between stays in the processor's cache."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast.bitmaps.planes import BLOCK, Plane, Words
from tagcast.bitmaps.scattered import Scattered

_ZERO: Words = np.zeros(BLOCK, dtype=np.uint64)
_ZERO.flags.writeable = False
_DEEPEST = 12
"""Levels of an expression that are worked out together; each needs a block of its own in the cache."""


class Meet:
    """Those in all of `inside` and in none of `outside`; `inside` is never empty."""

    __slots__ = ("depth", "inside", "outside")
    __match_args__ = ("inside", "outside")

    def __init__(self, inside: tuple["Dense", ...], outside: tuple["Dense", ...] = ()) -> None:
        self.inside = _shallow(inside)
        self.outside = _shallow(outside)
        self.depth: int = 1 + max([part.depth for part in (*self.inside, *self.outside)])


class Join:
    """Those in any of `parts`, of which there are two or more."""

    __slots__ = ("depth", "parts")
    __match_args__ = ("parts",)

    def __init__(self, parts: tuple["Dense", ...]) -> None:
        self.parts = _shallow(parts)
        self.depth: int = 1 + max([part.depth for part in self.parts])


Dense = Plane | Meet | Join


def _shallow(parts: tuple[Dense, ...]) -> tuple[Dense, ...]:
    if not parts or max([part.depth for part in parts]) < _DEEPEST:
        return parts
    return tuple([part if part.depth < _DEEPEST else solid(part) for part in parts])


def solid(dense: Dense) -> Plane:
    """The expression worked out."""
    if isinstance(dense, Plane):
        return dense
    words: Words = np.empty(_length(dense) * BLOCK, dtype=np.uint64)
    for at, block in enumerate(_blocks(dense, _length(dense))):
        words[at * BLOCK : (at + 1) * BLOCK] = block
    return Plane(words)


def count(dense: Dense) -> int:
    """How many members; nothing larger than a block is made."""
    scratch = _scratch.counts()
    found = 0
    for block in _blocks(dense, _length(dense)):
        if block is not _ZERO:
            found += int(np.bitwise_count(block, out=scratch).sum(dtype=np.uint32))
    return found


def at_least(sets: Sequence[Plane], levels: Sequence[Plane]) -> Plane:
    """Who is in as many sets as there are `levels`: those that were met once, twice, … before the first of `sets`."""
    size = max(plane.size for plane in (*sets, *levels))
    words: Words = np.zeros(size * BLOCK, dtype=np.uint64)
    met = [np.empty(BLOCK, dtype=np.uint64) for _ in levels]
    carries = [np.empty(BLOCK, dtype=np.uint64) for _ in levels]
    for at in range(size):
        for mine, level in zip(met, levels, strict=True):
            mine[:] = _block(level, at, 0)
        for plane in sets:
            left = _block(plane, at, 0)
            if left is _ZERO:
                continue
            for mine, carry in zip(met[:-1], carries, strict=False):
                again = np.bitwise_and(mine, left, out=carry)
                np.bitwise_or(mine, left, out=mine)
                left = again
            np.bitwise_or(met[-1], left, out=met[-1])
        words[at * BLOCK : (at + 1) * BLOCK] = met[-1]
    return Plane(words)


def present(dense: Dense, members: BitMap) -> BitMap:
    """Those of a few `members` that are in it; nothing else is worked out."""
    match dense:
        case Plane():
            return dense.present(members)
        case Join(parts):
            return BitMap.union(*[present(part, members) for part in parts])
        case Meet(inside, outside):
            for part in inside:
                members = present(part, members)
            for part in outside:
                members = members - present(part, members)
            return members


def _length(dense: Dense) -> int:
    """How many blocks can have members."""
    match dense:
        case Plane():
            return dense.size
        case Meet(inside):
            return min(map(_length, inside))
        case Join(parts):
            return max(map(_length, parts))


def _blocks(dense: Dense, length: int) -> Iterator[Words]:
    for at in range(length):
        yield _block(dense, at, 0)


def _block(dense: Dense, at: int, depth: int) -> Words:
    """One block; what is returned is good until the next call of the same or a lower depth, and not to be changed."""
    kind = type(dense)
    if kind is Plane:
        return dense.blocks[at] if at < dense.size else _ZERO  # type: ignore[union-attr]  # it is a plane
    if kind is Join:
        return _joined(dense.parts, at, depth)  # type: ignore[union-attr]  # it is a join
    if isinstance(dense, Scattered):
        if not dense.has(at):
            return _ZERO
        out = _scratch.words(depth)
        out.fill(0)
        dense.write(at, out)
        return out
    assert isinstance(dense, Meet)
    found = _block(dense.inside[0], at, depth)
    out = _scratch.words(depth)
    for part in dense.inside[1:]:
        if found is _ZERO:
            return _ZERO
        found = np.bitwise_and(found, _block(part, at, depth + 1), out=out)
    if dense.outside and found is not _ZERO:
        beyond = _joined(dense.outside, at, depth + 1)
        if beyond is not _ZERO:
            # a and not b = (a or b) xor b
            found = np.bitwise_xor(np.bitwise_or(found, beyond, out=out), beyond, out=out)
    return found


def _joined(parts: tuple[Dense, ...], at: int, depth: int) -> Words:
    found = _block(parts[0], at, depth)
    out = _scratch.words(depth)
    for part in parts[1:]:
        found = np.bitwise_or(found, _block(part, at, depth + 1), out=out)
    return found


class _Scratch(threading.local):
    """Buffers of one thread, one for each depth of an expression."""

    def __init__(self) -> None:
        self._words: list[Words] = []
        self._counts = np.empty(BLOCK, dtype=np.uint8)

    def words(self, depth: int) -> Words:
        while len(self._words) <= depth:
            self._words.append(np.empty(BLOCK, dtype=np.uint64))
        return self._words[depth]

    def counts(self) -> NDArray[np.uint8]:
        return self._counts


_scratch = _Scratch()
