"""All SQL of outcomes."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from tagcast.kit import db
from tagcast.kit.uow import Work
from tagcast.outcomes.tables import sendings

_s = sendings.c


@dataclass(frozen=True, slots=True)
class Sending:
    """One launch of a message; `at_ms` in epoch milliseconds."""

    ref: str
    name: str
    account: int
    at_ms: int


def put(work: Work, sending: Sending) -> None:
    """Insert a sending, or overwrite it."""
    row = {
        "workspace": work.workspace,
        "ref": sending.ref,
        "name": sending.name,
        "account": sending.account,
        "at": sending.at_ms,
    }
    db.upsert(work.connection, sendings, [row], ["workspace", "ref"])


def rename(work: Work, ref: str, name: str) -> None:
    """Give a sending another name."""
    work.connection.execute(sa.update(sendings).where(_s.workspace == work.workspace, _s.ref == ref).values(name=name))


def some(work: Work, *, refs: Collection[str] | None, names: Collection[str] | None) -> list[Sending]:
    """Sendings in the order of their launch: all, or those with one of these references or names."""
    query = sa.select(_s.ref, _s.name, _s.account, _s.at).where(_s.workspace == work.workspace)
    if refs is not None or names is not None:
        query = query.where(sa.or_(_s.ref.in_(sorted(refs or ())), _s.name.in_(sorted(names or ()))))
    return [Sending(*row) for row in work.connection.execute(query.order_by(_s.at, _s.ref))]


def names(work: Work) -> list[str]:
    """The names of all sendings, sorted."""
    query = sa.select(_s.name).where(_s.workspace == work.workspace).distinct().order_by(_s.name)
    return list(work.connection.scalars(query))
