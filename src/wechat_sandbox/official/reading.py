"""What the population does with articles, for the statistics: reads, clicks on the original, shares to friends."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wechat_sandbox.official import articles
from wechat_sandbox.people.arrivals import Arrivals
from wechat_sandbox.people.sharing import Share
from wechat_sandbox.world import World

Flags = NDArray[np.bool_]
_SESSION, _FRIENDS = 0, 1
_TO_FRIEND = 1


def note(world: World, arrived: Arrivals, opens: Flags, clicks: Flags) -> None:
    """Receivers of an article who opened it, and who went on to the original."""
    ids = {}
    for place in np.flatnonzero(opens).tolist():
        key, account = arrived.key[place], int(arrived.account[place])
        if key not in ids:
            ids[key] = world.state.get("mass", key) is not None
        if not ids[key]:
            continue
        person = world.reach_of(world.account(account)).ids[int(arrived.index[place])]
        if not articles.is_page(world, arrived.link[place]):
            articles.happened(world, account, key, person, kind="read", scene=_SESSION)
        if clicks[place]:
            articles.happened(world, account, key, person, kind="original", scene=_SESSION)


def note_shares(world: World, arrived: Arrivals, shares: Iterable[Share]) -> None:
    """Friends who saw a share: each share once by its sender, reads and clicks by whom it reached."""
    seen = list(shares)
    senders = set()
    for one in seen:
        key = arrived.key[one.arrival]
        if world.state.get("mass", key) is None:
            continue
        ids = world.reach_of(world.account(one.account)).ids
        sender = int(arrived.index[one.arrival]) if one.parent is None else seen[one.parent].person
        if (one.arrival, sender) not in senders:
            senders.add((one.arrival, sender))
            articles.happened(world, one.account, key, ids[sender], kind="share", scene=_TO_FRIEND)
        if one.opens and not articles.is_page(world, arrived.link[one.arrival]):
            articles.happened(world, one.account, key, ids[one.person], kind="read", scene=_FRIENDS)
        if one.clicks:
            articles.happened(world, one.account, key, ids[one.person], kind="original", scene=_FRIENDS)
