"""Who moved from which RFM class to which between two days, each computed as of its day by the present definition."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.features import actions, computing, measures
from tagcast.features.measures import Progress, nothing
from tagcast.features.scoring import CLASS_NAMES
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

NOBODY_YET = ""
"""Stands for those who did nothing of the kind until that day."""
NAMES = (*CLASS_NAMES, NOBODY_YET)


@dataclass(frozen=True, slots=True)
class Migration:
    """`counts[i][j]`: contacts that went from NAMES[i] to NAMES[j]; who was in no class on both days is not counted."""

    name: str
    version: int
    before: date
    after: date
    counts: list[list[int]]
    _cells: NDArray[np.uint8]

    def members(self, source: str, target: str) -> BitMap:
        """The contacts of one cell. Raises Invalid for a class that there is not."""
        if source not in NAMES or target not in NAMES or source == target == NOBODY_YET:
            raise Invalid("features.no_class", name=f"{source} → {target}", known=", ".join(CLASS_NAMES))
        wanted = NAMES.index(source) * len(NAMES) + NAMES.index(target)
        return bitmaps.pack(np.flatnonzero(self._cells == wanted))


def migration(work: Work, name: str, before: date, after: date, progress: Progress = nothing) -> Migration:
    """The moves of an RFM model between two days. Raises NotFound, Invalid for days in the wrong order."""
    if before > after:
        raise Invalid("features.days_reversed", before=before.isoformat(), after=after.isoformat())
    definition = actions.find_rfm(work, name)
    parts = []
    for turn, day in enumerate((before, after), 1):
        amounts, scores = computing.scored(work, definition, measures.day_number(day))
        parts.append((amounts.contact, scores.cls))
        progress(turn, 2)
    wide = max((int(contact[-1]) + 1 for contact, _ in parts if len(contact)), default=0)
    nobody, kinds = NAMES.index(NOBODY_YET), len(NAMES)
    cells = np.zeros(wide, dtype=np.uint8)
    for factor, (contact, cls) in zip((kinds, 1), parts, strict=True):
        column = np.full(wide, nobody, dtype=np.uint8)
        column[contact] = cls
        cells += column * np.uint8(factor)
    counts = np.bincount(cells, minlength=kinds**2).reshape(kinds, kinds)
    counts[nobody, nobody] = 0
    return Migration(name, definition.version, before, after, counts.tolist(), cells)
