"""Damage in the lake: found by reading everything, mended out of the log of batches or the lake's own seals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tagcast.behaviour import history, packed, standing, store, told
from tagcast.kit import logs
from tagcast.kit.uow import Runtime
from tagcast.lake import Contested, Damaged, File, Snapshot

log = logs.get("behaviour.lake")


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that does not hold what was written, and whether that was written anew.

    How many rows it had, and their times; None for a file of the table's log, which has none.
    """

    type: str
    file: str
    rows: int
    first_ms: int | None
    last_ms: int | None
    repaired: bool


def types(runtime: Runtime, workspace: int) -> list[str]:
    """The names of the declared types."""
    with runtime.read(workspace, "worker") as work:
        return list(store.all_types(work))


def verify(
    runtime: Runtime,
    workspace: int,
    *,
    repair: bool = False,
    sample: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Damage]:
    """Read every file and compare it with what was written; `repair` writes anew what can be told from elsewhere.

    `sample`: the log as it is opened and one file of each type, another one after each commit.
    """
    found: list[Damage] = []
    names = types(runtime, workspace)
    for place, name in enumerate(names):
        table = runtime.lake.table(history.table_name(workspace, name))
        if broken := table.broken_log(quick=sample):
            mended_log = repair and _mend_log(runtime, workspace, name)
            found += [Damage(name, one, 0, None, None, mended_log) for one in broken]
        try:
            wrong = table.verify(one=sample)
        except Damaged:
            # Told above: without the log nobody knows which files there are.
            wrong = []
        repaired = _repair(runtime, workspace, name, wrong) if repair and wrong else frozenset()
        found += [Damage(name, one.name, one.rows, one.first, one.last, one.name in repaired) for one in wrong]
        if progress is not None:
            progress(place + 1, len(names))
    return found


def mended(runtime: Runtime, workspace: int, name: str, error: Damaged) -> bool:
    """Whether what was found damaged, a file or the log, could be written anew."""
    table = runtime.lake.table(history.table_name(workspace, name))
    try:
        seen = table.snapshot()
    except Damaged:
        seen = None
    if seen is None:
        repaired = _mend_log(runtime, workspace, name)
    else:
        repaired = bool(_repair(runtime, workspace, name, [one for one in seen.files if one.name == str(error)]))
    if repaired:
        log.warning("what was damaged was written anew", type=name, file=str(error))
    return repaired


def _mend_log(runtime: Runtime, workspace: int, name: str) -> bool:
    """Whether the log of a table tells again what it is; what it lost is appended anew if the database has it all."""

    def again(upto: int) -> bool:
        with runtime.read(workspace, "repair") as work:
            return store.holds_all(work, name, upto)

    try:
        return runtime.lake.table(history.table_name(workspace, name)).mend_log(again)
    except Contested:
        return False


def _repair(runtime: Runtime, workspace: int, name: str, wrong: Sequence[File]) -> frozenset[str]:
    """The names of the files whose rows were written anew from the log."""
    table = runtime.lake.table(history.table_name(workspace, name))
    mended: set[str] = set()
    for file in wrong:
        if file.name in mended:
            continue
        seen = table.snapshot()
        with runtime.read(workspace, "repair") as work:
            if seen is None or not standing.agrees(work, seen) or file.name not in {one.name for one in seen.files}:
                continue
            chosen, since, upto = _together(seen, file)
            entries = list(store.entries(work, name, since, upto + 1))
            if any(one.payload is None and one.gone is None for one in entries):
                continue
            events = history.join([one.events() for one in entries if one.gone is None] or [packed.NONE])
            columns = told.schema(store.all_types(work)[name])
        try:
            table.put_instead(seen, chosen, told.to_rows(events, columns), since=since, upto=upto)
        except Contested:
            continue
        mended.update(one.name for one in chosen)
    return frozenset(mended)


def _together(seen: Snapshot, file: File) -> tuple[list[File], int, int]:
    """The files whose rows came with the same appends as this one's, and the span of the log that they hold.

    Files of one append hold a month each and are joined month by month, so the span grows until no file reaches out.
    """
    since, upto = file.since, file.upto
    while True:
        chosen = [one for one in seen.files if one.since < upto and one.upto > since]
        wider = min(one.since for one in chosen), max(one.upto for one in chosen)
        if wider == (since, upto):
            return chosen, since, upto
        since, upto = wider
