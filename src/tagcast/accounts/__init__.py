"""WeChat accounts (渠道账号): secrets, limit profiles, tokens, call rates.

Owns: account, workspace_profile, account_token, rate.
"""

from tagcast.accounts.actions import (
    add,
    add_profile,
    all_,
    at_callback_path,
    get,
    limits,
    remove,
    secrets,
    set_profile,
    set_secret,
)
from tagcast.accounts.connect import Connected, Health, check, connect, templates
from tagcast.accounts.profiles import Limit, Limits
from tagcast.accounts.rate import permit
from tagcast.accounts.rules import KINDS, Account, Kind, NewAccount, Secrets
from tagcast.accounts.tokens import explain

__all__ = [
    "KINDS",
    "Account",
    "Connected",
    "Health",
    "Kind",
    "Limit",
    "Limits",
    "NewAccount",
    "Secrets",
    "add",
    "add_profile",
    "all_",
    "at_callback_path",
    "check",
    "connect",
    "explain",
    "get",
    "limits",
    "permit",
    "remove",
    "secrets",
    "set_profile",
    "set_secret",
    "templates",
]
