"""Events made in a line, and what they come to by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tagcast import behaviour, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.uow import Work

TODAY = date(2026, 3, 31)
PEOPLE = 12


@dataclass(frozen=True)
class Event:
    """Who did what, how many days before TODAY, for how much."""

    contact: int
    type: str
    ago: int
    cents: int = 0
    quantity: int = 1

    @property
    def day(self) -> date:
        return TODAY - timedelta(days=self.ago)


def people(work: Work, count: int = PEOPLE, types: Sequence[str] = ("purchase", "view")) -> None:
    contacts.ensure(work, [PersonIn({Identity("customer_id"): str(n)}) for n in range(1, count + 1)])
    for name in types:
        behaviour.declare_event(work, name, "test")


def record(work: Work, events: Sequence[Event], key: str = "a") -> None:
    zone = ZoneInfo(work.zone)
    for name in sorted({event.type for event in events}):
        mine = [event for event in events if event.type == name]
        at = [int(datetime.combine(one.day, time(23, 59), zone).timestamp() * 1000) for one in mine]
        columns = behaviour.events(
            [one.contact for one in mine], at, [one.cents for one in mine], [one.quantity for one in mine]
        )
        behaviour.record_packed(work, name, columns, batch_key=f"{key}:{name}", zone=work.zone)
