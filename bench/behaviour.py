"""Who bought at least twice in 30 days and has not looked in 90, against DuckDB and polars over Parquet files.

Ours answers from the day sets that intake keeps: "worked out" each time anew, "remembered" with the kernel's memory of
parts (a whole month, the whole question) as it serves. The peers read one file sorted by time, each in two ways:
grouped once with a condition a window, as one writes it, and tuned by hand to read what the windows hold. What the sets
cost at intake is told beside it, against writing the same events as Parquet. The bound is reading the bytes of the day
sets concerned once from memory.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from pyroaring import BitMap

from bench import intake, measure
from bench.measure import Bar
from tagcast import behaviour, bitmaps, contacts
from tagcast.behaviour import Did, Events, Window
from tagcast.bitmaps import algebra
from tagcast.kit import clock
from tagcast.kit.uow import Runtime, Work

LAST = date(2025, 1, 1) + timedelta(days=intake.DAYS - 1)
BOUGHT = Did("purchase", Window(LAST - timedelta(days=29), LAST), "times", ">=", 2)
VIEWED = Did("view", Window(LAST - timedelta(days=89), LAST))
TOGETHER = 50
"""Batches recorded in one transaction: history that is brought over, not events as they happen."""
TUNED = """
SELECT contact FROM read_parquet('{file}') WHERE type = 'purchase' AND moment >= {bought} AND moment < {end}
AND contact NOT IN (
    SELECT contact FROM read_parquet('{file}') WHERE type = 'view' AND moment >= {viewed} AND moment < {end}
) GROUP BY contact HAVING count(*) >= 2
"""
PLAIN = """
SELECT contact FROM read_parquet('{file}') GROUP BY contact
HAVING count(*) FILTER (type = 'purchase' AND moment >= {bought} AND moment < {end}) >= 2
AND count(*) FILTER (type = 'view' AND moment >= {viewed} AND moment < {end}) = 0
"""


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Bars for `size` events of a tenth as many contacts over 360 days."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runtime = intake.home(folder / "home", max(size // intake.CONTACTS, 1))
        stack.callback(runtime.close)
        taken, written = _fill(runtime, folder / "events.parquet", size, seed)
        contestants: dict[str, Callable[[], object]] = {
            "worked out": partial(_ours, runtime, remember=False),
            "remembered": partial(_ours, runtime, remember=True),
            "duckdb": partial(_duckdb, folder / "events.parquet", PLAIN),
            "duckdb tuned": partial(_duckdb, folder / "events.parquet", TUNED),
            "polars": partial(_polars_plain, folder / "events.parquet"),
            "polars tuned": partial(_polars, folder / "events.parquet"),
        }
        found = _turns(contestants, measure.REPEATS if size <= 20_000_000 else 1)
        floor = _bound(runtime)
        for name in ("duckdb", "polars", "duckdb tuned", "polars tuned"):
            seconds, theirs = found[name]
            peer = (name, seconds * 1000)
            for what in ("worked out", "remembered"):
                ours, answer = found[what]
                named = {"unit": "ms", "bar": (">=", 500.0), "equal": theirs == answer}
                low = floor * 1000 if what == "worked out" else None
                yield Bar.of(f"behaviour, {what}", size, ours=ours * 1000, peer=peer, floor=low, **named)
        bar = (">=", 0.05)
        yield Bar.of("its intake", size, ours=taken, peer=("parquet", written), unit="s", bar=bar, equal=True)


def _turns(contestants: dict[str, Callable[[], object]], turns: int) -> dict[str, tuple[float, object]]:
    """(median seconds, answer) of each, in turns; the first is not counted unless it is the only one.

    The slowest peer takes minutes for a hundred million events.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, object] = {}
    for _ in range(turns + (turns > 1)):
        for name, ask in contestants.items():
            times = 5 if turns == 1 and name in ("worked out", "remembered") else 1
            for _ in range(times):
                started = time.perf_counter()
                answers[name] = ask()
                seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(some[turns > 1 :]), answers[name]) for name, some in seconds.items()}


def _fill(runtime: Runtime, file: Path, size: int, seed: int) -> tuple[float, float]:
    """(seconds to record all events, seconds to write them as one Parquet file)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    taken = written = 0.0
    kinds = [("contact", pa.uint32()), ("type", pa.string()), ("moment", pa.int64()), ("amount", pa.int64())]
    with pq.ParquetWriter(file, pa.schema(kinds), compression="zstd") as writer:
        waiting: list[tuple[str, Events]] = []
        for number, one in enumerate(intake.made(size, seed)):
            waiting.append(one)
            if len(waiting) < TOGETHER and (number + 1) * intake.BATCH < size:
                continue
            started = time.perf_counter()
            with runtime.work(1, "bench") as work:
                for name in intake.TYPES:
                    some = [batch for kind, batch in waiting if kind == name]
                    behaviour.record_packed(work, name, _joined(some), batch_key=str(number), zone=intake.ZONE)
            taken += time.perf_counter() - started
            started = time.perf_counter()
            for name, batch in waiting:
                columns = [batch.contact, pa.array([name] * len(batch)), batch.at_ms, batch.amount]
                writer.write_table(pa.table(columns, schema=pa.schema(kinds)), row_group_size=1_000_000)
            written += time.perf_counter() - started
            waiting = []
    return taken, written


def _joined(parts: list[Events]) -> Events:
    columns = [[getattr(part, name) for part in parts] for name in ("contact", "at_ms", "amount", "quantity")]
    return behaviour.events(*(np.concatenate(column) if column else [] for column in columns))


def _node(work: Work) -> algebra.Node:
    bought, viewed = (behaviour.node(work, asked, zone=intake.ZONE) for asked in (BOUGHT, VIEWED))
    return algebra.AllOf((bought, algebra.Except(viewed)))


def _ours(runtime: Runtime, *, remember: bool) -> BitMap:
    with runtime.read(1, "bench") as work:
        evaluation = algebra.Evaluation(work.bitmaps, contacts.EVERYONE, remember=remember)
        return evaluation.members(_node(work))


def _bound(runtime: Runtime) -> float:
    """Seconds to read the bytes of the sets that the question stands on, at the speed of this machine's memory."""
    with runtime.read(1, "bench") as work:
        size = sum(len(bitmaps.to_bytes(work.bitmaps.read(key))) for key in algebra.feeds(work.bitmaps, _node(work)))
    data = np.ones(64 << 20, dtype=np.uint8).view(np.uint64)
    started = time.perf_counter()
    for _ in range(8):
        np.bitwise_or.reduce(data)
    return size / (8 * data.nbytes / (time.perf_counter() - started))


def _moments() -> dict[str, int]:
    zone = ZoneInfo(intake.ZONE)
    days = {"bought": BOUGHT.window.first, "viewed": VIEWED.window.first, "end": LAST + timedelta(days=1)}
    return {name: clock.to_ms(datetime(day.year, day.month, day.day, tzinfo=zone)) for name, day in days.items() if day}


def _duckdb(file: Path, sql: str) -> BitMap:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false").fetchall()
        found = connection.execute(sql.format(file=file, **_moments())).fetchnumpy()
    return bitmaps.pack(found["contact"])


def _polars_plain(file: Path) -> BitMap:
    import polars as pl

    at = _moments()

    def times(kind: str, since: int) -> Any:
        return ((pl.col("type") == kind) & (pl.col("moment") >= since) & (pl.col("moment") < at["end"])).sum()

    counted = pl.scan_parquet(file).group_by("contact").agg(
        bought=times("purchase", at["bought"]), viewed=times("view", at["viewed"])
    )  # fmt: skip
    found = counted.filter((pl.col("bought") >= 2) & (pl.col("viewed") == 0)).select("contact").collect()
    return bitmaps.pack(found["contact"].to_numpy())


def _polars(file: Path) -> BitMap:
    import polars as pl

    at = _moments()
    events = pl.scan_parquet(file)

    def some(kind: str, since: int) -> Any:
        mine = (pl.col("type") == kind) & (pl.col("moment") >= since) & (pl.col("moment") < at["end"])
        return events.filter(mine).select("contact")

    bought = some("purchase", at["bought"]).group_by("contact").len().filter(pl.col("len") >= 2)
    found = bought.join(some("view", at["viewed"]), on="contact", how="anti").select("contact").collect()
    return bitmaps.pack(found["contact"].to_numpy())
