"""What the time of sending makes one look at before: codes of warnings of the plan."""

from datetime import datetime

from pyroaring import BitMap

from tagcast import compliance
from tagcast.broadcasts.store import Broadcast
from tagcast.broadcasts.timing import calendar, chinese_days, holding, sections
from tagcast.broadcasts.timing.calendar import Every
from tagcast.kit.uow import Work

_LOOKED_AT = 20
"""Moments of a calendar whose years are looked up."""


def moment(work: Work, broadcast: Broadcast) -> datetime:
    """When what is planned now would be sent: at its next moment, or now."""
    section = broadcast.settings.get("schedule")
    due = None if section is None else sections.first_after(section, work.now)
    return due or work.now


def warnings(work: Work, broadcast: Broadcast, assigned: BitMap, at: datetime) -> list[str]:
    """Codes, in the order in which they should be looked at."""
    found = []
    section = broadcast.settings.get("schedule", {})
    if section.get("rule", {}).get("every") in (Every.WORKDAY, Every.HOLIDAY):
        years = {one.year for one in calendar.of(section).coming(work.now, _LOOKED_AT)}
        found += [] if all(map(chinese_days.known, years)) else ["holidays_unknown"]
    window = broadcast.settings.get("window")
    if window is not None and holding.window_open(window, at) > at:
        found.append("outside_window")
    elif _waits(broadcast) and compliance.quiet(work, broadcast.account, assigned, at, purpose=broadcast.purpose):
        found.append("quiet_at_that_time")
    return found


def _waits(broadcast: Broadcast) -> bool:
    return broadcast.settings.get("quiet") != "expire" and "best_hour" not in broadcast.settings
