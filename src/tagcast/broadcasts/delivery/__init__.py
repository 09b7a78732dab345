"""Delivering a chunk, by route. Order only: each step is one transaction of the ledger or one call of a platform."""

from tagcast.broadcasts.delivery.reminding import remind
from tagcast.broadcasts.delivery.stages import look_on
from tagcast.broadcasts.delivery.work import deliver, settle

__all__ = ["deliver", "look_on", "remind", "settle"]
