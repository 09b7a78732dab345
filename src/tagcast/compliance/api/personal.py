"""HTTP: who refused personalisation, and minors."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps, compliance
from tagcast.access import Guarded
from tagcast.compliance.api.forms import ChangedOut, ChosenIn
from tagcast.kit.uow import Work

router = APIRouter()


class NumbersOut(BaseModel):
    """A page of contact numbers, ascending; `next` continues, none: that was all."""

    count: int
    numbers: list[int]
    next: int | None


class MinorsIn(BaseModel):
    """The attribute that tells minors (a birthday, an age, a flag, or a choice with the `bands` of minors), or none."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"attribute": "birthday"}})

    attribute: str | None = None
    bands: list[str] = Field(default_factory=list, max_length=100)
    why: str = Field("", max_length=200)


class MinorsOut(BaseModel):
    """How minors are told, and how many there are; `marked` by hand."""

    attribute: str | None
    bands: list[str]
    years: int
    source: str
    marked: int
    count: int


@router.get("/personalisation/off", summary="拒绝个性化的人 · Who refused personalisation")
def refused(entry: Guarded, after: int = 0, limit: int = 100) -> NumbersOut:
    """Who is in no audience that was chosen by tags or behaviour."""
    with entry.read() as work:
        found = compliance.personalisation_refused(work)
        numbers, following = bitmaps.page(found, max(0, after), min(max(1, limit), 1000))
    return NumbersOut(count=len(found), numbers=numbers, next=following)


@router.post("/personalisation/off", status_code=201, summary="登记拒绝个性化 · Record a refusal of personalisation")
def refuse(entry: Guarded, body: ChosenIn) -> ChangedOut:
    """In force at once, also for what is being sent; recorded like a consent."""

    def use_case(work: Work) -> ChangedOut:
        who, unknown = body.read(work)
        return ChangedOut(changed=compliance.refuse_personalisation(work, who, source=body.why), unknown=unknown)

    return entry.write(use_case)


@router.post("/personalisation/on", summary="恢复个性化 · Take a refusal of personalisation back")
def allow(entry: Guarded, body: ChosenIn) -> ChangedOut:
    """Because the person asked for it; recorded like a consent."""

    def use_case(work: Work) -> ChangedOut:
        who, unknown = body.read(work)
        return ChangedOut(changed=compliance.allow_personalisation(work, who, source=body.why), unknown=unknown)

    return entry.write(use_case)


@router.get("/minors", summary="未成年人设置 · How minors are told")
def minors(entry: Guarded) -> MinorsOut:
    """From what minors are known, and how many there are today."""
    with entry.read() as work:
        return _minors(work)


@router.put("/minors", summary="修改未成年人设置 · Change how minors are told")
def set_minors(entry: Guarded, body: MinorsIn) -> MinorsOut:
    """In force at once. Minors are in no audience that was chosen by tags or behaviour."""

    def use_case(work: Work) -> MinorsOut:
        compliance.set_minors(work, body.attribute, body.bands, why=body.why)
        return _minors(work)

    return entry.write(use_case)


@router.post("/minors/mark", summary="标记未成年人 · Mark minors by hand")
def mark(entry: Guarded, body: ChosenIn) -> ChangedOut:
    """Mark people as minors, whatever the attribute says."""

    def use_case(work: Work) -> ChangedOut:
        who, unknown = body.read(work)
        return ChangedOut(changed=compliance.mark_minors(work, who, why=body.why), unknown=unknown)

    return entry.write(use_case)


@router.post("/minors/unmark", summary="取消未成年人标记 · Take the mark away")
def unmark(entry: Guarded, body: ChosenIn) -> ChangedOut:
    """Take the mark away; whom the attribute names stays a minor."""

    def use_case(work: Work) -> ChangedOut:
        who, unknown = body.read(work)
        return ChangedOut(changed=compliance.unmark_minors(work, who, why=body.why), unknown=unknown)

    return entry.write(use_case)


def _minors(work: Work) -> MinorsOut:
    found = compliance.minors_setting(work)
    return MinorsOut(
        attribute=found.attribute,
        bands=list(found.bands),
        years=found.years,
        source=found.source,
        marked=found.marked,
        count=len(compliance.minors(work)),
    )
