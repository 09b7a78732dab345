"""Durable tagging with its history: one contact, a fifth of all and back, and pairs in any order.

SQLite rewrites the tag's whole set for one contact; PostgreSQL keeps a row a pair, and a row of history for each call.
Every turn ends in a commit that is on disk. A single contact in a commit of its own cannot be tagged in less time than
the disk takes to confirm (`bound`, a page appended and synced in the same turns); so many single changes are also made
in transactions of ten and in one. Times are wall time, unless the row says CPU of this process, the database's included
where it runs in it.
"""

import itertools
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from bench import measure
from bench.audience_peers import postgres
from bench.measure import REPEATS, Bar
from tagcast import access, bitmaps, contacts, tags
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

SINGLES = 200
TOGETHER = (10, 2000)
SPARE = 30_000
OWNERS = 500


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
        base = _base(stack)
        if base is None:
            return
        singles = iter(random.permutation(bitmaps.unpack(BitMap(range(1, size + SPARE + 1)) - holders)).tolist())
        yield from _single(runtime, base, folder, (one, holders, singles))
        yield from _segment(runtime, base, many, holders)
        owners = random.integers(0, OWNERS, 2 * size, dtype=np.uint32)
        numbers = random.integers(1, size + 1, 2 * size, dtype=np.uint32)
        yield from _pairs(runtime, base, owners, numbers)


def _base(stack: ExitStack):
    import psycopg

    if (url := postgres(stack)) is None:
        return None
    base = stack.enter_context(psycopg.connect(url, autocommit=True))
    base.execute("CREATE TABLE tagging (tag int4, id int4, PRIMARY KEY (tag, id))")
    base.execute(
        "CREATE TABLE history (seq bigserial PRIMARY KEY, tag int4, ids int4[], op text, who text, at timestamptz)"
    )
    return base


def _single(runtime: Runtime, base, folder: Path, given: tuple[int, BitMap, Iterator[int]]) -> Iterator[Bar]:
    tag, holders, numbers = given
    blobs = sqlite3.connect(folder / "blob.db", isolation_level=None)
    blobs.execute("PRAGMA journal_mode=WAL")
    blobs.execute("PRAGMA synchronous=FULL")
    blobs.execute("CREATE TABLE tag (id INTEGER PRIMARY KEY, members BLOB)")
    blobs.execute("INSERT INTO tag VALUES (1, ?)", (holders.serialize(),))
    rewritten, added = holders.copy(), itertools.count(1)

    def ours(many: int) -> None:
        with runtime.work(1, "bench") as work:
            for number in itertools.islice(numbers, many):
                tags.assign(work, tag, BitMap([number]), why="bench")

    def blob(many: int) -> None:
        blobs.execute("BEGIN IMMEDIATE")
        for number in itertools.islice(numbers, many):
            rewritten.add(number)
            blobs.execute("UPDATE tag SET members = ? WHERE id = 1", (rewritten.serialize(),))
        blobs.execute("COMMIT")

    def row(many: int) -> None:
        with base.transaction():
            for number in itertools.islice(added, many):
                base.execute("INSERT INTO tagging VALUES (1, %s) ON CONFLICT DO NOTHING", (number,))
                base.execute(
                    "INSERT INTO history (tag, ids, op, who, at) VALUES (1, %s, 'add', 'bench', now())", ([number],)
                )

    with (folder / "synced").open("wb", buffering=0) as file:

        def sync(_many: int) -> None:
            file.write(bytes(4096))
            os.fdatasync(file.fileno())

        contestants = {"tagcast": ours, "blob": blob, "row": row, "disk": sync}
        for many in (1, *TOGETHER):
            repeats = SINGLES if many == 1 else 20 if many < 100 else REPEATS
            found = _per_change(contestants, many, repeats)
            with runtime.read(1, "bench") as work:
                held = len(tags.holders(work, tag))
            stored = blobs.execute("SELECT members FROM tag").fetchone()[0]
            kept = base.execute("SELECT count(*) FROM tagging").fetchone()[0]
            equal = held == len(BitMap.deserialize(stored)) == len(holders) + kept
            yield from _changes(many, len(holders), found, equal=equal)
    blobs.close()


def _per_change(
    contestants: dict[str, Callable[[int], None]], many: int, repeats: int
) -> dict[str, tuple[float, float]]:
    """Median milliseconds a change, (wall, CPU of this process), in turns, one of which warms up."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(repeats + 1):
        for name, change in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            change(many)
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = {name: np.median(found[1:], axis=0) * 1000 / many for name, found in spent.items()}
    return {name: (float(wall), float(cpu)) for name, (wall, cpu) in medians.items()}


def _changes(many: int, size: int, found: dict[str, tuple[float, float]], *, equal: bool) -> Iterator[Bar]:
    work = "tagging one contact" + ("" if many == 1 else f", {many:,} in a transaction")
    ours, disk = found["tagcast"], found["disk"]
    for key, name, wanted in (("blob", "sqlite, set rewritten", 100.0), ("row", "postgresql row", 1.0)):
        theirs = found[key]
        yield Bar.of(
            work, size, ours=ours[0], peer=(name, theirs[0]), unit="ms", bar=(">=", wanted), equal=equal, floor=disk[0]
        )
        if key == "blob":
            yield Bar.of(
                f"{work}, CPU", size, ours=ours[1], peer=(name, theirs[1]), unit="ms", bar=(">=", wanted), equal=equal
            )


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

    found = measure.interleaved({"tagcast": both(assign, undo), "rows": both(insert, delete)})
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
