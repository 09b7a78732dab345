"""HTTP: consents and suppressions. People are named by identities of one kind; answers name those that nobody has."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import compliance, contacts
from tagcast.access import Guarded
from tagcast.compliance.api.forms import MOST, PeopleIn, numbers_of
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Work

router = APIRouter()


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
    """How a contact stands, with the records that prove it, newest first.

    `personalised`: may be chosen by tags and behaviour, which who refused or is a minor may not.
    """

    contact: int
    consented: list[str]
    suppressed: bool
    personalised: bool
    minor: bool
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


@router.get("/consents/purposes", summary="同意的用途 · Purposes of consent")
def purposes(entry: Guarded) -> PurposesOut:
    """What people can consent to."""
    shown = [PurposeOut(name=one.name, zh=one.zh, en=one.en) for one in compliance.purposes()]
    return PurposesOut(purposes=shown)


@router.post("/consents", status_code=201, summary="记录同意与撤回 · Record consents given and withdrawn")
def record(entry: Guarded, body: ConsentIn) -> ConsentOut:
    """Record consents given and withdrawn; they are in force at once."""

    def use_case(work: Work) -> ConsentOut:
        granted, unknown = numbers_of(work, body, body.granted)
        withdrawn, unknown_too = numbers_of(work, body, body.withdrawn)
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
    return StandingOut(
        contact=contact,
        consented=list(found.consented),
        suppressed=found.suppressed,
        personalised=found.personalised,
        minor=found.minor,
        records=records,
    )


@router.get("/suppressions", summary="停发人数 · How many are suppressed")
def suppressions(entry: Guarded) -> SuppressionsOut:
    """How many people get nothing."""
    with entry.read() as work:
        return SuppressionsOut(count=len(compliance.suppressed(work)))


@router.post("/suppressions", status_code=201, summary="停发 · Suppress people")
def suppress(entry: Guarded, body: SuppressionIn) -> SuppressionOut:
    """Send these people nothing more, on any channel."""

    def use_case(work: Work) -> SuppressionOut:
        numbers, unknown = numbers_of(work, body, body.values)
        return SuppressionOut(changed=compliance.suppress(work, numbers, body.why), unknown=unknown)

    return entry.write(use_case)


@router.post("/suppressions/lift", summary="解除停发 · Lift a suppression")
def unsuppress(entry: Guarded, body: SuppressionIn) -> SuppressionOut:
    """Take people off the list, because they asked for it."""

    def use_case(work: Work) -> SuppressionOut:
        numbers, unknown = numbers_of(work, body, body.values)
        return SuppressionOut(changed=compliance.unsuppress(work, numbers, body.why), unknown=unknown)

    return entry.write(use_case)
