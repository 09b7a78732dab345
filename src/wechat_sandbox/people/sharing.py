"""What becomes of shared messages: who sees them over the friendship graph, and what those people do.

`cascade` is used twice: to draw what happens, and, with other draws, to simulate what would.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from wechat_sandbox.people.friends import Friends
from wechat_sandbox.people.model import split_topic
from wechat_sandbox.people.population import TASTES, People


@dataclass(frozen=True)
class Share:
    """A friend who saw a share: from whom (`parent`: the share that he had it from, None: a receiver), what he does."""

    account: int
    arrival: int
    parent: int | None
    person: int
    depth: int
    opens: bool
    clicks: bool
    buys: bool
    redeems: bool
    follows: bool


class Spread:
    """The sharing of one batch of messages; one `seed`, one outcome."""

    def __init__(self, people: People, figures: dict[str, Any], friends: Friends, seed: str) -> None:
        self._people, self._figures, self._friends, self._seed = people, figures, friends, seed

    def cascade(
        self, sharers: Iterable[tuple[int, int, int, str]], received: dict[tuple[int, str], set[int]], keys: list[str]
    ) -> list[Share]:
        """All who saw a share. `sharers`: (arrival, account, person, topic) of receivers who share.

        `received`: who had each (account, key); they and those reached once are not reached again. Breadth first.
        """
        found: list[Share] = []
        depth = int(self._figures["sharing"]["depth"])
        wave: list[tuple[int, int, int, str, int | None]] = [(*sharer, None) for sharer in sharers]
        for step in range(1, depth + 1):
            following: list[tuple[int, int, int, str, int | None]] = []
            for arrival, account, person, topic, parent in wave:
                had = received.setdefault((account, keys[arrival]), set())
                for friend in self._friends.of(person):
                    draw = Random(f"{self._seed}:{arrival}:{person}:{friend}")  # noqa: S311 - a simulation
                    if friend in had or draw.random() >= self._figures["sharing"]["see"]:
                        continue
                    had.add(friend)
                    share, again = self._react(draw, Share(account, arrival, parent, friend, step, *[False] * 5), topic)
                    found.append(share)
                    if again:
                        following.append((arrival, account, friend, topic, len(found) - 1))
            wave = following
        return found

    def _react(self, draw: Random, seen: Share, topic: str) -> tuple[Share, bool]:
        """What a friend does with a share, and whether he shares it on."""
        figures, traits = self._figures, self._people.traits
        category, offer = split_topic(topic)
        taste, mood = traits["taste"][seen.person], traits["price_sensitivity"][seen.person]
        row = figures["reaction"]["none" if category < 0 else "match" if TASTES[category] == taste else "other"]
        sharing = figures["sharing"]
        opens, clicks, buys, redeems, follows, again = (draw.random() for _ in range(6))
        opened = opens < row["open"] * sharing["open"]
        clicked = opened and clicks < row["click"]
        bought = clicked and buys < min(1.0, row["buy"] * (figures["offer"]["buy"][mood] if offer else 1.0))
        redeemed = bought and offer and redeems < figures["redemption"]["redeem"][mood]
        shares = row["share"] * (figures["offer"]["share"] if offer else 1.0) * sharing["again"]
        done = Share(
            seen.account,
            seen.arrival,
            seen.parent,
            seen.person,
            seen.depth,
            opened,
            clicked,
            bought,
            redeemed,
            opened and follows < sharing["follow"],
        )
        return done, opened and again < shares
