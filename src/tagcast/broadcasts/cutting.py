"""How the frozen audience is cut into the pieces that are sent: a chain of cutters, each dividing what it is given."""

from collections.abc import Callable
from dataclasses import replace

from pyroaring import BitMap

from tagcast import accounts
from tagcast.broadcasts import rules
from tagcast.broadcasts.planning import numbers
from tagcast.broadcasts.rules import Piece, Route
from tagcast.broadcasts.store import Broadcast
from tagcast.kit.uow import Work

# 2,000 recipients a chunk: runtime measurements of the lease and flush cost stand in docs/explanation/delivery.md.
TEMPLATE_CHUNK = 2_000

Cutter = Callable[[Work, Broadcast, Piece], list[Piece]]


def pieces(work: Work, broadcast: Broadcast, assigned: BitMap) -> list[Piece]:
    """The pieces of a broadcast in the order of their chunks; together exactly `assigned`."""
    found = [Piece(numbers(assigned))]
    for cutter in CUTTERS:
        found = [part for piece in found for part in cutter(work, broadcast, piece)]
    return found


def by_sender(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """企业微信: a piece per employee who holds the customers."""
    if broadcast.route is not Route.TASKS:
        return [piece]
    prefix = f"employee:{broadcast.account}:"
    ours = BitMap(piece.recipients.tolist())
    holders = {key.removeprefix(prefix): numbers(work.bitmaps.read(key) & ours) for key in work.bitmaps.keys(prefix)}
    shares = rules.assign_senders(piece.recipients, holders)
    return [replace(piece, sender=sender, recipients=share) for sender, share in shares.items()]


def by_size(work: Work, broadcast: Broadcast, piece: Piece) -> list[Piece]:
    """What one call, or one worker at a time, takes."""
    limits = accounts.limits(work, broadcast.account)
    batch = limits.count("send.batch") or max(piece.recipients.size, 1)
    match broadcast.route:
        case Route.TAG:
            return [piece]
        case Route.TEMPLATE:
            size, least = TEMPLATE_CHUNK, 1
        case Route.LIST:
            size, least = batch, limits.count("send.min_batch") or 1
        case Route.TASKS | Route.WEBHOOK:
            size, least = batch, 1
    return [replace(piece, recipients=part) for part in rules.cut(piece.recipients, size, least=least)]


CUTTERS: tuple[Cutter, ...] = (by_sender, by_size)
