"""Use cases of access."""

import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from tagcast.access import rules, store
from tagcast.kit import clock, crypto
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Runtime, Work


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the workspace the credential belongs to, and the actor written into history."""

    workspace: int
    actor: str


def create_workspace(connection: Connection, master_key: bytes, name: str) -> int:
    """A new workspace with its own root key and its first sealing key, wrapped by the master key."""
    now = clock.to_ms(clock.now())
    workspace = store.insert_workspace(connection, name, None, now)
    store.set_data_key(connection, workspace, crypto.seal(master_key, crypto.new_key(), f"workspace:{workspace}"))
    wrapped = crypto.seal(master_key, crypto.new_key(), f"workspace_key:{workspace}:1")
    store.add_sealing_key(connection, workspace, 1, wrapped, now)
    return workspace


def only_workspace(runtime: Runtime) -> int:
    """The first workspace: what commands of this machine work in. Raises NotFound if there is none."""
    with runtime.system() as connection:
        found = store.workspace_ids(connection)
    if not found:
        raise NotFound("access.no_workspace", workspace=1)
    return found[0]


def issue_key(work: Work, name: str) -> str:
    """Make an API key; the text is shown once and cannot be read again."""
    parts, text = rules.new_key()
    store.insert_key(work, parts.key_id, name, rules.secret_hash(parts))
    return text


def revoke_key(work: Work, key_id: str) -> None:
    """Make a key useless at once. Raises NotFound."""
    if not store.revoke(work, key_id):
        raise NotFound("access.no_key", key=key_id)


def purge_answers(work: Work, before: datetime) -> int:
    """Delete stored answers of writes made before a time; repeating such a write does it again. Returns how many."""
    return store.delete_answers(work, clock.to_ms(before))


def authenticate(runtime: Runtime, text: str) -> Caller | None:
    """Whose key this is, or None."""
    parts = rules.parse_key(text)
    if parts is None:
        return None
    with runtime.engine.connect() as connection:
        row = store.find_key(connection, parts.key_id)
    if row is None or not hmac.compare_digest(row.secret_hash, rules.secret_hash(parts)):
        return None
    return Caller(row.workspace, f"key:{parts.key_id}")
