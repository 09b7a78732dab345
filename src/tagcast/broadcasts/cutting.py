"""How the frozen audience is cut into the pieces that are sent: a chain of cutters, each dividing what it is given."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import accounts
from tagcast.broadcasts import content as contents
from tagcast.broadcasts import rules, senders, stages, store, variants
from tagcast.broadcasts.planning import numbers
from tagcast.broadcasts.rules import Piece, Route
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.timing import best_hour, holding
from tagcast.kit.uow import Work

# 2,000 recipients a chunk: runtime measurements of the lease and flush cost stand in docs/explanation/delivery.md.
TEMPLATE_CHUNK = 2_000

Cutter = Callable[[Work, Broadcast, Piece], list[Piece]]


def pieces(work: Work, broadcast: Broadcast, assigned: BitMap) -> list[Piece]:
    """The pieces of a broadcast in the order of their chunks; together exactly `assigned`."""
    contents.freeze(work, broadcast, assigned)
    found = [Piece(numbers(assigned))]
    shares = senders.shares(work, broadcast, assigned) if broadcast.route is Route.TASKS else {}
    for cutter in (partial(by_sender, shares=shares) if one is by_sender else one for one in CUTTERS):
        found = [part for piece in found for part in cutter(work, broadcast, piece)]
    return contents.numbered(work, broadcast, found)


def again(work: Work, broadcast: Broadcast, pieces: list[Piece]) -> list[Piece]:
    """Pieces whose stage and sender are settled, divided by all other cutters; what was told before keeps its pages."""
    found = pieces
    for cutter in CUTTERS:
        if cutter not in (stages.by_stage, variants.by_variant, by_sender):
            found = [part for piece in found for part in cutter(work, broadcast, piece)]
    return contents.numbered(work, broadcast, found, store.sayings(work, broadcast.id))


def by_sender(
    work: Work, broadcast: Broadcast, piece: Piece, *, shares: Mapping[str, rules.Numbers] | None = None
) -> list[Piece]:
    """企业微信: a piece per employee, of those whom the whole broadcast gives him (`shares`)."""
    if broadcast.route is not Route.TASKS:
        return [piece]
    ours = np.sort(piece.recipients)
    given = senders.shares(work, broadcast, BitMap(ours)) if shares is None else shares
    parts = {name: share[_inside(share, ours)] for name, share in given.items()}
    return [replace(piece, sender=name, recipients=part) for name, part in parts.items() if part.size]


def _inside(share: rules.Numbers, ours: rules.Numbers) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which of a share are among sorted numbers, at the cost of the share."""
    place = np.searchsorted(ours, share)
    there: np.ndarray[Any, np.dtype[np.bool_]] = place < ours.size
    there[there] = ours[place[there]] == share[there]
    return there


def by_size(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """What one call, or one worker at a time, takes."""
    limits = accounts.limits(work, broadcast.account)
    batch = limits.count("send.batch") or max(piece.recipients.size, 1)
    match broadcast.route:
        case Route.TAG:
            return [piece]
        case Route.TEMPLATE | Route.SUBSCRIPTION:
            size, least = TEMPLATE_CHUNK, 1
        case Route.LIST:
            size, least = batch, limits.count("send.min_batch") or 1
        case Route.TASKS | Route.WEBHOOK:
            size, least = batch, 1
    return [replace(piece, recipients=part) for part in rules.cut(piece.recipients, size, least=least)]


CUTTERS: tuple[Cutter, ...] = (
    stages.by_stage,
    variants.by_variant,
    by_sender,
    contents.by_text,
    holding.by_clock,
    best_hour.by_hour,
    by_size,
)
