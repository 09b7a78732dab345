"""Dense sets as packed bits.

A Roaring array of a few thousand numbers costs about a nanosecond a number to combine; packed bits cost an eighth of a
byte a number of the whole range, at the speed of memory. `blocks` combines them.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast.bitmaps.codec import pack, unpack

Words = NDArray[np.uint64]

BLOCK = 16384
"""Words a block: 128 KiB, sixteen Roaring chunks. The intermediate results of one block stay in the cache."""
_CHUNK = 1024
_CHUNK_BITS = 65536
_BLOCK_BITS = BLOCK * 64
_ARRAY_MOST = 4096  # a Roaring container of at most so many members is an array of 16-bit numbers
_PORTABLE_NO_RUNS = 12346
_PORTABLE_WITH_RUNS = 12347
_OFFSETS_FROM = 4  # containers, in a file with runs
_GATHER_BELOW = 200_000
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Plane:
    """A set as bits: bit n of word w stands for the number 64 * w + n. Never changes; whole blocks only."""

    __slots__ = ("_words", "blocks", "size")
    depth = 0

    def __init__(self, words: Words) -> None:
        words.flags.writeable = False
        self._words = words
        self.blocks: list[Words] = [words[at : at + BLOCK] for at in range(0, len(words), BLOCK)]
        self.size = len(self.blocks)

    @classmethod
    def union(cls, sets: Sequence[BitMap]) -> "Plane":
        """Who is in any of `sets`."""
        top = max((members.max() for members in sets if members), default=-1)
        words: Words = np.empty((top + _BLOCK_BITS) // _BLOCK_BITS * BLOCK, dtype=np.uint64)
        if top >= 0:
            # Roaring clears bits in place; what is left over of everything, its bytes read as words, is the complement.
            used = top // _CHUNK_BITS + 1
            left = _everything(used) | BitMap()  # several times faster than copy()
            for members in sets:
                left -= members
            _read_complement(left, words[: used * _CHUNK])
            words[used * _CHUNK :] = 0
        return cls(words)

    @property
    def words(self) -> Words:
        """All bits, 64 a word. Not to be changed."""
        return self._words

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        return int(self._words.nbytes)

    def count(self) -> int:
        """How many members."""
        return sum(int(np.bitwise_count(block).sum(dtype=np.int64)) for block in self.blocks)

    def bitmap(self) -> BitMap:
        """The same set as a Roaring bitmap of the caller's own."""
        chunks = self.words.reshape(-1, _CHUNK)
        counts = np.bitwise_count(chunks).sum(axis=1, dtype=np.int64)
        used = np.flatnonzero(counts)
        if not len(used):
            return BitMap()
        if counts[used].min() > _ARRAY_MOST:
            return _from_chunks(used, counts[used], chunks if len(used) == len(chunks) else chunks[used])
        # The format wants sparse chunks as arrays: half of all bits flipped makes each chunk dense, and Roaring
        # flips them back.
        comb, everywhere = _comb(len(chunks))
        flipped = chunks ^ comb
        counts = np.bitwise_count(flipped).sum(axis=1, dtype=np.int64)
        if counts.min() > _ARRAY_MOST:
            return _from_chunks(np.arange(len(chunks)), counts, flipped) ^ everywhere
        return pack(np.flatnonzero(np.unpackbits(self.words.view(np.uint8), bitorder="little")))

    def present(self, members: BitMap) -> BitMap:
        """Those of `members` that are in the set."""
        if len(members) > _GATHER_BELOW:
            return members & self.bitmap()
        numbers = unpack(members)
        numbers = numbers[: np.searchsorted(numbers, len(self.words) * 64)]
        bits = self.words[numbers >> np.uint32(6)] >> (numbers & np.uint32(63)).astype(np.uint64)
        return pack(numbers[(bits & _ONE).astype(np.bool_)])

    def changed(self, plus: BitMap, minus: BitMap) -> "Plane":
        """The set with `plus` and without `minus`."""
        top = plus.max() if plus else 0
        words: Words = np.zeros(max(len(self.words), (top // _BLOCK_BITS + 1) * BLOCK), dtype=np.uint64)
        words[: len(self.words)] = self.words
        for numbers, change in ((unpack(plus), np.bitwise_or), (unpack(minus), np.bitwise_xor)):
            change.at(words, numbers >> np.uint32(6), _ONE << (numbers & np.uint32(63)).astype(np.uint64))
        return Plane(words)


def everything(most: int) -> BitMap:
    """All numbers up to `most` and some above it, each chunk as bits: what members are crossed out of. Shared."""
    return _everything(most // _CHUNK_BITS + 1)


def _read_complement(members: BitMap, words: Words) -> None:
    """Write who is not a member into `words`, from the portable Roaring format; dense chunks are read as they are."""
    data = members.serialize()
    cookie, size = struct.unpack_from("<II", data)
    runs, start = np.zeros(0, dtype=np.uint8), 8
    if cookie & 0xFFFF == _PORTABLE_WITH_RUNS:
        size = (cookie >> 16) + 1
        runs = np.unpackbits(np.frombuffer(data, np.uint8, count=(size + 7) // 8, offset=4), bitorder="little")
        start = 4 + (size + 7) // 8
    heads = np.frombuffer(data, dtype="<u2", count=2 * size, offset=start).reshape(size, 2)
    keys, counts = heads[:, 0].astype(np.int64), heads[:, 1].astype(np.int64) + 1
    chunks = words.reshape(-1, _CHUNK)
    start += 4 * size + (4 * size if not len(runs) or size >= _OFFSETS_FROM else 0)
    if size and not len(runs) and counts.min() > _ARRAY_MOST:
        dense = np.frombuffer(data, dtype="<u8", count=size * _CHUNK, offset=start)
        if size == len(chunks):
            np.bitwise_not(dense, out=words)
        else:
            words[:] = _ALL
            chunks[keys] = ~dense.reshape(size, _CHUNK)
        return
    words[:] = 0
    for place, key in enumerate(keys.tolist()):
        if len(runs) and runs[place]:
            spans = np.frombuffer(data, dtype="<u2", count=2 * _u2(data, start), offset=start + 2).reshape(-1, 2)
            edges = np.zeros(_CHUNK_BITS + 1, dtype=np.int8)
            edges[spans[:, 0]] = 1
            edges[spans.astype(np.int64).sum(axis=1) + 1] -= 1
            chunks[key] = np.packbits(np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_), bitorder="little").view(
                "<u8"
            )
            start += 2 + spans.nbytes
        elif (many := int(counts[place])) > _ARRAY_MOST:
            chunks[key] = np.frombuffer(data, dtype="<u8", count=_CHUNK, offset=start)
            start += _CHUNK * 8
        else:
            bits = np.zeros(_CHUNK_BITS, dtype=np.bool_)
            bits[np.frombuffer(data, dtype="<u2", count=many, offset=start)] = True
            chunks[key] = np.packbits(bits, bitorder="little").view("<u8")
            start += many * 2
    np.bitwise_not(words, out=words)


def _u2(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])


def _from_chunks(keys: NDArray[np.int64], counts: NDArray[np.int64], chunks: Words) -> BitMap:
    """The set of dense chunks, in the portable Roaring format: https://github.com/RoaringBitmap/RoaringFormatSpec."""
    size = len(keys)
    heads = np.stack([keys, counts - 1], axis=1).astype("<u2")
    offsets = (8 + 8 * size + 8 * _CHUNK * np.arange(size)).astype("<u4")
    data = struct.pack("<II", _PORTABLE_NO_RUNS, size) + heads.tobytes() + offsets.tobytes() + chunks.tobytes()
    return BitMap.deserialize(data)


@lru_cache(maxsize=2)
def _everything(chunks: int) -> BitMap:
    """All numbers of so many chunks, each chunk as bits. Not to be mutated."""
    counts = np.full(chunks, _CHUNK_BITS)
    return _from_chunks(np.arange(chunks), counts, np.full((chunks, _CHUNK), _ALL))


@lru_cache(maxsize=2)
def _comb(chunks: int) -> tuple[Words, BitMap]:
    """A chunk with half of its bits, without any order, and the set that has it in each of so many chunks."""
    comb = np.random.default_rng(0).integers(0, int(_ALL), _CHUNK, dtype=np.uint64, endpoint=True)
    counts = np.full(chunks, int(np.bitwise_count(comb).sum()))
    return comb, _from_chunks(np.arange(chunks), counts, np.tile(comb, chunks))
