"""All SQL of accounts, by workspace; only a callback's random path is looked up over all of them."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from tagcast.accounts.rules import Account, Kind, Secrets
from tagcast.accounts.tables import accounts, profiles, tokens
from tagcast.kit import db, sealed
from tagcast.kit.leases import clock_ms
from tagcast.kit.uow import Work

_c = accounts.c
_facts = (
    _c.id, _c.kind, _c.name, _c.appid, _c.agentid, _c.base_url, _c.profile, _c.zone, _c.callback_path, _c.created_at,
)  # fmt: skip


def _account(row: Any) -> Account:
    return Account(*row)


def insert(work: Work, kind: Kind, values: Mapping[str, Any], secrets: Secrets) -> int:
    """A new account's id; its secrets are sealed, each with its own context."""
    path = values["callback_path"]
    hidden = {
        name: work.vault.seal(value.encode(), _context(path, name)) if value else None
        for name, value in (
            ("secret", secrets.secret),
            ("callback_token", secrets.callback_token),
            ("encoding_aes_key", secrets.encoding_aes_key),
        )
    }
    made = work.connection.execute(
        sa.insert(accounts).values(workspace=work.workspace, kind=kind, created_at=work.now_ms, **values, **hidden)
    ).inserted_primary_key
    assert made is not None
    account = int(made[0])
    work.connection.execute(sa.insert(tokens).values(account=account, workspace=work.workspace))
    return account


def find(work: Work, id_or_name: int | str) -> Account | None:
    """An account of the workspace by its id or its name."""
    which = _c.id == id_or_name if isinstance(id_or_name, int) else _c.name == id_or_name
    row = work.connection.execute(sa.select(*_facts).where(_c.workspace == work.workspace, which)).one_or_none()
    return None if row is None else _account(row)


def every(work: Work) -> list[Account]:
    """The workspace's accounts, oldest first."""
    rows = work.connection.execute(sa.select(*_facts).where(_c.workspace == work.workspace).order_by(_c.id))
    return [_account(row) for row in rows]


def at_path(connection: Connection, path: str) -> tuple[int, int] | None:
    """(workspace, account id) that a callback path belongs to, over all workspaces."""
    row = connection.execute(sa.select(_c.workspace, _c.id).where(_c.callback_path == path)).one_or_none()
    return None if row is None else (row.workspace, row.id)


def secrets(work: Work, account: int) -> Secrets:
    """The opened secrets of an account of the workspace."""
    row = work.connection.execute(
        sa.select(_c.callback_path, _c.secret, _c.callback_token, _c.encoding_aes_key).where(
            _c.workspace == work.workspace, _c.id == account
        )
    ).one()

    def opened(name: str, value: bytes | None) -> str:
        return work.vault.open(value, _context(row.callback_path, name)).decode() if value else ""

    return Secrets(
        opened("secret", row.secret),
        opened("callback_token", row.callback_token),
        opened("encoding_aes_key", row.encoding_aes_key),
    )


def set_secret(work: Work, account: Account, secret: str) -> None:
    """Replace the secret and forget the token made with the former one, and whoever is asking for one with it."""
    hidden = work.vault.seal(secret.encode(), _context(account.callback_path, "secret"))
    work.connection.execute(
        sa.update(accounts).where(_c.workspace == work.workspace, _c.id == account.id).values(secret=hidden)
    )
    work.connection.execute(
        sa.update(tokens)
        .where(tokens.c.workspace == work.workspace, tokens.c.account == account.id)
        .values(
            value=None, fresh_until=0, failed_at=0, problem=None, epoch=tokens.c.epoch + 1, owner=None, lease_until=0
        )
    )


def set_callback_keys(work: Work, account: Account, token: str, encoding_aes_key: str) -> None:
    """Replace the pair that callbacks are signed and sealed with."""
    pair = {"callback_token": token, "encoding_aes_key": encoding_aes_key}
    hidden = {
        name: work.vault.seal(value.encode(), _context(account.callback_path, name)) if value else None
        for name, value in pair.items()
    }
    work.connection.execute(
        sa.update(accounts).where(_c.workspace == work.workspace, _c.id == account.id).values(hidden)
    )


def set_profile(work: Work, account: int, profile: str) -> None:
    """Name the limit profile of an account."""
    work.connection.execute(
        sa.update(accounts).where(_c.workspace == work.workspace, _c.id == account).values(profile=profile)
    )


def delete(work: Work, account: int) -> None:
    """Remove an account with its token."""
    for table, key in ((tokens, tokens.c.account), (accounts, _c.id)):
        work.connection.execute(sa.delete(table).where(table.c.workspace == work.workspace, key == account))


def find_profile(work: Work, name: str) -> tuple[str, dict[str, Any]] | None:
    """(base, values) of the workspace's own profile."""
    row = work.connection.execute(
        sa.select(profiles.c.base, profiles.c.body).where(
            profiles.c.workspace == work.workspace, profiles.c.name == name
        )
    ).one_or_none()
    return None if row is None else (row.base, row.body)


def put_profile(work: Work, name: str, base: str, body: Mapping[str, Any]) -> None:
    """Store or replace the workspace's own profile."""
    row = {"workspace": work.workspace, "name": name, "base": base, "body": dict(body)}
    db.upsert(work.connection, profiles, [row], ["workspace", "name"])


def profile_names(work: Work) -> list[str]:
    """Names of the workspace's own profiles."""
    return list(
        work.connection.scalars(
            sa.select(profiles.c.name).where(profiles.c.workspace == work.workspace).order_by(profiles.c.name)
        )
    )


def token(work: Work, account: int) -> tuple[Row[Any], int]:
    """The token row of an account and the time on the database's clock, in milliseconds."""
    row = work.connection.execute(
        sa.select(tokens).where(tokens.c.workspace == work.workspace, tokens.c.account == account)
    ).one()
    return row, clock_ms(work.connection)


def open_token(work: Work, account: int, value: bytes) -> str:
    """The text of a sealed token."""
    return work.vault.open(value, f"account_token:{account}").decode()


def claim_token(work: Work, account: int, epoch: int, owner: str, seconds: float) -> bool:
    """Take the right to renew the token of an epoch; False when another has it or has renewed it already."""
    now = clock_ms(work.connection)
    moved = work.connection.execute(
        sa.update(tokens)
        .where(
            tokens.c.workspace == work.workspace,
            tokens.c.account == account,
            tokens.c.epoch == epoch,
            tokens.c.lease_until <= now,
        )
        .values(owner=owner, lease_until=now + int(seconds * 1000))
    )
    return moved.rowcount == 1


def put_token(work: Work, account: int, owner: str, value: str, life_ms: int) -> bool:
    """Store a renewed token, fresh for `life_ms` from now, and end the claim; False when the claim was lost."""
    return end_claim(
        work,
        account,
        owner,
        value=work.vault.seal(value.encode(), f"account_token:{account}"),
        fresh_until=clock_ms(work.connection) + life_ms,
        epoch=tokens.c.epoch + 1,
        failed_at=0,
        problem=None,
    )


def token_failed(work: Work, account: int, owner: str, problem: Mapping[str, Any]) -> bool:
    """Store why the token could not be renewed and end the claim; False when the claim was lost."""
    return end_claim(work, account, owner, failed_at=clock_ms(work.connection), problem=dict(problem))


def end_claim(work: Work, account: int, owner: str, **values: Any) -> bool:
    """End a claim, with what came of it; False when it was lost."""
    moved = work.connection.execute(
        sa.update(tokens)
        .where(tokens.c.workspace == work.workspace, tokens.c.account == account, tokens.c.owner == owner)
        .values(owner=None, lease_until=0, **values)
    )
    return moved.rowcount == 1


def _context(path: str, name: str) -> str:
    return f"account:{path}:{name}"


def _register(name: str) -> None:
    sealed.register(_c[name], lambda row: _context(row.callback_path, name))


for _name in ("secret", "callback_token", "encoding_aes_key"):
    _register(_name)
sealed.register(tokens.c.value, lambda row: f"account_token:{row.account}")
