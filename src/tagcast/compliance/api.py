"""HTTP: consents and suppressions. People are named by identities of one kind; answers name those that nobody has."""

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from pyroaring import BitMap

from tagcast import compliance, contacts
from tagcast.access import Guarded
from tagcast.bitmaps import pack
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

router = APIRouter()

MOST = 10_000
"""People in one request."""


class PeopleIn(BaseModel):
    """Which kind of identity the values are: `openid`, `external_userid` (with their account), `unionid`, `phone` …"""

    model_config = ConfigDict(extra="forbid")

    identity: str
    account: int = 0


class ConsentIn(PeopleIn):
    """Consents given and withdrawn for a purpose; `source` says where, `notice` which version of the text was shown."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "identity": "unionid",
                "purpose": "marketing",
                "source": "小程序注册页",
                "notice": "2026-11",
                "granted": ["oU-1"],
                "withdrawn": [],
            }
        },
    )

    purpose: str
    source: str = Field(max_length=100)
    notice: str = Field("", max_length=100)
    granted: list[str] = Field(default_factory=list, max_length=MOST)
    withdrawn: list[str] = Field(default_factory=list, max_length=MOST)


class ConsentOut(BaseModel):
    """How many stand otherwise than before; `unknown` values belong to no contact."""

    granted: int
    withdrawn: int
    unknown: list[str]


class RecordOut(BaseModel):
    """One record of a consent; `at` in epoch milliseconds."""

    purpose: str
    state: Literal["granted", "withdrawn"]
    source: str
    notice: str
    at: int
    who: str


class StandingOut(BaseModel):
    """How a contact stands, with the records that prove it, newest first."""

    contact: int
    consented: list[str]
    suppressed: bool
    records: list[RecordOut]


class PurposeOut(BaseModel):
    """A purpose in plain sentences."""

    name: str
    zh: str
    en: str


class PurposesOut(BaseModel):
    """The declared purposes."""

    purposes: list[PurposeOut]


class SuppressionIn(PeopleIn):
    """People who shall get nothing more (or who asked to hear again), and why."""

    values: list[str] = Field(min_length=1, max_length=MOST)
    why: str = Field(min_length=1, max_length=200)


class SuppressionOut(BaseModel):
    """How many were put on the list, or taken off it; `unknown` values belong to no contact."""

    changed: int
    unknown: list[str]


class SuppressionsOut(BaseModel):
    """How many people are suppressed."""

    count: int


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


@router.get("/consents/purposes", summary="同意的用途 · Purposes of consent")
def purposes(entry: Guarded) -> PurposesOut:
    """What people can consent to."""
    shown = [PurposeOut(name=one.name, zh=one.zh, en=one.en) for one in compliance.purposes()]
    return PurposesOut(purposes=shown)


@router.post("/consents", status_code=201, summary="记录同意与撤回 · Record consents given and withdrawn")
def record(entry: Guarded, body: ConsentIn) -> ConsentOut:
    """Record consents given and withdrawn; they are in force at once."""

    def use_case(work: Work) -> ConsentOut:
        granted, unknown = _numbers(work, body, body.granted)
        withdrawn, unknown_too = _numbers(work, body, body.withdrawn)
        changed = compliance.record(work, body.purpose, granted, withdrawn, source=body.source, notice=body.notice)
        return ConsentOut(granted=changed[0], withdrawn=changed[1], unknown=unknown + unknown_too)

    return entry.write(use_case)


@router.get("/consents/{contact}", summary="联系人的同意状态 · How a contact stands")
def standing(entry: Guarded, contact: int) -> StandingOut:
    """What a contact consents to now, and how that came about."""
    with entry.read() as work:
        if contact not in contacts.everyone(work):
            raise NotFound("compliance.unknown_contact", contact=contact)
        found = compliance.standing(work, contact)
    records = [
        RecordOut(
            purpose=one.purpose,
            state="granted" if one.state == "granted" else "withdrawn",
            source=one.source,
            notice=one.notice_version,
            at=one.at,
            who=one.who,
        )
        for one in found.records
    ]
    return StandingOut(contact=contact, consented=list(found.consented), suppressed=found.suppressed, records=records)


@router.get("/suppressions", summary="停发人数 · How many are suppressed")
def suppressions(entry: Guarded) -> SuppressionsOut:
    """How many people get nothing."""
    with entry.read() as work:
        return SuppressionsOut(count=len(compliance.suppressed(work)))


@router.post("/suppressions", status_code=201, summary="停发 · Suppress people")
def suppress(entry: Guarded, body: SuppressionIn) -> SuppressionOut:
    """Send these people nothing more, on any channel."""

    def use_case(work: Work) -> SuppressionOut:
        numbers, unknown = _numbers(work, body, body.values)
        return SuppressionOut(changed=compliance.suppress(work, numbers, body.why), unknown=unknown)

    return entry.write(use_case)


@router.post("/suppressions/lift", summary="解除停发 · Lift a suppression")
def unsuppress(entry: Guarded, body: SuppressionIn) -> SuppressionOut:
    """Take people off the list, because they asked for it."""

    def use_case(work: Work) -> SuppressionOut:
        numbers, unknown = _numbers(work, body, body.values)
        return SuppressionOut(changed=compliance.unsuppress(work, numbers, body.why), unknown=unknown)

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


def _numbers(work: Work, people: PeopleIn, values: Sequence[str]) -> tuple[BitMap, list[str]]:
    """The contacts of values, and the values that nobody has."""
    found = contacts.numbers_of(work, people.identity, values, people.account)
    unknown = [value for value, number in zip(values, found, strict=True) if number is None]
    return pack(number for number in found if number is not None), unknown
