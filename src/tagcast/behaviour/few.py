"""Questions about few contacts, many a second: answered from their own events, without an engine.

Files of the lake never change, and a row of the log only when somebody in it is erased, which is a row of its own. So
what was read stays in the memory of the process, by contact, up to so many bytes; a transaction picks the events of the
contacts in question once and asks them all it wants to know.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps, contacts, lake
from tagcast.behaviour import history, packed, recording, rules, standing, store, told
from tagcast.behaviour.questions import Did, Question
from tagcast.behaviour.rules import EventType
from tagcast.behaviour.store import Line
from tagcast.kit.uow import Work
from tagcast.lake import Damaged, File, Moved, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from tagcast.lake import LakeTable

_LONG, _SHORT = 12, 6
"""Rows of the log are read 2^12 together, the newest 2^6: those are read again as they become more."""

_ROW = 24


class _Released(Exception):
    """The database has let go of rows since they were seen: they are in the lake."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Events ordered by contact."""

    who: NDArray[np.int32]
    rows: "pa.Table"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the events of a type are: files, and rows of the log after them, of which `stamp` is the newest's."""

    declared: EventType
    stamp: int
    files: Snapshot | None
    lines: tuple[Line, ...]


@dataclass(slots=True)
class _Turn:
    """What one transaction looked up, as long as the log of the type is as it was."""

    places: dict[tuple[int, str], _Place] = field(default_factory=dict)
    picked: dict[Hashable, "pa.Table"] = field(default_factory=dict)


class _Memory:
    """The parts that were used last, up to so many bytes; where the events of each type were found last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[tuple[int, str], _Place] = {}
        self._parts: OrderedDict[Hashable, _Part] = OrderedDict()
        self._erased: set[int] = set()
        self._bytes = 0

    def place(self, of: tuple[int, str], declared: EventType, stamp: int) -> _Place | None:
        """Where the events are, if the log still ends as it did then: stamps are never given twice."""
        with self._lock:
            found = self._places.get(of)
        return found if found is not None and (found.declared, found.stamp) == (declared, stamp) else None

    def put_place(self, of: tuple[int, str], place: _Place | None) -> None:
        """Remember a place, or forget it."""
        with self._lock:
            if place is not None and place.stamp:
                self._places[of] = place
            else:
                self._places.pop(of, None)

    def get(self, key: Hashable) -> _Part | None:
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
            return self._parts.get(key)

    def put(self, key: Hashable, part: _Part) -> None:
        most = rules.limits()["few_bytes"]
        size = part.rows.nbytes + part.who.nbytes
        with self._lock:
            if size > most or key in self._parts:
                return
            self._parts[key] = part
            self._bytes += size
            while self._bytes > most:
                _, old = self._parts.popitem(last=False)
                self._bytes -= old.rows.nbytes + old.who.nbytes

    def erased(self, stamps: Sequence[int]) -> None:
        """Nothing stays here of somebody who was erased."""
        with self._lock:
            if not self._erased.issuperset(stamps):
                self._erased.update(stamps)
                self._parts.clear()
                self._bytes = 0


_memory = _Memory()
_turns: weakref.WeakKeyDictionary[sa.RootTransaction, _Turn] = weakref.WeakKeyDictionary()
_turns_lock = threading.Lock()


def ask(work: Work, question: Question, within: BitMap, *, zone: str) -> BitMap | None:
    """Those of `within` whom the question is about; None when it has to be asked of the whole history.

    Raises NotFound for the type.
    """
    if len(within) > rules.limits()["few"]:
        return None
    everyone = work.bitmaps.present(contacts.EVERYONE, within)
    opposite = history.opposite(question)
    found = _ask(work, question if opposite is None else opposite, everyone, zone)
    if found is None:
        return None
    return everyone & found if opposite is None else everyone - found


def _ask(work: Work, question: Question, within: BitMap, zone: str) -> BitMap | None:
    parts = (question,) if isinstance(question, Did) else (question.first, question.second)
    sources = []
    for part in parts:
        rows = _rows_of(work, part, within, zone)
        if rows is None:
            return None
        sources.append(rows)
    if isinstance(question, Did):
        when = sources[0].column(lake.WHEN).to_numpy()
        span = (int(when.min()), int(when.max())) if len(when) else (0, 0)
        asked: lake.Ask = told.measured(question, zone, span)
    else:
        asked = told.followed(question, zone, work.now_ms)
    return bitmaps.pack(lake.answer_few(asked, sources))


def _rows_of(work: Work, asked: Did, within: BitMap, zone: str) -> "pa.Table | None":
    """The events of some contacts that a part of a question may be about, and others of theirs."""
    turn = _turn_of(work)
    # What was remembered of the place may be gone since; what is looked up anew may only be too much to read.
    for _ in range(2):
        place = _look(work, turn, asked.event)
        if place is None:
            return None
        try:
            return _read(work, turn, place, asked, (within, zone))
        except (Moved, Damaged, _Released):
            _forget(work, turn, asked.event)
    return None


def _read(work: Work, turn: _Turn, place: _Place, asked: Did, about: tuple[BitMap, str]) -> "pa.Table":
    import pyarrow as pa

    within, zone = about
    columns = told.schema(place.declared)
    who, key = bitmaps.unpack(within).astype(np.int32), within.serialize()
    # Rows in files of who was erased since are void.
    gone = np.array([one.gone for one in place.lines if one.gone is not None], np.int32)
    in_files = np.setdiff1d(who, gone)
    first, last = told.ends(asked.window, zone)
    table = work.lake.table(history.table_name(work.workspace, asked.event))
    found = [columns.empty_table()]

    def pick(part: Hashable, wanted: NDArray[np.int32], read: Callable[[], _Part | pa.Table]) -> None:
        at = (part, place.stamp, key)
        if at not in turn.picked:
            turn.picked[at] = lake.conform(_picked(read(), wanted), columns)
        found.append(turn.picked[at])

    if (seen := place.files) is not None:
        for file in seen.between(first, last):
            if len(in_files) and file.high >= in_files[0] and file.low <= in_files[-1]:
                pick(file.name, in_files, partial(_of_file, table, file, seen, in_files))
    for lines in _blocks(place.lines):
        pick(lines, who, partial(_of_log, work, place.declared, lines, gone))
    return pa.concat_tables(found)


def _turn_of(work: Work) -> _Turn:
    transaction = work.connection.get_transaction()
    assert isinstance(transaction, sa.RootTransaction)
    with _turns_lock:
        return _turns.setdefault(transaction, _Turn())


def _look(work: Work, turn: _Turn, name: str) -> _Place | None:
    """Where the events of a type are; None when the history has to be looked at with more care."""
    declared = store.types_once(work).get(name) or recording.find_type(work, name)
    _, stamp = store.newest(work, name)
    place = turn.places.get((work.workspace, name)) or _memory.place((work.workspace, name), declared, stamp)
    if place is None or (place.stamp, place.declared) != (stamp, declared):
        files = work.lake.table(history.table_name(work.workspace, name)).snapshot()
        if files is not None and not standing.agrees(work, files):
            return None
        lines = tuple(store.lines(work, name, files.upto if files is not None else 0))
        if not all(one.held for one in lines):
            return None
        place = _Place(declared, stamp, files, lines)
        _memory.erased([one.stamp for one in lines if one.gone is not None])
        _memory.put_place((work.workspace, name), place)
    turn.places[work.workspace, name] = place
    return place


def _forget(work: Work, turn: _Turn, name: str) -> None:
    turn.places.pop((work.workspace, name), None)
    _memory.put_place((work.workspace, name), None)


def _blocks(lines: Sequence[Line]) -> Iterator[tuple[Line, ...]]:
    """The rows of the log that are read together: many of those that no row joins any more, of the newest few."""
    newest = lines[-1].seq >> _LONG if lines else 0
    for _, some in groupby(
        lines, lambda one: (one.seq >> _LONG, one.seq >> _SHORT if one.seq >> _LONG == newest else 0)
    ):
        yield tuple(some)


def _of_file(table: "LakeTable", file: File, seen: Snapshot, wanted: NDArray[np.int32]) -> "_Part | pa.Table":
    """What the file holds, or of a large one what it holds of some."""
    part = _memory.get(file.name)
    if part is None:
        if file.rows * _ROW > rules.limits()["few_bytes"] // 2:
            return table.read(file, seen.schema, only=wanted)
        part = _part(table.read(file, seen.schema))
        _memory.put(file.name, part)
    return part


def _of_log(work: Work, declared: EventType, lines: tuple[Line, ...], gone: NDArray[np.int32]) -> _Part:
    # An erasure wrote earlier rows anew, and is a row after them.
    key = (tuple(declared.properties), lines, gone.tobytes())
    part = _memory.get(key)
    if part is None:
        entries = list(store.entries(work, declared.name, lines[0].seq - 1, lines[-1].seq + 1))
        if any(one.payload is None for one in entries):
            raise _Released
        events = history.join([one.events() for one in entries if one.gone is None] or [packed.NONE])
        part = _part(told.to_rows(events, told.schema(declared)))
        _memory.put(key, part)
    return part


def _part(rows: "pa.Table") -> _Part:
    who = rows.column(lake.WHO).to_numpy()
    if (who[1:] < who[:-1]).any():
        order = np.argsort(who, kind="stable")
        return _Part(who[order], rows.take(order))
    return _Part(who, rows)


def _picked(found: "_Part | pa.Table", wanted: NDArray[np.int32]) -> "pa.Table":
    """The rows about some contacts."""
    if not isinstance(found, _Part):
        return found
    starts, ends = np.searchsorted(found.who, wanted), np.searchsorted(found.who, wanted, "right")
    counts = ends - starts
    # Start after start, each counted on as often as it has rows.
    places = np.repeat(starts - np.append(0, np.cumsum(counts)[:-1]), counts) + np.arange(counts.sum())
    return found.rows.take(places)
