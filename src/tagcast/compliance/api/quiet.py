"""HTTP: quiet hours."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import compliance, contacts
from tagcast.access import Guarded
from tagcast.kit.uow import Work

router = APIRouter(prefix="/quiet")


class QuietIn(BaseModel):
    """What is not given stays as it is. `exempt`: purposes that are written for at any hour."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"start": "21:30", "end": "09:00", "exempt": ["service"]}}
    )

    on: bool | None = None
    start: str | None = None
    end: str | None = None
    exempt: list[str] | None = None
    why: str = Field("", max_length=200)


class QuietOut(BaseModel):
    """The quiet hours; `source` says why they are these."""

    on: bool
    start: str
    end: str
    exempt: list[str]
    source: str


class OpenOut(BaseModel):
    """For how many of the account's people it is quiet now, and when the first may be written to: now, or later."""

    quiet: int
    next_open: datetime


@router.get("", summary="免打扰时段 · Quiet hours")
def quiet(entry: Guarded) -> QuietOut:
    """When nobody is written to, by the account's or the person's clock."""
    with entry.read() as work:
        return _quiet(compliance.quiet_hours(work))


@router.put("", summary="修改免打扰时段 · Change quiet hours")
def set_quiet(entry: Guarded, body: QuietIn) -> QuietOut:
    """In force at once, also for what is being sent."""

    def use_case(work: Work) -> QuietOut:
        on = compliance.quiet_hours(work).on if body.on is None else body.on
        made = compliance.set_quiet_hours(work, start=body.start, end=body.end, on=on, exempt=body.exempt, why=body.why)
        return _quiet(made)

    return entry.write(use_case)


@router.get("/next/{account}", summary="何时可发 · When people may be written to")
def next_open(entry: Guarded, account: int, purpose: str | None = None) -> OpenOut:
    """Whether it is quiet for people of an account now, and when that ends for the first of them."""
    with entry.read() as work:
        if purpose is not None:
            compliance.check_purpose(purpose)
        silent = compliance.quiet(work, account, contacts.everyone(work), work.now, purpose=purpose)
        following = compliance.next_open(work, account, work.now, purpose=purpose)
        return OpenOut(quiet=len(silent), next_open=following)


def _quiet(found: compliance.Quiet) -> QuietOut:
    return QuietOut(on=found.on, start=found.start, end=found.end, exempt=list(found.exempt), source=found.source)
