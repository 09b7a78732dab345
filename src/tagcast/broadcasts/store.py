"""All SQL of broadcasts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.rules import Numbers, Route, State, Status, Statuses, Step
from tagcast.broadcasts.tables import broadcasts, chunks, failures, plans, receipts
from tagcast.kit import clock, db
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

TROUBLE = "trouble"  # in a chunk's progress: why it was given back, until a call succeeds


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One message to one audience through one account."""

    id: int
    name: str
    account: int
    purpose: str
    content: dict[str, Any]
    audience: dict[str, Any]
    holdout_percent: float
    route: Route
    state: State
    reason: str | None
    plan_hash: str | None
    settings: dict[str, Any]
    totals: dict[str, Any]
    created_at: datetime
    created_by: str
    started_at: datetime | None
    sent_at: datetime | None
    finished_at: datetime | None

    @property
    def key(self) -> str:
        """The prefix of its sets: `broadcast:<id>`."""
        return f"broadcast:{self.id}"


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it was made."""

    hash: str
    steps: list[Step]
    facts: dict[str, Any]
    warnings: list[str]
    made_at: datetime


@dataclass(slots=True)
class Chunk:
    """A piece of the frozen audience with the status of each recipient; arrays are in step."""

    broadcast: int
    no: int
    sender: str
    recipients: Numbers
    statuses: Statuses
    msgids: "np.ndarray[Any, np.dtype[np.uint64]]"
    watermark: int
    tried_at: int | None
    call: str
    msgid: str | None
    progress: dict[str, Any]
    done: bool


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)


def _broadcast(row: Row[Any]) -> Broadcast:
    return Broadcast(
        id=row.id,
        name=row.name,
        account=row.account,
        purpose=row.purpose,
        content=row.content,
        audience=row.audience,
        holdout_percent=row.holdout_percent,
        route=Route(row.route),
        state=State(row.state),
        reason=row.reason,
        plan_hash=row.plan_hash,
        settings=row.settings,
        totals=row.totals,
        created_at=clock.from_ms(row.created_at),
        created_by=row.created_by,
        started_at=_moment(row.started_at),
        sent_at=_moment(row.sent_at),
        finished_at=_moment(row.finished_at),
    )


def insert(work: Work, **values: Any) -> int:
    """A new draft's id."""
    made = work.connection.execute(
        sa.insert(broadcasts).values(
            workspace=work.workspace,
            state=State.DRAFT,
            totals={},
            created_at=work.now_ms,
            created_by=work.actor,
            **values,
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def get(work: Work, broadcast: int, *, lock: bool = False) -> Broadcast:
    """A broadcast. Raises NotFound, also for another workspace's.

    With `lock` nobody else changes it, its chunks or its leases until the transaction ends: every writer of a chunk
    takes this lock before it reads, and before any lease, so that no two wait for each other.
    """
    query = sa.select(broadcasts).where(broadcasts.c.workspace == work.workspace, broadcasts.c.id == broadcast)
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("broadcasts.not_found", broadcast=broadcast)
    return _broadcast(row)


def all_(work: Work, limit: int = 100, *, account: int | None = None, states: Iterable[str] = ()) -> list[Broadcast]:
    """The newest broadcasts first; of one account, and in some states, if asked."""
    query = sa.select(broadcasts).where(broadcasts.c.workspace == work.workspace)
    if account is not None:
        query = query.where(broadcasts.c.account == account)
    if wanted := list(states):
        query = query.where(broadcasts.c.state.in_(wanted))
    rows = work.connection.execute(query.order_by(broadcasts.c.id.desc()).limit(limit))
    return [_broadcast(row) for row in rows]


def update(work: Work, broadcast: int, **values: Any) -> None:
    """Set columns of a broadcast."""
    work.connection.execute(
        sa.update(broadcasts)
        .where(broadcasts.c.workspace == work.workspace, broadcasts.c.id == broadcast)
        .values(**values)
    )


def move(work: Work, broadcast: int, allowed: Iterable[State], to: State, **values: Any) -> bool:
    """Compare and set the state; False when it was in none of `allowed`."""
    moved = work.connection.execute(
        sa.update(broadcasts)
        .where(
            broadcasts.c.workspace == work.workspace,
            broadcasts.c.id == broadcast,
            broadcasts.c.state.in_([str(state) for state in allowed]),
        )
        .values(state=str(to), **values)
    )
    return moved.rowcount == 1


def save_plan(work: Work, broadcast: int, plan: SavedPlan) -> None:
    """Keep the newest plan of a broadcast."""
    row = {
        "workspace": work.workspace,
        "broadcast": broadcast,
        "hash": plan.hash,
        "steps": [{"name": step.name, "count": step.count, "digest": step.digest} for step in plan.steps],
        "facts": plan.facts,
        "warnings": plan.warnings,
        "made_at": clock.to_ms(plan.made_at),
    }
    db.upsert(work.connection, plans, [row], ["workspace", "broadcast"])


def plan_of(work: Work, broadcast: int) -> SavedPlan | None:
    """The newest plan of a broadcast."""
    return _plan(work, plans.c.broadcast == broadcast)


def broadcast_of_plan(work: Work, plan_hash: str) -> int | None:
    """Which broadcast a plan belongs to."""
    return work.connection.scalar(
        sa.select(plans.c.broadcast).where(plans.c.workspace == work.workspace, plans.c.hash == plan_hash)
    )


def _plan(work: Work, condition: sa.ColumnElement[bool]) -> SavedPlan | None:
    row = work.connection.execute(sa.select(plans).where(plans.c.workspace == work.workspace, condition)).one_or_none()
    if row is None:
        return None
    steps = [Step(step["name"], step["count"], step["digest"]) for step in row.steps]
    return SavedPlan(row.hash, steps, row.facts, row.warnings, clock.from_ms(row.made_at))


def insert_chunks(work: Work, broadcast: int, pieces: Sequence[tuple[str, Numbers]], *, with_msgids: bool) -> None:
    """Freeze (sender, recipients) pieces as chunks 0, 1, 2 …"""
    rows = [
        {
            "workspace": work.workspace,
            "broadcast": broadcast,
            "no": no,
            "sender": sender,
            "recipients": piece.astype("<u4").tobytes(),
            "statuses": bytes(piece.size),
            "msgids": bytes(8 * piece.size) if with_msgids else b"",
            "watermark": 0,
            "call": "",
            "progress": {},
        }
        for no, (sender, piece) in enumerate(pieces)
    ]
    db.insert_many(work.connection, chunks, rows)


def _here(work: Work, broadcast: int) -> sa.ColumnElement[bool]:
    return sa.and_(chunks.c.workspace == work.workspace, chunks.c.broadcast == broadcast)


def _chunk(row: Row[Any]) -> Chunk:
    return Chunk(
        broadcast=row.broadcast,
        no=row.no,
        sender=row.sender,
        recipients=np.frombuffer(row.recipients, dtype="<u4"),
        statuses=np.frombuffer(row.statuses, dtype=np.uint8).copy(),
        msgids=np.frombuffer(row.msgids, dtype="<u8").copy(),
        watermark=row.watermark,
        tried_at=row.tried_at,
        call=row.call,
        msgid=row.msgid,
        progress=row.progress,
        done=row.done_at is not None,
    )


def chunk(work: Work, broadcast: int, no: int) -> Chunk:
    """One chunk. Who writes it back holds the broadcast's lock."""
    return _chunk(work.connection.execute(sa.select(chunks).where(_here(work, broadcast), chunks.c.no == no)).one())


def chunks_of(work: Work, broadcast: int) -> list[Chunk]:
    """All chunks in order. Who writes them back holds the broadcast's lock."""
    rows = work.connection.execute(sa.select(chunks).where(_here(work, broadcast)).order_by(chunks.c.no))
    return [_chunk(row) for row in rows]


def save_chunk(work: Work, changed: Chunk) -> None:
    """Write back what can change of a chunk."""
    work.connection.execute(
        sa.update(chunks)
        .where(_here(work, changed.broadcast), chunks.c.no == changed.no)
        .values(
            statuses=changed.statuses.tobytes(),
            msgids=changed.msgids.astype("<u8").tobytes(),
            watermark=changed.watermark,
            tried_at=changed.tried_at,
            call=changed.call,
            msgid=changed.msgid,
            progress=changed.progress,
            done_at=work.now_ms if changed.done else None,
        )
    )


def open_chunks(work: Work, broadcast: int) -> int:
    """How many chunks are not done."""
    return (
        work.connection.scalar(
            sa.select(sa.func.count()).select_from(chunks).where(_here(work, broadcast), chunks.c.done_at.is_(None))
        )
        or 0
    )


def trouble(work: Work, broadcast: int) -> str | None:
    """What holds up a chunk that was given back, or None: the first one's."""
    rows = work.connection.scalars(
        sa.select(chunks.c.progress).where(_here(work, broadcast), chunks.c.done_at.is_(None)).order_by(chunks.c.no)
    )
    return next((progress[TROUBLE] for progress in rows if TROUBLE in progress), None)


def status_blobs(work: Work, broadcast: int) -> list[bytes]:
    """The packed statuses of all chunks."""
    return list(work.connection.scalars(sa.select(chunks.c.statuses).where(_here(work, broadcast))))


def known_msgids(work: Work, account: int) -> set[str]:
    """Every task id that some chunk of this account's broadcasts holds."""
    rows = work.connection.scalars(
        sa.select(chunks.c.msgid)
        .join(broadcasts, sa.and_(broadcasts.c.workspace == chunks.c.workspace, broadcasts.c.id == chunks.c.broadcast))
        .where(chunks.c.workspace == work.workspace, broadcasts.c.account == account, chunks.c.msgid.is_not(None))
    )
    return {msgid for msgid in rows if msgid}


def insert_failures(work: Work, broadcast: int, reasons: Mapping[int, str]) -> None:
    """Why recipients failed or were held; the last reason stands."""
    shared = {"workspace": work.workspace, "broadcast": broadcast, "at": work.now_ms}
    rows = [{**shared, "contact": contact, "reason": reason} for contact, reason in reasons.items()]
    db.upsert(work.connection, failures, rows, ["workspace", "broadcast", "contact"])


def delete_failures(work: Work, broadcast: int, contacts: Sequence[int]) -> None:
    """Forget reasons that turned out not to hold."""
    for at in range(0, len(contacts), 500):
        work.connection.execute(
            sa.delete(failures).where(
                failures.c.workspace == work.workspace,
                failures.c.broadcast == broadcast,
                failures.c.contact.in_(contacts[at : at + 500]),
            )
        )


def failure_counts(work: Work, broadcast: int) -> list[tuple[str, int]]:
    """(reason, recipients), the most first."""
    rows = work.connection.execute(
        sa.select(failures.c.reason, sa.func.count())
        .where(failures.c.workspace == work.workspace, failures.c.broadcast == broadcast)
        .group_by(failures.c.reason)
        .order_by(sa.func.count().desc(), failures.c.reason)
    )
    return [(row[0], row[1]) for row in rows]


def failure_of(work: Work, broadcast: int, contact: int) -> str | None:
    """Why one recipient failed or was held."""
    return work.connection.scalar(
        sa.select(failures.c.reason).where(
            failures.c.workspace == work.workspace,
            failures.c.broadcast == broadcast,
            failures.c.contact == contact,
        )
    )


def insert_receipts(work: Work, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep receipts; one that is known already changes nothing."""
    db.upsert_ignore(
        work.connection,
        receipts,
        [{"workspace": work.workspace, "at": work.now_ms, **row} for row in rows],
        ["workspace", "account", "msgid"],
    )


def open_receipts(work: Work, account: int) -> list[Row[Any]]:
    """Receipts of an account that no broadcast has taken yet."""
    return list(
        work.connection.execute(
            sa.select(receipts.c.seq, receipts.c.msgid, receipts.c.status, receipts.c.data)
            .where(
                receipts.c.workspace == work.workspace,
                receipts.c.account == account,
                receipts.c.matched_at.is_(None),
            )
            .order_by(receipts.c.seq)
        )
    )


def take_receipts(work: Work, seqs: Sequence[int]) -> None:
    """Mark receipts as taken."""
    for at in range(0, len(seqs), 500):
        work.connection.execute(
            sa.update(receipts)
            .where(receipts.c.workspace == work.workspace, receipts.c.seq.in_(seqs[at : at + 500]))
            .values(matched_at=work.now_ms)
        )


def delete_receipts(work: Work, before_ms: int) -> int:
    """How many receipts that came before a time were deleted."""
    return work.connection.execute(
        sa.delete(receipts).where(receipts.c.workspace == work.workspace, receipts.c.at < before_ms)
    ).rowcount


def status_of(work: Work, broadcast: int, contact: int) -> Status | None:
    """The ledger's word on one recipient, or None if he is not in the frozen audience."""
    for piece in chunks_of(work, broadcast):
        at = np.flatnonzero(piece.recipients == contact)
        if at.size:
            return Status(int(piece.statuses[at[0]]))
    return None
