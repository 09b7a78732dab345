"""Events over HTTP: types, and intake, which answers after the disk has it; the lake they go to."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from tagcast.access import Guarded
from tagcast.behaviour import actions, intake, store
from tagcast.behaviour.api import lake
from tagcast.behaviour.rules import EventType, Kind
from tagcast.kit.errors import Invalid

events = APIRouter(prefix="/events")

MOST = 5000


class Strict(BaseModel):
    """A request in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid")


class TypeIn(Strict):
    """What an event type is."""

    purpose: str = Field(description="What it is collected for; without that it may not be stored.", max_length=200)
    properties: dict[str, Kind] = Field(
        default_factory=dict, description="Name and kind of each property.", max_length=50
    )


class TypeOut(TypeIn):
    """A declared event type."""

    name: str


class TypesOut(BaseModel):
    """The declared event types."""

    types: list[TypeOut]


class RebuiltOut(BaseModel):
    """How many events the sets and records stand for."""

    events: int


class WhoIn(Strict):
    """Under what the contact is known."""

    kind: str = Field(examples=["customer_id"])
    value: str = Field(max_length=128)
    account: int = 0


class RowIn(Strict):
    """One event; give `number` or `contact`."""

    type: str = Field(examples=["purchase"])
    contact: WhoIn | None = None
    number: Annotated[int, Field(ge=1, le=0xFFFFFFFF)] | None = None
    at: str = Field(description="ISO 8601, a day, or an epoch in s or ms.", max_length=40)
    amount: str = Field(default="0", description="At most two decimals.", max_length=30)
    quantity: int = 1
    id: str = Field(
        default="",
        description="The event's own, such as an order's number: recorded once a type, for good.",
        max_length=100,
    )
    properties: dict[str, StrictStr | StrictBool | StrictInt | StrictFloat] = Field(default_factory=dict)


class BatchIn(Strict):
    """At most 5,000 events. The same `batch_key` again changes nothing; without one the events' own ids protect."""

    batch_key: str | None = Field(default=None, min_length=1, max_length=100)
    partial: bool = Field(default=False, description="Record the good events though others are bad.")
    events: list[RowIn] = Field(min_length=1, max_length=MOST)


class RefusedOut(BaseModel):
    """An event that was not recorded; `row` counts from 0."""

    row: int
    code: str
    zh: str
    en: str


class BatchOut(BaseModel):
    """How many events were recorded now, how many were known by their own id, and which were refused."""

    recorded: int
    known: int = 0
    already: bool = Field(default=False, description="The whole batch was recorded before, under its key.")
    refused: list[RefusedOut] = Field(default_factory=list)


@events.get("/types", summary="事件类型 · Event types")
def types(entry: Guarded) -> TypesOut:
    """What is collected, for what, with which properties."""
    with entry.read() as work:
        return TypesOut(types=[_type(one) for one in store.all_types(work).values()])


@events.put("/types/{name}", summary="声明事件类型 · Declare an event type")
def declare(entry: Guarded, name: str, body: TypeIn) -> TypeOut:
    """Make a type of event, or describe it anew."""
    return entry.write(lambda work: _type(actions.declare_event(work, name, body.purpose, body.properties)))


@events.post("", summary="上报事件 · Record events")
async def record(entry: Guarded, request: Request, body: BatchIn) -> BatchOut:
    """All or, with `partial`, the good ones; a bad event comes back with its reason. Answered once it is durable."""
    return await _record(entry, request, body)


@events.post("/one", summary="上报一个事件 · Record one event")
async def record_one(entry: Guarded, request: Request, body: RowIn) -> BatchOut:
    """As a batch of one; give it an `id`, so that a repetition changes nothing."""
    return await _record(entry, request, BatchIn(events=[body]))


@events.post("/types/{name}/rebuild", summary="重新统计事件 · Derive a type's sets and records anew")
def rebuild(entry: Guarded, name: str) -> RebuiltOut:
    """From all events, in the workspace's present time zone."""
    return entry.write(lambda work: RebuiltOut(events=actions.rebuild(work, name, zone=work.zone)))


async def _record(entry: Guarded, request: Request, body: BatchIn) -> BatchOut:
    asked = intake.Request([_sent(row) for row in body.events], body.batch_key or "", body.partial, entry.caller.actor)
    if entry.idempotency_key is None:
        door: intake.Intake = request.app.state.intake
        return _answer(asked, await door.submit(entry.caller.workspace, asked))
    # The stored answer stands in the same transaction as the events, so these do not wait for company.
    return await run_in_threadpool(
        entry.write, lambda work: _answer(asked, intake.take(work, [asked], zone=work.zone)[0])
    )


def _answer(asked: intake.Request, outcome: intake.Outcome) -> BatchOut:
    refused = [
        RefusedOut(row=one.row, code=one.error.code, zh=one.error.text("zh"), en=one.error.text("en"))
        for one in outcome.refused
    ]
    if refused and not asked.partial:
        raise Invalid(
            "behaviour.rows_refused",
            count=len(refused),
            total=len(asked.events),
            row=refused[0].row,
            reason=refused[0].code,
            refused=[one.model_dump() for one in refused],
        )
    return BatchOut(recorded=outcome.recorded, known=outcome.known, already=outcome.already, refused=refused)


def _sent(row: RowIn) -> intake.Sent:
    who = None if row.contact is None else (row.contact.kind, row.contact.value, row.contact.account)
    return intake.Sent(row.type, row.at, row.number, who, row.amount, row.quantity, row.properties, row.id)


def _type(one: EventType) -> TypeOut:
    return TypeOut(name=one.name, purpose=one.purpose, properties=dict(one.properties))


router = APIRouter()
router.include_router(events)
router.include_router(lake.router)
