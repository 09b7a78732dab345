"""What a message truly does: the expectation of exactly what `Behaviour` draws.

The direct effect is exact: of the messages that one gets oneself, with the hour and the fatigue of each. What sharing
adds is not: it is the mean of simulated cascades, told apart.
"""

from typing import Any, NamedTuple

import numpy as np

from wechat_sandbox.errors import ControlError
from wechat_sandbox.people import arrivals, relations
from wechat_sandbox.people.friends import Friends
from wechat_sandbox.people.model import Exposures, Model
from wechat_sandbox.people.population import topic_of
from wechat_sandbox.people.sharing import Spread
from wechat_sandbox.state import Document
from wechat_sandbox.world import World

_MOST_SIMULATIONS = 1000


def truth(world: World, model: Model, friends: Friends, asked: dict[str, Any]) -> dict[str, Any]:
    """Expected share of buyers with and without the message, over the people named; ControlError for a bad request."""
    days = int(asked.get("days", 3))
    account = world.account(asked.get("account"))
    named = asked.get("people")
    chosen = relations.indexes(world, named) if named is not None else None
    known = _seen(world, account["id"], asked, chosen)
    seen, size = known.exposures, world.population.people.size
    people = np.array(chosen, dtype=np.int64) if chosen is not None else np.unique(seen.index)
    odds = model.odds(world.population.people, seen)
    stays = np.ones(size)
    np.multiply.at(stays, seen.index, 1 - odds.extra)
    without = (1 - model.daily_rates(world.population.people)[people]) ** days
    among = np.isin(seen.index, people)
    total, count = max(1, len(people)), len(people)
    with_share, without_share = (float((1 - share).sum()) / total for share in (without * stays[people], without))
    answer: dict[str, Any] = {
        "people": count,
        "received": int(np.isin(people, seen.index).sum()),
        "with": with_share,
        "without": without_share,
        "effect": with_share - without_share,
        "expected": {
            "opened": float(odds.open[among].sum()),
            "clicked": float((odds.open * odds.click)[among].sum()),
            "bought": float(odds.extra[among].sum()),
            "redeemed": float((odds.extra * odds.redeem)[among].sum()),
            "shared": float((odds.open * odds.share)[among].sum()),
            **{name: float(getattr(odds, step)[among].sum()) for name, step in _LEAVING},
        },
    }
    if asked.get("simulations"):
        times = min(int(asked["simulations"]), _MOST_SIMULATIONS)
        answer["sharing"] = _simulate(world, model, friends, account=account, seen=known, times=times)
    return answer


_LEAVING = (("left", "leave"), ("blocked", "block"), ("complained", "complain"))


class _Seen(NamedTuple):
    """Whom which message reaches in a question, and the topic and the key of each."""

    exposures: Exposures
    topics: list[str]
    keys: list[str]


def _seen(world: World, account: int, asked: dict[str, Any], chosen: list[int] | None) -> _Seen:
    at = int(asked["at"]) if asked.get("at") is not None else None
    if asked.get("text"):
        return _supposed(world, topic_of(str(asked["text"])), chosen or [], at)
    if asked.get("message"):
        found = arrivals.of_message(world, account, str(asked["message"]))
        if chosen is not None and set(chosen) - set(found.index.tolist()):
            moment = at if at is not None else int(found.at.min()) if len(found) else None
            return _supposed(world, found.topic[0] if len(found) else "", chosen, moment)
    elif "since_seq" in asked:
        found = arrivals.since(world, int(asked["since_seq"]), account)
    else:
        raise ControlError(400, "name the message by message, text or since_seq")
    if chosen is not None:
        found = arrivals.only(found, chosen)
    return _Seen(arrivals.exposures(world, found), found.topic, found.key)


def _supposed(world: World, topic: str, people: list[int], at: int | None) -> _Seen:
    return _Seen(arrivals.supposed(world, topic, people, at), [topic] * len(people), [""] * len(people))


def _simulate(
    world: World, model: Model, friends: Friends, *, account: Document, seen: _Seen, times: int
) -> dict[str, Any]:
    """Means over simulated cascades: who sees, opens, buys, follows by sharing; and the deviation of the purchases."""
    people, index = world.population.people, seen.exposures.index
    odds = model.odds(people, seen.exposures)
    chance = odds.open * odds.share
    follows = world.reach_of(account).follows
    received: dict[tuple[int, str], set[int]] = {}
    for place, key in enumerate(seen.keys):
        received.setdefault((account["id"], key), set()).add(int(index[place]))
    draw = np.random.default_rng([world.seed, people.seed, 77])
    totals = []
    for number in range(times):
        sharers = np.flatnonzero(draw.random(len(chance)) < chance).tolist()
        spread = Spread(people, model.figures, friends, f"{world.seed}:simulation:{number}")
        rows = [(place, account["id"], int(index[place]), seen.topics[place]) for place in sharers]
        found = spread.cascade(rows, {key: set(had) for key, had in received.items()}, seen.keys)
        counts = [sum(getattr(one, name) for one in found) for name in ("opens", "buys", "redeems")]
        totals.append(
            [len(sharers), len(found), *counts, sum(one.follows and not follows[one.person] for one in found)]
        )
    means, deviations = np.mean(totals, axis=0).tolist(), np.std(totals, axis=0).tolist()
    names = ("shared", "reached", "opened", "bought", "redeemed", "followed")
    return {"simulations": times, **dict(zip(names, means, strict=True)), "bought_deviation": deviations[3]}
