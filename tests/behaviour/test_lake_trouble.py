"""Trouble with the lake: a log that lies, a damaged file, a full disk, a kill in the midst of erasing."""

import asyncio
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.behaviour.naive import KINDS, PEOPLE
from tests.behaviour.test_history import check, record

from tagcast import behaviour, contacts
from tagcast.behaviour import history, mending, moving
from tagcast.contacts import Identity, PersonIn
from tagcast.kit import holding, leases
from tagcast.kit.errors import TagcastError, Unavailable
from tagcast.kit.uow import Runtime


@pytest.fixture
def ready(runtime_sqlite: Runtime) -> Runtime:
    with runtime_sqlite.work(1, "t") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
        for name in ("view", "buy"):
            behaviour.declare_event(work, name, "to measure", KINDS)
    return runtime_sqlite


def folder(runtime: Runtime, name: str = "view") -> Path:
    return runtime.settings.home / "lake" / "w1" / name


def begin_anew(runtime: Runtime) -> None:
    """As a process that has opened nothing yet."""
    runtime.lake._tables.clear()


def state(runtime: Runtime, name: str = "view") -> moving.Status:
    with runtime.read(1, "t") as work:
        return next(one for one in moving.status(work) if one.type == name)


def release(runtime: Runtime) -> None:
    """The database lets go of everything that is in the lake."""
    with runtime.work(1, "t") as work:
        assert moving.release(work, timedelta(milliseconds=-1000))


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


class Stuck:
    """What was told of types that cannot be brought on."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def __call__(self, name: str, error: TagcastError) -> None:
        self.told[name] = error.code


LIES = [
    (b'"appended"', b'"appendeb"'),
    (b'"stamp"', b'"stbmp"'),
    (b'{"txn"', b'{"txo"'),
    (b'{"add"', b'{"adl"'),
    (b"numRecords", b"numRecorde"),
    (b"{", b""),
]


@pytest.mark.parametrize(("before", "after"), LIES)
@pytest.mark.parametrize("released", [False, True])
def test_a_log_that_lies_is_not_believed_and_mended(
    ready: Runtime, before: bytes, after: bytes, released: bool
) -> None:
    told = record(ready, "view", 1)
    moving.bring(ready, 1)
    if released:
        release(ready)
    entry = folder(ready) / "_delta_log" / f"{1:020}.json"
    assert before in entry.read_bytes()
    entry.write_bytes(entry.read_bytes().replace(before, after))
    begin_anew(ready)
    with ready.read(1, "t") as work:
        with pytest.raises(Unavailable, match="does not hold"):
            history.events(work, "view")
        assert moving.due(work)
    assert state(ready).damaged
    assert [(one.file, one.repaired) for one in mending.verify(ready, 1)] == [(f"_delta_log/{entry.name}", False)]
    moving.bring(ready, 1)
    assert not state(ready).damaged
    check(ready, told)
    assert mending.verify(ready, 1) == []
    told += record(ready, "view", 2)
    moving.bring(ready, 1)
    check(ready, told)


@pytest.mark.parametrize("released", [False, True])
def test_a_log_that_nothing_tells_of_is_written_anew_if_the_database_has_all(ready: Runtime, released: bool) -> None:
    told = record(ready, "view", 1)
    moving.bring(ready, 1)
    if released:
        release(ready)
    shutil.rmtree(folder(ready) / "_seals")
    entry = folder(ready) / "_delta_log" / f"{1:020}.json"
    entry.write_bytes(entry.read_bytes().replace(b'"add"', b'"adl"'))
    begin_anew(ready)
    stuck = Stuck()
    moving.bring(ready, 1, stuck=stuck)
    moving.tidy(ready, 1)
    if released:
        assert stuck.told == {"view": "behaviour.lake_damaged"}
        assert not any(one.repaired for one in mending.verify(ready, 1, repair=True))
        assert sum(len(pq.read_table(one)) for one in folder(ready).glob("*.parquet")) == len(told)
        return
    assert stuck.told == {}
    check(ready, told)
    assert state(ready).rows == len(told)


def test_a_damaged_file_stops_its_type_and_no_other(ready: Runtime) -> None:
    record(ready, "view", 1)
    moving.bring(ready, 1)
    release(ready)
    for file in folder(ready).glob("*.parquet"):
        damage(file)
    told = record(ready, "buy", 1)
    for seed in range(2, 7):
        record(ready, "view", seed, 20)
        moving.bring(ready, 1)
    stuck = Stuck()
    moving.tidy(ready, 1, everything=True, stuck=stuck)
    assert stuck.told == {"view": "behaviour.lake_damaged"}
    assert state(ready, "buy").rows == len(told)
    assert {(one.type, one.repaired) for one in mending.verify(ready, 1, repair=True)} == {("view", False)}


def test_an_erasure_that_is_killed_before_its_files_go_is_ended_later(ready: Runtime) -> None:
    told = record(ready, "view", 1)
    moving.bring(ready, 1)
    with ready.work(1, "t") as work:
        behaviour.forget(work, 4)
    told = [one for one in told if one.contact != 4]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.behaviour.stopped", str(ready.settings.home)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "committed\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()

    def on_disk() -> set[int]:
        return {who for one in folder(ready).glob("*.parquet") for who in pq.read_table(one)["contact"].to_pylist()}

    assert 4 in on_disk()
    check(ready, told)
    assert moving.bring(ready, 1) == 0
    moving.tidy(ready, 1)
    assert 4 not in on_disk()
    check(ready, told)
    assert mending.verify(ready, 1) == []


@contextmanager
def no_room() -> Iterator[None]:
    """No file can be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_lake_that_cannot_be_written_leaves_everything_in_the_database(ready: Runtime) -> None:
    told = record(ready, "view", 1)
    moving.bring(ready, 1)
    told += record(ready, "view", 2) + record(ready, "buy", 2)
    stuck = Stuck()
    with no_room():
        moving.bring(ready, 1, stuck=stuck)
        moving.tidy(ready, 1, everything=True, stuck=stuck)
    assert stuck.told == {"view": "behaviour.lake_unwritable", "buy": "behaviour.lake_unwritable"}
    check(ready, told)
    moving.bring(ready, 1)
    assert (state(ready).waiting, state(ready, "buy").rows) == (0, 60)
    check(ready, told)


def test_the_worker_goes_on_after_an_error_when_its_time_comes_again(ready: Runtime) -> None:
    told = record(ready, "view", 1) + record(ready, "buy", 1)
    folder(ready).parent.mkdir(parents=True)
    folder(ready).write_text("in the way")
    for _ in range(2):
        with ready.work(1, "t") as work:
            assert moving.due(work)
            moving.start(work)
        lease = holding.claim(ready, "me", [moving.KIND])
        assert lease is not None
        asyncio.run(moving.move(ready, lease))
        with ready.read(1, "t") as work:
            assert leases.next_due_ms(work.connection, [moving.KIND]) is None
        assert state(ready, "buy").rows == 60
        if folder(ready).is_file():
            assert state(ready).waiting == 1
            folder(ready).unlink()
    assert (state(ready).waiting, state(ready).rows) == (0, 60)
    check(ready, told)
