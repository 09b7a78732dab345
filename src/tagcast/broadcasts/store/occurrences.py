"""What became of the moments at which broadcasts were due."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tagcast.broadcasts import tables
from tagcast.kit import clock, db
from tagcast.kit.uow import Work

_c = tables.occurrences.c


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One moment. `verdict`: send, ask, skip or expired; `made`: the copy that it brought; `said`: why it is asked."""

    due: datetime
    verdict: str
    made: int | None
    said: dict[str, Any]
    at: datetime


def insert_occurrence(work: Work, broadcast: int, found: Occurrence) -> None:
    """Keep one; what is kept of the same moment stays."""
    row = {
        "workspace": work.workspace,
        "broadcast": broadcast,
        "due_at": clock.to_ms(found.due),
        "verdict": found.verdict,
        "made": found.made,
        "said": found.said,
        "at": clock.to_ms(found.at),
    }
    db.upsert_ignore(work.connection, tables.occurrences, [row], ["workspace", "broadcast", "due_at"])


def occurrences(work: Work, broadcast: int, limit: int = 1000) -> list[Occurrence]:
    """Those of a broadcast, the latest first."""
    rows = work.connection.execute(
        sa.select(tables.occurrences)
        .where(_c.workspace == work.workspace, _c.broadcast == broadcast)
        .order_by(_c.due_at.desc())
        .limit(limit)
    )
    return [
        Occurrence(clock.from_ms(row.due_at), row.verdict, row.made, row.said, clock.from_ms(row.at)) for row in rows
    ]
