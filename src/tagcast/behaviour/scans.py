"""The events of some types passed over once, a piece at a time, in columns: for what looks at each of them.

A piece is a file of the lake, or some rows of the log that are in no file yet; no more than that is in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pyroaring import BitMap

from tagcast import bitmaps, lake
from tagcast.behaviour import history, store, told
from tagcast.behaviour.history import Place
from tagcast.behaviour.packed import Events
from tagcast.behaviour.questions import Did, Where, Window
from tagcast.behaviour.store import Line
from tagcast.kit.errors import Unavailable
from tagcast.kit.uow import Work
from tagcast.lake import Rows

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")
_ALL_TIME = Window()
_ROWS = 1_000_000
_OWN = 4
"""The first columns of a type are those that every event has."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events: of any of `types` on the days of the window, meeting every condition, of everybody or of some."""

    types: Sequence[str]
    window: Window = _ALL_TIME
    where: tuple[Where, ...] = ()
    within: BitMap | None = None


def fold(
    work: Work,
    chosen: Chosen,
    begin: Callable[[], _T],
    take: Callable[[_T, Events], object],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> _T:
    """What `begin` made, after it took every piece: columns in no order, without properties. Days are the workspace's.

    A lake that moves meanwhile is passed over anew. Raises NotFound for a type, Unavailable when the lake lacks what it
    had.
    """
    for tried in history.again():
        with tried:
            made = begin()
            passes = [_Pass(work, history.place(work, name), chosen) for name in dict.fromkeys(chosen.types)]
            done, total = 0, sum(one.steps for one in passes)
            for one in passes:
                for part in one.parts():
                    if len(part):
                        take(made, part)
                    done += 1
                    progress(min(done, total), total)
            progress(total, total)
            return made
    raise Unavailable("behaviour.lake_moves", type=", ".join(chosen.types))


class _Pass:
    """The events of one type."""

    def __init__(self, work: Work, place: Place, chosen: Chosen) -> None:
        self._work = work
        self._place = place
        self._within = chosen.within
        self._first, self._last = told.ends(chosen.window, work.zone)
        name = place.declared.name
        self._rows = Rows(0, told.rows(Did(name, where=chosen.where), 0, work.zone).conditions)
        lines = store.lines(work, name, place.upto)
        self._lines: list[Line] = [line for line in lines if line.seq <= place.newest]
        self._gone = [line.gone for line in self._lines if line.gone is not None]
        self._files = history.files_of(place.files, (self._first, self._last), chosen.within)

    @property
    def steps(self) -> int:
        """How many pieces there are, about."""
        return len(self._files) + -(-sum(line.rows for line in self._lines) // _ROWS)

    def parts(self) -> Iterator[Events]:
        """What counts of each piece."""
        columns = self._columns()
        only = None if self._within is None else bitmaps.unpack(self._within)
        for file in self._files:
            table = self._place.table
            yield self._met(
                table.read(file, columns, first=self._first, last=self._last, only=only, without=self._gone)
            )
        for batch in self._logged():
            found = history.between(batch, self._first, self._last)
            if only is not None:
                found = found.where(np.isin(found.contact, only))
            yield self._met(told.to_rows(found, columns)) if self._rows.conditions else found

    def _columns(self) -> "pa.Schema":
        """What every event has, and what the conditions are on."""
        import pyarrow as pa

        asked = {one.column for one in self._rows.conditions}
        fields = list(told.schema(self._place.declared))
        return pa.schema([*fields[:_OWN], *(field for field in fields[_OWN:] if field.name in asked)])

    def _met(self, rows: "pa.Table") -> Events:
        found = lake.chosen(self._rows, [rows])
        return told.to_events(found.select(found.column_names[:_OWN]))

    def _logged(self) -> Iterator[Events]:
        waiting: list[Events] = []
        rows = 0
        here = self._place
        span = self._first, self._last
        for entry in store.entries(self._work, here.declared.name, here.upto, here.newest + 1, span=span):
            if entry.gone is not None:
                continue
            if entry.payload is None:
                raise Unavailable(here.lost, type=here.declared.name)
            found = entry.events()
            waiting.append(found if self._rows.conditions else replace(found, properties=[]))
            rows += len(found)
            if rows >= _ROWS:
                yield history.join(waiting)
                waiting, rows = [], 0
        if waiting:
            yield history.join(waiting)
