"""Taking events in: durable, with day sets, levels and what is kept of each contact, against databases' inserts.

Ours records batches of 10,000 (the file's way in) and, beside it, what many small requests make through group commit;
its time ends when the records of contacts have read the last batch. The peers keep the rows and one index on (contact,
type, at), and derive nothing. All of them sync what they commit; batches are of the same size. Events come in order of
time, as they do. The bound is what writing the rows' bytes to disk and syncing them would take.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import Bar
from tagcast import access, behaviour, contacts
from tagcast.behaviour import Events
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

BATCH = 10_000
CONTACTS = 10
"""Events per contact."""
DAYS = 360
FIRST_MS = 1_735_660_800_000  # 2025-01-01 00:00 in Shanghai
ZONE = "Asia/Shanghai"
TYPES = ("view", "purchase")


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Bars for `size` events of a tenth as many contacts over 360 days."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        batches = list(made(size, seed))
        ours, rows = _ours(folder / "home", batches, max(size // CONTACTS, 1))
        bound = _disk(folder / "bytes", batches)
        for name, seconds, theirs in _peers(stack, folder, batches):
            bar = (">=", 3.0 if name.startswith("postgresql") else 1.0)
            yield Bar.of(
                "intake", size, ours=ours, peer=(name, seconds), unit="s", bar=bar, equal=theirs == rows, floor=bound
            )


def made(size: int, seed: int) -> Iterator[tuple[str, Events]]:
    """Batches in order of time: nine in ten are views, one in ten purchases; some contacts come often."""
    random = np.random.default_rng(seed)
    people = max(size // CONTACTS, 1)
    count = -(-size // BATCH)
    span = DAYS * 86_400_000 // count
    for turn in range(count):
        rows = min(BATCH, size - turn * BATCH)
        who = (random.random(rows) ** 2 * people).astype(np.uint32) + 1
        at = np.sort(random.integers(FIRST_MS + turn * span, FIRST_MS + (turn + 1) * span, rows))
        name = TYPES[turn % 10 == 0]
        yield name, behaviour.events(who, at, random.integers(0, 50_000, rows), 1)


def home(folder: Path, people: int) -> Runtime:
    """A home on SQLite with so many contacts and the types declared."""
    access.initialise(Settings(home=folder, zone=ZONE))
    runtime = access.open_home(Settings(home=folder, zone=ZONE))
    with runtime.work(1, "bench") as work:
        # Whose contacts they are does not matter to events; made one by one they would take longer than all the rest.
        work.bitmaps.add(contacts.EVERYONE, _up_to(people), why="bench")
        for name in TYPES:
            behaviour.declare_event(work, name, "bench")
    return runtime


def _up_to(people: int) -> Any:
    from pyroaring import BitMap

    return BitMap(range(1, people + 1))


def record(runtime: Runtime, batches: list[tuple[str, Events]]) -> None:
    """Each batch in a transaction of its own."""
    for number, (name, batch) in enumerate(batches):
        with runtime.work(1, "bench") as work:
            behaviour.record_packed(work, name, batch, batch_key=str(number), zone=ZONE)


def _ours(folder: Path, batches: list[tuple[str, Events]], people: int) -> tuple[float, int]:
    runtime = home(folder, people)
    started = time.perf_counter()
    record(runtime, batches)
    with runtime.read(1, "bench") as work:
        found = [behaviour.aggregates(work, name, fields=("count",)) for name in TYPES]
    seconds = time.perf_counter() - started
    runtime.close()
    return seconds, sum(int(one.count.sum()) for one in found)


def _disk(path: Path, batches: list[tuple[str, Events]]) -> float:
    """Seconds to write and sync each batch's columns as they are."""
    started = time.perf_counter()
    with path.open("wb") as file:
        for _, batch in batches:
            for column in (batch.contact, batch.at_ms, batch.amount, batch.quantity):
                file.write(column.tobytes())
            file.flush()
            os.fdatasync(file.fileno())
    return time.perf_counter() - started


def _peers(stack: ExitStack, folder: Path, batches: list[tuple[str, Events]]) -> Iterator[tuple[str, float, int]]:
    # What is slow is given fewer rows and its time is scaled up: per row its cost only grows with the index.
    few = batches[: max(len(batches) // 10, min(len(batches), 10))]
    scale = sum(len(one) for _, one in batches) / sum(len(one) for _, one in few)
    rows = sum(len(one) for _, one in batches)
    if (url := _postgres(stack)) is not None:
        yield "postgresql multi-row insert", _insert(url, few) * scale, rows
        seconds, found = _copy(url, batches)
        yield "postgresql COPY", seconds, found
    seconds, found = _duckdb(folder / "peer.duckdb", batches)
    yield "duckdb append", seconds, found


def _postgres(stack: ExitStack) -> str | None:
    try:
        from tests.postgres import start_postgres

        return stack.enter_context(start_postgres()).replace("postgresql+psycopg", "postgresql")
    except (ImportError, RuntimeError):
        return None


def _table(connection: Any) -> None:
    # The tests' server does not sync; this comparison does.
    connection.execute("ALTER SYSTEM SET fsync = on")
    connection.execute("SELECT pg_reload_conf()")
    connection.execute("SET synchronous_commit = on")
    connection.execute("DROP TABLE IF EXISTS event")
    connection.execute(
        "CREATE TABLE event (contact bigint NOT NULL, type text NOT NULL, at bigint NOT NULL,"
        " amount bigint NOT NULL, quantity int NOT NULL)"
    )
    connection.execute("CREATE INDEX ON event (contact, type, at)")


def _insert(url: str, batches: list[tuple[str, Events]]) -> float:
    """A thousand rows a statement, a batch a transaction."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        _table(connection)
        statement = f"INSERT INTO event VALUES {','.join(['(%s,%s,%s,%s,%s)'] * 1000)}"
        started = time.perf_counter()
        for name, batch in batches:
            rows = list(_rows(name, batch))
            with connection.transaction():
                for at in range(0, len(rows), 1000):
                    part = rows[at : at + 1000]
                    text = statement if len(part) == 1000 else statement[: len(statement) - 17 * (1000 - len(part))]
                    connection.execute(text, [value for row in part for value in row])
        return time.perf_counter() - started


def _copy(url: str, batches: list[tuple[str, Events]]) -> tuple[float, int]:
    """COPY, a batch a transaction."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        _table(connection)
        started = time.perf_counter()
        for name, batch in batches:
            text = "".join(
                f"{who}\t{kind}\t{at}\t{amount}\t{count}\n" for who, kind, at, amount, count in _rows(name, batch)
            )
            with connection.transaction(), connection.cursor().copy("COPY event FROM STDIN") as copy:
                copy.write(text)
        seconds = time.perf_counter() - started
        found = connection.execute("SELECT count(*) FROM event").fetchone()
    return seconds, int(found[0]) if found else 0


def _duckdb(path: Path, batches: list[tuple[str, Events]]) -> tuple[float, int]:
    """Appends from Arrow to a native table without an index: DuckDB's best way in; a batch a transaction."""
    import duckdb
    import pyarrow as pa

    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE event (contact UINTEGER, type VARCHAR, moment BIGINT, amount BIGINT, quantity INTEGER)"
        )
        started = time.perf_counter()
        for name, batch in batches:
            rows = pa.table(
                [batch.contact, pa.array([name] * len(batch)), batch.at_ms, batch.amount, batch.quantity],
                names=["contact", "type", "moment", "amount", "quantity"],
            )
            connection.register("batch", rows)
            connection.execute("INSERT INTO event SELECT * FROM batch").fetchall()
        seconds = time.perf_counter() - started
        found = connection.execute("SELECT count(*) FROM event").fetchall()
    return seconds, int(found[0][0])


def _rows(name: str, batch: Events) -> Iterator[tuple[int, str, int, int, int]]:
    columns = (batch.contact, batch.at_ms, batch.amount, batch.quantity)
    for who, at, amount, quantity in zip(*(column.tolist() for column in columns), strict=True):
        yield who, name, at, amount, quantity
