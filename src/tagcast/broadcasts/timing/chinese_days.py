"""Workdays and days off in China: the statutory holidays, the days moved to them, the weekends worked in return.

The library knows the State Council's notice of a year once it is published (in the autumn before) and packaged; before
that, only the statutory days.
"""

from datetime import date, timedelta
from functools import lru_cache

_DAY = timedelta(days=1)
_SATURDAY = 5


def workday(day: date) -> bool:
    """Whether people work: Monday to Friday unless it is off, and weekends that are worked in return."""
    off, worked = _year(day.year)
    return day in worked or (day.weekday() < _SATURDAY and day not in off)


def holiday(day: date) -> bool:
    """Whether it is a day of a holiday: a listed one, or a free weekend day that touches it.

    With that, the days are those of the notices: 2026-10-04, a Sunday, is of the National Day's seven.
    """
    if _listed(day):
        return True
    if not _free_weekend(day):
        return False
    return any(_reaches(day, step) for step in (_DAY, -_DAY))


def first_of_holiday(day: date) -> bool:
    """Whether a holiday begins."""
    return holiday(day) and not holiday(day - _DAY)


def known(year: int) -> bool:
    """Whether the year's notice is in the library: there is none without days that are worked in return."""
    return bool(_year(year)[1])


def _reaches(day: date, step: timedelta) -> bool:
    """Whether a listed day follows over free weekend days only."""
    while _free_weekend(day) and not _listed(day):
        day += step
    return _listed(day)


def _listed(day: date) -> bool:
    return day in _year(day.year)[0]


def _free_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY and day not in _year(day.year)[1]


@lru_cache(maxsize=64)
def _year(year: int) -> tuple[frozenset[date], frozenset[date]]:
    """(days off that are listed, weekends that are worked) of a year."""
    import holidays

    found = holidays.country_holidays("CN", years=year)
    worked = frozenset(day for day in found.weekend_workdays if day.year == year)
    return frozenset(day for day in found if day.year == year) - worked, worked
