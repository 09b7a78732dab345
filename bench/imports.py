"""Importing contacts with attributes and tags from CSV, sealed and as sets, against databases' bulk loads.

The peers keep rows in the clear: they check format and uniqueness as we do, but neither seal nor fingerprint, keep no
history, and hand back no refused rows with reasons.
"""

import csv
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench import measure
from bench.measure import Bar, Row
from tagcast import access, contacts, tags
from tagcast.kit.crypto import Vault, new_key
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

MAPPING = {
    "id": "identity:customer_id",
    "region": "attribute:region",
    "amount": "attribute:amount",
    "tag": "tag",
}
TAGS = 20
WANTED = 50_000
"""Rows a second."""
AMOUNT = re.compile(r"-?\d+")


def run(size: int, seed: int = 7) -> Iterator[Row | Bar]:
    """Rows for a made-up file of `size` people, one in a hundred of them wrong."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "people.csv"
        _write(file, size, seed)
        turn = iter(range(10_000))
        homes = [_home(folder / f"home{number}") for number in range(measure.REPEATS + 1)]
        cpu: list[float] = []
        contestants: dict[str, Callable[[], object]] = {
            "tagcast": lambda: _ours(homes.pop(), file, cpu),
            "sealing, fingerprints, inserts": lambda: _least(folder / f"least{next(turn)}.db", size),
            "sqlite executemany": lambda: _sqlite(folder / f"peer{next(turn)}.db", file),
        }
        if (url := _postgres(stack)) is not None:
            contestants["postgresql copy"] = lambda: _copy(url, file)
        found = measure.interleaved(contestants)
        least, _ = found.pop("sealing, fingerprints, inserts")
        wanted = f"{WANTED:,} rows/s", size / WANTED
        for name, ours in (("wall", found["tagcast"][0]), ("CPU", statistics.median(cpu))):
            yield Bar.of(
                f"import: contacts and tags, {name}", size, ours=ours, peer=wanted, unit="s", bar=(">=", 1),
                equal=all(answer == found["tagcast"][1] for _, answer in found.values()), floor=least,
            )  # fmt: skip
        yield from measure.rows("import: contacts and tags", size, found, unit="s")


def _least(database: Path, size: int) -> None:
    """What cannot be left out: a seal, a fingerprint and two rows a contact, in one transaction."""
    vault = Vault(new_key())
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE contact (number INTEGER PRIMARY KEY, sealed BLOB)")
    connection.execute("CREATE TABLE identity (mark BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
    names = [f"c{at:08d}" for at in range(size)]
    marks = vault.fingerprints("customer_id", names)
    sealed = vault.seal_all((name.encode(), b"contact:%d" % at) for at, name in enumerate(names))
    with connection:
        connection.executemany("INSERT INTO contact VALUES (?, ?)", enumerate(sealed))
        connection.executemany("INSERT INTO identity VALUES (?, ?)", sorted(zip(marks, range(size), strict=True)))
    connection.close()


def _write(file: Path, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    regions, amounts, bad = random.integers(0, 31, size), random.integers(0, 10_000, size), random.random(size) < 0.01
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(MAPPING)
        for at in range(size):
            writer.writerow([f"c{at:08d}", f"r{regions[at]}", "many" if bad[at] else amounts[at], f"t{at % TAGS}"])


def _home(folder: Path) -> Runtime:
    settings = Settings(home=folder)
    access.initialise(settings)
    runtime = access.open_home(settings)
    with runtime.work(1, "bench") as work:
        contacts.declare_attribute(work, "region", "choice", purpose="marketing")
        contacts.declare_attribute(work, "amount", "number", purpose="marketing")
        for number in range(TAGS):
            tags.create(work, f"t{number}")
    return runtime


def _ours(runtime: Runtime, file: Path, cpu: list[float]) -> tuple[int, int, int]:
    """(people taken, taggings, rows refused)."""
    started = time.process_time()
    result = contacts.import_contacts(runtime, 1, file, MAPPING, above=contacts.Above(on_tags=tags.ON_IMPORT))
    cpu.append(time.process_time() - started)
    with runtime.read(1, "bench") as work:
        taken = len(contacts.everyone(work))
        given = sum(node.own for node in tags.tree(work))
    runtime.close()
    return taken, given, result.refused


def _sqlite(database: Path, file: Path) -> tuple[int, int, int]:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE contact (number INTEGER PRIMARY KEY, id TEXT UNIQUE, region TEXT, amount INTEGER)")
    connection.execute("CREATE TABLE held (number INTEGER, tag TEXT, PRIMARY KEY (tag, number)) WITHOUT ROWID")
    given: list[tuple[str, str]] = []
    bad = 0

    def good() -> Iterator[tuple[str, str, int]]:
        nonlocal bad
        with file.open(newline="", encoding="utf-8") as source:
            for row in csv.DictReader(source):
                if row["id"] and AMOUNT.fullmatch(row["amount"]):
                    given.append((row["tag"], row["id"]))
                    yield row["id"], row["region"], int(row["amount"])
                else:
                    bad += 1

    statement = "INSERT INTO contact (id, region, amount) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
    with connection:
        connection.executemany(statement, good())
        connection.executemany(
            "INSERT OR IGNORE INTO held (tag, number) SELECT ?, number FROM contact WHERE id = ?", given
        )
    taken = connection.execute("SELECT count(*) FROM contact").fetchone()[0]
    held = connection.execute("SELECT count(*) FROM held").fetchone()[0]
    connection.close()
    return taken, held, bad


def _postgres(stack: ExitStack) -> str | None:
    try:
        from tests.postgres import start_postgres

        return stack.enter_context(start_postgres()).replace("postgresql+psycopg", "postgresql")
    except (ImportError, RuntimeError):
        return None


def _copy(url: str, file: Path) -> tuple[int, int, int]:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS contact, held")
        connection.execute(
            "CREATE TABLE contact (number BIGSERIAL PRIMARY KEY, id TEXT UNIQUE, region TEXT, amount BIGINT)"
        )
        connection.execute("CREATE TABLE held (tag TEXT, number BIGINT, PRIMARY KEY (tag, number))")
        connection.execute("CREATE TEMP TABLE staged (id TEXT, region TEXT, amount TEXT, tag TEXT) ON COMMIT DROP")
        with connection.cursor().copy("COPY staged FROM STDIN (FORMAT csv, HEADER)") as copy, file.open("rb") as source:
            while block := source.read(1 << 20):
                copy.write(block)
        taken = connection.execute(
            "INSERT INTO contact (id, region, amount) SELECT id, region, amount::bigint FROM staged"
            r" WHERE id <> '' AND amount ~ '^-?\d+$' ON CONFLICT (id) DO NOTHING"
        ).rowcount
        held = connection.execute(
            "INSERT INTO held SELECT tag, number FROM staged JOIN contact USING (id)"
            r" WHERE staged.amount ~ '^-?\d+$' ON CONFLICT DO NOTHING"
        ).rowcount
        total = connection.execute("SELECT count(*) FROM staged").fetchone()
    return taken, held, (total[0] if total else 0) - taken
