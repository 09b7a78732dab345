"""Who is erased is gone from everywhere: sets, events, the lake's files, records, values and visits."""

import pyarrow.parquet as pq
import pytest
from pyroaring import BitMap

from tagcast import behaviour, contacts, features, reactions, tags, tracking
from tagcast.behaviour import kept, moving
from tagcast.columns import files
from tagcast.features import actions, computing
from tagcast.kit import events
from tagcast.kit.uow import Runtime
from tagcast.tracking import rules as visits
from tagcast.tracking import store as hits
from tests.features.story import TODAY, Event, people, record

GONE, STAYS = 4, 5
EVENTS = [Event(n, name, 3 * n + k, 100 * n) for n in range(1, 11) for k in range(3) for name in ("purchase", "view")]


@pytest.fixture
def known(runtime: Runtime) -> Runtime:
    """Two people of whom everything is known that can be, part of it in the lake."""
    with runtime.work(1, "t") as work:
        people(work)
        record(work, EVENTS[::3])
        features.define(work, features.parse("orders", {"measure": "count", "events": ["purchase"]}))
        features.compute_rfm(work, event="purchase", as_of=TODAY)
    moving.bring(runtime, 1)
    with runtime.work(1, "t") as work:
        record(work, EVENTS[1::3] + EVENTS[2::3], key="b")
        features.compute(work, "orders", as_of=TODAY)
        tag = tags.create(work, "vip")
        tags.assign(work, tag.id, BitMap([GONE, STAYS]), why="test")
    with runtime.read(1, "t") as work:
        behaviour.checkpoint(work)
    return runtime


def holding(runtime: Runtime, number: int) -> set[str]:
    """Where a contact's number is."""
    found = set()
    with runtime.read(1, "t") as work:
        found |= {key for key in work.bitmaps.keys("") if number in work.bitmaps.read(key)}
        for name, declared in behaviour.event_types(work).items():
            found |= {f"event of {name}"} if number in behaviour.events_of(work, name).contact else set()
            with kept.records(work, declared) as records:
                for field in kept.FIELDS:
                    if records.size > number and records.column(field)[number]:
                        found.add(f"record of {name}")
    for file in (runtime.settings.home / "lake").rglob("*.parquet"):
        if number in pq.read_table(file).column("contact").to_pylist():
            found.add(f"file of {file.parent.name}")
    for folder in (runtime.settings.home / "columns").glob("workspace-1/*"):
        for one in files.opened(folder):
            if one.size > number and any(column[number] for column in one.columns.values()):
                found.add(f"checkpoint of {folder.name}")
    return found


def test_nothing_of_who_was_erased_is_left(known: Runtime) -> None:
    before = holding(known, GONE)
    assert {"event of view", "record of view", "file of view", "checkpoint of events-view", "contact"} <= before
    with known.read(1, "t") as work:
        late = computing.compute(work, actions.find(work, "orders"), TODAY, full=True)
    with known.work(1, "t") as work:
        contacts.erase(work, GONE)
    while reactions.follow(known):
        pass
    with known.read(1, "t") as work:
        assert moving.due(work)
        assert behaviour.checkpoint(work, least=1_000_000) == 2
    moving.bring(known, 1)
    with known.work(1, "t") as work:
        # Computed from what was there before.
        actions.keep(work, late)
    assert holding(known, GONE) == set()
    assert holding(known, STAYS) >= {"event of view", "record of view", "file of view", "contact"}
    with known.read(1, "t") as work:
        assert events.open_batch(work.connection, 10) == []


def test_visits_that_came_late_are_nobody_s(known: Runtime) -> None:
    with known.work(1, "t") as work:
        link = tracking.make_link(work, "broadcast:1", "https://example.com/")
        hits.insert_hits(
            work.connection, {1: [visits.Hit(at, link.id, number, 0) for at, number in enumerate((GONE, STAYS))]}
        )
        contacts.erase(work, GONE)
        tracking.fold(work)
        assert work.bitmaps.read("broadcast:1:clicked") == BitMap([STAYS])
        assert tracking.totals(work, "broadcast:1").clicks == 2
    while reactions.follow(known):
        pass
    with known.read(1, "t") as work:
        (data,) = [data for _, data in hits.all_batches(work)]
        assert sorted(visits.unpack_hits(data)["number"].tolist()) == [0, STAYS]
