"""The sections of a broadcast's settings that say when it is sent: `schedule`, `window`, `best_hour`.

Each check gives one normal form, with all that was not said filled in, so that the plan's hash covers it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tagcast.accounts import Account
from tagcast.broadcasts.rules import Route
from tagcast.broadcasts.timing import calendar
from tagcast.broadcasts.timing.calendar import DAYS, FIRST, LAST, Calendar, Every
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.schedules import Verdict
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work

_COMMON = ("zone", "misfire", "grace_minutes", "deadline_minutes", "tolerance_percent", "least", "most")
_KINDS = ("at", "rule", "cron")
_RULE = ("every", "on", "time", "from", "until", "short_month")
_MISFIRES = (Verdict.SEND, Verdict.SKIP, Verdict.ASK)
_TRIED = 60
_TRIED_DAYS = 366
# A Monday of a leap year's February: a week, a short month and a leap day follow.
_FROM = datetime(2028, 2, 1, tzinfo=UTC)


@cache
def limits() -> Mapping[str, Any]:
    """What a schedule may be, and its defaults."""
    return read_toml("broadcasts", "timing", "limits.toml")


def schedule(work: Work, account: Account, given: Any) -> dict[str, Any]:
    """`at` once, or `rule` or `cron` again and again. Raises Invalid."""
    body = _object("schedule", given, (*_COMMON, *_KINDS, "from", "until"))
    kinds = [kind for kind in _KINDS if kind in body]
    if len(kinds) != 1:
        raise Invalid("broadcasts.schedule_kind", kinds=", ".join(_KINDS))
    found: dict[str, Any] = {"zone": _zone(body.get("zone", account.zone))}
    if kinds == ["at"]:
        found["at"] = _local("at", body["at"])
    elif kinds == ["rule"]:
        found["rule"] = _rule(body["rule"])
    else:
        found |= {"cron": _cron(body["cron"]), **_span(body)}
    if kinds != ["cron"] and {"from", "until"} & set(body):
        raise _bad("from", body.get("from", body.get("until")), "rule.from, rule.until")
    if kinds != ["at"]:
        _not_too_often(calendar.of(found))
    return found | _policy(body)


def window(_work: Work, account: Account, given: Any) -> dict[str, Any]:
    """Hours in which it may be sent, of the account's zone unless said; `to` before `from` goes over midnight."""
    body = _object("window", given, ("from", "to", "days", "zone", "hold_minutes"))
    found: dict[str, Any] = {"zone": _zone(body.get("zone", account.zone)), **_hours(body)}
    found["days"] = _choice("days", body.get("days", list(DAYS)), DAYS)
    found["hold_minutes"] = _number("hold_minutes", body.get("hold_minutes", limits()["hold_minutes"]), (1, 10_080))
    return found


def best_hour(_work: Work, account: Account, given: Any) -> dict[str, Any]:
    """Between which hours each person is sent to at his best one. Raises Refused where many share one call."""
    body = _object("best_hour", given, ("from", "to", "zone"))
    if account.kind not in ("service", "custom"):
        raise Refused("broadcasts.best_hour_route", account=account.name, kind=account.kind)
    found = {"zone": _zone(body.get("zone", account.zone)), **_hours(body)}
    if found["from"] >= found["to"] or not {found["from"][3:], found["to"][3:]} <= {"00"}:
        raise _bad("best_hour", f"{found['from']}–{found['to']}", "09:00–21:00")
    return found


def series(_work: Work, _account: Account, _given: Any) -> dict[str, Any]:
    """Of which broadcast that comes again it is a copy: written by us. Raises Invalid."""
    raise Invalid("broadcasts.series_given")


def check_route(account: Account, route: Route, settings: Mapping[str, Any]) -> None:
    """Raises Refused for a best hour on a route where one call is for many."""
    if "best_hour" in settings and not route.personal:
        raise Refused("broadcasts.best_hour_route", account=account.name, kind=str(route))


def is_recurring(settings: Mapping[str, Any]) -> bool:
    """Whether it is sent again and again."""
    return "schedule" in settings and "at" not in settings["schedule"]


def first_after(schedule_: Mapping[str, Any], moment: datetime) -> datetime | None:
    """When a schedule is due first after a moment, UTC; None: never again."""
    if "at" in schedule_:
        there = datetime.fromisoformat(schedule_["at"])
        at = calendar.instant(there.date(), there.time(), schedule_["zone"])
        return at if at > moment else None
    return calendar.of(schedule_).after(moment)


def _rule(given: Any) -> dict[str, Any]:
    body = _object("rule", given, _RULE)
    every = str(body.get("every"))
    if every not in list(Every):
        raise _bad("every", every, ", ".join(Every))
    on = body.get("on", [])
    allowed: tuple[str, ...] | Callable[[str], bool]
    match Every(every):
        case Every.WEEK:
            allowed = DAYS
        case Every.MONTH:
            allowed = (*map(str, range(1, 32)), LAST)
        case Every.YEAR:
            allowed = _day_of_year
        case Every.HOLIDAY:
            allowed = (FIRST,)
        case _:
            allowed = ()
    chosen = _choice("on", on, allowed)
    if not chosen and every in (Every.WEEK, Every.MONTH, Every.YEAR):
        raise _bad(
            "on", "[]", "mon … sun" if every == Every.WEEK else "1 … 31, last" if every == Every.MONTH else "MM-DD"
        )
    times = body.get("time", [])
    listed = sorted({_time("time", each) for each in (times if isinstance(times, list) else [times])})
    if not 1 <= len(listed) <= limits()["times"]:
        raise _bad("time", str(len(listed)), f"1 … {limits()['times']} × HH:MM")
    short = body.get("short_month", LAST)
    if short not in (LAST, "skip"):
        raise _bad("short_month", short, f"{LAST}, skip")
    return {"every": every, "on": chosen, "time": listed, "short_month": short, **_span(body)}


def _day_of_year(text: str) -> bool:
    try:
        return len(text) == 5 and bool(date.fromisoformat(f"2028-{text}"))
    except ValueError:
        return False


def _span(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("from", "until"):
        given = body.get(name)
        try:
            found[name] = None if given is None else date.fromisoformat(given).isoformat()
        except (TypeError, ValueError):
            raise _bad(name, given, "YYYY-MM-DD") from None
    if found["from"] and found["until"] and found["from"] > found["until"]:
        raise _bad("until", found["until"], f"≥ {found['from']}")
    return found


def _cron(given: Any) -> str:
    from cronsim import CronSim, CronSimError

    text = " ".join(str(given).upper().split())
    try:
        CronSim(text, _FROM)
    except CronSimError:
        text = ""
    if len(text.split()) != 5:
        raise Invalid("broadcasts.bad_cron", cron=str(given)[:100])
    return text


def _not_too_often(rule: Calendar) -> None:
    """As far as can be tried. Raises Invalid for a rule that never comes, or sooner again than is allowed."""
    ends = [one for one in (rule.first, rule.last) if one is not None]
    before = min(ends) - timedelta(days=_TRIED_DAYS if rule.first is None else 1) if ends else _FROM.date()
    if rule.after(calendar.instant(before, time(), rule.zone)) is None:
        raise Invalid("broadcasts.schedule_never")
    found = replace(rule, first=None, last=None).coming(_FROM, _TRIED)
    least = timedelta(minutes=limits()["least_minutes"])
    # A gap brings two moments nearer to each other than the rule means them.
    if any(later - earlier < least for earlier, later in pairwise(found)) and _often(rule, found, least):
        raise Invalid("broadcasts.schedule_too_often", least=limits()["least_minutes"])


def _often(rule: Calendar, found: list[datetime], least: timedelta) -> bool:
    """Whether two moments are too near each other on the wall clock, too."""
    zone = ZoneInfo(rule.zone)
    walls = [at.astimezone(zone).replace(tzinfo=None) for at in found]
    return any(timedelta(0) < later - earlier < least for earlier, later in pairwise(walls))


def _policy(body: Mapping[str, Any]) -> dict[str, Any]:
    misfire = body.get("misfire", limits()["misfire"])
    if misfire not in list(_MISFIRES):
        raise _bad("misfire", misfire, ", ".join(_MISFIRES))
    grace = _number("grace_minutes", body.get("grace_minutes", limits()["grace_minutes"]), (1, 10_080))
    deadline = _number("deadline_minutes", body.get("deadline_minutes", limits()["deadline_minutes"]), (1, 43_200))
    if deadline < grace:
        raise _bad("deadline_minutes", deadline, f"≥ grace_minutes ({grace})")
    least, most = body.get("least", 1), body.get("most")
    return {
        "misfire": str(misfire),
        "grace_minutes": grace,
        "deadline_minutes": deadline,
        "tolerance_percent": _number("tolerance_percent", body.get("tolerance_percent", 0), (0, 100)),
        "least": _number("least", least, (1, 2**31)),
        "most": None if most is None else _number("most", most, (int(least), 2**31)),
    }


def _object(section: str, given: Any, fields: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or set(given) - set(fields):
        unknown = ", ".join(map(str, set(given) - set(fields))) if isinstance(given, Mapping) else str(given)[:60]
        raise _bad(section, unknown, ", ".join(fields))
    return given


def _zone(given: Any) -> str:
    try:
        return ZoneInfo(str(given)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _bad("zone", given, "Asia/Shanghai, Europe/London …") from None


def _local(name: str, given: Any) -> str:
    try:
        there = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        there = None
    if there is None or there.tzinfo is not None or there.second or there.microsecond:
        raise _bad(name, given, "YYYY-MM-DDTHH:MM")
    return there.isoformat(timespec="minutes")


def _time(name: str, given: Any) -> str:
    try:
        there = time.fromisoformat(given)
    except (TypeError, ValueError):
        there = None
    if there is None or there.tzinfo is not None or there.second or there.microsecond:
        raise _bad(name, given, "HH:MM")
    return there.isoformat(timespec="minutes")


def _hours(body: Mapping[str, Any]) -> dict[str, str]:
    found = {name: _time(name, body.get(name)) for name in ("from", "to")}
    if found["from"] == found["to"]:
        raise _bad("to", found["to"], f"≠ {found['from']}")
    return found


def _choice(name: str, given: Any, allowed: tuple[str, ...] | Callable[[str], bool]) -> list[str]:
    """Chosen words in their order, each once; numbers of days as text."""
    listed = [str(one).lower() for one in given] if isinstance(given, list) else [str(given).lower()]
    fits = allowed if callable(allowed) else allowed.__contains__
    if wrong := [one for one in listed if not fits(one)]:
        raise _bad(name, wrong[0][:40], "MM-DD" if callable(allowed) else ", ".join(allowed) or "-")
    return sorted(set(listed)) if callable(allowed) else sorted(set(listed), key=allowed.index)


def _number(name: str, given: Any, span: tuple[int, int]) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not span[0] <= given <= span[1]:
        raise _bad(name, given, f"{span[0]} … {span[1]}")
    return given


def _bad(field: str, value: object, allowed: str) -> Invalid:
    return Invalid("broadcasts.bad_timing", field=field, value=str(value)[:60], allowed=allowed)
