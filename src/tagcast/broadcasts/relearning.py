"""Between two stages: whoever waits for the next one gets the variant that a bandit chooses by what is known now."""

from dataclasses import replace

import numpy as np

from tagcast.broadcasts import cutting, pages, stages, store, variants
from tagcast.broadcasts.ledger import Call
from tagcast.broadcasts.rules import Piece, Route, Status
from tagcast.broadcasts.store import Broadcast, Chunk
from tagcast.kit.uow import Work


def redraw(work: Work, broadcast: Broadcast) -> int:
    """Draw anew for the next stage, and cut it anew; how many people that concerned.

    Nothing is done without a bandit, while nothing is known, or with a stage of which anybody may have been called.
    """
    said = variants.of(broadcast)
    if said is None or said.choose != "bandit":
        return 0
    waiting = [one for one in store.tallies(work, broadcast.id) if one.done_at is None]
    later = [one.stage for one in waiting if one.stage > stages.due(broadcast)]
    if not later:
        return 0
    nos = [one.no for one in waiting if one.stage == min(later)]
    chunks = [store.chunk(work, broadcast.id, no) for no in nos]
    if not all(map(_untouched, chunks)) or not variants.knows(work, broadcast):
        return 0
    everybody = np.concatenate([chunk.recipients for chunk in chunks])
    variants.forget(work, broadcast, min(later), everybody)
    drawn = variants.by_variant(work, broadcast, Piece(np.sort(everybody), stage=min(later)))
    parts = [part for piece in drawn for part in _by_sender(piece, chunks)]
    found = cutting.again(work, broadcast, parts)
    first = max(one.no for one in store.tallies(work, broadcast.id)) + 1
    variants.drop_chunks(work, broadcast, nos)
    store.insert_chunks(work, broadcast.id, found, with_msgids=broadcast.route is Route.TEMPLATE, first=first)
    pages.make(work, broadcast)
    return int(everybody.size)


def _untouched(chunk: Chunk) -> bool:
    uncalled = chunk.watermark == 0 and chunk.call == Call.NONE and chunk.tried_at is None
    return uncalled and bool((chunk.statuses == Status.PLANNED).all())


def _by_sender(piece: Piece, chunks: list[Chunk]) -> list[Piece]:
    """Each stays with the employee who was to send to him."""
    found = []
    for sender in dict.fromkeys(chunk.sender for chunk in chunks):
        theirs = np.concatenate([chunk.recipients for chunk in chunks if chunk.sender == sender])
        part = piece.recipients[np.isin(piece.recipients, theirs)]
        if part.size:
            found.append(replace(piece, recipients=part, sender=sender))
    return found
