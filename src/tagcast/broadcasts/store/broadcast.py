"""Broadcasts and their plans."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.rules import Route, State, Step
from tagcast.broadcasts.tables import broadcasts, plans
from tagcast.kit import clock, db
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work


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
    running: dict[str, Any]
    created_at: datetime
    created_by: str
    due_at: datetime | None
    deadline_at: datetime | None
    started_at: datetime | None
    sent_at: datetime | None
    finished_at: datetime | None

    @property
    def key(self) -> str:
        """The prefix of its sets: `broadcast:<id>`."""
        return f"broadcast:{self.id}"

    @property
    def waits(self) -> bool:
        """Whether it stopped before anything was frozen: it needs a new plan, as a draft does."""
        return self.state is State.PAUSED and self.started_at is None


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it was made."""

    hash: str
    steps: list[Step]
    facts: dict[str, Any]
    warnings: list[str]
    made_at: datetime
    notes: dict[str, Any] = field(default_factory=dict)


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
        running=row.running,
        created_at=clock.from_ms(row.created_at),
        created_by=row.created_by,
        due_at=_moment(row.due_at),
        deadline_at=_moment(row.deadline_at),
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
            running={},
            created_at=work.now_ms,
            created_by=work.actor,
            **values,
        )
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def get(work: Work, broadcast: int, *, lock: bool = False, deleted: bool = False) -> Broadcast:
    """A broadcast. Raises NotFound, also for another workspace's, and for a deleted one unless it is asked for.

    With `lock` nobody else changes it, its chunks or its leases until the transaction ends: every writer of a chunk
    takes this lock before it reads, and before any lease, so that no two wait for each other.
    """
    query = sa.select(broadcasts).where(broadcasts.c.workspace == work.workspace, broadcasts.c.id == broadcast)
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or (row.state == State.DELETED and not deleted):
        raise NotFound("broadcasts.not_found", broadcast=broadcast)
    return _broadcast(row)


def all_(work: Work, limit: int = 100, *, account: int | None = None, states: Iterable[str] = ()) -> list[Broadcast]:
    """The newest broadcasts first; of one account, and in some states, if asked."""
    query = sa.select(broadcasts).where(broadcasts.c.workspace == work.workspace)
    if account is not None:
        query = query.where(broadcasts.c.account == account)
    wanted = list(states)
    query = query.where(broadcasts.c.state.in_(wanted) if wanted else broadcasts.c.state != State.DELETED)
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
        "notes": plan.notes,
        "made_at": clock.to_ms(plan.made_at),
    }
    db.upsert(work.connection, plans, [row], ["workspace", "broadcast"])


def delete_plan(work: Work, broadcast: int) -> None:
    """Forget the plan of a broadcast: its hash is of nothing any more."""
    work.connection.execute(sa.delete(plans).where(plans.c.workspace == work.workspace, plans.c.broadcast == broadcast))


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
    return SavedPlan(row.hash, steps, row.facts, row.warnings, clock.from_ms(row.made_at), row.notes)
