"""Since when a contact has the value of a field, and from whom."""

from dataclasses import dataclass
from typing import Any

from tagcast.contacts import values
from tagcast.contacts.rules import Attribute
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Evidence:
    """The value (None: unknown) and the last change that touched it: epoch milliseconds, who and why (None: never)."""

    value: Any
    at_ms: int | None
    who: str | None
    why: str | None


def evidence(work: Work, found: Attribute, number: int) -> Evidence:
    """What is known of one contact's value of a field; texts have no history."""
    value = values.values_of_field(work, found, [number]).get(number)
    sign = "=" if found.type in ("choice", "flag") else "#"
    change = work.bitmaps.last_change(f"{found.key}{sign}", number, below=True)
    if change is None:
        return Evidence(value, None, None, None)
    return Evidence(value, change.at_ms, change.who, change.why)
