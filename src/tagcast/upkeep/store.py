"""All SQL of upkeep."""

from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.kit import db
from tagcast.kit.uow import Work
from tagcast.upkeep.tables import acts, settings

_a = acts.c


def lock(work: Work) -> None:
    """Nobody changes sets meanwhile: whoever keeps them true takes this right before any row too."""
    work.bitmaps.add("tag:0", BitMap(), why="")


def own_thresholds(work: Work) -> dict[str, Any]:
    """What the workspace set."""
    query = sa.select(settings.c.thresholds).where(settings.c.workspace == work.workspace)
    return dict(work.connection.scalar(query) or {})


def put_thresholds(work: Work, own: dict[str, Any]) -> None:
    """Keep what the workspace sets."""
    db.upsert(work.connection, settings, [{"workspace": work.workspace, "thresholds": own}], ["workspace"])


def insert(work: Work, why: str, effects: list[Any], notes: list[Any]) -> int:
    """A new act's number."""
    row = {"workspace": work.workspace, "why": why, "effects": effects, "notes": notes}
    made = work.connection.execute(sa.insert(acts).values(**row, at=work.now_ms, who=work.actor[:100]))
    assert made.inserted_primary_key is not None
    return int(made.inserted_primary_key[0])


def get(work: Work, act: int, *, lock: bool = False) -> sa.Row[Any] | None:
    """One act."""
    query = sa.select(acts).where(_a.workspace == work.workspace, _a.id == act)
    return work.connection.execute(query.with_for_update() if lock else query).first()


def newest(work: Work, limit: int) -> list[sa.Row[Any]]:
    """The newest acts, newest first."""
    query = sa.select(acts).where(_a.workspace == work.workspace).order_by(_a.id.desc()).limit(limit)
    return list(work.connection.execute(query))


def mark_undone(work: Work, act: int) -> None:
    """Note that an act was taken back."""
    here = (_a.workspace == work.workspace, _a.id == act)
    values = {"undone_at": work.now_ms, "undone_by": work.actor[:100]}
    work.connection.execute(sa.update(acts).where(*here).values(values))
