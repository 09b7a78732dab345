"""Checkpoints: what they save, and that no damage and no kill ever shows in an answer."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, reading, writing

from tagcast.bitmaps import Bitmaps

WANTED = {"a": BitMap([1, 2, 3, 70_000]), "b": BitMap(range(100, 400)), "c": BitMap([8])}


def fill(log: Log, bitmaps: Bitmaps) -> None:
    """Everything of WANTED but c, a checkpoint, then c and a later change of a."""
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1, 2, 70_000]), why="")
        view.add("b", WANTED["b"], why="")
        view.add("empty", BitMap([1]), why="")
        view.remove("empty", BitMap([1]), why="")
    checkpoint(log, bitmaps)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([3]), why="")
        view.add("c", BitMap([8]), why="")


def checkpoint(log: Log, bitmaps: Bitmaps) -> bool:
    with log.engine.begin() as connection:
        return bitmaps.checkpoint(connection, 1)


def assert_right(log: Log, folder: Path | None) -> None:
    """A new process answers exactly."""
    with reading(Bitmaps(log.engine, folder), log) as view:
        assert view.keys() == ["a", "b", "c"]
        for key, members in WANTED.items():
            assert view.count(key) == len(members)
            assert view.read(key) == members
            assert view.version(key) == view.history(key)[0].seq


def files(log: Log) -> list[Path]:
    return sorted(log.folder.glob("*.bitmaps"))


def test_a_process_starts_from_the_checkpoint_and_the_log_after_it(log: Log) -> None:
    fill(log, Bitmaps(log.engine, log.folder))
    assert_right(log, log.folder)
    assert_right(log, None)
    with log.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM bitmap_change WHERE seq <= 4"))
    with reading(Bitmaps(log.engine, log.folder), log) as view:
        assert {key: view.read(key) for key in WANTED} == WANTED


def test_a_loaded_set_can_be_changed(log: Log) -> None:
    fill(log, Bitmaps(log.engine, log.folder))
    bitmaps = Bitmaps(log.engine, log.folder)
    with writing(bitmaps, log) as view:
        change = view.add("b", BitMap([150, 500]), why="")
        assert change is not None
        assert view.members(change.seq) == BitMap([500])
        assert view.read("b") == WANTED["b"] | BitMap([500])


def test_nothing_new_makes_no_checkpoint(log: Log) -> None:
    bitmaps = Bitmaps(log.engine, log.folder)
    fill(log, bitmaps)
    assert checkpoint(log, bitmaps)
    assert not checkpoint(log, bitmaps)
    assert not checkpoint(log, Bitmaps(log.engine, log.folder))
    assert not checkpoint(log, Bitmaps(log.engine))
    assert len(files(log)) == 2


def test_old_files_go(log: Log) -> None:
    bitmaps = Bitmaps(log.engine, log.folder)
    for number in range(6):
        with writing(bitmaps, log) as view:
            view.add("a", BitMap([number]), why="")
        assert checkpoint(log, bitmaps)
    assert [int(path.name.split("-")[2]) for path in files(log)] == [4, 5, 6]
    with log.engine.connect() as connection:
        recorded = connection.execute(sa.text("SELECT generation FROM bitmap_checkpoint ORDER BY 1")).scalars().all()
    assert recorded == [5, 6]


def test_no_checkpoint_of_uncommitted_changes(log: Log) -> None:
    bitmaps = Bitmaps(log.engine, log.folder)
    with log.engine.begin() as connection:
        bitmaps.view(connection, 1, who="", at_ms=0).add("a", BitMap([1]), why="")
        with pytest.raises(RuntimeError, match="committed"):
            bitmaps.checkpoint(connection, 1)


def test_any_flipped_byte_is_noticed(sqlite_log: Log) -> None:
    log = sqlite_log
    fill(log, Bitmaps(log.engine, log.folder))
    (path,) = files(log)
    sound = path.read_bytes()
    for at in range(len(sound)):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        assert_right(log, log.folder)


def test_any_cut_and_any_tail_is_noticed(sqlite_log: Log) -> None:
    log = sqlite_log
    fill(log, Bitmaps(log.engine, log.folder))
    (path,) = files(log)
    sound = path.read_bytes()
    for length in range(0, len(sound), 7):
        path.write_bytes(sound[:length])
        assert_right(log, log.folder)
    path.write_bytes(sound + b"\0")
    assert_right(log, log.folder)
    path.unlink()
    assert_right(log, log.folder)


def test_a_damaged_checkpoint_is_written_anew(log: Log) -> None:
    bitmaps = Bitmaps(log.engine, log.folder)
    fill(log, bitmaps)
    assert checkpoint(log, bitmaps)
    path = files(log)[-1]
    damaged = bytearray(path.read_bytes())
    damaged[100] ^= 1
    path.write_bytes(damaged)
    assert_right(log, log.folder)
    assert checkpoint(log, Bitmaps(log.engine, log.folder))
    for older in files(log)[:-1]:
        older.unlink()
    with log.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM bitmap_change WHERE seq <= 4"))
    with reading(Bitmaps(log.engine, log.folder), log) as view:
        assert {key: view.read(key) for key in WANTED} == WANTED


def test_damage_under_later_changes_is_repaired_from_the_log(log: Log) -> None:
    """The set is first counted and changed, and only then are its members needed."""
    fill(log, Bitmaps(log.engine, log.folder))
    (path,) = files(log)
    bitmaps = Bitmaps(log.engine, log.folder)
    with reading(bitmaps, log) as view:
        assert view.count("b") == 300
    damaged = bytearray(path.read_bytes())
    for at in range(88, 120):
        damaged[at] ^= 255
    path.write_bytes(damaged)
    with writing(Bitmaps(log.engine), log) as view:
        view.remove("a", BitMap([1]), why="")
    with reading(bitmaps, log) as view:
        assert view.count("a") == 3
        assert view.read("a") == BitMap([2, 3, 70_000])
        assert view.read("b") == WANTED["b"]


def test_a_file_of_another_history_is_not_used(sqlite_log: Log, tmp_path: Path) -> None:
    """The database was restored from a backup and went on differently, under the same generation and name."""
    log = sqlite_log
    bitmaps = Bitmaps(log.engine, log.folder)
    fill(log, bitmaps)
    (path,) = files(log)
    other = path.read_bytes()
    with log.engine.begin() as connection:
        connection.execute(sa.text("UPDATE bitmap_checkpoint SET digest = zeroblob(32)"))
    assert_right(log, log.folder)
    assert path.read_bytes() == other


_CHILD = """
import os, signal, sys
from pathlib import Path
from pyroaring import BitMap
from tagcast.bitmaps import Bitmaps
from tests.bitmaps.conftest import open_engine

url, folder, moment = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
engine = open_engine(url)
bitmaps = Bitmaps(engine, folder)

def die(event, arguments):
    written = event == "open" and str(arguments[0]).endswith(".bitmaps.tmp")
    renamed = event == "open" and str(arguments[0]) == str(folder) and moment == "renamed"
    if (moment == "opened" and written) or (moment == "rename" and event == "os.rename") or renamed:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
while True:
    with engine.begin() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        view.add("n", BitMap(range(view.count("n"), view.count("n") + 50)), why="")
    with engine.begin() as connection:
        assert bitmaps.checkpoint(connection, 1)
        if moment == "recorded":
            os.kill(os.getpid(), signal.SIGKILL)
    print(flush=True)
"""


def run_child(log: Log, moment: str, after_s: float | None = None) -> None:
    """A process that changes and checkpoints until it is killed: by itself at `moment`, or after some time."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, log.url, str(log.folder), moment],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    assert child.stdout is not None
    if after_s is not None:
        child.stdout.readline()
        time.sleep(after_s)
        child.kill()
    child.stdout.read()
    child.stdout.close()
    assert child.wait(60) == -signal.SIGKILL


def assert_as_without(log: Log) -> None:
    """A process that starts from checkpoints answers as one that reads the whole log."""
    with reading(Bitmaps(log.engine, log.folder), log) as view, reading(Bitmaps(log.engine), log) as truth:
        keys = truth.keys()
        assert view.keys() == keys
        for key in keys:
            assert view.read(key) == truth.read(key)
            assert view.version(key) == truth.version(key)


@pytest.mark.parametrize("moment", ["opened", "rename", "renamed", "recorded"])
def test_a_kill_at_any_step_loses_nothing(log: Log, moment: str) -> None:
    bitmaps = Bitmaps(log.engine, log.folder)
    fill(log, bitmaps)
    run_child(log, moment)
    assert_as_without(log)
    assert checkpoint(log, Bitmaps(log.engine, log.folder))
    assert_as_without(log)
    with log.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM bitmap_change"))
    with reading(Bitmaps(log.engine, log.folder), log) as view:
        assert view.keys() == []


def test_kills_at_any_time_lose_nothing(sqlite_log: Log) -> None:
    fill(sqlite_log, Bitmaps(sqlite_log.engine, sqlite_log.folder))
    chance = random.Random(1)
    for _ in range(4):
        run_child(sqlite_log, "never", after_s=chance.random() / 5)
        assert_as_without(sqlite_log)
