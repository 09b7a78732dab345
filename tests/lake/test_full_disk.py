"""No room, no right to write: an error that says so, nothing lost or doubled, and all goes on when there is room."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.lake.rows import rows
from tests.lake.test_table import contents, plain

from tagcast.lake import Lake
from tagcast.lake.table import LakeTable


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing fails behind so many bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mount(folder: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "lake", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small disk is not allowed here")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 500 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class Story:
    """A table, and what was told to it for certain; a step that failed may have come through all the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: list[pa.Table] = []
        self.upto = 0
        self.failed = 0

    @property
    def table(self) -> LakeTable:
        """As a process that begins now has it."""
        return Lake(self.folder).table("t")

    def step(self, do: Callable[[LakeTable, int], object], after: list[pa.Table]) -> None:
        """Something that takes the table one on, or fails with an error of the system's."""
        try:
            do(self.table, self.upto)
        except OSError:
            self.failed += 1
        now = self.table.snapshot()
        reached = now.upto if now is not None else 0
        assert reached in (self.upto, self.upto + 1)
        if reached > self.upto:
            self.held, self.upto = after, reached
        self.check()

    def check(self) -> None:
        if self.upto:
            assert contents(self.table) == plain(*self.held)

    def round(self, seed: int) -> None:
        """An append, a compaction and an erasure."""
        more = rows(seed, 200, days=20)
        self.step(lambda table, at: table.append(more, after=at, upto=at + 1), [*self.held, more])
        if not self.upto:
            return
        try:
            self.table.compact(everything=True)
        except OSError:
            self.failed += 1
        self.check()
        left = [one.filter(~np.isin(one.column("contact").to_numpy(), [seed])) for one in self.held]
        self.step(lambda table, at: table.erase([seed], after=at, upto=at + 1), left)

    def ends_well(self) -> None:
        """With room again."""
        more = rows(99, 50, days=20)
        assert self.table.append(more, after=self.upto, upto=self.upto + 1)
        self.held.append(more)
        self.table.compact(everything=True)
        self.table.vacuum(0)
        assert contents(self.table) == plain(*self.held)
        assert (self.table.verify(), self.table.broken_log()) == ([], [])


def test_a_write_that_fails_anywhere_loses_and_doubles_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path)
    for seed, size in enumerate((0, 150, 400, 900, 1300, 2000, 2600, 3500, 10_000), start=1):
        with largest_file(size):
            story.round(seed)
    assert story.failed > 5
    story.ends_well()


def test_a_full_disk_loses_and_doubles_nothing(small: Path) -> None:
    story = Story(small)
    for seed in range(1, 11):
        ballast = small / "ballast"
        room = shutil.disk_usage(small).free - 4096 * (seed - 1)
        if room > 0:
            ballast.write_bytes(bytes(room))
        story.round(seed)
        ballast.unlink(missing_ok=True)
    assert story.failed > 5
    story.ends_well()


def test_what_cannot_be_written_can_be_read(small: Path) -> None:
    story = Story(small)
    story.round(1)
    story.table.append(rows(2, 20), after=2, upto=3)
    before = contents(story.table)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    writes: tuple[Callable[[], object], ...] = (
        lambda: story.table.append(rows(3, 20), after=3, upto=4),
        lambda: story.table.compact(everything=True),
        lambda: story.table.erase([5], after=3, upto=4),
    )
    for write in writes:
        with pytest.raises(OSError, match="Read-only"):
            write()
        assert contents(story.table) == before
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    assert story.table.append(rows(3, 20), after=3, upto=4)
