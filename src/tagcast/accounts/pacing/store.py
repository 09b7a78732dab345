"""All SQL of limits, by workspace."""

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.accounts.pacing import sharing
from tagcast.accounts.pacing.sharing import Share
from tagcast.accounts.pacing.tables import ceilings, quotas, rates, slots
from tagcast.kit import db
from tagcast.kit.leases import clock_ms
from tagcast.kit.uow import Work

KEY = ("workspace", "account", "api")
TABLES = (rates, slots, ceilings, quotas)


def _here(table: sa.Table, work: Work, account: int, api: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace == work.workspace, table.c.account == account, table.c.api == api)


def _row(work: Work, account: int, api: str, **more: Any) -> dict[str, Any]:
    return {"workspace": work.workspace, "account": account, "api": api, **more}


def reserve_calls(work: Work, account: int, api: str, step_us: int, calls: int) -> tuple[int, int]:
    """Reserve the next `calls` slots, `step_us` apart: (first slot, now) in epoch microseconds of one clock."""
    c = rates.c
    db.upsert_ignore(work.connection, rates, [_row(work, account, api, tat=0)], KEY)
    if work.connection.dialect.name == "postgresql":
        clock: sa.ColumnElement[int] = sa.literal_column("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    else:
        clock = sa.literal(time.time_ns() // 1000)
    late = sa.case((c.tat > clock, c.tat), else_=clock)
    tat, now = work.connection.execute(
        sa.update(rates)
        .where(_here(rates, work, account, api))
        .values(tat=late + calls * step_us)
        .returning(c.tat, clock)
    ).one()
    return int(tat) - calls * step_us, int(now)


def take_slots(
    work: Work, account: int, api: str, *, owner: str, limit: int, wanted: int, busy: int, seconds: float
) -> int:
    """How many slots the owner may use in the next `seconds`; it holds those of calls under way besides.

    Takers of one API follow one another.
    """
    db.upsert_ignore(work.connection, rates, [_row(work, account, api, tat=0)], KEY)
    work.connection.execute(sa.select(rates.c.tat).where(_here(rates, work, account, api)).with_for_update())
    now = clock_ms(work.connection)
    rows = work.connection.execute(
        sa.select(slots).where(_here(slots, work, account, api), slots.c.until > now).order_by(slots.c.owner)
    ).all()
    mine = next((row for row in rows if row.owner == owner), None)
    others = [row for row in rows if row.owner != owner]
    wanting = sorted([row.owner for row in others if row.wanted] + [owner])
    me = Share(mine.held if mine else 0, wanted, mine.since if mine else now)
    granted = sharing.grant(
        _ceiling(work, account, api, limit, now), me, [Share(row.held, row.wanted, row.since) for row in others],
        rank=wanting.index(owner), now=now,
    )  # fmt: skip
    held = max(granted, busy)
    since = me.since if mine is not None and (held > 0) == (me.held > 0) else now
    row = _row(work, account, api, owner=owner, held=held, wanted=wanted, since=since)
    db.upsert(work.connection, slots, [{**row, "until": now + int(seconds * 1000)}], [*KEY, "owner"])
    return granted


def leave_slots(work: Work, account: int, api: str, owner: str) -> None:
    """Give back what an owner holds, and what others left behind long ago."""
    gone = sa.or_(slots.c.owner == owner, slots.c.until < clock_ms(work.connection) - 60_000)
    work.connection.execute(sa.delete(slots).where(_here(slots, work, account, api), gone))


def ceiling(work: Work, account: int, api: str, limit: int) -> int:
    """How many calls at a time are tried now."""
    return _ceiling(work, account, api, limit, clock_ms(work.connection))


def _ceiling(work: Work, account: int, api: str, limit: int, now: int) -> int:
    row = work.connection.execute(
        sa.select(ceilings.c.ceiling, ceilings.c.cut_at).where(_here(ceilings, work, account, api))
    ).one_or_none()
    return limit if row is None else sharing.grown(limit, row.ceiling, row.cut_at, now)


def is_cut(work: Work, account: int, api: str) -> bool:
    """Whether the platform has ever refused a call of an API as one too many at a time."""
    found = work.connection.scalar(sa.select(ceilings.c.cut_at).where(_here(ceilings, work, account, api)))
    return found is not None


def cut_ceiling(work: Work, account: int, api: str, limit: int) -> None:
    """Halve how many calls at a time are tried; refusals of one moment are one."""
    now = clock_ms(work.connection)
    db.upsert_ignore(work.connection, ceilings, [_row(work, account, api, ceiling=limit, cut_at=0)], KEY)
    row = work.connection.execute(
        sa.select(ceilings.c.ceiling, ceilings.c.cut_at).where(_here(ceilings, work, account, api)).with_for_update()
    ).one()
    if now - row.cut_at < sharing.ONE_MOMENT_MS:
        return
    work.connection.execute(
        sa.update(ceilings)
        .where(_here(ceilings, work, account, api))
        .values(ceiling=sharing.cut(limit, row.ceiling, row.cut_at, now), cut_at=now)
    )


def quota(work: Work, account: int, api: str) -> tuple[Row[Any] | None, int]:
    """The row of an API and now on its clock; the row is None before anything is known."""
    row = work.connection.execute(sa.select(quotas).where(_here(quotas, work, account, api))).one_or_none()
    return row, clock_ms(work.connection)


def all_quotas(work: Work, account: int) -> Sequence[Row[Any]]:
    """All that is known of an account's quotas, by API."""
    return work.connection.execute(
        sa.select(quotas)
        .where(quotas.c.workspace == work.workspace, quotas.c.account == account)
        .order_by(quotas.c.api)
    ).all()


def put_quota(work: Work, account: int, api: str, **values: Any) -> None:
    """Overwrite some of an API's figures."""
    db.upsert(work.connection, quotas, [_row(work, account, api, **values)], KEY)


def count_calls(work: Work, account: int, api: str, day: int, calls: int) -> None:
    """Add calls that were made; a new day begins anew."""
    db.upsert_ignore(work.connection, quotas, [_row(work, account, api, day=day)], KEY)
    c = quotas.c
    work.connection.execute(
        sa.update(quotas)
        .where(_here(quotas, work, account, api))
        .values(
            day=day,
            counted=sa.case((c.day == day, c.counted), else_=0) + calls,
            used=sa.case((c.day == day, c.used), else_=0),
            read_at=sa.case((c.day == day, c.read_at), else_=None),
        )
    )


def forget(work: Work, account: int) -> None:
    """Remove all limits' state of an account."""
    for table in TABLES:
        work.connection.execute(sa.delete(table).where(table.c.workspace == work.workspace, table.c.account == account))
