"""Caps: how often a person may hear from the workspace, by calendar day, week or month.

A cap holds for messages through one account (`account:3`), through all accounts of a kind (`kind:wecom`), or through
any (`all`), beside what the account's limit profile allows.
"""

from dataclasses import dataclass
from typing import cast

from tagcast import accounts
from tagcast.compliance import days, rules, store
from tagcast.compliance.days import Period
from tagcast.kit.errors import Invalid, NotFound, Refused
from tagcast.kit.uow import Work

ALL = "all"
MONTHLY = f"{ALL}:month"
MOST = 1000


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `value` messages to a person in a calendar `period`.

    `why` is the reason that was given, or the source of a shipped figure; `who` and `at` are None for a shipped one.
    """

    scope: str
    period: Period
    value: int
    why: str
    who: str | None = None
    at: int | None = None

    @property
    def name(self) -> str:
        """`<scope>:<period>`."""
        return f"{self.scope}:{self.period}"


def caps(work: Work) -> list[Cap]:
    """The caps in force, those over all accounts first."""
    shipped = rules.ceilings()["month"]
    found = {MONTHLY: Cap(ALL, "month", shipped.value, f"{shipped.source} ({shipped.date})")}
    for name, own in store.own_caps(work).items():
        scope, _, period = name.rpartition(":")
        found[name] = Cap(scope, cast("Period", period), own.value, own.why, own.who, own.at)
    return sorted(found.values(), key=lambda cap: (cap.scope != ALL, cap.scope, days.PERIODS.index(cap.period)))


def caps_of(work: Work, account: accounts.Account) -> list[Cap]:
    """The caps that a message through an account counts for."""
    scopes = (ALL, f"kind:{account.kind}", f"account:{account.id}")
    return [cap for cap in caps(work) if cap.scope in scopes]


def set_cap(work: Work, scope: str, period: str, value: int, why: str = "") -> Cap:
    """Set a cap, from 0. It holds for new reservations at once; whoever has a slot keeps it.

    The monthly cap over all accounts is loosened with a reason only. Raises Invalid for a scope, period or value that
    cannot be, NotFound for an unknown account, Refused above the hard ceiling.
    """
    name = _name(work, scope, period)
    if not 0 <= value <= MOST:
        raise Invalid("compliance.bad_cap", value=value, most=MOST)
    if name == MONTHLY:
        _check_monthly(value, why)
    store.put_cap(work, name, value, why)
    return next(cap for cap in caps(work) if cap.name == name)


def unset_cap(work: Work, scope: str, period: str) -> None:
    """Take a cap of the workspace's own away; the monthly one over all accounts is the shipped one again.

    Raises Invalid as `set_cap`, NotFound when there is none.
    """
    name = _name(work, scope, period, gone=True)
    if not store.delete_cap(work, name):
        raise NotFound("compliance.no_cap", cap=name, known=", ".join(store.own_caps(work)) or "-")


def monthly_ceiling(work: Work) -> int:
    """Messages a person may get a calendar month over all accounts: the workspace's own figure or the shipped one."""
    return next(cap.value for cap in caps(work) if cap.name == MONTHLY)


def set_monthly_ceiling(work: Work, value: int, why: str) -> None:
    """Change the ceiling; loosening needs a reason. Raises Refused above the hard one, else Invalid."""
    set_cap(work, ALL, "month", value, why)


def _check_monthly(value: int, why: str) -> None:
    hard = rules.ceilings()["month_hard"]
    if value > hard.value:
        raise Refused("compliance.over_hard_ceiling", value=value, hard=hard.value, source=hard.source)
    if value > rules.ceilings()["month"].value and not why.strip():
        raise Invalid("compliance.bad_ceiling", value=value)


def _name(work: Work, scope: str, period: str, *, gone: bool = False) -> str:
    what, _, which = scope.partition(":")
    if what == "account" and which.isdecimal() and len(which) <= 9:
        # A cap of an account that was removed can still be taken away.
        scope = f"account:{int(which) if gone else accounts.get(work, int(which)).id}"
    elif scope != ALL and not (what == "kind" and which in accounts.KINDS):
        raise Invalid("compliance.bad_scope", scope=scope, kinds=", ".join(accounts.KINDS))
    if period not in days.PERIODS:
        raise Invalid("compliance.bad_period", period=period, known=", ".join(days.PERIODS))
    return f"{scope}:{period}"
