"""What only the lake can answer, through Ibis, against hand-written DuckDB SQL over the same files.

A row of the table is one question; the answers are equal sets or the run fails. Both read the same Parquet files in the
same process with the same threads; turns are interleaved and CPU time is what is compared, because a machine that
others use makes wall time of one turn say little. The bar: at most 1.1 times the SQL and 20 ms.
"""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from bench.measure import Bar
from tagcast import bitmaps
from tagcast.lake import Ask, Condition, Days, Followed, Lake, Measured, Rows, Source
from tagcast.lake import expressions as compiler

DAY = 86_400_000
START = 1_704_067_200_000
DAYS = 180
REPEATS = 5
OVERHEAD_MS = 20.0
TIMES = 1.1

SCHEMA = pa.schema(
    [
        ("contact", pa.int32()), ("at_ms", pa.int64()), ("amount", pa.int64()), ("quantity", pa.int32()),
        ("p_sku", pa.string()), ("p_price", pa.float64()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is asked, in our words and in SQL; `{view}` and `{buy}` stand for the files."""

    name: str
    ask: Ask
    sources: Sequence[str]
    sql: str


QUESTIONS = (
    Question(
        "bought of one kind for 500.00 or more in 90 days",
        Measured(
            Rows(0, (Condition("p_sku", "in", ("sku3", "sku7")), Condition("at_ms", ">=", START + 90 * DAY))),
            "sum", ">=", 50_000, "amount",
        ),
        ("buy",),
        f"SELECT contact FROM {{buy}} WHERE p_sku IN ('sku3', 'sku7') AND at_ms >= {START + 90 * DAY} "
        "GROUP BY contact HAVING sum(amount) >= 50000",
    ),
    Question(
        "bought dearer than 200 on 2 days or more",
        Measured(Rows(0, (Condition("p_price", ">", 200),)), "days", ">=", 2, days=Days(28_800_000)),
        ("buy",),
        "SELECT contact FROM {buy} WHERE p_price > 200 "
        "GROUP BY contact HAVING count(DISTINCT (at_ms + 28800000) // 86400000) >= 2",
    ),
    Question(
        "funnel: viewed, then bought within 7 days",
        Followed(Rows(0), Rows(1), 7 * DAY),
        ("view", "buy"),
        "SELECT DISTINCT contact FROM (SELECT contact, at_ms, kind, min(CASE WHEN kind = 0 THEN at_ms END) OVER "
        "(PARTITION BY contact ORDER BY at_ms DESC, kind DESC ROWS UNBOUNDED PRECEDING) AS later FROM ("
        "SELECT contact, at_ms, 1 AS kind FROM {view} UNION ALL SELECT contact, at_ms, 0 FROM {buy})) "
        f"WHERE kind = 1 AND later <= at_ms + {7 * DAY}",
    ),
    Question(
        "sequence: bought one kind and nothing again within 30 days",
        Followed(Rows(0, (Condition("p_sku", "=", "sku3"),)), Rows(1), 30 * DAY, START + DAYS * DAY),
        ("buy", "buy"),
        "SELECT DISTINCT contact FROM (SELECT contact, at_ms, kind, min(CASE WHEN kind = 0 THEN at_ms END) OVER "
        "(PARTITION BY contact ORDER BY at_ms DESC, kind DESC ROWS UNBOUNDED PRECEDING) AS later FROM ("
        "SELECT contact, at_ms, 1 AS kind FROM {buy} WHERE p_sku = 'sku3' UNION ALL SELECT contact, at_ms, 0 FROM {buy}"
        f")) WHERE kind = 1 AND (later IS NULL OR later > at_ms + {30 * DAY}) "
        f"AND at_ms + {30 * DAY} < {START + DAYS * DAY}",
    ),
)  # fmt: skip


def run(size: int = 10_000_000) -> Iterator[Bar]:
    """One bar for each question over `size` events of two types."""
    with tempfile.TemporaryDirectory(prefix="tagcast-lake-") as folder:
        lake = Lake(Path(folder))
        _fill(lake, size)
        seen = {name: lake.table(name).snapshot() for name in ("view", "buy")}
        connection = duckdb.connect()
        connection.execute("SET parquet_metadata_cache = true")
        connection.execute("SET preserve_insertion_order = false")
        files = {
            name: f"read_parquet({lake.table(name).uris(found.files)}, hive_partitioning = false)"
            for name, found in seen.items()
            if found is not None
        }
        for question in QUESTIONS:
            sources = [lake.source(name, seen[name], SCHEMA.empty_table()) for name in question.sources]
            spent, equal = _against(lake, question, sources, connection, question.sql.format(**files))
            ours, peer = (statistics.median(one) * 1000 for one in spent)
            yield Bar(
                f"{question.name} (compiled once in {_compile_ms(question, sources):.0f} ms)", size, ours, "DuckDB SQL",
                peer, "cpu ms", ours / peer, f"<= {TIMES} + {OVERHEAD_MS:.0f} ms", ours <= TIMES * peer + OVERHEAD_MS,
                equal,
            )  # fmt: skip
        connection.close()
        lake.close()


def _against(
    lake: Lake, question: Question, sources: list[Source], connection: duckdb.DuckDBPyConnection, sql: str
) -> tuple[tuple[list[float], list[float]], bool]:
    """(CPU seconds of each turn, ours and theirs; whether the sets are equal)."""

    def ours() -> object:
        return bitmaps.pack(lake.ask(question.ask, sources))

    def theirs() -> object:
        return bitmaps.pack(connection.sql(sql).to_arrow_table().column(0).to_numpy())

    equal = ours() == theirs()
    turns = [(_cpu(ours), _cpu(theirs)) for _ in range(REPEATS)]
    return ([one for one, _ in turns], [other for _, other in turns]), equal


def _compile_ms(question: Question, sources: list[Source]) -> float:
    compiler.clear()
    started = time.process_time()
    compiler.compiled(question.ask, tuple(one.schema for one in sources), False, "duckdb")
    return (time.process_time() - started) * 1000


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of the whole process, threads too."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _fill(lake: Lake, size: int) -> None:
    """Views and purchases, ten to one, of a tenth as many contacts, day by day as they would come."""
    dice = np.random.default_rng(7)
    contacts = max(100, size // 10)
    skus = pa.array([f"sku{number}" for number in range(50)])
    for name, share in (("view", 10), ("buy", 1)):
        total = size * share // 11
        for month in range(6):
            count = total // 6
            at = START + month * 30 * DAY + np.sort(dice.integers(0, 30 * DAY, count))
            chosen = pa.DictionaryArray.from_arrays(pa.array(dice.integers(0, 50, count, dtype=np.int32)), skus)
            rows = pa.table(
                [
                    pa.array(dice.integers(1, contacts + 1, count, dtype=np.int32)), pa.array(at),
                    pa.array(dice.integers(100, 100_000, count)), pa.array(np.ones(count, np.int32)),
                    chosen.cast(pa.string()), pa.array(dice.integers(1, 1000, count) / 4),
                ],
                schema=SCHEMA,
            )  # fmt: skip
            lake.table(name).append(rows, after=month, upto=month + 1)
        lake.table(name).compact(everything=True)
