"""Workspaces, their keys, and API keys. Owns: workspace, workspace_key, api_key, idempotency."""

from typing import TYPE_CHECKING, Any

from tagcast.access.actions import (
    Caller,
    authenticate,
    create_workspace,
    issue_key,
    only_workspace,
    purge_answers,
    revoke_key,
)
from tagcast.access.home import initialise, is_current, is_initialised, migrate, open_home
from tagcast.access.keyring import KeyStatus, KeyUse, key_status, prune_keys, rotate_keys
from tagcast.access.store import all_keys as keys
from tagcast.access.store import find_answers, insert_answers
from tagcast.access.store import workspace_ids as workspaces

if TYPE_CHECKING:
    from tagcast.access.guard import Entry, Guarded, Replayed

__all__ = [
    "Caller",
    "authenticate",
    "create_workspace",
    "Entry",
    "Guarded",
    "KeyStatus",
    "KeyUse",
    "Replayed",
    "find_answers",
    "initialise",
    "insert_answers",
    "is_current",
    "is_initialised",
    "issue_key",
    "key_status",
    "keys",
    "migrate",
    "only_workspace",
    "open_home",
    "prune_keys",
    "purge_answers",
    "revoke_key",
    "rotate_keys",
    "workspaces",
]


def __getattr__(name: str) -> Any:
    """What only routes use is loaded with them: a command need not wait for the web framework."""
    if name in ("Entry", "Guarded", "Replayed"):
        from tagcast.access import guard

        return getattr(guard, name)
    raise AttributeError(name)
