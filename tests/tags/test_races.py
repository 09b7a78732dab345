"""Processes that give, take, merge and archive one tag at once: what each was told is what stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import make_runtime, wipe
from tests.tags.people import crowd

from tagcast import tags
from tagcast.kit.uow import Runtime

EACH = 400
_CHILD = """
import json, sys
from pathlib import Path
from pyroaring import BitMap
from tagcast import tags
from tagcast.kit.errors import Conflict
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

home, url, verb, tag, target, first, last = sys.argv[1:]
tag, target = int(tag), int(target)
runtime = open_runtime(Settings(home=Path(home), database_url=url))
print("ready", flush=True)
sys.stdin.readline()
done = []
if verb in ("merge", "archive"):
    with runtime.work(1, verb) as work:
        if verb == "merge":
            tags.merge(work, tag, target, why="race")
        else:
            tags.archive(work, tag)
for number in range(int(first), int(last)):
    try:
        with runtime.work(1, verb) as work:
            if verb == "assign":
                change = tags.assign(work, tag, BitMap([number]), why="race")
            elif verb == "together":
                (change,) = tags.change_many(work, [tags.Asked(tag, "add", BitMap([number]), "race", verb)])
                if isinstance(change, Exception):
                    raise change
            else:
                change = tags.remove(work, tag, BitMap([number]), why="race")
                tags.usable(work, tag)
    except Conflict as error:
        assert error.code == "tags.archived", error
        break
    assert change is not None and change.size == 1
    done.append(number)
print(json.dumps(done), flush=True)
"""


class Child:
    """A process that does one thing to a tag again and again, until the tag is gone."""

    def __init__(self, runtime: Runtime, verb: str, tags_: tuple[int, int], first: int = 0, last: int = 0) -> None:
        given = [runtime.settings.home, runtime.settings.url, verb, *tags_, first, last]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *map(str, given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def done(self) -> set[int]:
        """The numbers for which it was told that the change stands."""
        found = json.loads(self.read())
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return set(found)


@pytest.mark.parametrize("end", ["merge", "archive"])
def test_processes_race_on_one_tag(postgres_url: str, tmp_path: Path, end: str) -> None:
    wipe(postgres_url)
    runtime = make_runtime(tmp_path, postgres_url)
    with runtime.work(1, "test") as work:
        everyone = crowd(work, 4 * EACH)
        source, target = tags.create(work, "source").id, tags.create(work, "target").id
        before = everyone[:EACH]
        tags.assign(work, source, before, why="before")
    both = source, target
    children = {
        "remove": Child(runtime, "remove", both, 1, EACH + 1),
        "assign": Child(runtime, "assign", both, EACH + 1, 2 * EACH + 1),
        "together": Child(runtime, "together", both, 2 * EACH + 1, 3 * EACH + 1),
    }
    last = Child(runtime, end, both)
    for child in (*children.values(), last):
        assert child.read() == "ready\n"
    for child in children.values():
        child.go()
    made = 0
    while made < 60:
        with runtime.read(1, "test") as work:
            made = len(tags.history(work, source, limit=1000)) - 1
    last.go()
    last.done()
    done = {verb: child.done() for verb, child in children.items()}
    assert sum(map(len, done.values())) < 3 * EACH
    held = (set(before) | done["assign"] | done["together"]) - done["remove"]
    with runtime.read(1, "test") as work:
        assert tags.get(work, source).archived_at is not None
        assert set(work.bitmaps.read(f"tag:{source}")) == (set() if end == "merge" else held)
        assert set(tags.holders(work, target)) == (held if end == "merge" else set())
        told = [change.who for change in tags.history(work, source, limit=2000)]
    assert {verb: told.count(verb) for verb in done} == {verb: len(numbers) for verb, numbers in done.items()}
    runtime.close()
