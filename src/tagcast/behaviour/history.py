"""The events of a workspace as they were told, exact at any moment: the lake, and the batches that are not in it yet.

The log of batches is the truth. The lake of a type stands at a seq of that log; what comes after it, batches and notes
that a contact's events were deleted, is read from the database. Who reads in a transaction that is older than the lake,
or in a database that was restored, goes back to the lake's newest version that is true to it.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps, contacts, lake
from tagcast.behaviour import packed, standing, store, told
from tagcast.behaviour.packed import Events
from tagcast.behaviour.questions import Did, Op, Question
from tagcast.behaviour.rules import EventType
from tagcast.kit.errors import NotFound, Unavailable
from tagcast.kit.uow import Work
from tagcast.lake import Down, File, Moved, Snapshot, Source

if TYPE_CHECKING:
    import pyarrow as pa

    from tagcast.lake import LakeTable

_COMPARE: Mapping[Op, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_OPPOSITE: Mapping[Op, Op] = {"<": ">=", "<=": ">", "=": "!=", "!=": "=", ">=": "<", ">": "<="}
_FROM_ZERO = ("times", "days", "sum")

FEW = 100_000
"""So many contacts are told to the engine; of more, the answer for all is cut to them."""

_TRIES = 4
_EARLIEST_MS, _LATEST_MS = 631_152_000_000, 4_102_444_800_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the events of a type are: a version of the lake, and the log after it up to `newest`.

    `lost` is the problem when the log has let go of any of those.
    """

    declared: EventType
    table: "LakeTable"
    files: Snapshot | None
    newest: int
    lost: str

    @property
    def upto(self) -> int:
        """Up to which seq of the log the files hold it."""
        return 0 if self.files is None else self.files.upto


@dataclass(frozen=True, slots=True)
class Seen:
    """The events of a type at one moment: the lake at a version, the log after it, and whose rows in files are void."""

    declared: EventType
    table: "LakeTable"
    files: Snapshot | None
    batches: tuple[Events, ...]
    gone: tuple[int, ...]

    def tail(self, within: BitMap | None) -> Events:
        """The events that are in no file, of everybody or of some."""
        found = packed.join(list(self.batches)) if self.batches else packed.events([], [], [], [])
        if within is None or not len(found):
            return found
        return found.where(np.isin(found.contact, bitmaps.unpack(within)))


def ask(work: Work, question: Question, within: BitMap | None = None, *, zone: str) -> BitMap:
    """The contacts that a question is about, or those of `within`; exact for all that is recorded.

    Raises NotFound for the type, Unavailable when the engine does not answer or the lake lacks what it had.
    """
    everyone = contacts.everyone(work) if within is None else contacts.everyone(work) & within
    told_to = None if within is None else everyone
    if (other := opposite(question)) is not None:
        return everyone - _ask(work, other, told_to, zone)
    return everyone & _ask(work, question, told_to, zone)


def opposite(question: Question) -> Question | None:
    """For a question that who never did it meets: the one that all others meet; else None."""
    if isinstance(question, Did) and question.measure in _FROM_ZERO and _COMPARE[question.op](0, question.value):
        return replace(question, op=_OPPOSITE[question.op])
    return None


def events(
    work: Work,
    name: str,
    since_ms: int | None = None,
    until_ms: int | None = None,
    *,
    within: BitMap | None = None,
) -> Events:
    """The events of a type with since ≤ at < until, of everybody or of some, ordered by time. Raises as `ask`."""
    last = None if until_ms is None else until_ms - 1
    for found in again():
        with found:
            seen = look(work, name)
            parts = [told.to_events(rows) for rows in _stored(seen, since_ms, last, within)]
            parts.append(between(seen.tail(within), since_ms, last))
            return ordered(join([part for part in parts if len(part)]))
    raise Unavailable("behaviour.lake_moves", type=name)


def base(work: Work, name: str) -> tuple[Events, int]:
    """The events of a type that its files hold, without properties, and the seq of the log up to which they do."""
    if work.lake.table(table_name(work.workspace, name)).snapshot() is None:
        return packed.NONE, 0
    for tried in again():
        with tried:
            seen = look(work, name)
            if seen.files is None:
                return packed.NONE, 0
            bare = replace(seen, files=replace(seen.files, schema=told.schema(EventType(name, ""))))
            return packed.join([told.to_events(rows) for rows in _stored(bare, None, None, None)]), seen.files.upto
    raise Unavailable("behaviour.lake_moves", type=name)


def look(work: Work, name: str) -> Seen:
    """What a type's events are, as this transaction sees them. Raises NotFound, Unavailable."""
    here = place(work, name)
    batches: list[Events] = []
    gone: list[int] = []
    for entry in store.entries(work, name, here.upto, here.newest + 1):
        if entry.gone is not None:
            gone.append(int(entry.gone))
        elif entry.payload is None:
            raise Unavailable(here.lost, type=name)
        else:
            batches.append(entry.events())
    return Seen(here.declared, here.table, here.files, tuple(batches), tuple(gone))


def place(work: Work, name: str) -> Place:
    """Where a type's events are, for this transaction. Raises NotFound."""
    known = store.all_types(work)
    if name not in known:
        raise NotFound("behaviour.no_event_type", name=name, known=", ".join(known) or "-")
    table = work.lake.table(table_name(work.workspace, name))
    # The lake first: what it holds is visible to whoever looks at the log later, unless in an older transaction.
    found = files = table.snapshot()
    newest = store.last_seq(work)
    if found is not None and not standing.agrees(work, found):
        files = standing.agreed(work, table, newest).files
    return Place(known[name], table, files, newest, "behaviour.lake_lost" if files is found else "behaviour.lake_moves")


def table_name(workspace: int, name: str) -> str:
    """The lake's table of a type."""
    return f"w{workspace}/{name}"


def join(parts: list[Events]) -> Events:
    """One set of columns out of several, some with properties and some without."""
    if any(part.properties for part in parts):
        parts = [
            part
            if part.properties
            else Events(part.contact, part.at_ms, part.amount, part.quantity, [{} for _ in range(len(part))])
            for part in parts
        ]
    return packed.join(parts)


def ordered(found: Events) -> Events:
    """By time; those of one moment as they stand."""
    order = np.argsort(found.at_ms, kind="stable")
    held = [found.properties[index] for index in order.tolist()] if found.properties else []
    return Events(found.contact[order], found.at_ms[order], found.amount[order], found.quantity[order], held)


def _ask(work: Work, question: Question, within: BitMap | None, zone: str) -> BitMap:
    if within is not None and not within:
        return BitMap()
    told_to = within if within is not None and len(within) <= FEW else None
    few = None if told_to is None else bitmaps.unpack(told_to).astype(np.int32)
    parts = (question,) if isinstance(question, Did) else (question.first, question.second)
    for tried in again():
        with tried:
            seen = {part.event: look(work, part.event) for part in parts}
            sources = [_source(work, seen[part.event], part, zone, told_to) for part in parts]
            if isinstance(question, Did):
                asked: lake.Ask = told.measured(question, zone, _span(seen[question.event]))
            else:
                asked = told.followed(question, zone, work.now_ms)
            return bitmaps.pack(work.lake.ask(asked, sources, few))
    raise Unavailable("behaviour.lake_moves", type=parts[0].event)


def _source(work: Work, seen: Seen, asked: Did, zone: str, within: BitMap | None) -> Source:
    """What one part of a question reads: only files that can hold what it is about."""
    files = files_of(seen.files, told.ends(asked.window, zone), within)
    tail = told.to_rows(seen.tail(within), told.schema(seen.declared))
    name = table_name(work.workspace, asked.event)
    return work.lake.source(name, seen.files, tail, files=files, without=seen.gone)


def _span(seen: Seen) -> tuple[int, int]:
    """The ends of the times of all events."""
    firsts = [int(one.at_ms.min()) for one in seen.batches if len(one)]
    lasts = [int(one.at_ms.max()) for one in seen.batches if len(one)]
    if seen.files is not None and seen.files.files:
        firsts.append(min(one.first for one in seen.files.files))
        lasts.append(max(one.last for one in seen.files.files))
    return (min(firsts), max(lasts)) if firsts else (_EARLIEST_MS, _EARLIEST_MS)


def _stored(seen: Seen, first: int | None, last: int | None, within: BitMap | None) -> Iterator["pa.Table"]:
    only: NDArray[Any] | None = None if within is None else bitmaps.unpack(within)
    for file in files_of(seen.files, (first, last), within):
        assert seen.files is not None
        yield seen.table.read(file, seen.files.schema, first=first, last=last, only=only, without=seen.gone)


def files_of(files: Snapshot | None, span: tuple[int | None, int | None], within: BitMap | None) -> list[File]:
    """The files that can hold rows with first ≤ when ≤ last, of everybody or of some."""
    found = () if files is None else files.between(*span)
    if within is None:
        return list(found)
    return [one for one in found if within and one.high >= within.min() and one.low <= within.max()]


def between(found: Events, first: int | None, last: int | None) -> Events:
    """Those with first ≤ at ≤ last."""
    mask = np.ones(len(found), dtype=np.bool_)
    if first is not None:
        mask &= found.at_ms >= first
    if last is not None:
        mask &= found.at_ms <= last
    return found.where(mask)


class _Tried:
    """One try; a lake that moved meanwhile is looked at again, an engine that is down is told."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Down):
            raise Unavailable("behaviour.engine_down", reason=str(error)) from error
        if isinstance(error, lake.Damaged):
            raise Unavailable("behaviour.lake_damaged", file=str(error)) from error
        return isinstance(error, Moved)


def again() -> Iterator[_Tried]:
    """Some tries; the next begins when the lake moved during one."""
    for _ in range(_TRIES):
        yield _Tried()
