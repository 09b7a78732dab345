"""Workspaces and API keys. Owns: workspace, api_key."""

from tagcast.access.actions import (
    Caller,
    authenticate,
    create_workspace,
    issue_key,
    only_workspace,
    purge_answers,
    revoke_key,
)
from tagcast.access.guard import Entry, Guarded, Replayed
from tagcast.access.home import initialise, is_current, is_initialised, migrate, open_home
from tagcast.access.store import all_keys as keys
from tagcast.access.store import workspace_ids as workspaces

__all__ = [
    "Caller",
    "authenticate",
    "create_workspace",
    "Entry",
    "Guarded",
    "Replayed",
    "initialise",
    "is_current",
    "is_initialised",
    "issue_key",
    "keys",
    "migrate",
    "only_workspace",
    "open_home",
    "purge_answers",
    "revoke_key",
    "workspaces",
]
