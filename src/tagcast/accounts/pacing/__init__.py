"""What an account may do at one time, a minute, a day: rates, slots and quotas per (account, API) over all processes.

An API is named by its path on the platform: what ends in `message/mass/send` is `message_mass_send` (`api_of`).
Owns: rate, account_slot, account_ceiling, account_quota.
"""

from tagcast.accounts.pacing.alone import alone
from tagcast.accounts.pacing.door import Door, api_of
from tagcast.accounts.pacing.lanes import forget
from tagcast.accounts.pacing.quota import Quota, is_stale, learn, quotas, read_quotas
from tagcast.accounts.pacing.rate import permit
from tagcast.accounts.pacing.slots import slot
from tagcast.accounts.pacing.store import forget as remove_all

__all__ = [
    "Door",
    "Quota",
    "alone",
    "api_of",
    "forget",
    "learn",
    "permit",
    "quotas",
    "is_stale",
    "read_quotas",
    "remove_all",
    "slot",
]
