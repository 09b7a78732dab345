"""Workspaces and API keys. Owns: workspace, api_key."""

from tagcast.access.actions import Caller, authenticate, create_workspace, issue_key, only_workspace, revoke_key
from tagcast.access.guard import Entry, Guarded, Replayed
from tagcast.access.home import initialise, is_initialised, migrate, open_home
from tagcast.access.store import all_keys as keys

__all__ = [
    "Caller",
    "authenticate",
    "create_workspace",
    "Entry",
    "Guarded",
    "Replayed",
    "initialise",
    "is_initialised",
    "issue_key",
    "keys",
    "migrate",
    "only_workspace",
    "open_home",
    "revoke_key",
]
