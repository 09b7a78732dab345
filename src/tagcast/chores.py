"""Small work that no request asks for: visits become figures, expired tags come off, old rows go."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tagcast import access, audiences, behaviour, broadcasts, contacts, features, inbox, tags, tracking
from tagcast.kit import leases, logs, schedules
from tagcast.kit.leases import Lease
from tagcast.kit.uow import Runtime

FOLD_SECONDS = 2.0
PURGE_SECONDS = 3600.0
SYNC_SECONDS = 300.0
FEATURES_SECONDS = 60.0
SEGMENTS_SECONDS = 20.0
LAKE_SECONDS = 30.0
STUCK_SECONDS = 60.0
RECORDS_SECONDS = 300.0
# So many events of a type are worth a new checkpoint of what is kept of contacts.
RECORDS_LEAST = 100_000
# How long the answer of a write is kept for its repetition.
ANSWERS_KEPT = timedelta(days=7)
# How long it is known what has fired, should the clock be set back.
FIRES_KEPT = timedelta(days=90)

log = logs.get("chores")


async def expire_tags(runtime: Runtime, lease: Lease) -> None:
    """Take away the tags whose time is over, once per asked moment."""
    await asyncio.to_thread(_expire_tags, runtime, lease)


def _expire_tags(runtime: Runtime, lease: Lease) -> None:
    with runtime.work(lease.workspace, "worker") as work:
        tags.expire(work)
        leases.complete(work.connection, lease)


@dataclass(slots=True)
class Clockwork:
    """When this process did each chore last, in local monotonic seconds. Doing one twice changes nothing."""

    folded: float = field(default=float("-inf"))
    purged: float = field(default=float("-inf"))
    synced: float = field(default=float("-inf"))
    computed: float = field(default=float("-inf"))
    followed: float = field(default=float("-inf"))
    looked: float = field(default=float("-inf"))
    moved: float = field(default_factory=time.monotonic)
    recorded: float = field(default_factory=time.monotonic)

    def turn(self, runtime: Runtime) -> None:
        """Do what is due."""
        now = time.monotonic()
        for name, seconds, chore in _CHORES:
            if now - getattr(self, name) >= seconds:
                setattr(self, name, now)
                for workspace in workspaces(runtime):
                    chore(runtime, workspace)


def workspaces(runtime: Runtime) -> list[int]:
    """All workspaces of the database."""
    with runtime.engine.connect() as connection:
        return list(access.workspaces(connection))


def fold(runtime: Runtime, workspace: int) -> None:
    """Bring visits into the sets of who opened and clicked, if any wait."""
    with runtime.read(workspace, "worker") as work:
        if not tracking.unfolded(work):
            return
    with runtime.work(workspace, "worker") as work:
        tracking.fold(work)


def purge(runtime: Runtime, workspace: int) -> None:
    """Delete callbacks, receipts and answers of writes that are kept long enough."""
    with runtime.work(workspace, "worker") as work:
        inbox.purge(work)
        broadcasts.purge_receipts(work)
        schedules.purge(work, work.now - FIRES_KEPT)
        access.purge_answers(work, work.now - ANSWERS_KEPT)


def start_syncs(runtime: Runtime, workspace: int) -> None:
    """Ask for the syncs with the platforms whose time has come: first who is there, then who has which tag."""
    with runtime.work(workspace, "schedule") as work:
        contacts.start_due(work)
        tags.sync.start_due(work)


def tell_stuck(runtime: Runtime, workspace: int) -> None:
    """Log the broadcasts that are being sent and do not move, with the reason."""
    with runtime.read(workspace, "worker") as work:
        for broadcast, found in broadcasts.stuck_ones(work):
            log.warning("broadcast stands still", broadcast=broadcast.id, why=found.word, since=found.since.isoformat())


def start_features(runtime: Runtime, workspace: int) -> None:
    """Ask for the features whose day has come, the first time after local midnight."""
    with runtime.read(workspace, "schedule") as work:
        if not features.due(work):
            return
    with runtime.work(workspace, "schedule") as work:
        features.start_due(work)


def start_segments(runtime: Runtime, workspace: int) -> None:
    """Ask for the segments whose round has come, and for the day's sizes."""
    with runtime.read(workspace, "schedule") as work:
        if not audiences.waiting(work):
            return
    with runtime.work(workspace, "schedule") as work:
        audiences.start_due(work)


def write_records(runtime: Runtime, workspace: int) -> None:
    """Write what is kept of contacts' events to files, so that a process need not begin with the whole log."""
    with runtime.read(workspace, "worker") as work:
        behaviour.checkpoint(work, least=RECORDS_LEAST)


def start_lake(runtime: Runtime, workspace: int) -> None:
    """Ask for new events to be brought into the lake."""
    with runtime.read(workspace, "schedule") as work:
        if not behaviour.moving.due(work):
            return
    with runtime.work(workspace, "schedule") as work:
        behaviour.moving.start(work)


_CHORES: tuple[tuple[str, float, Callable[[Runtime, int], None]], ...] = (
    ("folded", FOLD_SECONDS, fold),
    ("purged", PURGE_SECONDS, purge),
    ("synced", SYNC_SECONDS, start_syncs),
    ("computed", FEATURES_SECONDS, start_features),
    ("followed", SEGMENTS_SECONDS, start_segments),
    ("moved", LAKE_SECONDS, start_lake),
    ("looked", STUCK_SECONDS, tell_stuck),
    ("recorded", RECORDS_SECONDS, write_records),
)
