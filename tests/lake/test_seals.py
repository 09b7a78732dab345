"""A flipped bit anywhere in a table: told, mended, or without any effect; never rows that are silently not there."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable
from tests.lake.rows import WIDER, rows
from tests.lake.test_table import contents, seen

from tagcast.lake import Damaged, Lake, Moved
from tagcast.lake.table import LakeTable

FLIPS, MENDED = 5, 2


def fresh(folder: Path) -> LakeTable:
    """As a process that begins now has it."""
    return Lake(folder).table("t")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with every kind of commit, a checkpoint in the middle, and files that left it."""
    folder = tmp_path_factory.mktemp("lake")
    table = fresh(folder)
    table.append(rows(1, 30, days=40), after=0, upto=1)
    table.append(rows(2, 30, WIDER, days=40), after=1, upto=2)
    table.compact(everything=True)
    DeltaTable(str(folder / "t")).create_checkpoint()
    table.append(rows(3, 30, days=40), after=2, upto=3)
    table.erase([3], after=3, upto=4)
    table.append(rows(4, 10, days=20), after=4, upto=5)
    return folder


def flipped(folder: Path, inside: str, times: int = FLIPS) -> Iterator[Path]:
    """The files below a folder of the table, one bit after the other flipped for a moment."""
    dice = random.Random(7)
    for file in sorted(one for one in folder.rglob("*") if one.is_file() and one.parent.name == inside):
        data = file.read_bytes()
        for _ in range(times):
            wrong = bytearray(data)
            wrong[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            file.write_bytes(wrong)
            yield file
        file.write_bytes(data)


def test_no_flipped_bit_takes_rows_away_unseen(written: Path) -> None:
    wanted, state = contents(fresh(written)), seen(fresh(written))
    told = 0
    for inside in ("_delta_log", "_seals", "t"):
        for _ in flipped(written, inside):
            try:
                assert contents(fresh(written)) == wanted
                assert seen(fresh(written)) == state
            except (Damaged, Moved):
                told += 1
                table = fresh(written)
                assert table.broken_log() or table.verify()
    assert told > 10


def test_a_log_with_a_flipped_bit_is_mended_from_what_stands_beside_it(written: Path, tmp_path: Path) -> None:
    wanted, upto = contents(fresh(written)), seen(fresh(written)).upto
    mended = 0
    for inside in ("_delta_log", "_seals"):
        for place, _ in enumerate(flipped(written, inside, MENDED)):
            if not fresh(written).broken_log():
                continue
            copy = tmp_path / f"{inside}{place}"
            shutil.copytree(written, copy)
            table = fresh(copy)
            assert table.mend_log()
            assert fresh(copy).broken_log() == []
            assert contents(table) == contents(fresh(copy)) == wanted
            assert table.append(rows(8, 5, days=5), after=upto, upto=upto + 1)
            table.compact(everything=True)
            table.vacuum(0)
            assert len(contents(fresh(copy))) == len(wanted) + 5
            shutil.rmtree(copy)
            mended += 1
    assert mended > 5


def test_who_has_the_table_open_sees_it_mended(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    table = fresh(folder)
    before = seen(table)
    entry = folder / "t" / "_delta_log" / f"{before.version:020}.json"
    entry.write_bytes(entry.read_bytes().replace(b'"add"', b'"adl"'))
    with pytest.raises(Damaged):
        fresh(folder).snapshot()
    assert fresh(folder).mend_log()
    assert seen(table).files == before.files
    assert table.append(rows(8, 5), after=before.upto, upto=before.upto + 1)
    assert seen(fresh(folder)) == seen(table)


def test_a_commit_that_was_never_sealed_counts(written: Path, tmp_path: Path) -> None:
    """Who was killed after the commit wrote no seal: the next reader makes it up from the one before."""
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    wanted, state = contents(fresh(folder)), seen(fresh(folder))
    (folder / "t" / "_seals" / f"{state.version:020}.json").unlink()
    assert contents(fresh(folder)) == wanted
    assert fresh(folder).broken_log() == []
    shutil.rmtree(folder / "t" / "_seals")
    assert contents(fresh(folder)) == wanted
    assert fresh(folder).append(rows(8, 5), after=state.upto, upto=state.upto + 1)
    assert seen(fresh(folder)).rows == state.rows + 5


def test_a_commit_that_nothing_tells_of_is_given_up_only_if_it_can_come_again(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    state = seen(fresh(folder))
    for name in ("_delta_log", "_seals"):
        file = folder / "t" / name / f"{state.version:020}.json"
        file.write_bytes(file.read_bytes()[:-20] + b"?" * 20)
    table = fresh(folder)
    with pytest.raises(Damaged):
        table.snapshot()
    assert not table.mend_log()
    asked: list[int] = []
    assert table.mend_log(lambda upto: not asked.append(upto))  # type: ignore[func-returns-value]  # it notes and agrees
    assert asked == [4]
    assert seen(table).upto == 4
    assert table.append(rows(4, 10, days=20), after=4, upto=5)
    assert contents(fresh(folder)) == contents(fresh(written))


def test_old_seals_go_with_the_log(tmp_path: Path) -> None:
    table = fresh(tmp_path)
    for number in range(14):
        table.append(rows(number, 3, days=5), after=number, upto=number + 1)
    kept = sorted(int(one.stem) for one in (tmp_path / "t" / "_seals").iterdir())
    assert kept == list(range(seen(table).version - 7, seen(table).version + 1))
