"""The friendship graph: computed from a seed, never stored.

In round r all people are paired by a keyed permutation of their indexes (partner = the other one of a pair of
neighbouring places). The two are friends when both offer more than r friendships; how many a person offers is drawn
from `[friends]` of behaviour.toml. So friendship is mutual, nobody is his own friend, a person who offers c has
sum over r<c of P(offers > r) friends on the average, and any person's friends cost at most 50 steps.
"""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import Any

from wechat_sandbox.people.codes import keys_of

_MASK = (1 << 64) - 1
_STEPS = 4
_KNOWN = 1 << 16


class Friends:
    """Friends of a person by index."""

    def __init__(self, size: int, seed: int, figures: dict[str, Any]) -> None:
        self.size, self._seed = size, seed
        self._offers: list[int] = list(figures["offers"])
        shares = figures["shares"]
        self._edges = [edge / sum(shares) for edge in accumulate(shares)][:-1]
        self._half = max(1, ((max(size, 2) - 1).bit_length() + 1) // 2)
        self._low = (1 << self._half) - 1
        self._keys: dict[int, tuple[int, ...]] = {}
        # The friends of a person, in a fixed order, each once.
        self.of = lru_cache(_KNOWN)(self._friends)

    def offers(self, index: int) -> int:
        """How many friendships a person offers."""
        number: float = self._scatter(index ^ 0x5DEECE66D, self._round(-1)[0]) / 2**64
        return self._offers[bisect_right(self._edges, number)]

    def _friends(self, index: int) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for turn in range(self.offers(index)):
            partner = self._partner(turn, index)
            if partner is not None and self.offers(partner) > turn:
                found[partner] = None
        return tuple(found)

    def mean(self) -> float:
        """The stated mean number of friends."""
        shares = [high - low for low, high in zip([0.0, *self._edges], [*self._edges, 1.0], strict=True)]
        tails = (
            sum(share for most, share in zip(self._offers, shares, strict=True) if most > turn)
            for turn in range(max(self._offers))
        )
        return float(sum(tail * tail for tail in tails))

    def _partner(self, turn: int, index: int) -> int | None:
        keys = self._round(turn)
        place = self._walk(index, keys, forward=True) ^ 1
        return self._walk(place, keys, forward=False) if place < self.size else None

    def _round(self, turn: int) -> tuple[int, ...]:
        known = self._keys.get(turn)
        if known is None:
            known = self._keys[turn] = keys_of("friends", self._seed, turn) + keys_of("more", self._seed, turn)
        return known

    def _walk(self, value: int, keys: tuple[int, ...], *, forward: bool) -> int:
        """A keyed permutation of 0 … size-1: a Feistel network, applied until the value is inside."""
        while True:
            left, right = value >> self._half, value & self._low
            if forward:
                for key in keys[:_STEPS]:
                    left, right = right, left ^ (self._scatter(right, key) & self._low)
            else:
                for key in reversed(keys[:_STEPS]):
                    left, right = right ^ (self._scatter(left, key) & self._low), left
            value = (left << self._half) | right
            if value < self.size:
                return value

    @staticmethod
    def _scatter(value: int, key: int) -> int:
        value = ((value + key) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 29)) * 0x94D049BB133111EB) & _MASK
        return value ^ (value >> 32)
