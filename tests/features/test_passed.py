"""Features of events that lie in the lake, partly in the log, partly of somebody who was erased, against lists."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.features.story import PEOPLE, TODAY, people
from tests.features.test_measures import MEASURES, held, measured

from tagcast import behaviour, contacts, features
from tagcast.behaviour import Chosen, Did, Events, Where, Window, moving
from tagcast.bitmaps.algebra import Evaluation
from tagcast.contacts import rules, store
from tagcast.features import parse
from tagcast.kit.errors import NotFound
from tagcast.kit.uow import Runtime, Work

ZONE = ZoneInfo("Asia/Shanghai")
TODAY_MS = int(datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=ZONE).timestamp() * 1000)
TYPES = ("purchase", "view")
COLOURS = ("red", "blue", None)


@dataclass(frozen=True)
class Told:
    """An event as it was told."""

    contact: int
    type: str
    at: datetime
    cents: int
    colour: str | None

    @property
    def day(self) -> date:
        return self.at.date()


WHERE: dict[str, tuple[list[dict[str, Any]], Callable[[Told], bool]]] = {
    "all": ([], lambda _: True),
    "red": ([{"name": "colour", "op": "is", "value": "red"}], lambda one: one.colour == "red"),
    "not red": ([{"name": "colour", "op": "is_not", "value": "red"}], lambda one: one.colour == "blue"),
    "plain": (
        [{"name": "colour", "op": "unknown"}, {"name": "amount", "op": "between", "value": [-100, 2000]}],
        lambda one: one.colour is None and -100 <= one.cents <= 2000,
    ),
}


def made(seed: int, count: int = 60) -> list[Told]:
    """Events of a hundred days, some of them at either end of a day or of a month."""
    random = Random(seed)
    found = []
    for _ in range(count):
        day = TODAY - timedelta(days=random.randrange(100))
        at = datetime(day.year, day.month, day.day, random.choice((0, 7, 8, 23)), random.choice((0, 59)), tzinfo=ZONE)
        found.append(
            Told(
                random.randint(1, PEOPLE), random.choice(TYPES), at, random.randint(-500, 5000), random.choice(COLOURS)
            )
        )
    return found


def record(runtime: Runtime, told: list[Told], key: str) -> None:
    with runtime.work(1, "t") as work:
        for name in TYPES:
            mine = [one for one in told if one.type == name]
            columns = behaviour.events(
                [one.contact for one in mine],
                [int(one.at.timestamp() * 1000) for one in mine],
                [one.cents for one in mine],
                properties=[{"colour": one.colour} if one.colour else {} for one in mine],
            )
            behaviour.record_packed(work, name, columns, batch_key=f"{key}:{name}", zone=work.zone)


@pytest.fixture
def told(runtime: Runtime) -> list[Told]:
    """In the lake, twice compacted; then in the log; of one contact nothing any more, though files still have it."""
    with runtime.work(1, "t") as work:
        people(work, types=())
        for name in TYPES:
            behaviour.declare_event(work, name, "test", ["colour"])
    batches = [made(seed) for seed in range(4)]
    for seed, batch in enumerate(batches):
        record(runtime, batch, str(seed))
        if seed < 2:
            moving.bring(runtime, 1)
        if seed == 2:
            with runtime.work(1, "t") as work:
                behaviour.forget(work, 3)
    return [one for seed, batch in enumerate(batches) for one in batch if one.contact != 3 or seed == 3]


def test_every_measure_as_by_hand_wherever_the_events_lie(runtime: Runtime, told: list[Told]) -> None:
    with runtime.work(1, "t") as work:
        asked = list(product(MEASURES, (None, 20), WHERE))
        for number, (measure, window, where) in enumerate(asked):
            conditions, meets = WHERE[where]
            data = {"measure": measure, "events": TYPES, "window_days": window, "where": conditions}
            definition = features.define(work, parse(f"f{number}", data))
            features.compute(work, definition.name, as_of=TODAY)
            wanted = by_hand(measure, window, [one for one in told if meets(one)])
            assert held(work, definition.name) == wanted, (measure, window, where)
            assert wanted


def by_hand(measure: str, window: int | None, told: list[Told]) -> dict[int, Any]:
    first = TODAY - timedelta(days=(window or 10_000) - 1)
    found: dict[int, Any] = {}
    for who in sorted({one.contact for one in told}):
        mine: Any = [one for one in told if one.contact == who and first <= one.day <= TODAY]
        value = measured(measure, mine, TODAY) if mine else None
        if value is not None:
            found[who] = value
    return found


def test_a_pass_tells_how_far_it_is_and_takes_every_event_once(runtime: Runtime, told: list[Told]) -> None:
    steps: list[tuple[int, int]] = []

    def passed(work: Work, chosen: Chosen) -> list[tuple[int, int, int]]:
        rows: list[tuple[int, int, int]] = []

        def take(into: list[tuple[int, int, int]], found: Events) -> None:
            assert not found.properties
            into += zip(found.contact.tolist(), found.at_ms.tolist(), found.amount.tolist(), strict=True)

        behaviour.fold(work, chosen, lambda: rows, take, lambda *step: steps.append(step))
        return sorted(rows)

    def rows(some: list[Told]) -> list[tuple[int, int, int]]:
        return sorted((one.contact, int(one.at.timestamp() * 1000), one.cents) for one in some)

    with runtime.read(1, "t") as work:
        assert passed(work, Chosen(TYPES)) == rows(told)
        assert steps[-1][0] == steps[-1][1] > 2
        assert steps == sorted(steps)
        # A type that is named twice counts once.
        red = Chosen(("view", "view"), where=(Where("colour", "is", "red"),))
        assert passed(work, red) == rows([one for one in told if one.type == "view" and one.colour == "red"])
        days = Window(TODAY - timedelta(days=40), TODAY - timedelta(days=9))
        some = behaviour.between(work, "view", TODAY, TODAY) | behaviour.between(work, "purchase", TODAY, TODAY)
        inside = [one for one in told if days.first <= one.day <= days.last and one.contact in some]
        assert passed(work, Chosen(TYPES, days, within=some)) == rows(inside)
        with pytest.raises(NotFound, match="sneeze"):
            passed(work, Chosen(("sneeze",)))


@pytest.mark.parametrize("until", [None, TODAY - timedelta(days=30)])
def test_what_is_kept_of_several_types_is_folded(runtime: Runtime, told: list[Told], until: date | None) -> None:
    fields = ("first_day", "last_day", "count", "sum")
    with runtime.read(1, "t") as work:
        found = behaviour.aggregates(work, *TYPES, until=until, fields=fields)
        rows = zip(found.contact.tolist(), *(getattr(found, name).tolist() for name in fields), strict=True)
        with pytest.raises(ValueError, match="days"):
            behaviour.aggregates(work, *TYPES, fields=("days",))
    wanted = []
    for who in sorted({one.contact for one in told}):
        mine = [one for one in told if one.contact == who and (until is None or one.day <= until)]
        days = [(one.day - date(1970, 1, 1)).days for one in mine]
        if mine:
            wanted.append((who, min(days), max(days), len(mine), sum(one.cents for one in mine)))
    assert list(rows) == wanted


def test_the_highest_number_goes_into_the_lake_and_back(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        store.lock(work)
        store.set_last_number(work, rules.HIGHEST - 2)
        people(work, 2, ["view"])
        columns = behaviour.events([rules.HIGHEST - 1, rules.HIGHEST], [TODAY_MS, TODAY_MS + 1], [1, 300])
        behaviour.record_packed(work, "view", columns, batch_key="a", zone=work.zone)
    moving.bring(runtime_sqlite, 1)
    with runtime_sqlite.read(1, "t") as work:
        highest = BitMap([rules.HIGHEST])
        asked = behaviour.node(work, Did("view", measure="most", op=">", value=200), zone=work.zone)
        assert Evaluation(work.bitmaps, contacts.EVERYONE).members(asked) == highest
        assert behaviour.events_of(work, "view").contact.tolist() == [rules.HIGHEST - 1, rules.HIGHEST]
        found: list[int] = []
        chosen = Chosen(["view"], within=highest)
        behaviour.fold(work, chosen, lambda: found, lambda into, some: into.extend(some.contact.tolist()))
        assert found == [rules.HIGHEST]


@given(
    st.lists(st.integers(631_152_000_000, 4_102_444_800_000 - 1), max_size=40),
    st.sampled_from(["Asia/Shanghai", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
)
def test_a_local_day_is_the_calendar_day_there(moments: list[int], zone: str) -> None:
    epoch = date(1970, 1, 1)
    wanted = [(datetime.fromtimestamp(one / 1000, ZoneInfo(zone)).date() - epoch).days for one in moments]
    assert behaviour.local_days(np.array(moments, dtype=np.int64), zone).tolist() == wanted
