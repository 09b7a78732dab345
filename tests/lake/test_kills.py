"""Real SIGKILL of a process that appends, compacts or erases, and all at once: nothing is lost or doubled."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.lake.rows import SCHEMA, rows
from tests.lake.writer import ROWS

from tagcast.lake import Contested, Lake, Measured, Moved, Rows
from tagcast.lake.table import LakeTable


def child(job: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lake.writer", job, str(folder)], stdout=subprocess.PIPE, text=True
    )


def kill_after(started: subprocess.Popen[str], lines: int, wait: float) -> list[str]:
    """SIGKILL some time after it told of so many commits; all it told."""
    assert started.stdout is not None
    told = [started.stdout.readline().strip() for _ in range(lines)]
    time.sleep(wait)
    started.send_signal(signal.SIGKILL)
    told += [line.strip() for line in started.stdout if line.endswith("\n")]
    started.wait()
    started.stdout.close()
    return [one for one in told if one]


def contents(table: LakeTable) -> list[str]:
    now = table.snapshot()
    assert now is not None
    return sorted(str(row) for file in now.files for row in table.read(file, now.schema).to_pylist())


def expected(upto: int) -> list[str]:
    return sorted(str(row) for number in range(upto) for row in rows(number, ROWS).to_pylist())


@pytest.mark.parametrize("wait", [0.0, 0.013])
def test_an_append_that_is_killed_happened_or_did_not(tmp_path: Path, wait: float) -> None:
    for _ in range(2):
        told = kill_after(child("append", tmp_path), 3, wait)
        table = Lake(tmp_path).table("t/one")
        now = table.snapshot()
        assert now is not None
        assert now.upto - int(told[-1]) in (0, 1)
        assert contents(table) == expected(now.upto)
        assert table.verify() == []


def test_compaction_and_removal_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("t/one")
    for number in range(6):
        table.append(rows(number, ROWS), after=number, upto=number + 1)
    for wait in (0.0, 0.01, 0.03):
        running = child("tidy", tmp_path)
        upto = table.snapshot().upto  # type: ignore[union-attr]  # appended above
        for number in range(upto, upto + 3):
            assert table.append(rows(number, ROWS), after=number, upto=number + 1)
        kill_after(running, 1, wait)
        assert contents(table) == expected(upto + 3)
        assert table.verify() == []


def test_an_erasure_that_is_killed_is_whole_or_not_there(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("t/one")
    table.append(rows(0, 2000), after=0, upto=1)
    erased: set[int] = set()
    for wait in (0.0, 0.02):
        kill_after(child("erase", tmp_path), 2, wait)
        now = table.snapshot()
        assert now is not None
        erased = {step % 40 + 1 for step in range(1, now.upto)}
        whole = rows(0, 2000)
        kept = whole.filter(~np.isin(whole.column("contact").to_numpy(), sorted(erased)))
        assert contents(table) == sorted(str(row) for row in kept.to_pylist())
    assert erased


def tidy(folder: Path) -> None:
    table = Lake(folder).table("t/one")
    try:
        table.compact()
        table.vacuum(0)
    except Contested:
        return


def ask(lake: Lake) -> None:
    """Readers see a whole number of appends, each whole."""
    for _ in range(50):
        now = lake.table("t/one").snapshot()
        assert now is not None
        assert now.rows == now.upto * ROWS
        everybody = Measured(Rows(0), "count", ">=", 1)
        try:
            found = set(lake.ask(everybody, [lake.source("t/one", now, SCHEMA.empty_table())]).tolist())
        except Moved:
            continue
        whole = pa.concat_tables([rows(number, ROWS) for number in range(now.upto)])
        assert found == set(whole.column("contact").to_pylist())
        return
    raise AssertionError("the lake never stood still")


def test_appending_compacting_and_reading_at_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("t/one")
    table.append(rows(0, ROWS), after=0, upto=1)
    stop = threading.Event()

    def again(work: Callable[[], None]) -> None:
        while not stop.is_set():
            work()

    with ThreadPoolExecutor() as pool:
        running = [pool.submit(again, lambda: tidy(tmp_path)), pool.submit(again, lambda: ask(lake))]
        for number in range(1, 25):
            assert table.append(rows(number, ROWS), after=number, upto=number + 1)
        stop.set()
        for one in running:
            one.result()
    lake.close()
    assert contents(table) == expected(25)
