"""RFM after intake against DuckDB over Parquet, and the lifetime summary against lifetimes, with equal answers."""

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import measure
from bench.measure import Bar
from tagcast import access, behaviour, bitmaps, features
from tagcast.behaviour import moving
from tagcast.features import Definition
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

ZONE = "Asia/Shanghai"
KINDS = ("view", "click", "purchase")
SHARES = (0.80, 0.14, 0.06)
FIRST, DAYS = date(2026, 1, 1), 365
LAST = FIRST + timedelta(days=DAYS - 1)
PART = 1_000_000
COPIES = 20
# The peers pass over the events; ours over what is kept a contact.
BAR, CDNOW_BAR = (">=", 30), (">=", 50)
# Where both read the events, ours is to be no slower.
LAKE_BAR = (">=", 1)
RECENT = 90

SQL = """
WITH person AS (
    SELECT contact, max((ts_ms + 28800000) // 86400000) AS last_day,
        {count} AS f, {total} AS m
    FROM read_parquet('{folder}/*.parquet') {where} GROUP BY contact
)
SELECT contact,
    ntile(5) OVER (ORDER BY last_day, contact) AS r,
    ntile(5) OVER (ORDER BY f, contact) AS f,
    ntile(5) OVER (ORDER BY m, contact) AS m
FROM person
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """Made-up events, recorded here and written to Parquet for the peers."""

    runtime: Runtime
    folder: Path
    contacts: int
    intake_seconds: float


@dataclass(frozen=True, slots=True)
class Of:
    """Which events a model counts, here and in SQL; with a window they are read, here from the lake."""

    what: str
    model: str
    where: str
    window: int = 0

    def sql(self, folder: Path) -> str:
        """The same in SQL."""
        last_ms = int(datetime(LAST.year, LAST.month, LAST.day, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)
        since = f"FILTER (ts_ms >= {last_ms - (self.window - 1) * 86_400_000})" if self.window else ""
        return SQL.format(
            folder=folder, where=self.where, count=f"count(*) {since}", total=f"coalesce(sum(amount) {since}, 0)"
        )


PURCHASES = Of("purchases", "rfm", "WHERE kind = 'purchase'")


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """RFM of `size` events of a tenth as many contacts over a year; the lifetime summary of CDNOW twenty times."""
    import duckdb

    with tempfile.TemporaryDirectory() as name:
        shop = _shop(Path(name), size, seed)
        table = duckdb.connect()
        with shop.runtime.work(1, "bench") as work:
            features.define(work, Definition("rfm_online", "rfm", KINDS, schedule="asked"))
            features.define(work, Definition("rfm_recent", "rfm", KINDS, schedule="asked", window_days=RECENT))
        yield from _scores(shop, table, size, PURCHASES)
        yield from _scores(shop, table, size, Of("all events", "rfm_online", ""))
        yield from _kept(shop, table, size)
        moving.bring(shop.runtime, 1)
        recent = Of(f"all events, the last {RECENT} days from the lake", "rfm_recent", "", RECENT)
        yield from _scores(shop, table, size, recent, LAKE_BAR)
        shop.runtime.close()
    with tempfile.TemporaryDirectory() as name:
        yield from _cdnow(Path(name))


def _scores(shop: Shop, table: Any, size: int, of: Of, bar: tuple[str, float] = BAR) -> Iterator[Bar]:
    """The scores of everybody as columns, nothing written."""

    def ours() -> Any:
        with shop.runtime.read(1, "bench") as work:
            return features.score(work, of.model, as_of=LAST)

    sql = of.sql(shop.folder)
    found = measure.interleaved({"tagcast": ours, "duckdb": lambda: table.sql(sql).fetchnumpy()})
    amounts, scores = found["tagcast"][1]
    theirs: Any = found["duckdb"][1]
    order = np.argsort(theirs["contact"])
    equal = bool(np.array_equal(theirs["contact"][order], amounts.contact)) and all(
        bool(np.array_equal(theirs[name][order], getattr(scores, name))) for name in ("r", "f", "m")
    )
    ours_seconds, theirs_seconds = found["tagcast"][0], found["duckdb"][0]
    yield Bar.of(
        f"RFM quintiles of {of.what}, scores only",
        size,
        ours=ours_seconds,
        peer=("duckdb", theirs_seconds),
        unit="s",
        bar=bar,
        equal=equal,
    )


def _kept(shop: Shop, table: Any, size: int) -> Iterator[Bar]:
    """The same with everything kept: amounts, scores and classes as sets, for the first time and after one more day."""
    sql = PURCHASES.sql(shop.folder)
    started = time.perf_counter()
    table.execute(f"CREATE TABLE scored AS {sql}")
    theirs = time.perf_counter() - started
    for what, as_of in (("for the first time", LAST - timedelta(days=1)), ("a day later", LAST)):
        started = time.perf_counter()
        features.recompute(shop.runtime, 1, "rfm", as_of=as_of)
        seconds = time.perf_counter() - started
        with shop.runtime.read(1, "bench") as work:
            equal = features.table(work).contacts > 0
            if as_of == LAST:
                wanted = table.execute("SELECT r, f, count(*) FROM scored GROUP BY ALL").fetchall()
                grid = features.table(work).grid
                equal = all(grid[r - 1][f - 1] == count for r, f, count in wanted)
        yield Bar.of(
            f"RFM quintiles of purchases kept as sets with their history, {what}", size, ours=seconds,
            peer=("duckdb, create table", theirs), unit="s", bar=(">=", 1), equal=equal,
        )  # fmt: skip


def _shop(folder: Path, size: int, seed: int) -> Shop:
    random = np.random.default_rng(seed)
    runtime = _home(folder, max(size // 10, 10))
    parquet = folder / "events"
    parquet.mkdir()
    begin = int(datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)
    people, spent = max(size // 10, 10), 0.0
    for part, start in enumerate(range(0, size, PART)):
        count = min(PART, size - start)
        span = DAYS * 86_400_000 / max(size / PART, 1)
        at = np.sort(begin + (span * part + random.random(count) * min(span, span * count / PART)).astype(np.int64))
        who = (people * random.random(count) ** 1.5).astype(np.uint32) + 1
        kind = random.choice(len(KINDS), count, p=SHARES)
        amount = np.where(kind == 2, random.gamma(1.3, 12_000, count).astype(np.int64), 0)
        names = pa.DictionaryArray.from_arrays(pa.array(kind.astype(np.int8)), pa.array(KINDS))
        rows = pa.table({"contact": who, "ts_ms": at, "kind": names, "amount": amount})
        pq.write_table(rows, parquet / f"{part:05}.parquet")
        started = time.perf_counter()
        with runtime.work(1, "bench") as work:
            for index, name in enumerate(KINDS):
                mine = kind == index
                batch = behaviour.events(who[mine], at[mine], amount[mine])
                behaviour.record_packed(work, name, batch, batch_key=f"bench:{part}", zone=ZONE)
        spent += time.perf_counter() - started
    return Shop(runtime, parquet, people, spent)


def _home(folder: Path, people: int) -> Runtime:
    settings = Settings(home=folder / "home", zone=ZONE)
    access.initialise(settings)
    runtime = access.open_home(settings)
    with runtime.work(1, "bench") as work:
        work.bitmaps.add("contact", bitmaps.pack(np.arange(1, people + 1, dtype=np.uint32)), why="bench")
        for name in KINDS:
            behaviour.declare_event(work, name, "bench")
    return runtime


def _cdnow(folder: Path) -> Iterator[Bar]:
    """CDNOW (Fader and Hardie; 69,659 purchases of 23,570 customers, shipped with lifetimes) twenty times over."""
    import pandas as pd
    from lifetimes.utils import summary_data_from_transaction_data

    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"
    names = ["customer", "day", "cds", "dollars"]
    one = pd.read_csv(file, sep=r"\s+", names=names, header=0)
    one["day"] = pd.to_datetime(one["day"], format="%Y%m%d")
    width = int(one["customer"].max())
    orders = pd.concat([one.assign(customer=one["customer"] + width * copy) for copy in range(COPIES)])
    runtime = _home(folder, width * COPIES)
    noon = orders["day"].to_numpy().astype("datetime64[ms]").astype(np.int64) + 4 * 3_600_000
    cents = np.rint(orders["dollars"].to_numpy() * 100).astype(np.int64)
    with runtime.work(1, "bench") as work:
        batch = behaviour.events(orders["customer"].to_numpy(), noon, cents)
        behaviour.record_packed(work, "purchase", batch, batch_key="cdnow", zone=ZONE)
    end = date(1998, 6, 30)

    def ours() -> features.ClvSummary:
        with runtime.read(1, "bench") as work:
            return features.clv_summary(work, as_of=end)

    def peer() -> Any:
        return summary_data_from_transaction_data(
            orders, "customer", "day", "dollars", observation_period_end=end.isoformat()
        )

    found = measure.interleaved({"tagcast": ours, "lifetimes": peer})
    mine, theirs = found["tagcast"][1], found["lifetimes"][1]
    assert isinstance(mine, features.ClvSummary)
    wanted: Any = theirs
    equal = bool(np.array_equal(wanted.index.to_numpy(), mine.contact))
    for ours_name, name in (("frequency", "frequency"), ("recency", "recency"), ("age", "T")):
        equal = equal and bool(np.array_equal(wanted[name].to_numpy(), getattr(mine, ours_name)))
    equal = equal and bool(np.allclose(wanted["monetary_value"].to_numpy(), mine.monetary, rtol=0, atol=1e-9))
    yield Bar.of(
        f"lifetime summary, CDNOW × {COPIES}",
        len(orders),
        ours=found["tagcast"][0],
        peer=("lifetimes", found["lifetimes"][0]),
        unit="s",
        bar=CDNOW_BAR,
        equal=equal,
    )
    runtime.close()
