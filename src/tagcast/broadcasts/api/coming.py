"""HTTP: what is coming and what is left, and what a workspace sets for all its broadcasts: approval, costs."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from tagcast import bitmaps
from tagcast.access import Guarded
from tagcast.broadcasts import approving, planning
from tagcast.broadcasts.api.plans import CSV, MembersOut, UseOut
from tagcast.kit.uow import Work

router = APIRouter(prefix="/broadcasts")

Days = Query(31, ge=1, le=366, description="From now on.")


class ComingOut(BaseModel):
    """A broadcast that is to come; `day` is of the account's zone. `size` null: nobody is planned yet."""

    day: date
    at: datetime
    account: int
    broadcast: int
    name: str
    size: int | None


class CalendarOut(BaseModel):
    """What is coming, the earliest first."""

    items: list[ComingOut]


class ForecastOut(BaseModel):
    """A day of an account after what is to be sent on it.

    `out` of `people` have no slot left, `new` of them because of what is coming; `left`: how many may get 0, 1, 2, and
    3 or more this month.
    """

    day: date
    account: int
    broadcasts: int
    messages: int
    people: int
    out: int
    new: int
    left: list[int]
    account_left: int | None


class ForecastsOut(BaseModel):
    """Each day and account on which something is sent."""

    items: list[ForecastOut]


class QuotaOut(BaseModel):
    """What an account has left; `left`: how many people may get 0, 1, 2, and 3 or more messages this month."""

    account: int
    uses: list[UseOut]
    people: int
    left: list[int]


class ApprovingIn(BaseModel):
    """When a second person is asked; what is not given stays. `above` null: at no size."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"above": 10000, "tags": ["健康"]}})

    above: int | None = Field(None, description="More recipients than this.")
    purposes: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list, description="Paths; what is below counts.")


class ApprovingOut(BaseModel):
    """When a second person is asked."""

    above: int | None
    purposes: list[str]
    tags: list[str]


class CostIn(BaseModel):
    """What a message costs, and where the figure is from."""

    model_config = ConfigDict(extra="forbid")

    value: float
    currency: str = "CNY"
    source: str


class CostOfOut(CostIn):
    """With its day."""

    date: str


class CostsOut(BaseModel):
    """`<kind of account>.<kind of message>` → what one costs."""

    costs: dict[str, CostOfOut]


def _some(members: Any, after: int, limit: int, *, csv: bool) -> Any:
    if csv:
        text = "contact\r\n" + "".join(f"{number}\r\n" for number in members)
        return Response(text, media_type="text/csv; charset=utf-8")
    numbers, following = bitmaps.page(members, after, limit)
    return MembersOut(total=len(members), contacts=numbers, next=following)


@router.get("/calendar", summary="群发日历 · What is coming, by day and account")
def calendar(entry: Guarded, days: int = Days) -> CalendarOut:
    with entry.read() as work:
        return CalendarOut(items=[ComingOut(**asdict(one)) for one in planning.calendar(work, days)])


@router.get("/forecast", summary="配额预测 · Who will have no slot left when that is sent")
def forecast(entry: Guarded, days: int = Days) -> ForecastsOut:
    with entry.read() as work:
        return ForecastsOut(items=[ForecastOut(**asdict(one)) for one in planning.forecast(work, days)])


@router.get(
    "/forecast/{account}/{day}",
    summary="某日无剩余次数的联系人 · Contacts without a slot after a day",
    responses=CSV,
    response_model=MembersOut,
)
def out_of_quota(
    entry: Guarded,
    account: int,
    day: date,
    *,
    days: int = Days,
    after: int = Query(0, ge=0),
    limit: int = Query(100, ge=1, le=10_000),
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the word of the API
) -> Any:
    with entry.read() as work:
        return _some(planning.out_of_quota(work, account, day, days), after, limit, csv=format == "csv")


@router.get("/quota/{account}", summary="配额用量 · Sends used and left of an account and of its people")
def quota(entry: Guarded, account: int) -> QuotaOut:
    with entry.read() as work:
        return QuotaOut(**asdict(planning.quota(work, account)))


@router.get(
    "/quota/{account}/{left}",
    summary="按剩余次数的联系人 · Contacts by the messages that they may still get this month",
    responses=CSV,
    response_model=MembersOut,
)
def with_left(
    entry: Guarded,
    account: int,
    left: int,
    *,
    after: int = Query(0, ge=0),
    limit: int = Query(100, ge=1, le=10_000),
    format: Literal["json", "csv"] = "json",  # noqa: A002 - the word of the API
) -> Any:
    """`left` is 0, 1 or 2; 3 stands for 3 or more."""
    with entry.read() as work:
        return _some(planning.with_left(work, account, left), after, limit, csv=format == "csv")


@router.get("/approval", summary="审批条件 · When a second person is asked")
def approval(entry: Guarded) -> ApprovingOut:
    with entry.read() as work:
        return ApprovingOut(**asdict(approving.approval(work)))


@router.put("/approval", summary="设置审批条件 · Set when a second person is asked")
def set_approval(entry: Guarded, body: ApprovingIn) -> ApprovingOut:
    given = body.model_dump(exclude_unset=True)
    return entry.write(lambda work: ApprovingOut(**asdict(approving.set_approval(work, given))))


@router.get("/costs", summary="每条费用 · What a message costs")
def costs(entry: Guarded) -> CostsOut:
    with entry.read() as work:
        return _costs(work)


@router.put("/costs/{of}", summary="设置每条费用 · Set what a message costs")
def set_cost(entry: Guarded, of: str, body: CostIn) -> CostsOut:
    """`of` is `<kind of account>.<kind of message>`, e.g. `custom.text`."""

    def put(work: Work) -> CostsOut:
        planning.set_cost(work, of, body.value, body.currency, body.source)
        return _costs(work)

    return entry.write(put)


def _costs(work: Work) -> CostsOut:
    return CostsOut(costs={of: CostOfOut(**entry) for of, entry in planning.costs(work).items()})
