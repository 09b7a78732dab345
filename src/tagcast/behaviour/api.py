"""Events over HTTP: types, and intake in batches."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from tagcast import contacts
from tagcast.access import Guarded
from tagcast.behaviour import actions, recording, rules, store
from tagcast.behaviour.rules import EventIn, EventType, Kind
from tagcast.kit.errors import Invalid, TagcastError
from tagcast.kit.uow import Work

router = APIRouter(prefix="/events")

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
    properties: dict[str, StrictStr | StrictBool | StrictInt | StrictFloat] = Field(default_factory=dict)


class BatchIn(Strict):
    """At most 5,000 events. The same `batch_key` again changes nothing."""

    batch_key: str = Field(min_length=1, max_length=100)
    events: list[RowIn] = Field(min_length=1, max_length=MOST)


class RefusedOut(BaseModel):
    """An event that was not recorded; `row` counts from 0."""

    row: int
    code: str
    zh: str
    en: str


class BatchOut(BaseModel):
    """How many events were recorded now (0 for a known batch_key), and which were refused."""

    recorded: int
    refused: list[RefusedOut]


@router.get("/types", summary="事件类型 · Event types")
def types(entry: Guarded) -> TypesOut:
    with entry.read() as work:
        return TypesOut(types=[_type(one) for one in store.all_types(work).values()])


@router.put("/types/{name}", summary="声明事件类型 · Declare an event type")
def declare(entry: Guarded, name: str, body: TypeIn) -> TypeOut:
    return entry.write(lambda work: _type(actions.declare_event(work, name, body.purpose, body.properties)))


@router.post("", summary="上报事件 · Record events")
def record(entry: Guarded, body: BatchIn) -> BatchOut:
    """Good rows are recorded together; each bad row comes back with its reason."""
    zone = entry.runtime.settings.zone

    def use_case(work: Work) -> BatchOut:
        known, everyone = store.all_types(work), contacts.everyone(work)
        numbers = _numbers(work, body.events)
        kept: list[EventIn] = []
        refused: list[RefusedOut] = []
        for row, (event, number) in enumerate(zip(body.events, numbers, strict=True)):
            try:
                if event.type not in known:
                    recording.find_type(work, event.type)
                if number is None or number not in everyone:
                    kind = event.contact.kind if event.contact is not None else "number"
                    raise Invalid("behaviour.nobody", kind=kind)
                rules.check_values(known[event.type], event.properties)
                kept.append(_event(event, number, zone))
            except TagcastError as error:
                refused.append(RefusedOut(row=row, code=error.code, zh=error.text("zh"), en=error.text("en")))
        recorded = actions.record(work, kept, batch_key=body.batch_key, zone=zone)
        return BatchOut(recorded=recorded, refused=refused)

    return entry.write(use_case)


def _event(event: RowIn, number: int, zone: str) -> EventIn:
    return EventIn(
        event.type,
        number,
        rules.parse_time(event.at.strip(), zone),
        rules.parse_amount(event.amount),
        rules.check_quantity(event.quantity),
        event.properties,
    )


def _numbers(work: Work, events: list[RowIn]) -> list[int | None]:
    """The contact of each event; identities of one kind are looked up together."""
    found = [event.number for event in events]
    asked: dict[tuple[str, int], list[int]] = {}
    for row, event in enumerate(events):
        if event.number is None and event.contact is not None:
            asked.setdefault((event.contact.kind, event.contact.account), []).append(row)
    for (kind, account), rows in asked.items():
        values = [who.value for row in rows if (who := events[row].contact) is not None]
        for row, number in zip(rows, contacts.numbers_of(work, kind, values, account), strict=True):
            found[row] = number
    return found


def _type(one: EventType) -> TypeOut:
    return TypeOut(name=one.name, purpose=one.purpose, properties=dict(one.properties))
