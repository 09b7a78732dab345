"""Ids that are computed from an index and read back: a keyed, reversible code, so that no list of ids is held.

An index is scattered over 64 bits by the finaliser of SplitMix64 (Steele, Lea, Flood 2014), which is a bijection, with
a key added before; two more such words of the same key make the id long enough and tell a forged id from a real one.
Written in base64url, an id looks as the platforms' do. This is no cryptography: nothing here is secret.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_A, _B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_A_BACK, _B_BACK = pow(_A, -1, 1 << 64), pow(_B, -1, 1 << 64)
_WHOLE = 32
_HEAD = 12
_KNOWN = 1 << 17
_CHUNK = 4096


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * _A) & _MASK
    value = ((value ^ (value >> 27)) * _B) & _MASK
    return value ^ (value >> 31)


def _unmix(value: int) -> int:
    value ^= (value >> 31) ^ (value >> 62)
    value = (value * _B_BACK) & _MASK
    value ^= (value >> 27) ^ (value >> 54)
    value = (value * _A_BACK) & _MASK
    return value ^ (value >> 30) ^ (value >> 60)


def mix_many(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same scattering for many numbers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_A)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_B)
    values ^= values >> np.uint64(31)
    return values


def _unmix_many(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values ^ (values >> np.uint64(31)) ^ (values >> np.uint64(62))
    values = values * np.uint64(_B_BACK)
    values = values ^ (values >> np.uint64(27)) ^ (values >> np.uint64(54))
    values = values * np.uint64(_A_BACK)
    values ^= (values >> np.uint64(30)) ^ (values >> np.uint64(60))
    return values


def keys_of(*parts: object) -> tuple[int, int, int]:
    """Three 64-bit keys from anything."""
    digest = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=24).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:16]), int.from_bytes(digest[16:])


class Codes(Sequence[str]):
    """The ids of 0 … size-1: a sequence of texts of `prefix` and `length` characters, 12 to 32; `index` finds back."""

    def __init__(self, prefix: str, length: int, size: int, *key: object) -> None:
        self.prefix, self.length, self.size = prefix, length, size
        self._key = keys_of(*key)
        self.find = lru_cache(_KNOWN)(self._find)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return self.many(np.arange(*index.indices(self.size), dtype=np.int64))
        if index < 0 or index >= self.size:
            raise IndexError(index)
        return self._encode(int(index))

    def _encode(self, index: int) -> str:
        one, two, three = self._key
        first = _mix((index + one) & _MASK)
        second = _mix(first ^ two)
        raw = (first << 128) | (second << 64) | _mix(second ^ three)
        return self.prefix + base64.urlsafe_b64encode(raw.to_bytes(24)).decode()[: self.length]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self.size, _CHUNK):
            yield from self[start : start + _CHUNK]

    def many(self, indexes: NDArray[Any]) -> list[str]:
        """The ids of many indexes at once."""
        text, prefix, length = self._texts(indexes.astype(np.uint64)), self.prefix, self.length
        return [prefix + text[at : at + length] for at in range(0, len(text), _WHOLE)]

    def _texts(self, indexes: NDArray[np.uint64]) -> str:
        words = np.empty((len(indexes), 3), dtype=">u8")
        one, two, three = (np.uint64(key) for key in self._key)
        first = mix_many(indexes + one)
        second = mix_many(first ^ two)
        words[:, 0], words[:, 1], words[:, 2] = first, second, mix_many(second ^ three)
        return base64.urlsafe_b64encode(words.tobytes()).decode()

    def _find(self, ident: str) -> int | None:
        """The index of an id; None when it is not one of these."""
        start = len(self.prefix)
        if len(ident) != start + self.length or not ident.startswith(self.prefix):
            return None
        try:
            head = base64.urlsafe_b64decode(ident[start : start + _HEAD])
        except ValueError:
            return None
        if len(head) != 9:
            return None
        index = (_unmix(int.from_bytes(head[:8])) - self._key[0]) & _MASK
        return index if index < self.size and self._encode(index) == ident else None

    def find_many(self, idents: Sequence[str]) -> NDArray[np.int64]:
        """The indexes of many ids, -1 for each that is not one of these."""
        start, whole = len(self.prefix), len(self.prefix) + self.length
        fits = np.fromiter((len(ident) == whole for ident in idents), dtype=bool, count=len(idents))
        found = np.full(len(idents), -1, dtype=np.int64)
        chosen = np.flatnonzero(fits)
        try:
            heads = base64.urlsafe_b64decode("".join(idents[at][start : start + _HEAD] for at in chosen.tolist()))
        except ValueError:
            heads = b""
        if len(heads) != 9 * len(chosen):
            return np.array([-1 if (at := self._find(ident)) is None else at for ident in idents], dtype=np.int64)
        words = np.frombuffer(heads, dtype=np.uint8).reshape(-1, 9)[:, :8]
        values = _unmix_many(np.ascontiguousarray(words).view(">u8")[:, 0].astype(np.uint64)) - np.uint64(self._key[0])
        inside = np.flatnonzero(values < np.uint64(self.size))
        again = self.many(values[inside])
        for at, ident, index in zip(chosen[inside].tolist(), again, values[inside].tolist(), strict=True):
            if idents[at] == ident:
                found[at] = index
        return found


class Finder:
    """A mapping from id to index over one `Codes`, as a dict would be, without its memory."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def get(self, ident: str) -> int | None:
        """The index, or None."""
        return self._codes.find(ident)

    def __getitem__(self, ident: str) -> int:
        index = self._codes.find(ident)
        if index is None:
            raise KeyError(ident)
        return index

    def __contains__(self, ident: object) -> bool:
        return isinstance(ident, str) and self._codes.find(ident) is not None
