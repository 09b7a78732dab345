"""What is kept beside a draft: its changes, what a second person said, and what the workspace sets for all."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tagcast.broadcasts.tables import approvals, edits, settings
from tagcast.kit import db
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Edit:
    """What the changed columns of a draft held before; `at` in epoch milliseconds."""

    id: int
    before: dict[str, Any]
    who: str
    at: int


@dataclass(frozen=True, slots=True)
class Approval:
    """What somebody said about a plan; `at` in epoch milliseconds."""

    plan_hash: str
    approved: bool
    note: str
    who: str
    at: int


@dataclass(frozen=True, slots=True)
class Set:
    """What a workspace has set; `at` in epoch milliseconds."""

    value: Any
    who: str
    at: int


def insert_edit(work: Work, broadcast: int, before: dict[str, Any]) -> None:
    """Keep what a draft was before a change."""
    work.connection.execute(
        sa.insert(edits).values(
            workspace=work.workspace, broadcast=broadcast, before=before, at=work.now_ms, who=work.actor
        )
    )


def last_edit(work: Work, broadcast: int) -> Edit | None:
    """The newest change that was not undone."""
    row = work.connection.execute(
        sa.select(edits)
        .where(edits.c.workspace == work.workspace, edits.c.broadcast == broadcast, edits.c.undone_at.is_(None))
        .order_by(edits.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Edit(row.id, row.before, row.who, row.at)


def mark_undone(work: Work, edit: int) -> None:
    """A change was taken back."""
    work.connection.execute(
        sa.update(edits).where(edits.c.workspace == work.workspace, edits.c.id == edit).values(undone_at=work.now_ms)
    )


def editors(work: Work, broadcast: int) -> set[str]:
    """Who changed a draft, also where it was undone."""
    here = sa.and_(edits.c.workspace == work.workspace, edits.c.broadcast == broadcast)
    return set(work.connection.scalars(sa.select(edits.c.who).where(here)))


def insert_approval(work: Work, broadcast: int, plan_hash: str, *, approved: bool, note: str) -> None:
    """Record what somebody said about a plan."""
    said = {"plan_hash": plan_hash, "approved": approved, "note": note}
    who = {"at": work.now_ms, "who": work.actor}
    work.connection.execute(sa.insert(approvals).values(workspace=work.workspace, broadcast=broadcast, **said, **who))


def approvals_of(work: Work, broadcast: int) -> list[Approval]:
    """What was said about the plans of a broadcast, the newest first."""
    rows = work.connection.execute(
        sa.select(approvals)
        .where(approvals.c.workspace == work.workspace, approvals.c.broadcast == broadcast)
        .order_by(approvals.c.id.desc())
    )
    return [Approval(row.plan_hash, row.approved, row.note, row.who, row.at) for row in rows]


def approval_of(work: Work, broadcast: int, plan_hash: str) -> Approval | None:
    """The newest word on one plan."""
    return next((said for said in approvals_of(work, broadcast) if said.plan_hash == plan_hash), None)


def setting(work: Work, name: str) -> Set | None:
    """What the workspace has set under a name."""
    row = work.connection.execute(
        sa.select(settings).where(settings.c.workspace == work.workspace, settings.c.name == name)
    ).one_or_none()
    return None if row is None else Set(row.value, row.who, row.at)


def put_setting(work: Work, name: str, value: Any) -> None:
    """Set it."""
    row = {"workspace": work.workspace, "name": name, "value": value, "who": work.actor, "at": work.now_ms}
    db.upsert(work.connection, settings, [row], ["workspace", "name"])
