"""Rotation of keys: a new master key, a new sealing key for each workspace, everything sealed anew, the former removed.

Each step can be cut off at any moment, and the next call goes on with it: the key file holds the new and the former
master key until nothing is wrapped by the former; what is sealed names its key, so that what is left to do is what
names another than the newest; a former key is removed only when nothing names it. The root keys of fingerprints and
signatures are wrapped anew and stay as they are (see `kit.crypto`).
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tagcast.access import store
from tagcast.kit import clock, crypto, sealed
from tagcast.kit.errors import Conflict
from tagcast.kit.sealed import SealedColumn
from tagcast.kit.uow import KEYS_SECONDS, Runtime

BATCH = 1000
GRACE_SECONDS = 20 * KEYS_SECONDS
"""A former key is kept this long after the next was made: processes that know it only may still be sealing with it."""

Progress = Callable[[int, int], None]
"""Told how many values are sealed anew, of how many."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A sealing key and how many values need it; `newest`: it is the one that seals."""

    workspace: int
    number: int
    made_at: int
    values: int
    newest: bool


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The keys of a home. `master_keys` is 1 unless a rotation is under way; `broken` values open with no key."""

    master_keys: int
    keys: tuple[KeyUse, ...]
    broken: int = 0


def key_status(runtime: Runtime) -> KeyStatus:
    """Which keys there are and what needs them. Reads the first bytes of everything that is sealed."""
    masters = crypto.read_master_keys(runtime.settings.key, runtime.settings.home / "key")
    uses = []
    with runtime.engine.connect() as connection:
        rows = store.sealing_keys_of(connection)
        for workspace in store.workspace_ids(connection):
            counts = _counts(connection, workspace)
            own = [row for row in rows if row.workspace == workspace]
            newest = max((row.number for row in own), default=0)
            uses += [
                KeyUse(workspace, row.number, row.created_at, counts.get(row.number, 0), row.number == newest)
                for row in own
            ]
    return KeyStatus(len(masters), tuple(uses))


def rotate_keys(runtime: Runtime, progress: Progress = lambda _done, _of: None) -> KeyStatus:
    """Make new keys and seal everything anew; or go on with a rotation that was cut off. Former keys are removed when
    nothing needs them and all processes must have seen the new ones (`prune_keys`).

    A master key that comes from the settings is not made here: give the new one before the former, and the former is
    replaced. Raises Conflict while another rotation runs.
    """
    with _alone(runtime):
        begun = key_status(runtime)
        fresh = all(key.newest or not key.values for key in begun.keys)
        _replace_master(runtime, fresh=fresh)
        if fresh:
            for workspace in sorted({key.workspace for key in begun.keys}):
                _new_key(runtime, workspace)
        broken = _seal_anew(runtime, progress)
        _prune(runtime)
    found = key_status(runtime)
    return KeyStatus(found.master_keys, found.keys, broken)


def prune_keys(runtime: Runtime) -> int:
    """Remove former sealing keys that nothing needs; how many. Raises Conflict while a rotation runs."""
    with _alone(runtime):
        return _prune(runtime)


@contextmanager
def _alone(runtime: Runtime) -> Iterator[None]:
    """One rotation of a home at a time; a process that dies lets go."""
    handle = os.open(runtime.settings.home / "key.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("access.rotating", home=str(runtime.settings.home)) from None
        yield
    finally:
        os.close(handle)


def _replace_master(runtime: Runtime, *, fresh: bool) -> None:
    file = runtime.settings.home / "key"
    masters = crypto.read_master_keys(runtime.settings.key, file)
    if fresh and not runtime.settings.key and len(masters) == 1:
        masters = (crypto.new_key(), *masters)
        crypto.replace_master_keys(file, masters)
    runtime.master_key, runtime.old_master_keys = masters[0], masters[1:]
    if len(masters) > 1:
        with runtime.system() as connection:
            for wrapped in store.wrapped_keys(connection):
                key = runtime.unwrap(wrapped.value, wrapped.context)
                store.wrap_again(connection, wrapped, crypto.seal(masters[0], key, wrapped.context))
        if not runtime.settings.key:
            crypto.replace_master_keys(file, masters[:1])
    runtime.forget_keys()


def _new_key(runtime: Runtime, workspace: int) -> None:
    with runtime.system() as connection:
        number = store.newest_sealing_key(connection, workspace) + 1
        wrapped = crypto.seal(runtime.master_key, crypto.new_key(), f"workspace_key:{workspace}:{number}")
        store.add_sealing_key(connection, workspace, number, wrapped, clock.to_ms(clock.now()))
    runtime.forget_keys()


def _counts(connection: sa.Connection, workspace: int) -> dict[int, int]:
    """Key number → how many values name it."""
    found: dict[int, int] = {}
    for column in sealed.columns():
        head = sa.func.substr(column.column, 1, crypto.HEADER, type_=sa.LargeBinary)
        rows = connection.execute(
            sa.select(head, sa.func.count())
            .where(column.table.c.workspace == workspace, column.column.is_not(None))
            .group_by(head)
        )
        for first, count in rows:
            number = int.from_bytes(bytes(first)[1:], "big")
            found[number] = found.get(number, 0) + count
    return found


def _seal_anew(runtime: Runtime, progress: Progress) -> int:
    """Seal what names a former key with the newest; returns how many values no key opens."""
    done = broken = 0
    status = key_status(runtime)
    total = sum(key.values for key in status.keys if not key.newest)
    for workspace in sorted({key.workspace for key in status.keys}):
        for column in sealed.columns():
            after: tuple[Any, ...] | None = None
            while True:
                after, count, bad = _batch(runtime, workspace, column, after)
                done, broken = done + count, broken + bad
                progress(done, max(done, total))
                if after is None:
                    break
    return broken


def _batch(
    runtime: Runtime, workspace: int, column: SealedColumn, after: tuple[Any, ...] | None
) -> tuple[tuple[Any, ...] | None, int, int]:
    """Seal some rows anew, in the order of the primary key: (the last one's key or None, how many, how many broken).

    A row that somebody else changed meanwhile is left to him: he sealed it himself.
    """
    table, name = column.table, column.column.name
    keys = list(table.primary_key.columns)
    with runtime.work(workspace, "keys") as work:
        head = sa.func.substr(column.column, 1, crypto.HEADER, type_=sa.LargeBinary)
        query = sa.select(table).where(
            table.c.workspace == workspace, column.column.is_not(None), head != crypto.header(work.vault.number)
        )
        if after is not None:
            query = query.where(sa.tuple_(*keys) > sa.tuple_(*(sa.literal(value) for value in after)))
        rows = work.connection.execute(query.order_by(*keys).limit(BATCH)).all()
        changes, broken = [], 0
        for row in rows:
            before = bytes(row._mapping[name])
            try:
                plain = work.vault.open(before, column.context(row))
            except crypto.Broken:
                broken += 1
                continue
            fresh = work.vault.seal(plain, column.context(row))
            changes.append(
                {f"k{at}": row._mapping[key.name] for at, key in enumerate(keys)} | {"o": before, "n": fresh}
            )
        if changes:
            same = [key == sa.bindparam(f"k{at}") for at, key in enumerate(keys)]
            work.connection.execute(
                sa.update(table).where(*same, column.column == sa.bindparam("o")).values({name: sa.bindparam("n")}),
                changes,
            )
    last = tuple(rows[-1]._mapping[key.name] for key in keys) if len(rows) == BATCH else None
    return last, len(changes), broken


def _prune(runtime: Runtime) -> int:
    """Looked at and removed in one transaction, when the newest key is old enough for all processes to have seen it."""
    removed = 0
    with runtime.system() as connection:
        now = clock.to_ms(clock.now())
        rows = store.sealing_keys_of(connection)
        for workspace in {row.workspace for row in rows}:
            own = sorted((row for row in rows if row.workspace == workspace), key=lambda row: row.number)
            if now - own[-1].created_at < GRACE_SECONDS * 1000:
                continue
            counts = _counts(connection, workspace)
            for row in own[:-1]:
                if not counts.get(row.number):
                    store.remove_sealing_key(connection, workspace, row.number)
                    removed += 1
    runtime.forget_keys()
    return removed
