"""Why recipients were not reached, and what platforms said later."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from tagcast.broadcasts.tables import failures, receipts
from tagcast.kit import db
from tagcast.kit.uow import Work


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


def contacts_failed(work: Work, broadcast: int, reasons: Sequence[str]) -> list[int]:
    """Who failed, or was held, for one of these reasons."""
    rows = work.connection.scalars(
        sa.select(failures.c.contact).where(
            failures.c.workspace == work.workspace,
            failures.c.broadcast == broadcast,
            failures.c.reason.in_(list(reasons)),
        )
    )
    return list(rows)


def reasons_of(work: Work, broadcast: int) -> dict[int, str]:
    """Contact → why he failed or was held."""
    rows = work.connection.execute(
        sa.select(failures.c.contact, failures.c.reason).where(
            failures.c.workspace == work.workspace, failures.c.broadcast == broadcast
        )
    )
    return {row.contact: row.reason for row in rows}


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


def open_receipts(work: Work, account: int, *, after: int = 0, limit: int | None = None) -> list[Row[Any]]:
    """Receipts of an account that no broadcast has taken yet, in order; so many behind a number."""
    return list(
        work.connection.execute(
            sa.select(receipts.c.seq, receipts.c.msgid, receipts.c.status, receipts.c.data, receipts.c.at)
            .where(
                receipts.c.workspace == work.workspace,
                receipts.c.account == account,
                receipts.c.matched_at.is_(None),
                receipts.c.seq > after,
            )
            .order_by(receipts.c.seq)
            .limit(limit)
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
