"""The figures of `behaviour.toml`, their overrides, and the probabilities that follow: of one message on one person.

`odds` is the only place where a probability is made: `Behaviour` draws from it and `truth` sums it, so that the stated
effect is the expectation of what happens.
"""

import copy
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.errors import ControlError
from wechat_sandbox.people.population import TASTES, People
from wechat_sandbox.state import State

Shares = NDArray[np.float64]
FIGURES: dict[str, Any] = tomllib.loads(files("wechat_sandbox.people").joinpath("behaviour.toml").read_text("utf-8"))
KINDS = ("match", "none", "other")
_STEPS = ("open", "click", "buy", "leave", "block", "complain", "share")
_WHOLE = ("sharing.depth",)
_ABOVE_ONE = ("purchase.median_cents", "purchase.sigma", "offer.", "fatigue.", "times.", "sharing.depth")
_ZONE_MS, _HOUR_MS = 8 * 3_600_000, 3_600_000


class Odds(NamedTuple):
    """Probabilities per message and person; `click`, `buy`, `redeem`, `share` given the step before."""

    open: Shares
    click: Shares
    buy: Shares
    leave: Shares
    block: Shares
    complain: Shares
    share: Shares
    redeem: Shares

    @property
    def extra(self) -> Shares:
        """Probability of the purchase that the message causes."""
        return self.open * self.click * self.buy


@dataclass(frozen=True)
class Exposures:
    """Messages at people, as arrays of one length: who, about what, at which hour, after how many others.

    `category`: the number of a taste or -1; `hour`: 0 to 24 in Asia/Shanghai, or -1 to leave it out of account.
    """

    index: NDArray[np.int64]
    category: NDArray[np.int64]
    offer: NDArray[np.bool_]
    hour: NDArray[np.float64]
    week: NDArray[np.int64]
    month: NDArray[np.int64]


def split_topic(topic: str) -> tuple[int, bool]:
    """Number of the category (-1: none) and whether an offer is named."""
    category, _, offer = topic.partition("+")
    return (TASTES.index(category) if category else -1), bool(offer)


def hour_of(at_ms: Any) -> Any:
    """The hour of the day in Asia/Shanghai, with its fraction, of a moment or an array of them."""
    return (at_ms + _ZONE_MS) % (24 * _HOUR_MS) / _HOUR_MS


class Model:
    """The figures in force."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.figures: dict[str, Any] = copy.deepcopy(FIGURES)
        self.overrides: dict[str, float] = dict(state.get("config", "model") or {})
        for name, value in self.overrides.items():
            self._set(name, value)

    def override(self, values: dict[str, Any]) -> None:
        """Replace figures by dotted names; ControlError 400 for an unknown one or a value that cannot be."""
        for name, value in values.items():
            numbers = all(isinstance(one, int | float) for one in (value, self._get(name)))
            if isinstance(value, bool) or not numbers:
                raise ControlError(400, f"no such figure, or not a number: {name}")
            if value < 0 or (value > 1 and not name.startswith(_ABOVE_ONE)):
                raise ControlError(400, f"{name} must be between 0 and 1")
            if name in _WHOLE and not 0 <= int(value) <= 5:
                raise ControlError(400, f"{name} must be between 0 and 5")
        for name, value in values.items():
            self._set(name, value)
        self.overrides.update(values)
        self._state.put("config", "model", dict(self.overrides))

    def _get(self, name: str) -> Any:
        found: Any = self.figures
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def _set(self, name: str, value: float) -> None:
        *path, last = name.split(".")
        place = self.figures
        for part in path:
            place = place[part]
        place[last] = int(value) if name in _WHOLE else value

    def by_trait(self, people: People, trait: str, table: dict[str, float]) -> Shares:
        """A figure per person from a table by trait."""
        figures: Shares = np.array([table[value] for value in people.traits[trait].values])
        return figures[people.traits[trait].codes]

    def daily_rates(self, people: People) -> Shares:
        """How likely each person buys on a day without any message."""
        return self.by_trait(people, "price_sensitivity", self.figures["purchase"]["daily_rate"])

    def odds(self, people: People, seen: Exposures) -> Odds:
        """The probabilities of each exposure."""
        figures = self.figures
        taste = people.traits["taste"].codes[seen.index]
        sensitivity = people.traits["price_sensitivity"]
        mood = sensitivity.codes[seen.index]
        kind = np.where(seen.category < 0, 1, np.where(seen.category == taste, 0, 2))
        base = {
            step: np.array([figures["reaction"][name][step] for name in KINDS], dtype=float)[kind] for step in _STEPS
        }
        active = np.array(people.hours.values, dtype=float)[people.hours.codes[seen.index]]
        swing = 1 + figures["hours"]["strength"] * np.cos(2 * np.pi * (seen.hour - active) / 24)
        base["open"] *= np.where(seen.hour < 0, 1.0, swing) * self._tired("open", seen)
        offer = np.array([figures["offer"]["buy"][value] for value in sensitivity.values])[mood]
        base["buy"] *= np.where(seen.offer, offer, 1.0) * self._tired("buy", seen)
        base["share"] *= np.where(seen.offer, figures["offer"]["share"], 1.0)
        for step in ("leave", "block", "complain"):
            base[step] *= self._tired("annoyed", seen)
        redeem = np.array([figures["redemption"]["redeem"][value] for value in sensitivity.values])[mood]
        limited = {step: np.minimum(1.0, values) for step, values in base.items()}
        return Odds(**limited, redeem=np.where(seen.offer, redeem, 0.0))

    def _tired(self, what: str, seen: Exposures) -> Shares:
        fatigue = self.figures["fatigue"]
        factor: Shares = fatigue[what]["week"] ** seen.week * fatigue[what]["month"] ** seen.month
        limited: Shares = np.clip(factor, fatigue["least"], fatigue["most"])
        return limited
