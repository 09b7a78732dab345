"""All SQL of access."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tagcast.access.tables import api_keys, idempotency
from tagcast.kit import db
from tagcast.kit.uow import Work, sealing_keys, workspaces


def insert_workspace(connection: Connection, name: str, data_key: bytes | None, created_at: int) -> int:
    """A new workspace's id."""
    made = connection.execute(
        sa.insert(workspaces).values(name=name, data_key=data_key or b"", created_at=created_at)
    ).inserted_primary_key
    return int(made[0]) if made else 0


def set_data_key(connection: Connection, workspace: int, data_key: bytes) -> None:
    """Store the wrapped data key."""
    connection.execute(sa.update(workspaces).where(workspaces.c.id == workspace).values(data_key=data_key))


def add_sealing_key(connection: Connection, workspace: int, number: int, wrapped: bytes, created_at: int) -> None:
    """Store a workspace's next key, wrapped."""
    connection.execute(
        sa.insert(sealing_keys).values(workspace=workspace, number=number, wrapped=wrapped, created_at=created_at)
    )


def sealing_keys_of(connection: Connection) -> list[Row[int, int, int]]:
    """(workspace, number, created_at) of all sealing keys."""
    c = sealing_keys.c
    return list(connection.execute(sa.select(c.workspace, c.number, c.created_at).order_by(c.workspace, c.number)))


def newest_sealing_key(connection: Connection, workspace: int) -> int:
    """The number of the key that seals."""
    found = connection.scalar(
        sa.select(sa.func.max(sealing_keys.c.number)).where(sealing_keys.c.workspace == workspace)
    )
    return int(found or 0)


def remove_sealing_key(connection: Connection, workspace: int, number: int) -> None:
    """Remove a key that nothing needs."""
    connection.execute(
        sa.delete(sealing_keys).where(sealing_keys.c.workspace == workspace, sealing_keys.c.number == number)
    )


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A key that the master key wraps; `number` None: a workspace's root key."""

    workspace: int
    number: int | None
    value: bytes = field(repr=False)

    @property
    def context(self) -> str:
        """What it was wrapped with."""
        return f"workspace:{self.workspace}" if self.number is None else f"workspace_key:{self.workspace}:{self.number}"


def wrapped_keys(connection: Connection) -> list[Wrapped]:
    """All that the master key wraps."""
    roots = connection.execute(sa.select(workspaces.c.id, workspaces.c.data_key)).all()
    keys = connection.execute(sa.select(sealing_keys.c.workspace, sealing_keys.c.number, sealing_keys.c.wrapped)).all()
    return [Wrapped(row.id, None, row.data_key) for row in roots] + [Wrapped(*row) for row in keys]


def wrap_again(connection: Connection, wrapped: Wrapped, value: bytes) -> None:
    """Store a key under another master key."""
    if wrapped.number is None:
        set_data_key(connection, wrapped.workspace, value)
        return
    connection.execute(
        sa.update(sealing_keys)
        .where(sealing_keys.c.workspace == wrapped.workspace, sealing_keys.c.number == wrapped.number)
        .values(wrapped=value)
    )


def workspace_ids(connection: Connection) -> list[int]:
    """All workspaces, oldest first."""
    return list(connection.scalars(sa.select(workspaces.c.id).order_by(workspaces.c.id)))


def insert_key(work: Work, key_id: str, name: str, secret_hash: bytes) -> None:
    """Store a key's hash."""
    work.connection.execute(
        sa.insert(api_keys).values(
            key_id=key_id, workspace=work.workspace, name=name, secret_hash=secret_hash, created_at=work.now_ms
        )
    )


# Built once: every request asks it.
_standing_key = sa.select(api_keys.c.workspace, api_keys.c.secret_hash).where(
    api_keys.c.key_id == sa.bindparam("key_id"), api_keys.c.revoked_at.is_(None)
)


def find_key(connection: Connection, key_id: str) -> Row[int, bytes] | None:
    """(workspace, secret hash) of a key that stands, over all workspaces: the key itself says which one."""
    return connection.execute(_standing_key, {"key_id": key_id}).one_or_none()


def revoke(work: Work, key_id: str) -> int:
    """How many keys that stood were revoked (0 or 1)."""
    return work.connection.execute(
        sa.update(api_keys)
        .where(api_keys.c.workspace == work.workspace, api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=work.now_ms)
    ).rowcount


def find_answer(work: Work, key: str) -> Row[str, int, str] | None:
    """(request digest, status, body) stored under an idempotency key."""
    return work.connection.execute(
        sa.select(idempotency.c.request_digest, idempotency.c.status, idempotency.c.body).where(
            idempotency.c.workspace == work.workspace, idempotency.c.key == key
        )
    ).one_or_none()


def find_answers(work: Work, keys: Iterable[str]) -> dict[str, Row[str, str, int, str]]:
    """(key, request digest, status, body) stored under idempotency keys, by key."""
    query = sa.select(idempotency.c.key, idempotency.c.request_digest, idempotency.c.status, idempotency.c.body)
    rows = work.connection.execute(query.where(idempotency.c.workspace == work.workspace, idempotency.c.key.in_(keys)))
    return {row.key: row for row in rows}


def insert_answers(work: Work, answers: Iterable[tuple[str, str, int, str]]) -> None:
    """Keep answers, each (key, request digest, status, body), beside the effect of their writes."""
    names = ("key", "request_digest", "status", "body")
    same = {"workspace": work.workspace, "created_at": work.now_ms}
    db.insert_many(work.connection, idempotency, [same | dict(zip(names, one, strict=True)) for one in answers])


def insert_answer(work: Work, key: str, request_digest: str, status: int, body: str) -> None:
    """Keep the answer of a write beside its effect."""
    work.connection.execute(
        sa.insert(idempotency).values(
            workspace=work.workspace,
            key=key,
            request_digest=request_digest,
            status=status,
            body=body,
            created_at=work.now_ms,
        )
    )


def delete_answers(work: Work, before_ms: int) -> int:
    """How many answers stored before a time were deleted."""
    return work.connection.execute(
        sa.delete(idempotency).where(idempotency.c.workspace == work.workspace, idempotency.c.created_at < before_ms)
    ).rowcount


def all_keys(work: Work) -> list[Row[str, str, int, int | None]]:
    """(key id, name, created, revoked) of the workspace's keys."""
    return list(
        work.connection.execute(
            sa.select(api_keys.c.key_id, api_keys.c.name, api_keys.c.created_at, api_keys.c.revoked_at)
            .where(api_keys.c.workspace == work.workspace)
            .order_by(api_keys.c.created_at)
        )
    )
