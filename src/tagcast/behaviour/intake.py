"""Events as others send them: checked one by one, recorded together with whatever else waits for the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyroaring import BitMap

from tagcast import contacts
from tagcast.behaviour import recording, rules, store
from tagcast.behaviour.rules import EventIn, EventType, Value
from tagcast.kit import logs
from tagcast.kit.errors import Invalid, TagcastError, Unavailable
from tagcast.kit.groupcommit import GroupCommit
from tagcast.kit.uow import Runtime, Work

_log = logs.get("intake")
_WAITING = 2000


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it was sent: its contact by number, or by an identity's kind, value and account."""

    type: str
    at: str
    number: int | None = None
    identity: tuple[str, str, int] | None = None
    amount: str = "0"
    quantity: int = 1
    properties: Mapping[str, Value] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """Events that belong together. Without `partial` one bad event keeps all out; `batch_key` "" protects nothing."""

    events: Sequence[Sent]
    batch_key: str = ""
    partial: bool = False
    actor: str = "api"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not recorded; `row` counts from 0."""

    row: int
    error: TagcastError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. `known` events were recorded before under their own id, or twice in the request.

    `already`: the whole request was, under its batch key.
    """

    recorded: int = 0
    known: int = 0
    already: bool = False
    refused: tuple[Refusal, ...] = ()


class Intake:
    """Records the requests of one process, many in one transaction; who asks is answered after the commit."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._writer: GroupCommit[Request, Outcome | TagcastError]
        self._writer = GroupCommit("intake", self._write, waiting=_WAITING)

    def start(self) -> None:
        """Be ready."""
        self._writer.start()

    def close(self) -> None:
        """Record what waits and end."""
        self._writer.close()

    async def submit(self, workspace: int, request: Request) -> Outcome:
        """What became of a request, once it is durable. Raises Unavailable when too much waits or it failed."""
        outcome = await self._writer.submit(workspace, request)
        if isinstance(outcome, TagcastError):
            raise outcome
        return outcome

    def _write(self, workspace: int, requests: Sequence[Request]) -> list[Outcome | TagcastError]:
        try:
            return list(self._together(workspace, requests))
        except Exception as error:
            if len(requests) == 1:
                raise
            _log.warning("requests one by one", workspace=workspace, count=len(requests), reason=type(error).__name__)
        return [self._alone(workspace, request) for request in requests]

    def _together(self, workspace: int, requests: Sequence[Request]) -> list[Outcome]:
        actors = {request.actor for request in requests}
        with self._runtime.work(workspace, actors.pop() if len(actors) == 1 else "api") as work:
            return take(work, requests, zone=work.zone)

    def _alone(self, workspace: int, request: Request) -> Outcome | TagcastError:
        """One request must not fail those that came with it."""
        try:
            return self._together(workspace, [request])[0]
        except TagcastError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whoever sent it is told, the others are served
            _log.error("not stored", workspace=workspace, exc_info=error)
            return Unavailable("kit.not_stored", writer="intake")


def take(work: Work, requests: Sequence[Request], *, zone: str) -> list[Outcome]:
    """Record requests in this transaction, and say what became of each."""
    recording.lock(work)
    reading = _Reading(store.all_types(work), contacts.everyone(work), work.now_ms, zone)
    parsed = reading.parse(work, requests)
    marks = {recording.batch_mark("", request.batch_key) for request in requests if request.batch_key}
    marks |= {recording.event_mark(event) for events, _ in parsed for event in events if event.id}
    known, new = store.known_marks(work, marks), set[bytes]()
    by_type: dict[str, list[EventIn]] = {}
    outcomes: list[Outcome] = []
    for request, (events, refused) in zip(requests, parsed, strict=True):
        own = {recording.batch_mark("", request.batch_key)} if request.batch_key else set()
        if own & (known | new):
            outcomes.append(Outcome(already=True))
            continue
        if refused and not request.partial:
            outcomes.append(Outcome(refused=tuple(refused)))
            continue
        fresh, theirs = recording.unseen(events, known | new)
        new |= theirs | own
        for event in fresh:
            by_type.setdefault(event.type, []).append(event)
        outcomes.append(Outcome(len(fresh), len(events) - len(fresh), refused=tuple(refused)))
    recording.keep(work, {name: recording.columns(events) for name, events in by_type.items()}, new, zone)
    return outcomes


def sent(
    name: str, contact: str, at: str, amount: str = "0", quantity: int = 1, *, properties: Mapping[str, Value], id_: str
) -> Sent:
    """One event of a contact written as a number or as kind:value."""
    kind, _, value = contact.partition(":")
    if contact.isdecimal():
        return Sent(name, at, int(contact), None, amount, quantity, properties, id_)
    return Sent(name, at, None, (kind, value, 0), amount, quantity, properties, id_)


def take_one(work: Work, event: Sent) -> Outcome:
    """Record one event. Raises the reason when it is refused."""
    (outcome,) = take(work, [Request([event])], zone=work.zone)
    if outcome.refused:
        raise outcome.refused[0].error
    return outcome


class _Reading:
    """What events are checked against."""

    def __init__(self, types: Mapping[str, EventType], everyone: BitMap, now_ms: int, zone: str) -> None:
        self._types = types
        self._everyone = everyone
        self._now_ms = now_ms
        self._zone = zone

    def parse(self, work: Work, requests: Sequence[Request]) -> list[tuple[list[EventIn], list[Refusal]]]:
        """(good events, refused ones) of each request; identities are looked up together."""
        numbers = iter(_numbers(work, [sent for request in requests for sent in request.events]))
        found: list[tuple[list[EventIn], list[Refusal]]] = []
        for request in requests:
            good: list[EventIn] = []
            refused: list[Refusal] = []
            for row, sent in enumerate(request.events):
                try:
                    good.append(self._event(work, sent, next(numbers)))
                except TagcastError as error:
                    refused.append(Refusal(row, error))
            found.append((good, refused))
        return found

    def _event(self, work: Work, sent: Sent, number: int | TagcastError | None) -> EventIn:
        declared = self._types.get(sent.type) or recording.find_type(work, sent.type)
        rules.check_zone(declared, self._zone)
        if isinstance(number, TagcastError):
            raise number
        if number is None or number not in self._everyone:
            raise Invalid("behaviour.nobody", kind=sent.identity[0] if sent.identity is not None else "number")
        if sent.properties:
            rules.check_values(declared, sent.properties)
        at_ms = rules.check_age(rules.parse_time(sent.at.strip(), self._zone), self._now_ms)
        amount = rules.parse_amount(sent.amount) if sent.amount != "0" else 0
        quantity = rules.check_quantity(sent.quantity)
        return EventIn(sent.type, number, at_ms, amount, quantity, sent.properties, rules.check_key(sent.id))


def _numbers(work: Work, events: Sequence[Sent]) -> list[int | TagcastError | None]:
    """The contact of each event, or why its identity cannot be one."""
    found: list[int | TagcastError | None] = [sent.number for sent in events]
    asked: dict[tuple[str, int], list[int]] = {}
    for row, sent in enumerate(events):
        if sent.number is None and sent.identity is not None:
            asked.setdefault((sent.identity[0], sent.identity[2]), []).append(row)
    for (kind, account), rows in asked.items():
        values = [who[1] for row in rows if (who := events[row].identity) is not None]
        try:
            numbers: Sequence[int | TagcastError | None] = contacts.numbers_of(work, kind, values, account)
        except TagcastError as error:
            numbers = [error] * len(rows)
        for row, number in zip(rows, numbers, strict=True):
            found[row] = number
    return found
