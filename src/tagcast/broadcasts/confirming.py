"""企业微信: how long employees are waited for, and when they are reminded. Pure rules and the sections of the settings.

`confirm`: `within_hours`, after which the broadcast ends, and `then`: `leave` what is unconfirmed as it is, or `cancel`
it on the platform. `remind`: `after_hours` without a confirmation, at most `times` by itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tagcast.accounts import Account
from tagcast.broadcasts.rules import Route
from tagcast.broadcasts.senders import figures
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.store.tasks import Reminder
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

LEAVE, CANCEL = "leave", "cancel"
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
# Routes on which nothing is sent before employees have confirmed it.
CONFIRMED_ROUTES = (Route.TASKS,)
# Reminders that may have reached the employee: they count on the platform.
COUNTED = ("asked", "calling", "sent", "lost")


def confirm_section(_work: Work, account: Account, value: Any) -> dict[str, Any]:
    """The section `confirm` in its normal form. Raises Invalid."""
    _check(account, "confirm", value, ("within_hours", "then"))
    found = {"within_hours": _hours("within_hours", value.get("within_hours")), "then": value.get("then", LEAVE)}
    if found["then"] not in (LEAVE, CANCEL):
        raise Invalid("broadcasts.bad_confirm", field="then", value=found["then"], known=f"{LEAVE}, {CANCEL}")
    return found


def remind_section(_work: Work, account: Account, value: Any) -> dict[str, Any]:
    """The section `remind` in its normal form. Raises Invalid."""
    _check(account, "remind", value, ("after_hours", "times"))
    times = value.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= 10:
        raise Invalid("broadcasts.bad_confirm", field="times", value=times, known="1 – 10")
    return {"after_hours": _hours("after_hours", value.get("after_hours")), "times": times}


def _check(account: Account, section: str, value: Any, fields: Sequence[str]) -> None:
    if account.kind != "wecom":
        raise Invalid("broadcasts.only_wecom", setting=section, account=account.name)
    if not isinstance(value, Mapping) or set(value) - set(fields):
        raise Invalid("broadcasts.bad_confirm", field=section, value=value, known=", ".join(fields))


def _hours(field: str, value: Any) -> float:
    most = figures()["confirm_hours_at_most"]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= most:
        raise Invalid("broadcasts.bad_confirm", field=field, value=value, known=f"0 < {field} ≤ {most}")
    return float(value)


def deadline(broadcast: Broadcast, settle_seconds: float, confirm_hours: float) -> datetime | None:
    """When a broadcast that was sent ends, whatever is missing then; None before it was sent."""
    if broadcast.sent_at is None:
        return None
    hours = confirm_hours if broadcast.route in CONFIRMED_ROUTES else 0.0
    hours = broadcast.settings.get("confirm", {}).get("within_hours", hours)
    return broadcast.sent_at + timedelta(seconds=max(settle_seconds, hours * 3600))


def cancels(broadcast: Broadcast) -> bool:
    """Whether what is unconfirmed at the deadline is cancelled on the platform."""
    return bool(broadcast.settings.get("confirm", {}).get("then") == CANCEL)


def room(told: Sequence[Reminder], now_ms: int) -> bool:
    """Whether the platform lets a task be reminded of once more: so many in any 24 hours."""
    recent = [one for one in told if one.state in COUNTED and (one.at or one.asked_at) > now_ms - DAY_MS]
    return len(recent) < figures()["reminders_per_day"]


def due(rule: Mapping[str, Any], made_at: int, told: Sequence[Reminder], now_ms: int) -> bool:
    """Whether a task that was made at a time (ms) is to be reminded of by itself."""
    counted = [one for one in told if one.state in COUNTED]
    last = max([made_at, *((one.at or one.asked_at) for one in counted)])
    return len(counted) < rule["times"] and now_ms - last >= rule["after_hours"] * HOUR_MS and room(told, now_ms)
