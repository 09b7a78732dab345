"""Exact counts of tag expressions over an index of 500 tags, against databases and bare Roaring sets on the same data.

Each index is asked 200 expressions `(a or b …) and (c or d …) and not (e or f …)` of 3 to 12 tags. Ours never answers
from remembered results unless the row says so. Times are CPU time of this process for ours and for bare sets, so that
a busy machine does not decide; databases, which use other threads and processes, are timed by the clock.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from bench import audience_peers as peers
from bench.audience_peers import Expression, Index
from bench.measure import Bar
from tagcast import bitmaps
from tagcast.bitmaps import Bitmaps
from tagcast.bitmaps.algebra import AllOf, AnyOf, Evaluation, Except, Key
from tagcast.kit import db

TAGS = 500
EXPRESSIONS = 200
SLOW = 6
SHAPES = (("random, 8.7 a contact", 8.7, False), ("random, 19 a contact", 19.0, False), ("clustered", 8.7, True))
_READY = """
import sys, time
from pathlib import Path
start = time.perf_counter()
from tagcast.bitmaps import Bitmaps
from tagcast.bitmaps.algebra import AllOf, AnyOf, Evaluation, Except, Key
from tagcast.kit import db
engine = db.open_engine(sys.argv[1])
begun = time.perf_counter()
with engine.connect() as connection:
    view = Bitmaps(engine, Path(sys.argv[2])).view(connection, 1, who="bench", at_ms=0)
    number = Evaluation(view, "all").count(AllOf((AnyOf((Key("0"), Key("7"))), Except(Key("3")))))
print(time.perf_counter() - begun, number, flush=True)
time.sleep(60)
"""


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Rows for `size` contacts. Needs the peers (`python3 dev.py bench`)."""
    asked = _expressions(seed)
    for name, density, clustered in SHAPES:
        index = _index(size, density, clustered, seed)
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows(f"count, {name}", index, asked, Path(folder))


def _rows(work: str, index: Index, asked: Sequence[Expression], folder: Path) -> Iterator[Bar]:
    bound = peers.dense_read(index.size)
    url, wanted, before = f"sqlite:///{folder / 'log.db'}", [], peers.resident()
    bare = _timed(lambda one: wanted.append(peers.plain(index, one)) or wanted[-1], asked)
    stored = _stored(url, folder, index)
    engine = db.open_engine(url)
    sets = Bitmaps(engine, folder / "checkpoints")
    with engine.connect() as connection:
        view = sets.view(connection, 1, who="bench", at_ms=0)
        before = peers.resident()
        for one in range(TAGS):
            view.whole(str(one))
        taken = (peers.resident() - before) / 1e6
        ours = _timed(lambda one: Evaluation(view, "all", remember=False).count(_node(one)), asked)
        for _ in range(2):
            again = _timed(lambda one: Evaluation(view, "all").count(_node(one)), asked)
    engine.dispose()
    equal = ours.answers == bare.answers == again.answers

    def row(title: str, mine: float, peer: tuple[str, float], bar: tuple[str, float], **more: object) -> Bar:
        given = {"unit": "ms", "equal": equal, "floor": None, **more}
        return Bar.of(f"{work}: {title}", index.size, ours=mine, peer=peer, bar=bar, **given)  # type: ignore[arg-type]  # see Bar.of

    yield row("p50", ours.p50, ("1.5 ms", 1.5), ("<=", 1.0), floor=bound)
    yield row("p99", ours.p99, ("5 ms", 5.0), ("<=", 1.0), floor=bound)
    yield row("p50", ours.p50, ("dense read", bound), ("<=", 2.5), floor=bound)
    yield row("p50", ours.p50, ("pyroaring", bare.p50), (">=", 1.0), floor=bound)
    yield row("p99", ours.p99, ("pyroaring", bare.p99), (">=", 1.0), floor=bound)
    yield row("p50, asked before", again.p50, ("pyroaring", bare.p50), (">=", 1.0))
    yield row("resident", taken, ("450 MB", 450.0), ("<=", 1.0), unit="MB")
    seconds, number = _cold(url, folder)
    right = peers.plain(index, ((0, 7), None, (3,))) == number
    yield row("first answer after a kill", seconds, ("0.5 s", 0.5), ("<=", 1.0), unit="s", equal=right and stored)
    some = asked[:SLOW]
    for name, wanted_ratio, opened in peers.EVERY:
        with ExitStack() as stack:
            ask = opened(stack, index, folder)
            if ask is None:
                continue
            theirs = _timed(ask, some, clock=time.perf_counter)
            same = theirs.answers == bare.answers[: len(some)]
            mine = float(np.median(ours.ms[: len(some)]))
            yield row("p50", mine, (name, theirs.p50), (">=", wanted_ratio), equal=same, floor=bound)


class _Times:
    def __init__(self, ms: list[float], answers: list[int]) -> None:
        self.ms, self.answers = ms, answers
        self.p50, self.p99 = float(np.median(ms)), float(np.quantile(ms, 0.99))


def _timed(
    ask: Callable[[Expression], int], asked: Sequence[Expression], *, clock: Callable[[], float] = time.process_time
) -> _Times:
    ms, answers = [], []
    ask(asked[0])
    for one in asked:
        begun = clock()
        answers.append(ask(one))
        ms.append((clock() - begun) * 1000)
    return _Times(ms, answers)


def _expressions(seed: int) -> list[Expression]:
    random, found = np.random.default_rng(seed), []
    for _ in range(EXPRESSIONS):
        leaves = random.choice(TAGS, int(random.integers(3, 13)), replace=False).tolist()
        first, second = sorted(random.choice(np.arange(1, len(leaves)), 2, replace=False).tolist())
        found.append((tuple(leaves[:first]), tuple(leaves[first:second]), tuple(leaves[second:])))
    return found


def _index(size: int, density: float, clustered: bool, seed: int) -> Index:
    """Tags by Zipf, the largest a fifth of all, so that all pairs together are `density` a contact."""
    ranks, low, high = np.arange(1, TAGS + 1), 0.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (0.2 * size * ranks**-middle).sum() > density * size else (low, middle)
    random, sets = np.random.default_rng(seed), []
    for many in np.maximum(0.2 * size * ranks**-low, 1).astype(int).tolist():
        if clustered:
            members = BitMap()
            while (left := many - len(members)) > 0:
                length = min(left, int(random.integers(size // 10_000 + 1, size // 250 + 2)))
                start = int(random.integers(1, size - length + 1))
                members |= BitMap(range(start, start + length))
        else:
            members = bitmaps.pack(np.flatnonzero(random.random(size, dtype=np.float32) < many / size) + 1)
        sets.append(members)
    return Index(size, sets)


def _node(asked: Expression) -> AllOf:
    one, two, three = (AnyOf(tuple(Key(str(tag)) for tag in tags or ())) for tags in asked)
    return AllOf((one, two, Except(three)))


def _stored(url: str, folder: Path, index: Index) -> bool:
    engine = db.open_engine(url)
    bitmaps.metadata.create_all(engine)
    sets = Bitmaps(engine, folder / "checkpoints")
    with engine.connect().execution_options(**{db.WRITE: True}) as connection, connection.begin():
        view = sets.view(connection, 1, who="bench", at_ms=0)
        view.add("all", BitMap(range(1, index.size + 1)), why="bench")
        for tag, members in enumerate(index.sets):
            view.add(str(tag), members, why="bench")
    with engine.connect().execution_options(**{db.WRITE: True}) as connection, connection.begin():
        made = sets.checkpoint(connection, 1)
    engine.dispose()
    return made


def _cold(url: str, folder: Path) -> tuple[float, int]:
    """(seconds from opening the sets to the first count, the count) of a process whose predecessor was killed."""
    for _ in range(2):
        command = [sys.executable, "-c", _READY, url, str(folder / "checkpoints")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
        ) as child:
            assert child.stdout is not None
            seconds, number = child.stdout.readline().split()
            child.kill()
    return float(seconds), int(number)
