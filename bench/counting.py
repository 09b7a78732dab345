"""A process that holds the product's index, for `bench.audience`.

`python -m bench.counting HOME` opens the home when it is first asked, and answers each line of JSON with one:
`{"asked": [expression …], "remember": bool}` with numbers and milliseconds (wall and CPU) of each and, for the first
line, the seconds from the start of opening to the first number. `python -m bench.counting HOME KEY` commits one change
of KEY after another, and a line for each, until it is killed.
"""

import itertools
import sys
import time
from pathlib import Path

import orjson
from pyroaring import BitMap

from tagcast import access, contacts
from tagcast.bitmaps.algebra import AllOf, AnyOf, Evaluation, Except, Key
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime

Asked = list[list[str]]
"""Keys: any of the first and any of the second and none of the third."""


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _node(asked: Asked) -> AllOf:
    """As `audiences` lowers it."""
    one, two, three = (AnyOf(tuple(map(Key, keys))) if len(keys) > 1 else Key(keys[0]) for keys in asked)
    return AllOf((one, two, Except(three)))


def _count(runtime: Runtime, asked: list[Asked], *, remember: bool) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"numbers": [], "wall": [], "cpu": []}
    with runtime.read(1, "bench") as work:
        for one in asked:
            wall, cpu = time.perf_counter(), time.process_time()
            node = _node(one)
            found["numbers"].append(Evaluation(work.bitmaps, contacts.EVERYONE, remember=remember).count(node))
            found["cpu"].append((time.process_time() - cpu) * 1000)
            found["wall"].append((time.perf_counter() - wall) * 1000)
    return found


def _answer(home: Path) -> None:
    runtime, opened = None, 0.0
    for line in sys.stdin:
        given = orjson.loads(line)
        if runtime is None:
            begun = time.perf_counter()
            runtime = access.open_home(Settings(home=home))
            _count(runtime, given["asked"][:1], remember=False)
            opened = time.perf_counter() - begun
        found = _count(runtime, given["asked"], remember=given["remember"])
        sys.stdout.write(orjson.dumps({**found, "opened": opened, "resident": resident()}).decode() + "\n")
        sys.stdout.flush()


def _write(home: Path, key: str) -> None:
    runtime = access.open_home(Settings(home=home))
    for number in itertools.count(1):
        with runtime.work(1, "bench") as work:
            work.bitmaps.add(key, BitMap([number]), why="bench")
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _write(Path(sys.argv[1]), sys.argv[2])
    else:
        _answer(Path(sys.argv[1]))
