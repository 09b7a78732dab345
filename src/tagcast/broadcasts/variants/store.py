"""SQL of variants: the log of choices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.tables import broadcasts, chunks
from tagcast.broadcasts.variants.rules import Arm
from tagcast.broadcasts.variants.tables import choices
from tagcast.kit import db
from tagcast.kit.uow import Work

_c = choices.c


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for one variant in one draw."""

    draw: int
    variant: str
    stage: int
    label: str
    trials: float
    successes: float
    best: float
    probability: float
    size: int
    explored: int
    seed: str


def _here(work: Work, broadcast: int) -> sa.ColumnElement[bool]:
    return sa.and_(_c.workspace == work.workspace, _c.broadcast == broadcast)


def next_draw(work: Work, broadcast: int) -> int:
    """The number of the next draw, from 0."""
    found = work.connection.scalar(sa.select(sa.func.max(_c.draw)).where(_here(work, broadcast)))
    return 0 if found is None else int(found) + 1


def insert(work: Work, broadcast: int, draw: int, facts: dict[str, Any], arms: Sequence[Arm]) -> None:
    """Write down a draw; `facts`: its stage, label and seed."""
    rows = [
        {
            "workspace": work.workspace,
            "broadcast": broadcast,
            "draw": draw,
            "variant": arm.name,
            "trials": arm.belief.trials,
            "successes": arm.belief.successes,
            "best": arm.best,
            "probability": arm.probability,
            "size": int(arm.members.size),
            "explored": int(arm.explored.size),
            "at": work.now_ms,
            **facts,
        }
        for arm in arms
    ]
    db.insert_many(work.connection, choices, rows)


def choices_of(work: Work, broadcast: int) -> list[Choice]:
    """All draws of a broadcast, in their order."""
    query = sa.select(choices).where(_here(work, broadcast)).order_by(_c.draw, _c.variant)
    names = Choice.__dataclass_fields__
    return [Choice(**{name: getattr(row, name) for name in names}) for row in work.connection.execute(query)]


def delete(work: Work, broadcast: int, draws: Sequence[int]) -> None:
    """Forget draws that came to nothing."""
    work.connection.execute(sa.delete(choices).where(_here(work, broadcast), _c.draw.in_(draws)))


def drop_chunks(work: Work, broadcast: Broadcast, nos: Sequence[int]) -> None:
    """Take out chunks of which nobody was called: others stand in their place."""
    here = (chunks.c.workspace == work.workspace, chunks.c.broadcast == broadcast.id)
    uncalled = (chunks.c.watermark == 0, chunks.c.call == "", chunks.c.done_at.is_(None))
    gone = work.connection.execute(sa.delete(chunks).where(*here, *uncalled, chunks.c.no.in_(nos))).rowcount
    assert gone == len(nos), "a chunk was called meanwhile"


def earlier(work: Work, broadcast: int, limit: int) -> list[int]:
    """Broadcasts with choices that were started before this one, the newest first."""
    asked = sa.select(broadcasts.c.id).where(
        broadcasts.c.workspace == work.workspace,
        broadcasts.c.id != broadcast,
        broadcasts.c.started_at.is_not(None),
        sa.exists().where(_c.workspace == work.workspace, _c.broadcast == broadcasts.c.id),
    )
    rows = work.connection.scalars(asked.order_by(broadcasts.c.started_at.desc(), broadcasts.c.id.desc()).limit(limit))
    return [int(one) for one in rows]
