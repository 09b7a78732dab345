"""All SQL of access."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tagcast.access.tables import api_keys, idempotency
from tagcast.kit.uow import Work, workspaces


def insert_workspace(connection: Connection, name: str, data_key: bytes | None, created_at: int) -> int:
    """A new workspace's id."""
    made = connection.execute(
        sa.insert(workspaces).values(name=name, data_key=data_key or b"", created_at=created_at)
    ).inserted_primary_key
    return int(made[0]) if made else 0


def set_data_key(connection: Connection, workspace: int, data_key: bytes) -> None:
    """Store the wrapped data key."""
    connection.execute(sa.update(workspaces).where(workspaces.c.id == workspace).values(data_key=data_key))


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


def find_key(connection: Connection, key_id: str) -> Row[int, bytes] | None:
    """(workspace, secret hash) of a key that stands, over all workspaces: the key itself says which one."""
    return connection.execute(
        sa.select(api_keys.c.workspace, api_keys.c.secret_hash).where(
            api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None)
        )
    ).one_or_none()


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
