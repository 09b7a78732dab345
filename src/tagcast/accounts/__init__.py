"""WeChat accounts (渠道账号): secrets, limit profiles, tokens, and what may be called how often and when again.

Owns: account, workspace_profile, account_token, account_media, rate, account_slot, account_ceiling, account_quota.
"""

from tagcast.accounts.actions import (
    add,
    add_profile,
    all_,
    at_callback_path,
    check_addable,
    get,
    limits,
    secrets,
    set_callback_keys,
    set_profile,
    set_secret,
)
from tagcast.accounts.backoff import DURABLE, INTERACTIVE, QUICK, Backoff
from tagcast.accounts.checking import Health, check, check_new, hear
from tagcast.accounts.checks import Item
from tagcast.accounts.connect import Connected, connect, fresh_quota, quotas, read_quota, templates
from tagcast.accounts.media import File, forget_file, place_file, use_file
from tagcast.accounts.pacing import Quota, alone, permit, slot
from tagcast.accounts.profiles import Limit, Limits
from tagcast.accounts.removal import guard, remove
from tagcast.accounts.rules import (
    KINDS,
    Account,
    Kind,
    NewAccount,
    Secrets,
    new_callback_keys,
    new_webhook_secret,
    shape_of,
)
from tagcast.accounts.tokens import explain

__all__ = [
    "DURABLE",
    "INTERACTIVE",
    "QUICK",
    "Backoff",
    "File",
    "Item",
    "Quota",
    "forget_file",
    "place_file",
    "use_file",
    "alone",
    "slot",
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
    "check_addable",
    "check_new",
    "hear",
    "connect",
    "explain",
    "fresh_quota",
    "get",
    "guard",
    "limits",
    "new_callback_keys",
    "new_webhook_secret",
    "permit",
    "quotas",
    "read_quota",
    "remove",
    "secrets",
    "set_callback_keys",
    "set_profile",
    "set_secret",
    "shape_of",
    "templates",
]
