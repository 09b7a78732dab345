"""All SQL of the inbox, always by workspace."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from tagcast.inbox.tables import messages
from tagcast.kit import db, sealed
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
    seal, workspace, at = work.vault.seal, work.workspace, work.now_ms
    rows = [
        (workspace, one.account, one.dedupe, at, one.kind, seal(one.body, _context(one.account, one.dedupe)))
        for one in deliveries
    ]
    insert = _insert_sqlite if work.connection.dialect.name == "sqlite" else _insert_postgresql
    return insert(work.connection, rows)


_Row = tuple[int, int, bytes, int, str, bytes]
_INTO = "inbox_message (workspace, account, dedupe, received_at, kind, body)"
_INTO_NUMBERED = _INTO.replace("(", "(id, ")
_SKIP = "ON CONFLICT (workspace, account, dedupe) DO NOTHING"
_POSTGRESQL = (
    f"INSERT INTO {_INTO} SELECT * FROM unnest"  # noqa: S608 - no input
    f"(%s::int[], %s::int[], %s::bytea[], %s::bigint[], %s::text[], %s::bytea[]) {_SKIP} RETURNING id, account, dedupe"
)


def _insert_sqlite(connection: sa.Connection, rows: Sequence[_Row]) -> dict[tuple[int, bytes], int]:
    """Only one transaction writes at a time, so the next numbers are ours to give.

    When a row was skipped for its conflict, what is there now is read back.
    """
    used = connection.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'inbox_message'").scalar()
    before = int(used or 0)
    numbered = [(number, *row) for number, row in enumerate(rows, before + 1)]
    if db.insert_packed(connection, _INTO_NUMBERED, numbered, tail=_SKIP) == len(rows):
        return {(row[1], row[2]): number for number, row in enumerate(rows, before + 1)}
    found = connection.exec_driver_sql("SELECT id, account, dedupe FROM inbox_message WHERE id > ?", (before,))
    return {(account, dedupe): number for number, account, dedupe in found}


def _insert_postgresql(connection: sa.Connection, rows: Sequence[_Row]) -> dict[tuple[int, bytes], int]:
    found = connection.exec_driver_sql(_POSTGRESQL, tuple(list(column) for column in zip(*rows, strict=True)))
    return {(account, bytes(dedupe)): number for number, account, dedupe in found}


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
    deleted, account = 0, 0
    while (account := _next_account(work, account)) > 0:
        old = sa.delete(messages).where(
            _c.workspace == work.workspace, _c.account == account, _c.received_at < before_ms
        )
        deleted += work.connection.execute(old).rowcount
    return deleted


def _next_account(work: Work, account: int) -> int:
    """The next account with callbacks; it may be removed meanwhile. 0: there is none."""
    following = sa.select(sa.func.min(_c.account)).where(_c.workspace == work.workspace, _c.account > account)
    return work.connection.scalar(following) or 0


def last_at(work: Work, account: int) -> int | None:
    """When the newest callback of an account came, epoch milliseconds."""
    newest: int | None = work.connection.scalar(
        sa.select(sa.func.max(_c.received_at)).where(_c.workspace == work.workspace, _c.account == account)
    )
    return newest


def _context(account: int, dedupe: bytes) -> str:
    return f"inbox_message:{account}:{dedupe.hex()}"


sealed.register(_c.body, lambda row: _context(row.account, row.dedupe))
