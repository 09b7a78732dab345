"""Removing an account. Who uses accounts is above this floor, and says here what stands against a removal."""

from collections.abc import Callable

from tagcast.accounts import actions, media, pacing, store
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work

Users = Callable[[Work, int], list[str]]
"""Names of what still needs an account, as people call it."""

_users: list[Users] = []


def guard(users: Users) -> Users:
    """Register who is asked before an account is removed."""
    if users not in _users:
        _users.append(users)
    return users


def remove(work: Work, account_id: int) -> None:
    """Remove an account and its secrets; its number is never given again. Raises NotFound, Conflict while used."""
    account = actions.get(work, account_id)
    if names := [name for users in _users for name in users(work, account_id)]:
        raise Conflict("accounts.in_use", account=account.name, count=len(names), names=", ".join(names[:5]))
    pacing.remove_all(work, account_id)
    media.remove_all(work, account_id)
    store.delete(work, account_id)
