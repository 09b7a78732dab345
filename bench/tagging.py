"""Durable tagging with its history: one contact, a fifth of all and back, and pairs in any order.

SQLite rewrites the tag's whole set for one contact, with the settings of our own database; PostgreSQL keeps a row a
pair. Both keep a row of history for each tagging, and every one is on disk before it is answered. One caller at a time
waits for the disk (`bound`: a page of a log written over and synced in the same turns). Of 64 callers at once ours
share a commit, PostgreSQL's (pgbench) share one as it sees fit, and a set that is rewritten has one writer; what it
would cost to rewrite it once for all 64 stands beside. SQLite compares a value with the pages that hold the former one
and writes only those that differ; a set as dense as this one keeps its length, so that a few do. Times are wall time
per tagging, unless the row says CPU of this process, the database's included where it runs in it.
"""

import asyncio
import itertools
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pyroaring import BitMap

from bench import measure
from bench.audience_peers import postgres
from bench.measure import REPEATS, Bar
from tagcast import access, bitmaps, contacts, tags
from tagcast.kit.loop import run as run_loop
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

FLIGHT = 64
"""Callers at once."""
FEW, MANY = 60, 3200
"""Taggings a turn of one caller, and of all callers at once."""
TURNS_IN_ALL = REPEATS + 1
SPARE = 60_000
PAGE, LOG = 4096, 20 << 20
FILLER = ("CREATE TABLE filler (data BLOB)", f"INSERT INTO filler VALUES (zeroblob({LOG}))", "DROP TABLE filler")
"""Makes SQLite's log as long as it gets, as it is in a server after a while: from then on it is written over."""
ROW = (
    "WITH one AS (INSERT INTO tagging SELECT 1, nextval('number')::int4 ON CONFLICT DO NOTHING RETURNING id)"
    " INSERT INTO history (tag, ids, op, who, why, at) SELECT 1, ARRAY[id], 'add', 'bench', 'bench', now() FROM one"
)
OWNERS = 500
LARGE = 500_000


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Rows for `size` contacts and twice as many pairs."""
    random = np.random.default_rng(seed)
    holders = bitmaps.pack(random.choice(size, size // 5, replace=False) + 1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = Settings(home=folder / "home")
        access.initialise(settings)
        runtime = access.open_home(settings)
        stack.callback(runtime.close)
        with runtime.work(1, "bench") as work:
            work.bitmaps.add(contacts.EVERYONE, BitMap(range(1, size + SPARE + 1)), why="bench")
            one, many = tags.create(work, "one").id, tags.create(work, "many").id
            tags.assign(work, one, holders, why="bench")
        for statement in FILLER:
            with runtime.system() as connection:
                connection.exec_driver_sql(statement)
        if (url := postgres(stack)) is None:
            return
        base = _base(stack, url)
        singles = iter(random.permutation(bitmaps.unpack(BitMap(range(1, size + SPARE + 1)) - holders)).tolist())
        yield from _single(runtime, base, url, folder, (one, holders, singles))
        yield from _segment(runtime, base, many, holders)
        owners = random.integers(0, OWNERS, 2 * size, dtype=np.uint32)
        numbers = random.integers(1, size + 1, 2 * size, dtype=np.uint32)
        yield from _pairs(runtime, base, owners, numbers)


def _base(stack: ExitStack, url: str):
    import psycopg

    base = stack.enter_context(psycopg.connect(url, autocommit=True))
    base.execute("CREATE TABLE tagging (tag int4, id int4, PRIMARY KEY (tag, id))")
    base.execute(
        "CREATE TABLE history (seq bigserial PRIMARY KEY, tag int4, ids int4[], op text, who text, why text,"
        " at timestamptz)"
    )
    base.execute("CREATE SEQUENCE number")
    return base


def _single(runtime: Runtime, base, url: str, folder: Path, given: tuple[int, BitMap, Iterator[int]]) -> Iterator[Bar]:
    tag, holders, numbers = given
    blob = _Blob(folder / "blob.db", holders)
    taggings = tags.Taggings(runtime)
    taggings.start()
    given_to = itertools.count()
    late: list[float] = []

    async def caller(share: int) -> None:
        for number in itertools.islice(numbers, share):
            next(given_to)
            begun = time.perf_counter()
            await taggings.submit(1, tags.Request(tag, "add", "bench", "bench", (number,)))
            late.append(time.perf_counter() - begun)

    async def callers() -> None:
        await asyncio.gather(*(caller(MANY // FLIGHT) for _ in range(FLIGHT)))

    def ours() -> None:
        for number in itertools.islice(numbers, FEW):
            next(given_to)
            with runtime.work(1, "bench") as work:
                tags.assign(work, tag, BitMap([number]), why="bench")

    def row() -> None:
        for _ in range(FEW):
            base.execute(ROW, prepare=True)

    places = itertools.count()
    with (folder / "synced").open("wb", buffering=0) as file:
        file.write(bytes(LOG))
        os.fsync(file.fileno())

        found = _per_tagging(
            {
                "alone": (ours, FEW),
                "blob": (lambda: blob.rewrite(numbers, FEW), FEW),
                "row": (row, FEW),
                "disk": (lambda: _sync(file, places), FEW),
                "together": (lambda: run_loop(callers()), MANY),
                "blob together": (lambda: blob.rewrite(numbers, FEW, at_once=FLIGHT), FEW * FLIGHT),
                "rows together": (lambda: _pgbench(url, folder), MANY),
            }
        )
    taggings.close()
    equal = _agree(runtime, base, tag, len(holders), next(given_to)) and blob.agrees()
    yield from _changes(len(holders), found, statistics.median(late) * 1000, equal=equal)


def _sync(file: BinaryIO, places: Iterator[int]) -> None:
    for _ in range(FEW):
        file.seek(next(places) * PAGE % LOG)
        file.write(bytes(PAGE))
        os.fdatasync(file.fileno())


def _agree(runtime: Runtime, base, tag: int, before: int, added: int) -> bool:
    """Whether everything that was asked for is there, with its history, here and in PostgreSQL."""
    with runtime.read(1, "bench") as work:
        held, noted = len(tags.holders(work, tag)), len(tags.history(work, tag, limit=1 << 30))
    kept = base.execute("SELECT (SELECT count(*) FROM tagging), (SELECT count(*) FROM history)").fetchone()
    return (held, noted) == (before + added, added + 1) and kept[0] == kept[1] == TURNS_IN_ALL * (FEW + MANY)


class _Blob:
    """A set that is rewritten whole in SQLite, with a row of history a tagging."""

    def __init__(self, file: Path, holders: BitMap) -> None:
        self._set = holders.copy()
        self._before = len(holders)
        self._base = sqlite3.connect(file, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=4000"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.execute("CREATE TABLE tag (id INTEGER PRIMARY KEY, members BLOB)")
        self._base.execute("CREATE TABLE history (seq INTEGER PRIMARY KEY, tag, number, op, who, why, at)")
        self._base.execute("INSERT INTO tag VALUES (1, ?)", (holders.serialize(),))
        for statement in FILLER:
            self._base.execute(statement)

    def rewrite(self, numbers: Iterator[int], commits: int, *, at_once: int = 1) -> None:
        for _ in range(commits):
            self._base.execute("BEGIN IMMEDIATE")
            added = list(itertools.islice(numbers, at_once))
            self._set.update(added)
            self._base.execute("UPDATE tag SET members = ? WHERE id = 1", (self._set.serialize(),))
            history = [(number, time.time()) for number in added]
            self._base.executemany("INSERT INTO history VALUES (NULL, 1, ?, 'add', 'bench', 'bench', ?)", history)
            self._base.execute("COMMIT")

    def agrees(self) -> bool:
        stored = BitMap.deserialize(self._base.execute("SELECT members FROM tag").fetchone()[0])
        kept = self._base.execute("SELECT count(*) FROM history").fetchone()[0]
        self._base.close()
        return stored == self._set and kept == len(self._set) - self._before


def _pgbench(url: str, folder: Path) -> None:
    """As many clients at once, each with its own connection, prepared; by PostgreSQL's own tool, which is no Python."""
    script = folder / "one.sql"
    script.write_text(f"{ROW};\n")
    made = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c", str(FLIGHT), "-j", "2", "-t", str(MANY // FLIGHT), "-f", script, url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    if "number of failed transactions: 0" not in made.stdout:
        raise RuntimeError(made.stdout)


def _per_tagging(contestants: dict[str, tuple[Callable[[], None], int]]) -> dict[str, tuple[float, float]]:
    """Median milliseconds a tagging, (wall, CPU of this process), in turns, one of which warms up."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(TURNS_IN_ALL):
        for name, (change, many) in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            change()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            spent[name].append((wall * 1000 / many, cpu * 1000 / many))
    medians = {name: np.median(found[1:], axis=0) for name, found in spent.items()}
    return {name: (float(wall), float(cpu)) for name, (wall, cpu) in medians.items()}


def _changes(size: int, found: dict[str, tuple[float, float]], late: float, *, equal: bool) -> Iterator[Bar]:
    alone, together, disk = found["alone"], found["together"], found["disk"][0]
    blob, many = "sqlite, set rewritten", f"{FLIGHT} in flight"
    for work, ours, name, theirs, wanted, floor in (
        ("1 in flight", alone[0], blob, found["blob"][0], 100.0, disk),
        ("1 in flight, CPU", alone[1], blob, found["blob"][1], 100.0, None),
        ("1 in flight", alone[0], "postgresql row", found["row"][0], 1.0, disk),
        (many, together[0], blob, found["blob"][0], 100.0, disk / FLIGHT),
        (f"{many}, CPU", together[1], blob, found["blob"][1], 100.0, None),
        (many, together[0], f"{blob} once for {FLIGHT}", found["blob together"][0], 1.0, disk / FLIGHT),
        (many, together[0], "postgresql rows, pgbench", found["rows together"][0], 1.0, disk / FLIGHT),
        (f"{many}, latency", late, "postgresql rows, pgbench", found["rows together"][0] * FLIGHT, 1.0, disk),
    ):
        yield Bar.of(
            f"tagging one contact, {work}", size, ours=ours, peer=(name, theirs), unit="ms", bar=(">=", wanted),
            equal=equal, floor=floor,
        )  # fmt: skip


def _segment(runtime: Runtime, base, tag: int, holders: BitMap) -> Iterator[Bar]:
    seqs: list[int] = []
    base.execute("CREATE TABLE segment (id int4 PRIMARY KEY)")
    with base.cursor().copy("COPY segment FROM STDIN") as copy:
        copy.write("".join(f"{number}\n" for number in holders))

    def assign() -> int:
        with runtime.work(1, "bench") as work:
            change = tags.assign(work, tag, holders, why="bench")
        assert change is not None
        seqs.append(change.seq)
        return change.size

    def undo() -> int:
        with runtime.work(1, "bench") as work:
            change = tags.undo(work, seqs.pop())
        assert change is not None
        return change.size

    def both(first: Callable[[], int], second: Callable[[], int]) -> Callable[[], int]:
        return lambda: first() + second()

    def insert() -> int:
        return base.execute("INSERT INTO tagging SELECT 2, id FROM segment ON CONFLICT DO NOTHING").rowcount

    def delete() -> int:
        return base.execute("DELETE FROM tagging t USING segment s WHERE t.tag = 2 AND t.id = s.id").rowcount

    turn = {"tagcast": both(assign, undo), "rows": both(insert, delete)}
    # Once each where the peer takes a minute.
    large = len(holders) > LARGE
    found = {name: measure.once(run) for name, run in turn.items()} if large else measure.interleaved(turn)
    yield _bar("tagging a segment and back", len(holders), found, ("rows", "postgresql insert, delete", 50.0))


def _pairs(runtime: Runtime, base, owners: np.ndarray, numbers: np.ndarray) -> Iterator[Bar]:
    turns = itertools.count()

    def ours() -> int:
        turn, found = next(turns), 0
        with runtime.work(1, "bench") as work:
            everyone = contacts.everyone(work)
            for owner, members in bitmaps.pack_pairs(owners, numbers):
                change = work.bitmaps.add(f"bench:{turn}:{owner}", members & everyone, why="bench")
                found += change.size if change else 0
        return found

    def copied() -> int:
        base.execute("DROP TABLE IF EXISTS pair")
        base.execute("CREATE TABLE pair (tag int4, id int4, PRIMARY KEY (tag, id))")
        with base.transaction():
            base.execute("CREATE TEMP TABLE staged (tag int4, id int4) ON COMMIT DROP")
            rows = np.empty(
                len(owners), dtype=[("n", ">i2"), ("a", ">i4"), ("tag", ">i4"), ("b", ">i4"), ("id", ">i4")]
            )
            rows["n"], rows["a"], rows["b"], rows["tag"], rows["id"] = 2, 4, 4, owners, numbers
            with base.cursor().copy("COPY staged FROM STDIN (FORMAT binary)") as copy:
                copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
                for at in range(0, len(rows), 1 << 20):
                    copy.write(rows[at : at + (1 << 20)].tobytes())
                copy.write(b"\xff\xff")
            return base.execute(
                f"INSERT INTO pair SELECT tag, id FROM staged WHERE id BETWEEN 1 AND {int(numbers.max())}"
                " ON CONFLICT DO NOTHING"
            ).rowcount

    # Once each: the peer takes minutes at full size.
    found = {name: measure.once(run) for name, run in (("tagcast", ours), ("copy", copied))}
    yield _bar("pairs in any order", len(owners), found, ("copy", "postgresql copy, primary key", 20.0))


def _bar(work: str, size: int, found: dict[str, tuple[float, object]], peer: tuple[str, str, float]) -> Bar:
    key, name, wanted = peer
    (ours, mine), (theirs, answer) = found["tagcast"], found[key]
    return Bar.of(work, size, ours=ours, peer=(name, theirs), unit="s", bar=(">=", wanted), equal=mine == answer)
