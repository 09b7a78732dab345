"""Sets of medium density: the bytes of a plane that are not empty.

Of a set with one member in a hundred numbers nine of ten bytes of its plane are empty. Place and content of the others
take three bytes each, hardly more than the members in a Roaring bitmap, and are written into a block of the plane about
as fast as the block could be read.
"""

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast.bitmaps.codec import pack, unpack
from tagcast.bitmaps.planes import BLOCK, Plane, Words

_PART = 65536
"""Bytes whose places are counted together: as many as 16 bits can tell apart."""
_PARTS = BLOCK * 8 // _PART


class Scattered(Plane):
    """A set as the bytes of its plane that are not empty, in their order. Never changes."""

    __slots__ = ("_bytes", "_edges", "_places")

    def __init__(self, places: NDArray[np.int64], held: NDArray[np.uint8]) -> None:
        """`places` in the plane, ascending, and what stands there."""
        self.size = int(places[-1]) // (BLOCK * 8) + 1 if len(places) else 0
        self.blocks = []
        edges = np.arange(self.size * _PARTS + 1, dtype=np.int64) * _PART
        self._edges: list[int] = np.searchsorted(places, edges).tolist()
        self._places = (places % _PART).astype(np.uint16)
        self._bytes = held

    @classmethod
    def of(cls, whole: BitMap | Plane) -> "Scattered":
        """The same set in this form."""
        if isinstance(whole, Plane):
            content = whole.words.view(np.uint8)
            places = np.flatnonzero(content)
            return cls(places, content[places])
        numbers = unpack(whole)
        eighths = numbers >> np.uint32(3)
        starts = np.flatnonzero(np.diff(eighths, prepend=np.uint32(0xFFFFFFFF)))
        bits = np.left_shift(np.uint8(1), (numbers & np.uint32(7)).astype(np.uint8))
        held = np.bitwise_or.reduceat(bits, starts) if len(starts) else bits
        return cls(eighths[starts].astype(np.int64), held)

    @property
    def words(self) -> Words:
        """All bits, 64 a word, made anew."""
        words: Words = np.zeros(self.size * BLOCK, dtype=np.uint64)
        for at in range(self.size):
            self.write(at, words[at * BLOCK : (at + 1) * BLOCK])
        return words

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        return int(self._places.nbytes + self._bytes.nbytes)

    def count(self) -> int:
        """How many members."""
        return int(np.bitwise_count(self._bytes).sum(dtype=np.int64))

    def bitmap(self) -> BitMap:
        """The same set as a Roaring bitmap of the caller's own."""
        if len(self._bytes) * 4 > self.size * BLOCK * 8:
            return Plane(self.words).bitmap()
        which, bits = np.unpackbits(self._bytes, bitorder="little").reshape(-1, 8).nonzero()
        starts = np.repeat(np.arange(len(self._edges) - 1, dtype=np.int64) * _PART, np.diff(self._edges))
        return pack((starts + self._places)[which] * 8 + bits)

    def present(self, members: BitMap) -> BitMap:
        """Those of `members` that are in the set."""
        found = BitMap()
        left = members[: members.rank(self.size * BLOCK * 64 - 1)] if self.size else found
        while left:
            part = left.min() // (_PART * 8)
            numbers = unpack(left[: left.rank((part + 1) * _PART * 8 - 1)])
            left = left[len(numbers) :]
            low, high = self._edges[part], self._edges[part + 1]
            if low < high:
                wanted = (numbers // 8 % _PART).astype(np.uint16)
                near = np.minimum(np.searchsorted(self._places[low:high], wanted), high - low - 1)
                bits = self._bytes[low:high][near] >> (numbers & 7).astype(np.uint8) & 1
                found |= pack(numbers[(self._places[low:high][near] == wanted) & bits.astype(np.bool_)])
        return found

    def changed(self, plus: BitMap, minus: BitMap) -> Plane:
        """The set with `plus` and without `minus`."""
        return Scattered.of(Plane(self.words).changed(plus, minus))

    def has(self, at: int) -> bool:
        """Whether a block has members."""
        return at < self.size and self._edges[at * _PARTS] < self._edges[(at + 1) * _PARTS]

    def write(self, at: int, block: Words) -> None:
        """Write what a block has into an empty one."""
        content = block.view(np.uint8)
        for part in range(_PARTS):
            low, high = self._edges[at * _PARTS + part : at * _PARTS + part + 2]
            # NumPy makes whole indices of small ones much more slowly by itself.
            content[part * _PART : (part + 1) * _PART][self._places[low:high].astype(np.intp)] = self._bytes[low:high]
