"""Who gets how many of a limited number of slots. Decisions only."""

from collections.abc import Sequence
from dataclasses import dataclass

TURN_MS = 1000
"""How long a process may keep its slots while others have none at all."""
ONE_MOMENT_MS = 1000
"""Refusals this near to each other are one."""
GROW_MS = 10_000
"""A ceiling that was cut grows by one each time this has passed."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process holds and wants; `since`: when it got its first slot, or began to wait for one, in ms."""

    held: int
    wanted: int
    since: int


def grant(limit: int, me: Share, others: Sequence[Share], *, rank: int, now: int) -> int:
    """How many slots a process may have in use from now on; calls that are under way are let end.

    It gets what it wants as far as others leave it; when they want more too, an equal share, of which the remainder
    goes to the first by `rank`. With more processes than slots those who wait longest come first, and who holds one
    gives it up after a turn.
    """
    free = limit - sum(other.held for other in others)
    starved = [other for other in others if other.held == 0 and other.wanted > 0]
    wanting = 1 + sum(other.wanted > 0 for other in others)
    if me.held == 0:
        free -= sum(other.since < me.since for other in starved)
    elif wanting > limit and free - me.held < len(starved) and now - me.since >= TURN_MS:
        return 0
    most = min(me.wanted, max(free, 0))
    if any(other.wanted > other.held for other in others):
        most = min(most, max(1, limit // wanting + (rank < limit % wanting)))
    return most


def cut(limit: int, ceiling: int | None, cut_at: int, now: int) -> int:
    """Half of what is borne now."""
    return max(1, grown(limit, ceiling, cut_at, now) // 2)


def grown(limit: int, ceiling: int | None, cut_at: int, now: int) -> int:
    """How many calls at a time are tried now: the ceiling of the last cut and one more for each time that went well."""
    if ceiling is None:
        return limit
    return min(limit, ceiling + max(0, now - cut_at) // GROW_MS)
