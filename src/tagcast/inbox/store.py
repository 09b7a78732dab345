"""All SQL of the inbox, always by workspace."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from tagcast.inbox.tables import messages
from tagcast.kit import db
from tagcast.kit.uow import Work

_c = messages.c


@dataclass(frozen=True, slots=True)
class Delivery:
    """One genuine callback, before it is stored. `dedupe` is 32 bytes, `body` the decrypted XML."""

    account: int
    dedupe: bytes
    kind: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored callback with its body opened."""

    id: int
    account: int
    kind: str
    received_at: int
    body: bytes = field(repr=False)


def insert_new(work: Work, deliveries: Sequence[Delivery]) -> dict[tuple[int, bytes], int]:
    """Store those that are not there yet: (account, dedupe) → id of the new ones."""
    rows = [
        {
            "workspace": work.workspace,
            "account": one.account,
            "dedupe": one.dedupe,
            "received_at": work.now_ms,
            "kind": one.kind,
            "body": work.vault.seal(one.body, _context(one.account, one.dedupe)),
        }
        for one in deliveries
    ]
    statement = (
        db.insert_or(work.connection, messages)
        .on_conflict_do_nothing(index_elements=["workspace", "account", "dedupe"])
        .returning(_c.id, _c.account, _c.dedupe)
    )
    return {(row.account, bytes(row.dedupe)): row.id for row in work.connection.execute(statement, rows)}


def read(work: Work, ids: Sequence[int]) -> list[Stored]:
    """Stored callbacks by id, in the order they came; purged ones are missing."""
    rows = work.connection.execute(
        sa.select(_c.id, _c.account, _c.kind, _c.received_at, _c.dedupe, _c.body)
        .where(_c.workspace == work.workspace, _c.id.in_(ids))
        .order_by(_c.id)
    )
    return [
        Stored(
            row.id, row.account, row.kind, row.received_at, work.vault.open(row.body, _context(row.account, row.dedupe))
        )
        for row in rows
    ]


def delete_before(work: Work, before_ms: int) -> int:
    """How many callbacks received before a time were deleted."""
    return work.connection.execute(
        sa.delete(messages).where(_c.workspace == work.workspace, _c.received_at < before_ms)
    ).rowcount


def last_at(work: Work, account: int) -> int | None:
    """When the newest callback of an account came, epoch milliseconds."""
    newest: int | None = work.connection.scalar(
        sa.select(sa.func.max(_c.received_at)).where(_c.workspace == work.workspace, _c.account == account)
    )
    return newest


def _context(account: int, dedupe: bytes) -> str:
    return f"inbox_message:{account}:{dedupe.hex()}"
