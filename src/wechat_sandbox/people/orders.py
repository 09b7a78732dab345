"""Purchases: those that happen anyway, those that a message caused, and when within the days that are played."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.people.model import Model
from wechat_sandbox.people.population import TASTES
from wechat_sandbox.world import World

_HOUR_MS, _DAY_MS, _ZONE_MS = 3_600_000, 86_400_000, 8 * 3_600_000


class Order(NamedTuple):
    """A purchase that a message caused: the buyer, when the message arrived, its topic and key, a coupon used."""

    person: int
    at: int
    topic: str
    message: str
    redeems: bool


class Orders:
    """The orders of one act, collected and then written in the order of their moments."""

    def __init__(self, world: World, model: Model, window: tuple[int, int] | None) -> None:
        self._world, self._model, self._window = world, model, window
        self._figures = model.figures["purchase"]
        self._rows: list[tuple[int, int, int, str, str | None, bool]] = []

    def usual(self, draw: np.random.Generator, days: int) -> None:
        """Purchases without any message: each person at his base rate, at his active hour."""
        people = self._world.population.people
        counts = draw.binomial(days, self._model.daily_rates(people))
        buyers = np.repeat(np.arange(people.size), counts)
        own = draw.random(len(buyers)) < self._figures["own_taste"]
        others = draw.integers(0, len(TASTES), len(buyers))
        category = np.where(own, people.traits["taste"].codes[buyers], others)
        amounts = self._amounts(draw, buyers)
        if self._window is None:
            moments = np.full(len(buyers), self._world.now(), dtype=np.int64)
        else:
            start, end = self._window
            first = (people.hours.codes[buyers].astype(np.int64) * _HOUR_MS - (start + _ZONE_MS)) % _DAY_MS
            day = draw.integers(0, max(1, days), len(buyers)) * _DAY_MS
            moments = np.minimum(start + first + day + draw.integers(0, _HOUR_MS, len(buyers)), end)
        for row in zip(moments.tolist(), buyers.tolist(), amounts, category.tolist(), strict=True):
            self._rows.append((row[0], row[1], row[2], TASTES[row[3]], None, False))

    def caused(self, draw: np.random.Generator, order: Order) -> None:
        """A purchase because of a message: in its category, some hours after it arrived."""
        people = self._world.population.people
        (amount,) = self._amounts(draw, np.array([order.person]))
        if order.redeems:
            amount -= int(amount * self._model.figures["redemption"]["discount"])
        category = order.topic.partition("+")[0] or people.traits["taste"][order.person]
        hours = draw.exponential(self._model.figures["times"]["purchase_hours"])
        moment = self._world.now()
        if self._window is not None:
            moment = min(max(order.at, self._window[0]) + int(hours * _HOUR_MS), self._window[1])
        self._rows.append((moment, order.person, amount, category, order.message, order.redeems))

    def _amounts(self, draw: np.random.Generator, buyers: NDArray[np.int64]) -> list[int]:
        tier = self._world.population.people.traits["city_tier"]
        medians = np.array([self._figures["median_cents"][value] for value in tier.values])[tier.codes[buyers]]
        amounts: list[int] = np.exp(draw.normal(np.log(medians), self._figures["sigma"])).astype(int).tolist()
        return amounts

    def write(self) -> tuple[int, int]:
        """Into the state file; how many orders, and how many with a coupon."""
        state, unionids = self._world.state, self._world.population.people.unionids
        self._rows.sort(key=lambda row: row[0])
        for at, person, amount, category, message, redeemed in self._rows:
            seq = state.next_number("purchase")
            row = (seq, f"T{2_000_000_000 + seq}", unionids[person], at, amount, category, message, int(redeemed))
            state.purchase_rows.append(row)
        return len(self._rows), sum(row[5] for row in self._rows)
