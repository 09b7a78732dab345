"""Several real processes on one log."""

import subprocess
import sys
import threading
import time

from pyroaring import BitMap
from tests.bitmaps.conftest import Log, reading, writing

from tagcast.bitmaps import Bitmaps

_CHILD = """
import sys
from pyroaring import BitMap
from tagcast.bitmaps import Bitmaps
from tests.bitmaps.conftest import open_engine

engine = open_engine(sys.argv[1])
bitmaps = Bitmaps(engine)
for line in sys.stdin:
    verb, *numbers = line.split()
    if verb == "read":
        with engine.connect().execution_options(reading=True) as connection:
            view = bitmaps.view(connection, 1, who="child", at_ms=0)
            print(*view.read("a"), flush=True)
    elif verb == "many":
        for number in range(int(numbers[0]), int(numbers[1])):
            with engine.begin() as connection:
                bitmaps.view(connection, 1, who="child", at_ms=0).add("a", BitMap([number, number // 2]), why="")
        print("done", flush=True)
    else:
        with engine.begin() as connection:
            view = bitmaps.view(connection, 1, who="child", at_ms=0)
            getattr(view, verb)("a", BitMap(map(int, numbers)), why="")
        print("done", flush=True)
"""


class Child:
    """A process that does what it is told."""

    def __init__(self, log: Log) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, log.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def ask(self, line: str) -> list[str]:
        self.tell(line)
        return self.answer()


def test_each_process_sees_what_the_other_committed(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with Child(log) as child:
        for n in range(5):
            with writing(bitmaps, log) as view:
                view.add("a", BitMap([n]), why="")
            assert child.ask("read") == [str(member) for member in [*range(n + 1), *range(100, 100 + n)]]
            assert child.ask(f"add {100 + n}") == ["done"]
            with reading(bitmaps, log) as view:
                assert view.read("a") == BitMap([*range(n + 1), *range(100, 101 + n)])
        assert child.ask("remove 0 1 2") == ["done"]
        with writing(bitmaps, log) as view:
            change = view.add("a", BitMap([0, 3]), why="only 0 is missing now")
            assert change is not None
            assert view.members(change.seq) == BitMap([0])


def test_processes_that_write_at_once_record_each_change_once(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with Child(log) as one, Child(log) as two:
        one.tell("many 0 60")
        two.tell("many 30 90")
        for number in range(60, 120):
            with writing(bitmaps, log) as view:
                view.add("a", BitMap([number, number // 2]), why="")
        assert one.answer() == two.answer() == ["done"]
    wanted = BitMap([*range(120)])
    for process in (bitmaps, Bitmaps(log.engine)):
        with reading(process, log) as view:
            assert view.read("a") == wanted
            changes = view.history("a", limit=1000)
            recorded = [member for change in changes for member in view.members(change.seq)]
            assert sorted(recorded) == list(wanted)


def test_a_reader_never_skips_a_change_that_commits_late(postgres_log: Log) -> None:
    """The second writer is quicker, but may append only when the first is done: seqs commit in order."""
    log, bitmaps, reader = postgres_log, Bitmaps(postgres_log.engine), Bitmaps(postgres_log.engine)
    finished: list[str] = []

    def second() -> None:
        with writing(bitmaps, log) as view:
            view.add("b", BitMap([2]), why="")
        finished.append("second")

    thread = threading.Thread(target=second)
    with writing(bitmaps, log) as view:
        first = view.add("a", BitMap([1]), why="")
        thread.start()
        time.sleep(0.3)
        with reading(reader, log) as seen:
            assert seen.keys() == []
        assert finished == []
        finished.append("first")
    thread.join()
    assert finished == ["first", "second"]
    with reading(reader, log) as seen:
        assert seen.keys() == ["a", "b"]
        assert first is not None
        assert seen.version("b") > first.seq


def test_workspaces_do_not_wait_for_each_other(postgres_log: Log) -> None:
    """The seq of workspace 2 is given later and commits earlier; each workspace still sees all of its own."""
    log, bitmaps = postgres_log, Bitmaps(postgres_log.engine)
    with writing(bitmaps, log, workspace=1) as one:
        first = one.add("a", BitMap([1]), why="")
        with writing(bitmaps, log, workspace=2) as two:
            second = two.add("a", BitMap([2]), why="")
        with reading(bitmaps, log, workspace=2) as two:
            assert two.read("a") == BitMap([2])
        with reading(bitmaps, log, workspace=1) as other:
            assert other.read("a") == BitMap()
    assert first is not None
    assert second is not None
    assert second.seq > first.seq
    with reading(bitmaps, log, workspace=1) as one:
        assert one.read("a") == BitMap([1])
