"""Names are found once and remembered: what another process does to the tags is seen by the very next question."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd

from tagcast import tags
from tagcast.audiences import compiler, language
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime

_OTHER = """
import sys
from pathlib import Path
from tagcast import tags
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
home, url = sys.argv[1:]
runtime = open_runtime(Settings(home=Path(home), database_url=url))
for line in sys.stdin:
    with runtime.work(1, "other") as work:
        number = lambda path: tags.find(work, path).id
        exec(line)
    print("done", flush=True)
"""


@pytest.fixture
def other(runtime: Runtime) -> Iterator[Callable[[str], None]]:
    """A process of its own on the same database, which does what it is told and commits it."""
    command = [sys.executable, "-c", _OTHER, str(runtime.settings.home), runtime.settings.database_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def do(what: str) -> None:
            stdin.write(what + "\n")
            stdin.flush()
            assert stdout.readline() == "done\n"

        yield do
        stdin.close()


def count(runtime: Runtime, text: str) -> int | str:
    """How many, or the code of why not."""
    with runtime.read(1, "test") as work:
        try:
            return compiler.count(work, language.parse(text))
        except Invalid as error:
            return error.code


def test_tags_that_another_process_changes(runtime: Runtime, other: Callable[[str], None]) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        for path, numbers in (("a", [1, 2, 3]), ("a/x", [4]), ("b", [4, 5])):
            tags.assign(work, tags.create(work, path).id, BitMap(numbers), why="t")

    def counts(*texts: str) -> list[int | str]:
        return [count(runtime, f'tag("{text}")') for _ in range(2) for text in texts][len(texts) :]

    assert counts("a", "a/x", "b") == [4, 1, 2]
    other('tags.rename(work, number("b"), "c")')
    assert counts("a", "b", "c") == [4, "audiences.unknown_tag", 2]
    other('tags.rename(work, number("a"), "b")')
    assert counts("a", "b", "b/x") == ["audiences.unknown_tag", 4, 1]
    other('tags.move(work, number("c"), number("b/x"))')
    assert counts("b", "b/x", "b/x/c", "c") == [5, 2, 2, "audiences.unknown_tag"]
    other('tags.archive(work, number("b/x"))')
    assert counts("b", "b/x", "b/x/c") == [3, "audiences.archived_tag", "audiences.archived_tag"]
    other('tags.restore(work, [one.id for one in tags.every(work).values() if one.path == "b/x"][0])')
    assert counts("b", "b/x") == [5, 2]
    other('tags.create(work, "d"); tags.create(work, "b/y"); tags.merge(work, number("b/x"), number("d"), why="t")')
    assert counts("b", "b/x", "d") == [3, "audiences.archived_tag", 2]
    other('tags.create(work, "c")')
    assert counts("c", "d/c") == [0, 2]


def test_a_change_that_is_taken_back_is_forgotten(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 3)
        made = tags.create(work, "a")
        tags.assign(work, made.id, BitMap([1, 2]), why="t")
    expression = language.parse('tag("b")')
    with runtime.work(1, "test") as work:
        savepoint = work.connection.begin_nested()
        tags.rename(work, made.id, "b")
        assert compiler.count(work, expression) == 2
        savepoint.rollback()
        with pytest.raises(Invalid):
            compiler.count(work, expression)
    with runtime.read(1, "test") as work:  # nothing of it is kept
        tags.rename(work, made.id, "b")
        assert compiler.count(work, expression) == 2
    assert count(runtime, 'tag("b")') == "audiences.unknown_tag"
    assert count(runtime, 'tag("a")') == 2
