"""All SQL of compliance, always by workspace."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps import from_bytes, to_bytes
from tagcast.compliance.rules import day_number
from tagcast.compliance.tables import caps, consents, sends
from tagcast.kit import db
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """One record of a consent given or withdrawn. `at` in epoch milliseconds."""

    id: int
    purpose: str
    state: str
    source: str
    notice_version: str
    at: int
    who: str


def insert_consent(
    work: Work, purpose: str, state: str, members: BitMap, *, source: str, notice: str, seq: int | None
) -> None:
    """Record whom a change concerns, also those for whom nothing changed: the notice may be a new one."""
    work.connection.execute(
        sa.insert(consents).values(
            workspace=work.workspace,
            purpose=purpose,
            state=state,
            source=source,
            notice_version=notice,
            at=work.now_ms,
            who=work.actor,
            seq=seq,
            members=to_bytes(members),
            low=members.min(),
            high=members.max(),
        )
    )


def consents_of(work: Work, number: int) -> list[ConsentRecord]:
    """All records that concern a contact, newest first."""
    c = consents.c
    rows = work.connection.execute(
        sa.select(c.id, c.purpose, c.state, c.source, c.notice_version, c.at, c.who, c.members)
        .where(c.workspace == work.workspace, c.low <= number, c.high >= number)
        .order_by(c.id.desc())
    )
    return [
        ConsentRecord(row.id, row.purpose, row.state, row.source, row.notice_version, row.at, row.who)
        for row in rows
        if number in from_bytes(row.members)
    ]


def insert_send(work: Work, account: int, ref: str, at_ms: int, day: date) -> None:
    """Count a send of the account, once per ref."""
    row = {"workspace": work.workspace, "account": account, "ref": ref, "at": at_ms, "day": day_number(day)}
    db.upsert_ignore(work.connection, sends, [row], ["workspace", "account", "ref"])


def has_send(work: Work, account: int, ref: str) -> bool:
    """Whether the send was counted before."""
    c = sends.c
    found = sa.select(c.ref).where(c.workspace == work.workspace, c.account == account, c.ref == ref)
    return work.connection.scalar(found) is not None


def delete_send(work: Work, account: int, ref: str) -> bool:
    """Take a send out of the count; whether it was there."""
    c = sends.c
    deleted = work.connection.execute(
        sa.delete(sends).where(c.workspace == work.workspace, c.account == account, c.ref == ref)
    )
    return deleted.rowcount == 1


def count_sends(work: Work, account: int, first: date, last: date) -> int:
    """Sends of the account on days of its zone, both ends included."""
    c = sends.c
    counted = sa.select(sa.func.count()).where(
        c.workspace == work.workspace, c.account == account, c.day >= day_number(first), c.day <= day_number(last)
    )
    return int(work.connection.scalar(counted) or 0)


def cap(work: Work, name: str) -> int | None:
    """The workspace's own ceiling."""
    found: int | None = work.connection.scalar(
        sa.select(caps.c.value).where(caps.c.workspace == work.workspace, caps.c.name == name)
    )
    return found


def put_cap(work: Work, name: str, value: int, why: str) -> None:
    """Store or replace the workspace's own ceiling."""
    row = {
        "workspace": work.workspace,
        "name": name,
        "value": value,
        "why": why,
        "who": work.actor,
        "at": work.now_ms,
    }
    db.upsert(work.connection, caps, [row], ["workspace", "name"])
