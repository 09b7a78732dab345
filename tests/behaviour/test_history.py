"""The history of events: exact whatever part of it is in the lake, through kills, erasure, damage and older readers."""

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyroaring import BitMap
from tests.behaviour.naive import KINDS, PEOPLE, START, ZONE, Told, batch, naive, questions

from tagcast import behaviour, contacts
from tagcast.behaviour import Did, Events, history, mending, moving
from tagcast.behaviour import few as few_of
from tagcast.contacts import Identity, PersonIn
from tagcast.kit import holding, leases
from tagcast.kit.errors import NotFound, Unavailable
from tagcast.kit.uow import Runtime


@pytest.fixture
def ready(runtime: Runtime) -> Runtime:
    with runtime.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        for name in ("view", "buy"):
            behaviour.declare_event(work, name, "to measure", KINDS)
    return runtime


def record(runtime: Runtime, name: str, seed: int, count: int = 60) -> list[Told]:
    made, told = batch(name, seed, count)
    with runtime.work(1, "t") as work:
        behaviour.record_packed(work, name, made, batch_key=f"{name}{seed}", zone=ZONE)
    return told


def check(runtime: Runtime, told: list[Told], *, now: datetime | None = None, plain: bool = False) -> None:
    """Every kind of question, of all and of a few, equals a look at all events; and the events are those."""
    few = BitMap([1, 4, 9, 999])
    with runtime.read(1, "t", now=now) as work:
        everyone = set(contacts.everyone(work))
        for question in questions():
            expected = naive(question, told, everyone, work.now_ms)
            assert set(history.ask(work, question, zone=ZONE)) == expected, question
            assert set(history.ask(work, question, few, zone=ZONE)) == expected & set(few), question
            near = few_of.ask(work, question, few, zone=ZONE)
            # A lake that does not stand on this log is not for the short way.
            assert near is not None or not plain, question
            assert near is None or set(near) == expected & set(few), question
        for name in ("view", "buy"):
            found = history.events(work, name)
            assert rows(found) == sorted(one.row() for one in told if one.name == name)
            some = history.events(work, name, START, START + 20 * 86_400_000, within=few)
            assert rows(some) == sorted(
                one.row() for one in told
                if one.name == name and one.contact in few and START <= one.at_ms < START + 20 * 86_400_000
            )  # fmt: skip


def rows(found: Events) -> list[Any]:
    held = found.properties or [{}] * len(found)
    columns = (found.contact.tolist(), found.at_ms.tolist(), found.amount.tolist(), found.quantity.tolist(), held)
    return sorted((*some[:4], str(sorted(some[4].items()))) for some in zip(*columns, strict=True))


def test_answers_are_the_same_wherever_the_events_are(ready: Runtime) -> None:
    told: list[Told] = []
    for seed in range(3):
        told += record(ready, "view", seed) + record(ready, "buy", seed)
        if seed == 0:
            check(ready, told, plain=True)
            assert moving.bring(ready, 1) == len(told)
    check(ready, told, plain=True)
    moving.bring(ready, 1)
    assert moving.bring(ready, 1) == 0
    check(ready, told, plain=True)
    moving.tidy(ready, 1, everything=True)
    told += record(ready, "buy", 9)
    check(ready, told, plain=True)
    with ready.work(1, "t") as work:
        assert moving.release(work, timedelta(0)) == 0
        assert moving.release(work, timedelta(milliseconds=-1000)) == 6
    check(ready, told, plain=True)


def test_who_is_forgotten_is_gone_at_once_and_then_from_every_file(ready: Runtime) -> None:
    told = record(ready, "view", 1) + record(ready, "buy", 1)
    moving.bring(ready, 1)
    with ready.work(1, "t") as work:
        behaviour.forget(work, 4)
    told = [one for one in told if one.contact != 4]
    check(ready, told)
    more = record(ready, "view", 2)
    check(ready, told + more)
    moving.bring(ready, 1)
    check(ready, told + more)
    assert {one.contact for one in more} >= {4}
    folder = ready.settings.home / "lake" / "w1" / "buy"
    import pyarrow.parquet as pq

    assert all(4 not in pq.read_table(one).column("contact").to_pylist() for one in folder.glob("*.parquet"))


def test_a_reader_of_before_sees_the_lake_as_it_was(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        for name in ("view", "buy"):
            behaviour.declare_event(work, name, "to measure", KINDS)
    first = record(runtime_sqlite, "view", 1)
    moving.bring(runtime_sqlite, 1)
    with runtime_sqlite.read(1, "early") as work:
        assert behaviour.last_seq(work) == 1
        second = record(runtime_sqlite, "view", 2)
        moving.bring(runtime_sqlite, 1)
        assert rows(history.events(work, "view")) == sorted(one.row() for one in first)
        assert set(history.ask(work, Did("view", value=4), zone=ZONE)) == naive(
            Did("view", value=4), first, set(range(1, PEOPLE + 1)), 0
        )
    check(runtime_sqlite, first + second)


def test_a_damaged_file_is_written_anew_from_the_log_or_told(ready: Runtime) -> None:
    told = [one for seed in range(3) for one in record(ready, "view", seed)]
    moving.bring(ready, 1)
    assert mending.verify(ready, 1) == []
    files = sorted((ready.settings.home / "lake" / "w1" / "view").glob("*.parquet"))
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)
    assert [(one.file, one.repaired) for one in mending.verify(ready, 1)] == [(files[0].name, False)]
    with ready.read(1, "t") as work, pytest.raises(Unavailable, match="does not hold"):
        history.events(work, "view")
    assert [(one.file, one.repaired) for one in mending.verify(ready, 1, repair=True)] == [(files[0].name, True)]
    assert mending.verify(ready, 1) == []
    check(ready, told)
    with ready.work(1, "t") as work:
        moving.release(work, timedelta(milliseconds=-1000))
    for file in (ready.settings.home / "lake" / "w1" / "view").glob("*.parquet"):
        file.write_bytes(b"PAR1")
    assert {one.repaired for one in mending.verify(ready, 1, repair=True)} == {False}


def test_a_lake_that_is_gone_is_told(ready: Runtime) -> None:
    record(ready, "view", 1)
    moving.bring(ready, 1)
    with ready.work(1, "t") as work:
        moving.release(work, timedelta(milliseconds=-1000))
    (ready.settings.home / "lake").rename(ready.settings.home / "elsewhere")
    ready.lake.table("w1/view")._opened = None
    with ready.read(1, "t") as work, pytest.raises(Unavailable, match="not in the lake"):
        history.ask(work, Did("view"), zone=ZONE)


def test_the_worker_s_lease_brings_all_and_ends(ready: Runtime) -> None:
    told = record(ready, "view", 1) + record(ready, "buy", 1)
    with ready.work(1, "t") as work:
        assert moving.due(work)
        moving.start(work)
    lease = holding.claim(ready, "me", [moving.KIND])
    assert lease is not None
    asyncio.run(moving.move(ready, lease))
    with ready.read(1, "t") as work:
        assert not moving.due(work)
        assert {one.rows for one in moving.status(work)} == {60}
        assert leases.next_due_ms(work.connection, [moving.KIND]) is None
    check(ready, told)


def test_bringing_that_is_killed_goes_on_and_doubles_nothing(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        for name in ("view", "buy"):
            behaviour.declare_event(work, name, "to measure", KINDS)
    told = [one for seed in range(12) for one in record(runtime_sqlite, "view", seed, 20)]
    for lines in (1, 3):
        killed = subprocess.Popen(
            [sys.executable, "-m", "tests.behaviour.mover", str(runtime_sqlite.settings.home)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert killed.stdout is not None
        for _ in range(lines):
            killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        killed.stdout.close()
        with runtime_sqlite.read(1, "t") as work:
            assert rows(history.events(work, "view")) == sorted(one.row() for one in told)
    moving.bring(runtime_sqlite, 1)
    with runtime_sqlite.read(1, "t") as work:
        assert [one.rows for one in moving.status(work) if one.type == "view"] == [len(told)]
    check(runtime_sqlite, told)


def test_an_unknown_type_is_told(ready: Runtime) -> None:
    with ready.read(1, "t") as work:
        for wanted in (lambda: history.ask(work, Did("nothing"), zone=ZONE), lambda: history.events(work, "nothing")):
            with pytest.raises(NotFound):
                wanted()
