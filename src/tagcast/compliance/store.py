"""All SQL of compliance, always by workspace."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.bitmaps import from_bytes, to_bytes
from tagcast.compliance.rules import day_number
from tagcast.compliance.tables import caps, consents, sends, settings
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


@dataclass(frozen=True, slots=True)
class Stored:
    """What somebody set, with the reason. `at` in epoch milliseconds."""

    value: Any
    why: str
    who: str
    at: int


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
    """Count a send of the account, once per ref and day."""
    row = {"workspace": work.workspace, "account": account, "ref": ref, "at": at_ms, "day": day_number(day)}
    db.upsert_ignore(work.connection, sends, [row], ["workspace", "account", "ref", "day"])


def has_send(work: Work, account: int, ref: str, day: date) -> bool:
    """Whether the send was counted before on this day."""
    c = sends.c
    found = sa.select(c.ref).where(
        c.workspace == work.workspace, c.account == account, c.ref == ref, c.day == day_number(day)
    )
    return work.connection.scalar(found) is not None


def delete_send(work: Work, account: int, ref: str) -> bool:
    """Take a send out of the count of every day; whether it was there."""
    c = sends.c
    deleted = work.connection.execute(
        sa.delete(sends).where(c.workspace == work.workspace, c.account == account, c.ref == ref)
    )
    return deleted.rowcount > 0


def count_sends(work: Work, account: int, first: date, last: date, *, but: str = "") -> int:
    """Sends of the account on days of its zone, both ends included, that of the ref `but` aside."""
    c = sends.c
    counted = sa.select(sa.func.count(c.ref.distinct())).where(
        c.workspace == work.workspace,
        c.account == account,
        c.day >= day_number(first),
        c.day <= day_number(last),
        c.ref != but,
    )
    return int(work.connection.scalar(counted) or 0)


def own_caps(work: Work) -> dict[str, Stored]:
    """The workspace's own caps by name."""
    c = caps.c
    rows = work.connection.execute(
        sa.select(c.name, c.value, c.why, c.who, c.at).where(c.workspace == work.workspace).order_by(c.name)
    )
    return {row.name: Stored(row.value, row.why, row.who, row.at) for row in rows}


def put_cap(work: Work, name: str, value: int, why: str) -> None:
    """Store or replace a cap of the workspace's own."""
    db.upsert(work.connection, caps, [_noted(work, name, value, why)], ["workspace", "name"])


def delete_cap(work: Work, name: str) -> bool:
    """Take a cap of the workspace's own away; whether there was one."""
    c = caps.c
    deleted = work.connection.execute(sa.delete(caps).where(c.workspace == work.workspace, c.name == name))
    return deleted.rowcount > 0


def setting(work: Work, name: str) -> Stored | None:
    """A setting as it was stored."""
    c = settings.c
    row = work.connection.execute(
        sa.select(c.value, c.why, c.who, c.at).where(c.workspace == work.workspace, c.name == name)
    ).first()
    return None if row is None else Stored(row.value, row.why, row.who, row.at)


def put_setting(work: Work, name: str, value: dict[str, Any], why: str) -> None:
    """Store or replace a setting."""
    db.upsert(work.connection, settings, [_noted(work, name, value, why)], ["workspace", "name"])


def _noted(work: Work, name: str, value: int | dict[str, Any], why: str) -> dict[str, Any]:
    return {
        "workspace": work.workspace,
        "name": name,
        "value": value,
        "why": why,
        "who": work.actor,
        "at": work.now_ms,
    }
