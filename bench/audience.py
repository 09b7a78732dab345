"""Counting audiences: a segment expression here, against DuckDB's SQL over a table and against bare pyroaring sets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from bench import measure
from bench.measure import Row
from tagcast import access, audiences, bitmaps, contacts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, Work

REGIONS = 31
TASTES = 8
QUERIES = {
    "one value": ('region = "r3"', "region = 3"),
    "region and taste": ('region = "r3" and taste = "t1"', "region = 3 AND taste = 1"),
    "region, taste, not a member": (
        '(region = "r3" or region = "r4" or region = "r5") and taste = "t1" and not member = true',
        "region IN (3, 4, 5) AND taste = 1 AND NOT member",
    ),
    "region and spend": ('region = "r3" and spend >= 500', "region = 3 AND spend >= 500"),
}


def run(size: int, seed: int = 7) -> Iterator[Row]:
    """Rows for a made-up population of `size` contacts. Needs duckdb (`python3 dev.py bench`)."""
    import duckdb

    random = np.random.default_rng(seed)
    columns = {
        "region": random.integers(0, REGIONS, size, dtype=np.uint8),
        "taste": random.zipf(1.7, size).clip(max=TASTES).astype(np.uint8) - 1,
        "member": random.random(size) < 0.2,
        "spend": random.gamma(1.2, 300, size).astype(np.int64),
    }
    numbers = np.arange(1, size + 1, dtype=np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "home")
        access.initialise(settings)
        runtime = access.open_home(settings)
        with runtime.work(1, "bench") as work:
            _fill(work, numbers, columns)
        table = duckdb.connect()
        table.register("given", {"number": numbers, **columns})
        table.execute("CREATE TABLE contact AS SELECT * FROM given")
        table.unregister("given")
        bare = {name: _sets(numbers, columns[name]) for name in ("region", "taste", "member")}
        for name, (text, sql) in QUERIES.items():
            contestants = {
                "tagcast": lambda text=text: _count(runtime, text),
                "duckdb": lambda sql=sql: table.execute(f"SELECT count(*) FROM contact WHERE {sql}").fetchone()[0],
            }
            if "spend" not in text:
                contestants["pyroaring"] = lambda name=name: _bare(bare, name)
            yield from measure.rows(f"audience: {name}", size, measure.interleaved(contestants))
        runtime.close()


def _fill(work: Work, numbers: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    work.bitmaps.add("contact", bitmaps.pack(numbers), why="bench")
    for name, letter in (("region", "r"), ("taste", "t")):
        contacts.declare_attribute(work, name, "choice", purpose="marketing")
        sets = {f"{letter}{value}": members for value, members in _sets(numbers, columns[name]).items()}
        contacts.set_choices(work, name, sets, why="bench")
    contacts.declare_attribute(work, "member", "flag", purpose="marketing")
    flags = {"true" if value else "false": members for value, members in _sets(numbers, columns["member"]).items()}
    contacts.set_choices(work, "member", flags, why="bench")
    contacts.declare_attribute(work, "spend", "number", purpose="marketing")
    contacts.set_numbers(work, "spend", numbers, columns["spend"], why="bench")


def _sets(numbers: np.ndarray, values: np.ndarray) -> dict[int, BitMap]:
    return {int(value): bitmaps.pack(numbers[values == value]) for value in np.unique(values)}


def _count(runtime: Runtime, text: str) -> int:
    with runtime.read(1, "bench") as work:
        return audiences.count(work, audiences.parse(text))


def _bare(sets: dict[str, dict[int, BitMap]], name: str) -> int:
    region, taste, member = sets["region"], sets["taste"], sets["member"]
    if name == "one value":
        return len(region[3])
    if name == "region and taste":
        return region[3].intersection_cardinality(taste[1])
    return len(((region[3] | region[4] | region[5]) & taste[1]) - member[1])
