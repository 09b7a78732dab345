"""How the log of batches becomes the lake: a worker brings row after row over, each exactly once.

The lake of a type says itself, in the same commit as the rows, up to which seq of the log it holds them: who was killed
in between finds out there. One worker a workspace holds the lease; one that lost it without noticing can append
nothing, because the lake has moved on from where it believed it stood.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from tagcast.behaviour import history, mending, packed, standing, store, told
from tagcast.behaviour.mending import types, verify
from tagcast.behaviour.packed import Events
from tagcast.kit import leases, logs
from tagcast.kit.errors import Refused, TagcastError, Unavailable
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime, Work
from tagcast.lake import Contested, Damaged, Snapshot, Version

KIND = "behaviour.lake"
KEY = "all"
TOGETHER = 1_000_000
"""Events in one append at most, but for a single batch that has more."""

GoOn = Callable[[], bool]
Stuck = Callable[[str, TagcastError], None]
"""Is told the type of event whose lake cannot be brought on, and why."""

log = logs.get("behaviour.lake")


def _log_stuck(name: str, error: TagcastError) -> None:
    log.error("the lake of a type stays as it is", type=name, reason=str(error))


@dataclass(frozen=True, slots=True)
class Status:
    """The lake of one type. `waiting`: batches of the log that are not in it yet.

    `agrees`: it holds what this database recorded; not so after the restoring of a backup, until a worker mends it.
    `damaged`: its log cannot be believed, so nothing else is known of it.
    """

    type: str
    version: int
    upto: int
    files: int
    bytes: int
    rows: int
    first_ms: int | None
    last_ms: int | None
    waiting: int
    agrees: bool = True
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """What takes the lake from one seq to a later one: events to append, or contacts to erase."""

    upto: int
    stamp: int
    events: tuple[Events, ...]
    gone: tuple[int, ...]


def due(work: Work) -> bool:
    """Whether anything waits to be brought over."""
    return any(one.waiting or not one.agrees or one.damaged for one in status(work))


def start(work: Work) -> None:
    """Ask a worker to bring the lake up to date."""
    leases.enqueue(work, KIND, KEY)


async def move(runtime: Runtime, lease: Lease) -> None:
    """Bring the log over, make few files of many, remove old ones, look at some; then give the lease back."""
    await asyncio.to_thread(_move, runtime, lease)


def _move(runtime: Runtime, lease: Lease) -> None:
    def go_on() -> bool:
        return lease.live and not lease.draining

    bring(runtime, lease.workspace, go_on)
    tidy(runtime, lease.workspace, go_on)
    if go_on():
        for one in verify(runtime, lease.workspace, repair=True, sample=True):
            log.error("a file was damaged", type=one.type, file=one.file, rows=one.rows, repaired=one.repaired)
    # The lake is asked before anybody has to wait for what is written here.
    age = timedelta(days=runtime.settings.lake_release_days)
    with runtime.read(lease.workspace, "worker") as work:
        upto = releasable(work) if age else 0
    with runtime.work(lease.workspace, "worker") as work:
        if upto:
            _release(work, upto, age)
        # What came in meanwhile, or cannot be brought over now, waits until the chore comes round.
        if go_on():
            leases.complete(work.connection, lease)
        else:
            leases.defer(work.connection, lease, 0.0)


def bring(runtime: Runtime, workspace: int, go_on: GoOn = lambda: True, *, stuck: Stuck = _log_stuck) -> int:
    """Bring what the log has into the lake; returns how many events were appended."""
    moved = 0
    for name in types(runtime, workspace):
        # The other types go on without one that cannot.
        step: int | None = 0
        while step is not None and go_on():
            moved += step
            try:
                step = _bring_step(runtime, workspace, name)
            except Contested:
                step = 0
            except Damaged as error:
                step = 0 if mending.mended(runtime, workspace, name, error) else None
                if step is None:
                    stuck(name, Unavailable("behaviour.lake_damaged", file=f"{name}/{error}"))
            except TagcastError as error:
                stuck(name, error)
                step = None
            except OSError as error:
                stuck(name, _unwritable(runtime, error))
                step = None
    return moved


def _unwritable(runtime: Runtime, error: OSError) -> Unavailable:
    """In words. The table format's client colours its own; the system's reason is its last line."""
    told = re.sub("\x1b\\[[0-9;]*m", "", str(error)).strip().splitlines() or [type(error).__name__]
    reason = error.strerror or told[-1].strip(" ↳")
    return Unavailable("behaviour.lake_unwritable", place=str(runtime.lake.place), reason=reason)


def _bring_step(runtime: Runtime, workspace: int, name: str) -> int | None:
    """Take the lake one step on, or back where it went astray; how many events were appended, None for no step."""
    table = runtime.lake.table(history.table_name(workspace, name))
    # The lake first: a transaction that begins later sees all of the log that is in it.
    seen = table.snapshot()
    with runtime.read(workspace, "worker") as work:
        true = seen is None or standing.agrees(work, seen)
        after = seen.upto if seen is not None else 0
        step = _next(work, name, after) if true else None
        columns = told.schema(store.all_types(work)[name])
        mine = standing.owner(work)
    if seen is not None and not true:
        _go_back(runtime, workspace, name, seen)
        return 0
    if step is None:
        return None
    if step.gone and seen is not None:
        table.erase(step.gone, after=after, upto=step.upto, stamp=step.stamp)
        table.vacuum(0)
        log.info("erased", type=name, contacts=len(step.gone), upto=step.upto)
        return 0
    found = history.join(list(step.events)) if step.events else packed.NONE
    rows = told.to_rows(found, columns)
    if not table.append(rows, after=after, upto=step.upto, stamp=step.stamp, owner=mine):
        # Another worker was first, and goes on.
        return None
    return len(found)


def _go_back(runtime: Runtime, workspace: int, name: str, seen: Snapshot) -> None:
    """Take a lake that is not true to the log back to where it was. Raises Refused, Unavailable when it cannot be.

    What the lake alone has of the time after the backup leaves it: nothing else in the database knows of it.
    """
    table = runtime.lake.table(history.table_name(workspace, name))
    with runtime.read(workspace, "worker") as work:
        columns = told.schema(store.all_types(work)[name])
        if seen.owner != standing.owner(work):
            raise Refused("behaviour.lake_foreign", type=name, place=str(work.lake.place))
        point = standing.agreed(work, table, store.last_seq(work))
        events: list[Events] = []
        if point.files is not None and store.holds_all(work, name, point.files.upto):
            upto, stamp, keep, since = point.files.upto, point.files.stamp, list(point.files.files), point.files.upto
        else:
            upto, stamp = point.seq, point.stamp
            keep, since = standing.kept_below(seen, upto)
            if not store.holds_all(work, name, since):
                raise Unavailable("behaviour.lake_parted", type=name)
            events = [one.events() for one in store.entries(work, name, since, upto + 1) if one.gone is None]
    rows = told.to_rows(history.join(events or [packed.NONE]), columns)
    try:
        table.go_back(seen, keep, rows, since=since, upto=upto, stamp=stamp)
    except Contested:
        return
    log.warning("the database was restored; its lake goes back with it", type=name, reached=seen.upto, back_to=upto)


def tidy(
    runtime: Runtime,
    workspace: int,
    go_on: GoOn = lambda: True,
    *,
    everything: bool = False,
    stuck: Stuck = _log_stuck,
) -> int:
    """Make few files out of many and remove those that left long enough ago; returns how many files became fewer."""
    saved = 0
    for name in types(runtime, workspace):
        table = runtime.lake.table(history.table_name(workspace, name))
        # The other types go on without one that cannot.
        try:
            saved += table.compact(everything=everything, go_on=go_on)
        except Contested:
            continue
        except Damaged as error:
            if not mending.mended(runtime, workspace, name, error):
                stuck(name, Unavailable("behaviour.lake_damaged", file=f"{name}/{error}"))
        except OSError as error:
            stuck(name, _unwritable(runtime, error))
        try:
            if go_on():
                table.vacuum(runtime.settings.lake_keep_hours * 3600)
        except (Damaged, OSError) as error:
            # What is wrong was told above; here nothing is lost but room.
            log.info("no old files are removed", type=name, reason=str(error))
    return saved


def release(work: Work, age: timedelta) -> int:
    """Let the database go of events that are in the lake and older than this; nothing for an age of 0."""
    return _release(work, releasable(work), age) if age else 0


def _release(work: Work, upto: int, age: timedelta) -> int:
    return store.release(work, upto, work.now_ms - int(age.total_seconds() * 1000))


def releasable(work: Work) -> int:
    """Up to which seq of the log every lake holds what was recorded; 0 when one cannot be believed."""
    try:
        seen_of = {
            name: work.lake.table(history.table_name(work.workspace, name)).snapshot() for name in store.all_types(work)
        }
    except Damaged:
        return 0
    upto = store.last_seq(work)
    for name, seen in seen_of.items():
        if seen is not None and not standing.agrees(work, seen):
            return 0
        first = store.first_after(work, name, seen.upto if seen is not None else 0)
        if first is not None:
            upto = min(upto, first - 1)
    return upto


def status(work: Work) -> list[Status]:
    """The lake of each type."""
    found = []
    for name in store.all_types(work):
        try:
            seen = work.lake.table(history.table_name(work.workspace, name)).snapshot()
        except Damaged:
            found.append(Status(name, 0, 0, 0, 0, 0, None, None, store.count_after(work, name, 0), False, True))
            continue
        waiting = store.count_after(work, name, seen.upto if seen is not None else 0)
        if seen is None:
            found.append(Status(name, 0, 0, 0, 0, 0, None, None, waiting))
            continue
        true = standing.agrees(work, seen)
        first = min((one.first for one in seen.files), default=None)
        last = max((one.last for one in seen.files), default=None)
        size = sum(one.size for one in seen.files)
        found.append(
            Status(name, seen.version, seen.upto, len(seen.files), size, seen.rows, first, last, waiting, true)
        )
    return found


def versions(work: Work, name: str, limit: int = 50) -> Sequence[Version]:
    """The commits of a type's lake, newest first. Raises NotFound for the type."""
    return history.look(work, name).table.versions(limit)


def _next(work: Work, name: str, after: int) -> _Step | None:
    """The next step of the log: batches up to a million events or up to a note, or the notes that stand together.

    Raises Unavailable when the lake lacks what the database handed over.
    """
    events: list[Events] = []
    gone: list[int] = []
    upto = stamp = rows = 0
    with closing(store.entries(work, name, after, None)) as entries:
        for entry in entries:
            if (gone and entry.gone is None) or (events and entry.gone is not None) or rows >= TOGETHER:
                break
            if entry.gone is not None:
                gone.append(int(entry.gone))
            elif entry.payload is None:
                raise Unavailable("behaviour.lake_lost", type=name)
            else:
                batch = entry.events()
                events.append(batch)
                rows += len(batch)
            upto, stamp = entry.seq, entry.stamp
    return _Step(upto, stamp, tuple(events), tuple(gone)) if upto else None
