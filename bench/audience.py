"""Exact counts of tag expressions over an index of 500 tags, against databases and bare Roaring sets on the same data.

Each index is asked expressions `(a or b …) and (c or d …) and not (e or f …)` of 3 to 12 tags. Ours is a process of its
own (`bench.counting`), which opened the home after its writer was killed; it takes turns with the peers and never
answers from remembered results unless the row says so. Rows say whether their times are CPU time, of all threads, or
wall time, which a busy machine lengthens; PostgreSQL, a server of its own, has wall time only.
"""

import http.client
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
from pyroaring import BitMap

from bench import audience_peers as peers
from bench.audience_peers import Expression, Index
from bench.measure import Bar
from tagcast import access, bitmaps, contacts, tags
from tagcast.kit.settings import Settings

TAGS = 500
EXPRESSIONS = 200
BY_HTTP = 400
TURN = 20
SLOW = 10
WRITTEN = 50
SHAPES = (
    ("random, 8.7 a contact", 8.7, False),
    ("clustered, 8.7 a contact", 8.7, True),
    ("random, 19 a contact", 19.0, False),
    ("clustered, 19 a contact", 19.0, True),
)
_EMPTY: list[Expression] = [((0,), (1,), (2,))]


def run(size: int, seed: int = 7) -> Iterator[Bar]:
    """Rows for `size` contacts. Needs the peers (`python3 dev.py bench`)."""
    for needed in ("duckdb", "chdb", "psycopg"):
        importlib.import_module(needed)
    for name, density, clustered in SHAPES:
        index = _index(size, density, clustered, seed)
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows(f"count, {name}", index, _expressions(seed), Path(folder))


def _rows(work: str, index: Index, asked: Sequence[Expression], folder: Path) -> Iterator[Bar]:
    access.initialise(Settings(home=folder / "empty"))
    with _child(folder / "empty") as child:
        empty = child(_EMPTY)["resident"]
    token = access.initialise(Settings(home=folder / "home"))
    _store(folder / "home", index)
    _kill_a_writer(folder / "home")
    make = _row(work, index.size)
    with _child(folder / "home") as child:
        first = child(asked[:EXPRESSIONS], remember=True)
        ours, bare = _in_turns(child, index, asked[:EXPRESSIONS])
        again = [_Times(child(asked[:EXPRESSIONS], remember=True)) for _ in range(2)][-1]
        equal = first["numbers"] == ours.numbers == bare.numbers == again.numbers
        bound = peers.dense_read(index.size)
        yield from _own(make, ours, bare, again, bound, equal=equal)
        taken, right = (first["resident"] - empty) / 1e6, first["numbers"] == bare.numbers
        yield make("resident after a start", taken, ("450 MB", 450.0), ("<=", 1.0), unit="MB", equal=right)
        opened = first["opened"]
        yield make("first answer after a kill", opened, ("0.5 s", 0.5), ("<=", 1.0), unit="s", equal=right)
        yield from _by_http(make, folder / "home", token, index, asked)
        for name, wanted, opened_peer in peers.EVERY:
            with ExitStack() as stack:
                if (ask := opened_peer(stack, index, folder)) is not None:
                    given = asked[:SLOW], bare.numbers[:SLOW]
                    yield from _beside(partial(make, floor=bound), (name, wanted, ask), child, given)


def _own(
    make: Callable[..., Bar], ours: "_Times", bare: "_Times", again: "_Times", bound: float, *, equal: bool
) -> Iterator[Bar]:
    for kind in ("cpu", "wall"):
        title = {"cpu": "CPU", "wall": "wall"}[kind]
        yield make(f"p50, {title}", ours.at(0.5, kind), ("1.5 ms", 1.5), ("<=", 1.0), equal=equal, floor=bound)
        yield make(f"p99, {title}", ours.at(0.99, kind), ("5 ms", 5.0), ("<=", 1.0), equal=equal, floor=bound)
    yield make("p50, CPU", ours.at(0.5), ("dense read", bound), ("<=", 2.5), equal=equal, floor=bound)
    yield make("p50, CPU", ours.at(0.5), ("pyroaring", bare.at(0.5)), (">=", 1.0), equal=equal, floor=bound)
    yield make("p99, CPU", ours.at(0.99), ("pyroaring", bare.at(0.99)), (">=", 1.0), equal=equal, floor=bound)
    yield make("p50, asked before, CPU", again.at(0.5), ("pyroaring", bare.at(0.5)), (">=", 1.0), equal=equal)


def _by_http(
    make: Callable[..., Bar], home: Path, token: str, index: Index, asked: Sequence[Expression]
) -> Iterator[Bar]:
    """Counts that were never asked before, one after another, through a server that has counted others."""
    with _serving(home) as (url, pid):
        line = http.client.HTTPConnection(url.hostname or "", url.port or 0, timeout=60)
        count = _counter(line, token)
        for one in asked[:EXPRESSIONS]:
            count(one)
        new, before = asked[EXPRESSIONS:], _cpu(pid)
        found = _Times(_timed(count, new))
        cpu = (_cpu(pid) - before) * 1000 / len(new)
        line.close()
    equal = found.numbers == [peers.plain(index, one) for one in new]
    yield make("by HTTP, p50, wall", found.at(0.5, "wall"), ("5 ms", 5.0), ("<=", 1.0), equal=equal)
    yield make("by HTTP, p99, wall", found.at(0.99, "wall"), ("20 ms", 20.0), ("<=", 1.0), equal=equal)
    yield make("by HTTP, mean CPU of the server", cpu, ("5 ms", 5.0), ("<=", 1.0), equal=equal)


def _beside(
    make: Callable[..., Bar],
    peer: tuple[str, float, peers.Ask],
    child: Callable[..., dict[str, Any]],
    given: tuple[Sequence[Expression], list[int]],
) -> Iterator[Bar]:
    """`given` is what is asked, and the right answers."""
    (name, wanted, ask), (asked, right) = peer, given
    ask(asked[0])
    theirs, ours = _Times(_timed(ask, asked)), _Times(child(asked))
    equal = theirs.numbers == ours.numbers == right
    kinds = ("wall",) if name.startswith("postgresql") else ("wall", "cpu")
    for kind in kinds:
        title = "p50, CPU" if kind == "cpu" else "p50, wall"
        yield make(title, ours.at(0.5, kind), (name, theirs.at(0.5, kind)), (">=", wanted), equal=equal)


class _Times:
    """Numbers with the milliseconds that each took."""

    def __init__(self, *parts: dict[str, Any]) -> None:
        self.numbers: list[int] = [number for part in parts for number in part["numbers"]]
        self._ms = {kind: [ms for part in parts for ms in part[kind]] for kind in ("cpu", "wall")}

    def at(self, share: float, kind: str = "cpu") -> float:
        return float(np.quantile(self._ms[kind], share))


def _row(work: str, size: int) -> Callable[..., Bar]:
    def make(title: str, ours: float, peer: tuple[str, float], bar: tuple[str, float], **more: Any) -> Bar:
        return Bar.of(f"{work}: {title}", size, ours=ours, peer=peer, bar=bar, **{"unit": "ms", **more})

    return make


def _timed(ask: Callable[[Expression], int], asked: Sequence[Expression]) -> dict[str, Any]:
    found: dict[str, list[float]] = {"numbers": [], "wall": [], "cpu": []}
    for one in asked:
        wall, cpu = time.perf_counter(), time.process_time()
        found["numbers"].append(ask(one))
        found["cpu"].append((time.process_time() - cpu) * 1000)
        found["wall"].append((time.perf_counter() - wall) * 1000)
    return found


def _in_turns(child: Callable[..., dict[str, Any]], index: Index, asked: Sequence[Expression]) -> tuple[_Times, _Times]:
    """Ours and bare sets, a few expressions each in turn."""
    ours, bare = [], []
    for start in range(0, len(asked), TURN):
        part = asked[start : start + TURN]
        ours.append(child(part))
        bare.append(_timed(lambda one: peers.plain(index, one), part))
    return _Times(*ours), _Times(*bare)


def _expressions(seed: int) -> list[Expression]:
    random, found = np.random.default_rng(seed), []
    for _ in range(EXPRESSIONS + BY_HTTP):
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


def _store(home: Path, index: Index) -> None:
    """The index as the product keeps it: tags `t0` … with ids from 1, their members in the log, and a checkpoint."""
    runtime = access.open_home(Settings(home=home))
    with runtime.work(1, "bench") as work:
        work.bitmaps.add(contacts.EVERYONE, BitMap(range(1, index.size + 1)), why="bench")
        for tag, members in enumerate(index.sets):
            made = tags.create(work, f"t{tag}")
            assert made.id == tag + 1
            work.bitmaps.add(_key(tag), members, why="bench")
    with runtime.work(1, "bench") as work:
        runtime.bitmaps.checkpoint(work.connection, 1)
    runtime.close()


def _key(tag: int) -> str:
    return f"tag:{tag + 1}"


def _kill_a_writer(home: Path) -> None:
    """Let a process commit some changes after the checkpoint, and kill it at its work."""
    with subprocess.Popen(_command("bench.counting", home, "bench:busy"), stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(WRITTEN):
            writer.stdout.readline()
        writer.kill()


@contextmanager
def _child(home: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """A fresh process over the home: call it with expressions; see `bench.counting` for what it answers."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(_command("bench.counting", home), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(asked: Sequence[Expression], *, remember: bool = False) -> dict[str, Any]:
            keys = [[[_key(tag) for tag in part or ()] for part in one] for one in asked]
            stdin.write(orjson.dumps({"asked": keys, "remember": remember}) + b"\n")
            stdin.flush()
            found: dict[str, Any] = orjson.loads(stdout.readline())
            return found

        try:
            yield ask
        finally:
            process.kill()


@contextmanager
def _serving(home: Path) -> Iterator[tuple[Any, int]]:
    """`tagcast serve` with its worker: (address, process id)."""
    environment = os.environ | {"TAGCAST_HOME": str(home)}
    command = _command("tagcast", "serve", "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        try:
            yield urlsplit(orjson.loads(server.stdout.readline())["url"]), server.pid
        finally:
            server.terminate()


def _counter(line: http.client.HTTPConnection, token: str) -> Callable[[Expression], int]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def count(asked: Expression) -> int:
        one, two, three = (" or ".join(f'tag("t{tag}")' for tag in part or ()) for part in asked)
        body = orjson.dumps({"text": f"({one}) and ({two}) and not ({three})"})
        line.request("POST", "/api/v1/segments/count", body, headers)
        answer = line.getresponse()
        given = answer.read()
        assert answer.status == 200, given
        return int(orjson.loads(given)["count"])

    return count


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", *map(str, words)]
