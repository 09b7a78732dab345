"""Use cases of accounts."""

import re
import secrets as random
from collections.abc import Mapping
from typing import Any

from tagcast.accounts import profiles, rules, store
from tagcast.accounts.profiles import Limits
from tagcast.accounts.rules import Account, NewAccount, Secrets
from tagcast.kit.errors import Conflict, Invalid, NotFound
from tagcast.kit.uow import Runtime, Work

_ID = re.compile(r"[0-9]{1,9}")
_PROFILE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,59}")


def check_addable(work: Work, new: NewAccount) -> None:
    """Raises Invalid, NotFound or Conflict, as `add` would."""
    rules.check(new)
    _profile(work, new.profile)
    if store.find(work, new.name) is not None:
        raise Conflict("accounts.name_taken", name=new.name)


def add(work: Work, new: NewAccount) -> Account:
    """Add an account; its secrets are sealed and never shown again. Raises Invalid, Conflict for a taken name."""
    check_addable(work, new)
    kind, appid, base_url = rules.check(new)
    values = {
        "name": new.name,
        "appid": appid,
        "agentid": new.agentid,
        "base_url": base_url,
        "profile": new.profile,
        "zone": new.zone,
        "callback_path": random.token_hex(16),
    }
    return get(work, store.insert(work, kind, values, Secrets(new.secret, new.callback_token, new.encoding_aes_key)))


def get(work: Work, id_or_name: int | str) -> Account:
    """An account by its id or name; a text of digits is an id, unless only a name is written so. Raises NotFound."""
    found = store.find(work, int(id_or_name)) if _ID.fullmatch(str(id_or_name)) else None
    if found is None:
        found = store.find(work, str(id_or_name))
    if found is None:
        raise NotFound("accounts.no_account", account=id_or_name)
    return found


def all_(work: Work) -> list[Account]:
    """The workspace's accounts, oldest first."""
    return store.every(work)


def set_secret(work: Work, account_id: int, secret: str) -> None:
    """Replace the secret of an account; its token is renewed at the next call. Raises NotFound, Invalid."""
    account = get(work, account_id)
    rules.check_secret(account.kind, secret)
    store.set_secret(work, account, secret)


def set_callback_keys(work: Work, account_id: int, token: str, encoding_aes_key: str) -> None:
    """Replace what callbacks are signed and sealed with; servers use it within seconds. Raises NotFound, Invalid."""
    account = get(work, account_id)
    rules.check_callback(token, encoding_aes_key)
    store.set_callback_keys(work, account, token, encoding_aes_key)


def set_profile(work: Work, account_id: int, profile: str) -> Account:
    """Let an account follow another limit profile. Raises NotFound for either."""
    get(work, account_id)
    _profile(work, profile)
    store.set_profile(work, account_id, profile)
    return get(work, account_id)


def add_profile(work: Work, name: str, base: str, values: Mapping[str, Any]) -> None:
    """Store the workspace's own profile: `values` is `{kind: {group: {key: {value, source, date}}}}` over the base.

    Raises Invalid for a wrong name, base or value; Conflict for the name of a profile that comes with Tagcast.
    """
    if name in profiles.SHIPPED:
        raise Conflict("accounts.name_taken", name=name)
    if not _PROFILE_NAME.fullmatch(name):
        raise Invalid("accounts.bad_name", name=name)
    if base not in profiles.SHIPPED:
        raise NotFound("accounts.no_profile", profile=base, known=", ".join(profiles.SHIPPED))
    profiles.derived(name, base, values)
    store.put_profile(work, name, base, values)


def limits(work: Work, account_id: int | None) -> Limits:
    """The limits of an account; None stands for what belongs to the workspace itself, which no platform limits."""
    if account_id is None:
        return profiles.shipped(profiles.DEFAULT)["custom"]
    account = get(work, account_id)
    return _profile(work, account.profile)[account.kind]


def secrets(work: Work, account_id: int) -> Secrets:
    """The opened secrets of an account, for the calls and callbacks of this process only. Raises NotFound."""
    get(work, account_id)
    return store.secrets(work, account_id)


def at_callback_path(runtime: Runtime, path: str) -> tuple[int, int] | None:
    """(workspace, account id) of the account whose callbacks arrive at a path, or None."""
    with runtime.engine.connect() as connection:
        return store.at_path(connection, path)


def _profile(work: Work, name: str) -> Mapping[str, Limits]:
    if name in profiles.SHIPPED:
        return profiles.shipped(name)
    own = store.find_profile(work, name)
    if own is None:
        known = (*profiles.SHIPPED, *store.profile_names(work))
        raise NotFound("accounts.no_profile", profile=name, known=", ".join(known))
    return profiles.derived(name, *own)
