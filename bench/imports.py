"""Importing contacts from CSV, sealed and as sets, against databases' bulk loads with the same checks.

The peer keeps the rows in the clear and neither seals nor fingerprints them, so it does less than we do.
"""

import csv
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench import measure
from bench.measure import Row
from tagcast import access, contacts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

MAPPING = {"id": "identity:customer_id", "region": "attribute:region", "amount": "attribute:amount"}
AMOUNT = re.compile(r"-?\d+")


def run(size: int, seed: int = 7) -> Iterator[Row]:
    """Rows for a made-up file of `size` people, one in a hundred of them wrong."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "people.csv"
        _write(file, size, seed)
        turn = iter(range(10_000))
        homes = [_home(folder / f"home{number}") for number in range(measure.REPEATS + 1)]
        contestants: dict[str, Callable[[], object]] = {
            "tagcast": lambda: _ours(homes.pop(), file),
            "sqlite executemany": lambda: _sqlite(folder / f"peer{next(turn)}.db", file),
        }
        if (url := _postgres(stack)) is not None:
            contestants["postgresql copy"] = lambda: _copy(url, file)
        yield from measure.rows("import: contacts", size, measure.interleaved(contestants), unit="s")


def _write(file: Path, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    regions, amounts, bad = random.integers(0, 31, size), random.integers(0, 10_000, size), random.random(size) < 0.01
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(MAPPING)
        for at in range(size):
            writer.writerow([f"c{at:08d}", f"r{regions[at]}", "many" if bad[at] else amounts[at]])


def _home(folder: Path) -> Runtime:
    settings = Settings(home=folder)
    access.initialise(settings)
    runtime = access.open_home(settings)
    with runtime.work(1, "bench") as work:
        contacts.declare_attribute(work, "region", "choice", purpose="marketing")
        contacts.declare_attribute(work, "amount", "number", purpose="marketing")
    return runtime


def _ours(runtime: Runtime, file: Path) -> tuple[int, int]:
    """(people taken, rows refused)."""
    result = contacts.import_contacts(runtime, 1, file, MAPPING)
    with runtime.read(1, "bench") as work:
        taken = len(contacts.everyone(work))
    runtime.close()
    return taken, result.refused


def _sqlite(database: Path, file: Path) -> tuple[int, int]:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE contact (number INTEGER PRIMARY KEY, id TEXT UNIQUE, region TEXT, amount INTEGER)")
    bad = 0

    def good() -> Iterator[tuple[str, str, int]]:
        nonlocal bad
        with file.open(newline="", encoding="utf-8") as source:
            for row in csv.DictReader(source):
                if row["id"] and AMOUNT.fullmatch(row["amount"]):
                    yield row["id"], row["region"], int(row["amount"])
                else:
                    bad += 1

    statement = "INSERT INTO contact (id, region, amount) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
    with connection:
        connection.executemany(statement, good())
    taken = connection.execute("SELECT count(*) FROM contact").fetchone()[0]
    connection.close()
    return taken, bad


def _postgres(stack: ExitStack) -> str | None:
    try:
        from tests.postgres import start_postgres

        return stack.enter_context(start_postgres()).replace("postgresql+psycopg", "postgresql")
    except (ImportError, RuntimeError):
        return None


def _copy(url: str, file: Path) -> tuple[int, int]:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS contact")
        connection.execute(
            "CREATE TABLE contact (number BIGSERIAL PRIMARY KEY, id TEXT UNIQUE, region TEXT, amount BIGINT)"
        )
        connection.execute("CREATE TEMP TABLE staged (id TEXT, region TEXT, amount TEXT) ON COMMIT DROP")
        with connection.cursor().copy("COPY staged FROM STDIN (FORMAT csv, HEADER)") as copy, file.open("rb") as source:
            while block := source.read(1 << 20):
                copy.write(block)
        taken = connection.execute(
            "INSERT INTO contact (id, region, amount) SELECT id, region, amount::bigint FROM staged"
            r" WHERE id <> '' AND amount ~ '^-?\d+$' ON CONFLICT (id) DO NOTHING"
        ).rowcount
        total = connection.execute("SELECT count(*) FROM staged").fetchone()
    return taken, (total[0] if total else 0) - taken
