"""SQL of testers and test sends."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.previews.tables import testers, tests
from tagcast.kit import clock
from tagcast.kit.uow import Work

_t, _s = testers.c, tests.c


@dataclass(frozen=True, slots=True)
class Tester:
    """Who agreed to be shown messages of an account: a contact, or an employee by `userid` (企业微信)."""

    id: int
    account: int
    contact: int
    userid: str
    added_at: datetime
    added_by: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What one tester was shown. `state`: sent, failed, or calling: nobody knows whether it came."""

    id: int
    broadcast: int
    tester: int
    variant: str
    digest: str
    state: str
    reason: str | None
    at: datetime
    by: str


def _tester(row: Row[tuple[object, ...]]) -> Tester:
    return Tester(row.id, row.account, row.contact, row.userid, clock.from_ms(row.added_at), row.added_by)


def listed(work: Work, account: int | None = None) -> list[Tester]:
    """The testers of an account, or of all."""
    query = sa.select(testers).where(_t.workspace == work.workspace)
    if account is not None:
        query = query.where(_t.account == account)
    return [_tester(row) for row in work.connection.execute(query.order_by(_t.id))]


def add_tester(work: Work, account: int, contact: int, userid: str) -> None:
    """A new tester."""
    row = {"workspace": work.workspace, "account": account, "contact": contact, "userid": userid}
    work.connection.execute(sa.insert(testers).values(**row, added_at=work.now_ms, added_by=work.actor[:100]))


def delete_tester(work: Work, tester: int) -> bool:
    """Whether there was one to take off the list."""
    query = sa.delete(testers).where(_t.workspace == work.workspace, _t.id == tester)
    return work.connection.execute(query).rowcount == 1


def trials_of(work: Work, broadcast: int) -> list[Trial]:
    """What was shown of a broadcast, the oldest first."""
    query = sa.select(tests).where(_s.workspace == work.workspace, _s.broadcast == broadcast).order_by(_s.id)
    return [
        Trial(
            row.id,
            row.broadcast,
            row.tester,
            row.variant,
            row.digest,
            row.state,
            row.reason,
            clock.from_ms(row.at),
            row.by,
        )
        for row in work.connection.execute(query)
    ]


def count_since(work: Work, account: int, since_ms: int) -> int:
    """How many messages the testers of an account were shown since a moment."""
    theirs = sa.select(_t.id).where(_t.workspace == work.workspace, _t.account == account)
    query = sa.select(sa.func.count()).where(_s.workspace == work.workspace, _s.at >= since_ms, _s.tester.in_(theirs))
    return int(work.connection.scalar(query) or 0)


def begin(work: Work, broadcast: int, tester: int, variant: str, digest: str, *, at: int) -> int:
    """A test that is called now, its number; one that was begun before keeps it."""
    here = (_s.workspace == work.workspace, _s.broadcast == broadcast, _s.tester == tester, _s.digest == digest)
    facts = {"state": "calling", "reason": None, "at": at, "by": work.actor[:100], "variant": variant}
    found = work.connection.scalar(sa.select(_s.id).where(*here))
    if found is not None:
        work.connection.execute(sa.update(tests).where(_s.id == found).values(**facts))
        return int(found)
    row = {"workspace": work.workspace, "broadcast": broadcast, "tester": tester, "digest": digest, **facts}
    made = work.connection.execute(sa.insert(tests).values(**row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def end(work: Work, test: int, state: str, reason: str | None) -> None:
    """What came of it."""
    here = (_s.workspace == work.workspace, _s.id == test)
    work.connection.execute(sa.update(tests).where(*here).values(state=state, reason=reason))
