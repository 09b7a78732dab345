"""Settings of a broadcast beside its message: sections, each checked by whoever knows it."""

from collections.abc import Callable, Mapping
from typing import Any

from tagcast.accounts import Account
from tagcast.broadcasts import confirming, priority, senders, stages, variants
from tagcast.broadcasts import content as contents
from tagcast.broadcasts.timing import sections
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Work

# section → what checks it and gives it in its one normal form, as JSON. Raises Invalid, NotFound or Refused.
Check = Callable[[Work, Account, Any], Any]

HOLD, EXPIRE = "hold", "expire"


def quiet(_work: Work, _account: Account, value: Any) -> str:
    """What becomes of people for whom the hour is quiet: they are written to after it, or not at all."""
    if value not in (HOLD, EXPIRE):
        raise Invalid("broadcasts.bad_quiet", value=value)
    return str(value)


SECTIONS: dict[str, Check] = {
    "quiet": quiet,
    "stages": stages.check,
    "variants": variants.check,
    "priority": priority.check,
    "employees": contents.check_employees,
    "senders": senders.section,
    "confirm": confirming.confirm_section,
    "remind": confirming.remind_section,
    "schedule": sections.schedule,
    "series": sections.series,
    "window": sections.window,
    "best_hour": sections.best_hour,
}


def check(work: Work, account: Account, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in their normal form. Raises Invalid for an unknown section or what its check refuses."""
    for section in given:
        if section not in SECTIONS:
            raise Invalid("broadcasts.unknown_setting", setting=section, known=", ".join(SECTIONS) or "-")
    return {section: SECTIONS[section](work, account, value) for section, value in given.items()}
