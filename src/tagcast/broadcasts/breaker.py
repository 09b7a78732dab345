"""The breaker: whether what is being sent harms more than is allowed, and a person should look before it goes on.

It trips when it is proven, one-sided and exactly (binomial), that a share of those who were called is above its limit;
a bare ratio of few people proves nothing. Who goes on after it tripped pardons what was seen until then.
"""

from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from tagcast import compliance, statistics
from tagcast.broadcasts import rules, stages, store
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work

CALLED = ("in_doubt", "failed", "accepted", "delivered")
PREFIX = "breaker"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of those who were called: `of` so many; `blocked` left after they were reached, `complaints` were put
    on the list of those who get nothing.
    """

    of: int
    failed: int
    blocked: int = 0
    complaints: int = 0


@dataclass(frozen=True, slots=True)
class Trip:
    """A limit that was broken: `seen` people `of` so many; the share is at least `bound`, above `limit`."""

    what: str
    seen: int
    of: int
    bound: float
    limit: float

    @property
    def reason(self) -> str:
        """The word with which the broadcast pauses."""
        return f"{PREFIX}:{self.what}"

    @property
    def facts(self) -> dict[str, Any]:
        """As it is kept with the broadcast."""
        return {"what": self.what, "seen": self.seen, "of": self.of, "bound": self.bound, "limit": self.limit}


def limits(broadcast: Broadcast) -> dict[str, Any]:
    """The broadcast's own limits, or those of the house."""
    found: dict[str, Any] = broadcast.settings.get("stages", {}).get("breaker") or stages.figures()["breaker"]
    return found


def judge(seen: Seen, allowed: dict[str, Any]) -> Trip | None:
    """The first limit that is broken beyond doubt."""
    if seen.of < allowed["least"]:
        return None
    for what in stages.SHARES:
        count = min(getattr(seen, what), seen.of)
        bound = statistics.least_share(count, seen.of, stages.figures()["level"])
        if bound > allowed[what]:
            return Trip(what, count, seen.of, round(bound, 5), allowed[what])
    return None


def look(work: Work, broadcast: Broadcast, *, all_: bool = True) -> Trip | None:
    """Judge a broadcast by what is known now. Without `all_` only failures are counted, which is cheap."""
    seen = count(work, broadcast) if all_ else failures(work, broadcast)
    before = broadcast.running.get("pardoned", {})
    names = ("of", "failed", "blocked", "complaints")
    since = Seen(**{name: max(0, getattr(seen, name) - before.get(name, 0)) for name in names})
    return judge(since, limits(broadcast))


def failures(work: Work, broadcast: Broadcast) -> Seen:
    """Called and failed, from the counts of the chunks."""
    states = rules.count(one.counts for one in store.tallies(work, broadcast.id))
    return Seen(sum(states[name] for name in CALLED), states["failed"])


def count(work: Work, broadcast: Broadcast) -> Seen:
    """All that is known of those who were called."""
    known, sets = failures(work, broadcast), work.bitmaps
    reached = sets.read(f"{broadcast.key}:accepted") | sets.read(f"{broadcast.key}:delivered")
    refused = store.contacts_failed(work, broadcast.id, ("receipt:user_block",))
    left = (reached - sets.read(f"following:{broadcast.account}")) | BitMap(refused)
    return Seen(known.of, known.failed, len(left), len(reached & compliance.suppressed(work)))


def trip(work: Work, broadcast: Broadcast, found: Trip) -> None:
    """Keep the figures with the broadcast; the caller pauses it."""
    stages.note(work, broadcast, breaker=found.facts)


def pardon(work: Work, broadcast: Broadcast) -> None:
    """A person goes on: what was seen until now counts no more."""
    seen = count(work, broadcast)
    facts = {"of": seen.of, "failed": seen.failed, "blocked": seen.blocked, "complaints": seen.complaints}
    stages.note(work, broadcast, pardoned=facts, breaker=None)
