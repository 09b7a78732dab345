"""All SQL of features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tagcast.features import rules
from tagcast.features.rules import Definition
from tagcast.features.tables import definitions as definition_table
from tagcast.features.tables import feature_runs
from tagcast.features.tables import progress as progress_table
from tagcast.kit import db
from tagcast.kit.uow import Work

_d = definition_table.c


@dataclass(frozen=True, slots=True)
class Run:
    """The last computation: by which version, for which day (since 1970-01-01), with which newest batch of events."""

    name: str
    version: int
    as_of: int
    seq: int
    details: dict[str, Any]
    computed_ms: int


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a definition: who made it when; `retired_ms` when it was deleted."""

    definition: Definition
    created_ms: int
    created_by: str
    retired_ms: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a computation that was asked for is: `waiting`, `running`, `done` or `failed`."""

    name: str
    state: str
    done: int
    total: int
    problem: str | None
    at_ms: int


def definitions(work: Work) -> dict[str, Definition]:
    """The newest version of each that is not retired, by name."""
    newest = (
        sa.select(_d.name, sa.func.max(_d.version).label("version"))
        .where(_d.workspace == work.workspace)
        .group_by(_d.name)
        .subquery()
    )
    query = (
        sa.select(_d.name, _d.version, _d.definition)
        .join(newest, sa.and_(newest.c.name == _d.name, newest.c.version == _d.version))
        .where(_d.workspace == work.workspace, _d.retired_at.is_(None))
        .order_by(_d.name)
    )
    return {row.name: _definition(row.name, row.version, row.definition) for row in work.connection.execute(query)}


def versions(work: Work, name: str) -> list[Version]:
    """Every version of a definition, newest first."""
    query = sa.select(definition_table).where(_d.workspace == work.workspace, _d.name == name)
    return [
        Version(_definition(name, row.version, row.definition), row.created_at, row.created_by, row.retired_at)
        for row in work.connection.execute(query.order_by(_d.version.desc()))
    ]


def _definition(name: str, version: int, data: Mapping[str, Any]) -> Definition:
    return rules.parse(name, data, version=version)


def put_definition(work: Work, definition: Definition) -> None:
    """Insert a new version."""
    row = {
        "workspace": work.workspace,
        "name": definition.name,
        "version": definition.version,
        "definition": rules.as_data(definition),
        "created_at": work.now_ms,
        "created_by": work.actor[:80],
    }
    work.connection.execute(sa.insert(definition_table).values(row))


def retire(work: Work, name: str) -> None:
    """Note that a feature was deleted, and forget its computation."""
    here = (_d.workspace == work.workspace, _d.name == name, _d.retired_at.is_(None))
    work.connection.execute(sa.update(definition_table).where(*here).values(retired_at=work.now_ms))
    for table in (feature_runs, progress_table):
        work.connection.execute(sa.delete(table).where(table.c.workspace == work.workspace, table.c.name == name))


def put_run(work: Work, run: Run) -> None:
    """Remember how a feature was last computed."""
    row = {
        "workspace": work.workspace,
        "name": run.name,
        "version": run.version,
        "as_of": run.as_of,
        "seq": run.seq,
        "details": run.details,
        "computed_at": run.computed_ms,
    }
    db.upsert(work.connection, feature_runs, [row], ["workspace", "name"])


def last_run(work: Work, name: str) -> Run | None:
    """The last computation of a feature."""
    return runs(work, name).get(name)


def runs(work: Work, name: str | None = None) -> dict[str, Run]:
    """The last computation of each feature, or of one."""
    query = sa.select(feature_runs).where(feature_runs.c.workspace == work.workspace)
    if name is not None:
        query = query.where(feature_runs.c.name == name)
    return {
        row.name: Run(row.name, row.version, row.as_of, row.seq, row.details, row.computed_at)
        for row in work.connection.execute(query)
    }


def put_progress(
    work: Work, name: str, state: str, at: tuple[int, int] = (0, 0), *, problem: str | None = None
) -> None:  # fmt: skip
    """Remember how far a computation is: `at` is (done, total)."""
    row = {
        "workspace": work.workspace,
        "name": name,
        "state": state,
        "done": at[0],
        "total": at[1],
        "problem": problem,
        "at": work.now_ms,
    }
    db.upsert(work.connection, progress_table, [row], ["workspace", "name"])


def all_progress(work: Work) -> dict[str, Progress]:
    """How far each computation is that was ever asked of a worker."""
    query = sa.select(progress_table).where(progress_table.c.workspace == work.workspace)
    return {
        row.name: Progress(row.name, row.state, row.done, row.total, row.problem, row.at)
        for row in work.connection.execute(query)
    }
