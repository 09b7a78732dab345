"""People: identities in a sealed vault, attributes as sets, import, export and platform sync.

Owns: contact, identity, attribute, import_job; the sets `contact`, `attribute:…`, `identity:…`, `following:…` and
`employee:…`.
A contact is a dense number from 1, given in order of arrival and never again. Everything outside holds only the number.
"""

from tagcast.contacts.actions import (
    Found,
    ensure,
    erase,
    everyone,
    find_or_make,
    identities_of,
    numbers_of,
    on_followed,
    on_unfollowed,
)
from tagcast.contacts.imports import (
    ChunkOutcome,
    Handler,
    OnConsent,
    check_columns,
    identity_of,
    load_mapping,
    parse_identity,
)
from tagcast.contacts.rules import Attribute, Identity, PersonIn, parse_day
from tagcast.contacts.sync import KIND as SYNC
from tagcast.contacts.sync import SyncResult, schedule, start_due, sync_account, work_off
from tagcast.contacts.values import (
    ContactView,
    attributes,
    choices,
    declare_attribute,
    describe,
    find_attribute,
    forget_attribute,
    keep_for,
    select,
    select_field,
    set_choices,
    set_numbers,
    set_values,
    values_of,
    values_of_field,
)
from tagcast.contacts.workflows import (
    ImportResult,
    Problem,
    Progress,
    export,
    find_refused,
    import_contacts,
    run_import,
)

__all__ = [
    "Attribute",
    "ChunkOutcome",
    "ContactView",
    "Found",
    "Handler",
    "Identity",
    "ImportResult",
    "OnConsent",
    "PersonIn",
    "Problem",
    "Progress",
    "SYNC",
    "SyncResult",
    "attributes",
    "check_columns",
    "choices",
    "declare_attribute",
    "describe",
    "ensure",
    "erase",
    "everyone",
    "export",
    "find_attribute",
    "find_or_make",
    "find_refused",
    "forget_attribute",
    "identities_of",
    "import_contacts",
    "keep_for",
    "load_mapping",
    "numbers_of",
    "on_followed",
    "on_unfollowed",
    "parse_day",
    "identity_of",
    "parse_identity",
    "run_import",
    "schedule",
    "select",
    "select_field",
    "set_choices",
    "set_numbers",
    "set_values",
    "start_due",
    "sync_account",
    "values_of",
    "values_of_field",
    "work_off",
]
