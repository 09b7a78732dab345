"""Schedules: moments at which something is due, each fired exactly once over any number of workers.

A row says when it is due next. Firing is one transaction: the row is locked, the fire is written under its moment, what
follows is done, and the next moment is set. The key (schedule, moment) stands, so that no clock that goes back, no
second worker and no worker that dies fires a moment twice. What was missed while nobody ran does not come in a burst:
the latest missed moment counts, and the schedule's policy says what becomes of it.

Moments are read from one clock, as leases are: the database's on PostgreSQL, the machine's on SQLite.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tagcast.kit import clock, db, leases, logs
from tagcast.kit.uow import Runtime, Work

schedules = sa.Table(
    "schedule",
    db.metadata,
    sa.Column("id", db.Id, primary_key=True, autoincrement=True),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(60), nullable=False),
    sa.Column("key", sa.String(120), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    # Without one nothing is due any more.
    sa.Column("next_at", db.Ms),
    sa.Column("misfire", sa.String(10), nullable=False),
    sa.Column("grace_ms", db.Ms, nullable=False),
    sa.Column("deadline_ms", db.Ms),
    # After a fire that failed: not tried again before.
    sa.Column("wait_until", db.Ms, nullable=False),
    sa.UniqueConstraint("workspace", "kind", "key"),
    sa.Index("ix_schedule_due", "next_at", **db.where("next_at IS NOT NULL")),
)

fires = sa.Table(
    "schedule_fire",
    db.metadata,
    sa.Column("schedule", db.Id, primary_key=True, autoincrement=False),
    sa.Column("fire_at", db.Ms, primary_key=True, autoincrement=False),
    sa.Column("workspace", sa.Integer, nullable=False),
    sa.Column("fired_at", db.Ms, nullable=False),
    sa.Column("verdict", sa.String(10), nullable=False),
    sa.Column("missed", sa.Integer, nullable=False),
)

LOOK_SECONDS = 0.25
"""How long a worker sleeps at most: another process may have made a schedule, or somebody moved the clock."""

AFTER_ERROR_SECONDS = 5.0

MOST_MISSED = 1000
"""So many missed moments are passed over one by one; beyond, it is gone on from the present."""

BACK_MS = 1000
"""A wall clock that lost so much against the monotonic one was set back."""

log = logs.get("schedules")

# The present in epoch ms, as a connection has it.
Clock = Callable[[Connection], int]


class Verdict(StrEnum):
    """What is to become of a fire. The first three are also what a policy can ask for when it is late."""

    SEND = "send"
    SKIP = "skip"
    ASK = "ask"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Policy:
    """`misfire` holds for what fires later than `grace`; what is later than `deadline` has expired whatever it says."""

    misfire: Verdict = Verdict.ASK
    grace: timedelta = timedelta(minutes=10)
    deadline: timedelta | None = None


def judge(policy: Policy, fire_at: datetime, now: datetime) -> Verdict:
    """What is to become of a moment that fires now."""
    late = now - fire_at
    if policy.deadline is not None and late > policy.deadline:
        return Verdict.EXPIRED
    return Verdict.SEND if late <= policy.grace else policy.misfire


@dataclass(frozen=True, slots=True)
class Fire:
    """A moment that has come. `missed`: how many earlier ones were passed over for it."""

    schedule: int
    workspace: int
    kind: str
    key: str
    payload: Mapping[str, Any]
    fire_at: datetime
    fired_at: datetime
    verdict: Verdict
    missed: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of schedule does: its first moment after another, or None; and what a fire brings about.

    `fire` runs in the transaction of the fire and must be short; long work is asked for as a lease there.
    """

    after: Callable[[Mapping[str, Any], datetime], datetime | None]
    fire: Callable[[Work, Fire], None]


def put(work: Work, kind: str, key: str, first: datetime, *, payload: Mapping[str, Any], policy: Policy) -> None:
    """Set a schedule, first due at `first`; one under the same key is replaced, and what it fired is forgotten."""
    drop(work, kind, key)
    row = {
        "workspace": work.workspace,
        "kind": kind,
        "key": key,
        "payload": dict(payload),
        "next_at": clock.to_ms(first),
        "misfire": str(policy.misfire),
        "grace_ms": _ms(policy.grace),
        "deadline_ms": None if policy.deadline is None else _ms(policy.deadline),
        "wait_until": 0,
    }
    db.insert_many(work.connection, schedules, [row])


def drop(work: Work, kind: str, key: str) -> bool:
    """Take a schedule away with its fires; whether there was one. Waits for a worker that is just firing it."""
    here = _here(work, kind, key)
    found = work.connection.scalar(sa.select(schedules.c.id).where(here).with_for_update())
    if found is None:
        return False
    work.connection.execute(sa.delete(fires).where(fires.c.schedule == found))
    work.connection.execute(sa.delete(schedules).where(here))
    return True


def next_at(work: Work, kind: str, key: str) -> datetime | None:
    """When a schedule is due next; None: never again, or there is none."""
    found = work.connection.scalar(sa.select(schedules.c.next_at).where(_here(work, kind, key)))
    return None if found is None else clock.from_ms(found)


def purge(work: Work, before: datetime) -> int:
    """Delete fires older than `before`; returns how many. A clock that is set back further may fire them again."""
    old = sa.and_(fires.c.workspace == work.workspace, fires.c.fired_at < clock.to_ms(before))
    return work.connection.execute(sa.delete(fires).where(old)).rowcount


def next_in_ms(connection: Connection, now: int) -> int | None:
    """Milliseconds until something is due; None when nothing is."""
    due = sa.case((schedules.c.wait_until > schedules.c.next_at, schedules.c.wait_until), else_=schedules.c.next_at)
    found = connection.scalar(sa.select(sa.func.min(due)).where(schedules.c.next_at.is_not(None)))
    return None if found is None else max(0, int(found) - now)


def fire_next(runtime: Runtime, kinds: Mapping[str, Kind], now_of: Clock = leases.clock_ms) -> Fire | None:
    """Fire what has been due longest and nobody else is firing, or None. A failure of what follows is raised.

    Then nothing of it stands, and it is tried again after some seconds.
    """
    with runtime.engine.connect() as connection:
        now = now_of(connection)
        due = _due(now, kinds)
        workspace = connection.scalar(sa.select(schedules.c.workspace).where(due).order_by(schedules.c.next_at))
    if workspace is None:
        return None
    tried: list[int] = []
    try:
        with runtime.work(workspace, "schedule", now=clock.from_ms(now)) as work:
            return _fire(work, kinds, due, tried)
    except Exception:
        with runtime.system() as connection:
            later = now_of(connection) + int(AFTER_ERROR_SECONDS * 1000)
            connection.execute(sa.update(schedules).where(schedules.c.id.in_(tried)).values(wait_until=later))
        raise


def _due(now: int, kinds: Mapping[str, Kind]) -> sa.ColumnElement[bool]:
    return sa.and_(schedules.c.next_at <= now, schedules.c.wait_until <= now, schedules.c.kind.in_(list(kinds)))


def _fire(work: Work, kinds: Mapping[str, Kind], due: sa.ColumnElement[bool], tried: list[int]) -> Fire | None:
    row = work.connection.execute(
        sa.select(schedules)
        .where(due, schedules.c.workspace == work.workspace)
        .order_by(schedules.c.next_at, schedules.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    tried.append(row.id)
    kind = kinds[row.kind]
    at, missed = _latest(kind, row, work.now)
    deadline = None if row.deadline_ms is None else timedelta(milliseconds=row.deadline_ms)
    policy = Policy(Verdict(row.misfire), timedelta(milliseconds=row.grace_ms), deadline)
    verdict = judge(policy, at, work.now)
    record = {"schedule": row.id, "fire_at": clock.to_ms(at), "workspace": work.workspace, "missed": missed}
    statement = db.insert_or(work.connection, fires).values(**record, fired_at=work.now_ms, verdict=str(verdict))
    once = statement.on_conflict_do_nothing(index_elements=["schedule", "fire_at"]).returning(fires.c.fire_at)
    written = work.connection.execute(once).one_or_none()
    following = kind.after(row.payload, work.now)
    moved = None if following is None else clock.to_ms(following)
    work.connection.execute(sa.update(schedules).where(schedules.c.id == row.id).values(next_at=moved, wait_until=0))
    if written is None:  # fired before the clock was set back
        return None
    fire = Fire(row.id, work.workspace, row.kind, row.key, row.payload, at, work.now, verdict, missed)
    kind.fire(work, fire)
    return fire


def _latest(kind: Kind, row: Row[Any], now: datetime) -> tuple[datetime, int]:
    """The latest moment of a schedule that has come, and how many are passed over for it."""
    at, missed = clock.from_ms(row.next_at), 0
    while missed < MOST_MISSED:
        following = kind.after(row.payload, at)
        if following is None or following > now:
            break
        at, missed = following, missed + 1
    return at, missed


def realign(runtime: Runtime, kinds: Mapping[str, Kind], now_of: Clock = leases.clock_ms) -> int:
    """Set what is due in the future to the first moment after the present; returns how many moved.

    So a clock that ran ahead and was set back takes no days away, and a calendar that was corrected holds at once. What
    has fired under its moment does not fire again.
    """
    moved = 0
    with runtime.system() as connection:
        now = now_of(connection)
        rows = connection.execute(
            sa.select(schedules).where(schedules.c.next_at > now, schedules.c.kind.in_(list(kinds))).with_for_update()
        ).all()
        for row in rows:
            first = kinds[row.kind].after(row.payload, clock.from_ms(now))
            if first is not None and clock.to_ms(first) != row.next_at:
                changed = sa.update(schedules).where(schedules.c.id == row.id).values(next_at=clock.to_ms(first))
                moved += connection.execute(changed).rowcount
    return moved


class Wall:
    """Notices that the wall clock was set back."""

    def __init__(self) -> None:
        self._ahead: int | None = None

    def went_back(self, now: int) -> bool:
        """Whether it lost time since the last look; also true at the first one."""
        ahead = now - time.monotonic_ns() // 1_000_000
        before, self._ahead = self._ahead, ahead
        return before is None or ahead < before - BACK_MS


def run(
    runtime: Runtime,
    kinds: Mapping[str, Kind],
    stop: threading.Event,
    *,
    fired: Callable[[Fire], object] = lambda _fire: None,
    now_of: Clock = leases.clock_ms,
) -> None:
    """Fire what is due until `stop` is set, in this thread; `fired` is told of each fire after its commit."""
    wall = Wall()
    while not stop.is_set():
        try:
            wait = _turn(runtime, kinds, wall, fired, now_of)
        except Exception:
            log.exception("schedules failed")
            wait = LOOK_SECONDS
        stop.wait(wait)


def _turn(
    runtime: Runtime, kinds: Mapping[str, Kind], wall: Wall, fired: Callable[[Fire], object], now_of: Clock
) -> float:
    """Fire what is due; returns for how many seconds to sleep."""
    with runtime.engine.connect() as connection:
        now = now_of(connection)
        left = next_in_ms(connection, now)
    if wall.went_back(now):
        realign(runtime, kinds, now_of)
        return 0.0
    if left != 0:
        return LOOK_SECONDS if left is None else min(LOOK_SECONDS, left / 1000)
    fire = fire_next(runtime, kinds, now_of)
    if fire is None:  # another worker has it
        return 0.01
    fired(fire)
    return 0.0


def _here(work: Work, kind: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(schedules.c.workspace == work.workspace, schedules.c.kind == kind, schedules.c.key == key)


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
