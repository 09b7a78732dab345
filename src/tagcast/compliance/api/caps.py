"""HTTP: caps on messages to a person, whose days they count by, and what somebody has of them."""

from datetime import date, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import compliance, contacts
from tagcast.access import Guarded
from tagcast.kit import clock
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

router = APIRouter()


class CapIn(BaseModel):
    """At most so many messages to a person in the period; the reason is kept."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"value": 1, "why": "品牌规定"}})

    value: int
    why: str = Field("", max_length=200)


class CapOut(BaseModel):
    """A cap. `scope`: `all`, `kind:<kind>` or `account:<number>`; `why` is the source of a shipped one."""

    scope: str
    period: str
    value: int
    why: str
    who: str | None
    at: datetime | None


class CapsOut(BaseModel):
    """The caps in force, those over all accounts first."""

    caps: list[CapOut]


class ZonesIn(BaseModel):
    """Whose calendar days and hours count: the account's, or the person's by a choice attribute of IANA zones."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"whose": "person", "attribute": "zone"}})

    whose: Literal["account", "person"]
    attribute: str | None = None
    why: str = Field("", max_length=200)


class ZonesOut(BaseModel):
    """Whose days count; `strange`: values of the attribute that are no zone, with how many have them."""

    whose: Literal["account", "person"]
    attribute: str | None
    workspace: str
    strange: dict[str, int]


class UseOut(BaseModel):
    """What a person has of one limit on the days from `first` to `last` of `zone`."""

    name: str
    period: str
    used: int
    limit: int
    left: int
    first: date
    last: date
    zone: str


class UsesOut(BaseModel):
    """What a person has of each limit that a message through an account counts for."""

    uses: list[UseOut]


class CeilingIn(BaseModel):
    """Messages a person may get a calendar month over all accounts; above the shipped figure it needs a reason."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"value": 6, "why": "brand policy"}})

    value: int
    why: str = Field("", max_length=200)


class CeilingOut(BaseModel):
    """The ceiling in force, the one that Tagcast ships, and the hard one with its source."""

    value: int
    shipped: int
    hard: int
    source: str


@router.get("/caps", summary="每人上限 · Caps on messages to a person")
def caps(entry: Guarded) -> CapsOut:
    """The caps in force, beside what the accounts' own limits allow."""
    with entry.read() as work:
        return CapsOut(caps=[_cap(cap) for cap in compliance.caps(work)])


@router.get("/caps/zones", summary="按谁的日历计 · Whose calendar counts")
def zones(entry: Guarded) -> ZonesOut:
    """Whose calendar days and hours count."""
    with entry.read() as work:
        return _zones(work)


@router.put("/caps/zones", summary="修改按谁的日历计 · Change whose calendar counts")
def set_zones(entry: Guarded, body: ZonesIn) -> ZonesOut:
    """In force at once; what was sent stays counted at its moment."""

    def use_case(work: Work) -> ZonesOut:
        compliance.set_zones(work, body.whose, body.attribute, why=body.why)
        return _zones(work)

    return entry.write(use_case)


@router.get("/caps/used/{account}/{contact}", summary="一人已用次数 · What a person has had")
def used(entry: Guarded, account: int, contact: int) -> UsesOut:
    """What a person has of each limit that a message through the account counts for, now."""
    with entry.read() as work:
        if contact not in contacts.everyone(work):
            raise NotFound("compliance.unknown_contact", contact=contact)
        found = compliance.used(work, account, contact, work.now)
    return UsesOut(uses=[UseOut.model_validate(use, from_attributes=True) for use in found])


@router.put("/caps/{scope}/{period}", summary="设置上限 · Set a cap")
def set_cap(entry: Guarded, scope: str, period: str, body: CapIn) -> CapOut:
    """In force at once for new reservations; whoever has a slot keeps it."""
    return entry.write(lambda work: _cap(compliance.set_cap(work, scope, period, body.value, body.why)))


@router.delete("/caps/{scope}/{period}", summary="删除上限 · Take a cap away")
def unset_cap(entry: Guarded, scope: str, period: str) -> CapsOut:
    """The monthly cap over all accounts is the shipped one again; any other is gone."""

    def use_case(work: Work) -> CapsOut:
        compliance.unset_cap(work, scope, period)
        return CapsOut(caps=[_cap(cap) for cap in compliance.caps(work)])

    return entry.write(use_case)


@router.get("/ceiling", summary="每人每月上限 · Monthly ceiling per person")
def ceiling(entry: Guarded) -> CeilingOut:
    """How many messages a person may get a calendar month over all accounts."""
    with entry.read() as work:
        return _ceiling(work)


@router.put("/ceiling", summary="修改每人每月上限 · Change the monthly ceiling")
def set_ceiling(entry: Guarded, body: CeilingIn) -> CeilingOut:
    """It may be tightened freely; it holds from the next plan on."""

    def use_case(work: Work) -> CeilingOut:
        compliance.set_monthly_ceiling(work, body.value, body.why)
        return _ceiling(work)

    return entry.write(use_case)


def _ceiling(work: Work) -> CeilingOut:
    shipped = compliance.ceilings()
    hard = shipped["month_hard"]
    return CeilingOut(
        value=compliance.monthly_ceiling(work), shipped=shipped["month"].value, hard=hard.value, source=hard.source
    )


def _cap(cap: compliance.Cap) -> CapOut:
    at = None if cap.at is None else clock.from_ms(cap.at)
    return CapOut(scope=cap.scope, period=cap.period, value=cap.value, why=cap.why, who=cap.who, at=at)


def _zones(work: Work) -> ZonesOut:
    found = compliance.zones(work)
    return ZonesOut(whose=found.whose, attribute=found.attribute, workspace=work.zone, strange=found.strange)
