"""The same counts by others: DuckDB, PostgreSQL, ClickHouse and bare Roaring sets."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
from pyroaring import BitMap

from tagcast import bitmaps

Expression = tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...]]
Ask = Callable[[Expression], int]
_LEAVES = 8


@dataclass(frozen=True, slots=True)
class Index:
    """The contacts of each tag, by its number; contacts are 1 to `size`."""

    size: int
    sets: list[BitMap]


def plain(index: Index, asked: Expression) -> int:
    """With pyroaring's operators, as anybody would write it."""
    sets = [reduce(or_, [index.sets[tag] for tag in tags]) if tags else None for tags in asked]
    found = sets[0] if sets[1] is None else sets[0] & sets[1]
    return len(found - sets[2])


def dense_read(size: int) -> float:
    """Milliseconds to read eight tags, the median, as bits once: what memory allows to whoever reads bits."""
    words = np.random.default_rng(0).integers(0, 1 << 62, 40 * size // 64 + 1, dtype=np.int64)
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        np.bitwise_or.reduce(words)
        seconds.append(time.process_time() - begun)
    return min(seconds) * 1000 * _LEAVES / 40


def _pairs(index: Index) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for tag, members in enumerate(index.sets):
        yield np.full(len(members), tag, dtype=np.int32), bitmaps.unpack(members)


def _listed(tags: tuple[int, ...] | None) -> str:
    return ",".join(map(str, tags or ()))


def _in(tags: tuple[int, ...] | None) -> str:
    return f"(SELECT id FROM pair WHERE tag IN ({_listed(tags)}))"


def _duckdb_pairs(stack: ExitStack, index: Index) -> Any:
    import duckdb as engine

    table = stack.enter_context(engine.connect())
    table.execute("CREATE TABLE pair (tag INTEGER, id UINTEGER)")
    for tag, id_ in _pairs(index):
        table.register("given", {"tag": tag, "id": id_})
        table.execute("INSERT INTO pair SELECT * FROM given")
        table.unregister("given")
    return table


def duckdb_bits(stack: ExitStack, index: Index, folder: Path) -> Ask:
    """A string of bits a tag, of which aggregates make one each."""
    table = _duckdb_pairs(stack, index)
    table.execute("CREATE TABLE tag (tag INTEGER, bits BIT)")
    bits = f"bitstring_agg(id, 0::UINTEGER, {index.size}::UINTEGER)"
    for tag in range(len(index.sets)):
        table.execute(f"INSERT INTO tag SELECT tag, {bits} FROM pair WHERE tag = {tag} GROUP BY tag")
    table.execute("DROP TABLE pair")
    return lambda asked: int(table.execute(_duckdb_bits(asked)).fetchall()[0][0])


def duckdb_pairs(stack: ExitStack, index: Index, folder: Path) -> Ask:
    """Pairs by tag: the faster here of semi and anti joins, and of INTERSECT and EXCEPT.

    Slower where they were tried, on 2 million contacts: IN and NOT IN, one GROUP BY with HAVING, a column a tag.
    """
    table = _duckdb_pairs(stack, index)

    def asking(form: Callable[[Expression], str]) -> Ask:
        return lambda asked: int(table.execute(form(asked)).fetchall()[0][0])

    return min(map(asking, (_duckdb_joins, _duckdb_sets)), key=lambda ask: _seconds(ask, index))


def _duckdb_bits(asked: Expression) -> str:
    one, two, three = (f"(SELECT bit_or(bits) FROM tag WHERE tag IN ({_listed(tags)}))" for tags in asked)
    return f"SELECT bit_count({one} & {two} & ~{three})"


def _duckdb_joins(asked: Expression) -> str:
    one, two, three = (f"(SELECT id FROM pair WHERE tag IN ({_listed(tags)}))" for tags in asked)
    return (
        f"SELECT count(*) FROM (SELECT DISTINCT id FROM {one}) AS a"
        f" SEMI JOIN {two} AS b USING (id) ANTI JOIN {three} AS c USING (id)"
    )


def _duckdb_sets(asked: Expression) -> str:
    one, two, three = (f"SELECT id FROM pair WHERE tag IN ({_listed(tags)})" for tags in asked)
    return f"SELECT count(*) FROM ({one} INTERSECT {two} EXCEPT {three})"


def _seconds(ask: Ask, index: Index) -> float:
    """The median of a few expressions over tags of all sizes."""
    last, seconds = len(index.sets) - 1, []
    for asked in (((0, 10), (2,), (1,)), ((3, 6), (9, last), (5, 8)), ((7, last - 1), (12, 4, 11), (last // 2,))):
        begun = time.perf_counter()
        ask(asked)
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[1]


def chdb(_stack: ExitStack, index: Index, folder: Path) -> Ask:
    """Stored states of groupBitmap, one row a tag."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from chdb import session

    file = folder / "pairs.parquet"
    schema = pa.schema([("tag", pa.int32()), ("id", pa.uint32())])
    with pq.ParquetWriter(file, schema, compression="lz4") as out:
        for tag, id_ in _pairs(index):
            out.write_table(pa.table({"tag": tag, "id": id_}, schema=schema))
    base = session.Session(str(folder / "chdb"))
    base.query("CREATE DATABASE IF NOT EXISTS b ENGINE = Atomic")
    base.query(
        "CREATE TABLE b.t (tag Int32, s AggregateFunction(groupBitmap, UInt32)) ENGINE = MergeTree ORDER BY tag"
        " SETTINGS index_granularity = 1"
    )
    made = "assumeNotNull(tag), groupBitmapState(assumeNotNull(id))"
    base.query(f"INSERT INTO b.t SELECT {made} FROM file('{file}', Parquet) GROUP BY tag")
    file.unlink()

    def state(tags: tuple[int, ...] | None) -> str:
        return f"(SELECT groupBitmapMergeState(s) FROM b.t WHERE tag IN ({_listed(tags)}))"

    def ask(asked: Expression) -> int:
        one, two, three = map(state, asked)
        return int(str(base.query(f"SELECT bitmapAndnotCardinality(bitmapAnd({one}, {two}), {three})")).strip())

    return ask


def postgres(stack: ExitStack) -> str | None:
    """A server of its own, with commits on disk, until the stack closes; None where there is none."""
    try:
        from tests.postgres import start_postgres

        return stack.enter_context(start_postgres(durable=True)).replace("postgresql+psycopg", "postgresql")
    except (ImportError, RuntimeError):
        return None


def semi_join(stack: ExitStack, index: Index, folder: Path) -> Ask | None:
    """PostgreSQL, a row a pair with its primary key."""
    import psycopg

    if (url := postgres(stack)) is None:
        return None
    base = stack.enter_context(psycopg.connect(url, autocommit=True))
    base.execute("CREATE UNLOGGED TABLE pair (tag int4, id int4)")
    with base.cursor().copy("COPY pair FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for tag, id_ in _pairs(index):
            rows = np.empty(len(id_), dtype=[("n", ">i2"), ("a", ">i4"), ("tag", ">i4"), ("b", ">i4"), ("id", ">i4")])
            rows["n"], rows["a"], rows["b"], rows["tag"], rows["id"] = 2, 4, 4, tag, id_
            copy.write(rows.tobytes())
        copy.write(b"\xff\xff")
    base.execute("ALTER TABLE pair ADD PRIMARY KEY (tag, id)")
    base.execute("VACUUM ANALYZE pair")

    def ask(asked: Expression) -> int:
        sql = (
            f"SELECT count(*) FROM (SELECT DISTINCT id FROM {_in(asked[0])} x) one"
            f" WHERE EXISTS (SELECT FROM {_in(asked[1])} two WHERE two.id = one.id)"
            f" AND NOT EXISTS (SELECT FROM {_in(asked[2])} three WHERE three.id = one.id)"
        )
        return int(base.execute(sql).fetchall()[0][0])

    return ask


def varbit(stack: ExitStack, index: Index, folder: Path) -> Ask | None:
    """PostgreSQL, a string of bits a tag."""
    import psycopg

    if (url := postgres(stack)) is None:
        return None
    base = stack.enter_context(psycopg.connect(url, autocommit=True))
    base.execute("CREATE TABLE tag (tag int4 PRIMARY KEY, bits varbit)")
    for tag, members in enumerate(index.sets):
        held = np.zeros(-(-(index.size + 1) // 8) * 8, dtype=np.bool_)
        held[bitmaps.unpack(members)] = True
        bits = len(held).to_bytes(4, "big") + np.packbits(held).tobytes()
        with base.cursor().copy("COPY tag FROM STDIN (FORMAT binary)") as copy:
            head = (2).to_bytes(2, "big") + (4).to_bytes(4, "big") + tag.to_bytes(4, "big")
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + head + len(bits).to_bytes(4, "big") + bits + b"\xff\xff")

    def any_of(tags: tuple[int, ...] | None) -> str:
        return "(" + " | ".join(f"(SELECT bits FROM tag WHERE tag = {tag})" for tag in tags or ()) + ")"

    def ask(asked: Expression) -> int:
        one, two, three = map(any_of, asked)
        return int(base.execute(f"SELECT bit_count({one} & {two} & ~{three})").fetchall()[0][0])

    return ask


EVERY: list[tuple[str, float, Callable[[ExitStack, Index, Path], Ask | None]]] = [
    ("duckdb, bits a tag", 50.0, duckdb_bits),
    ("duckdb, pairs", 50.0, duckdb_pairs),
    ("chdb bitmaps", 15.0, chdb),
    ("postgresql semi-join", 100.0, semi_join),
    ("postgresql varbit", 1.0, varbit),
]
