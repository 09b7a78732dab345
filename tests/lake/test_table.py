"""One table: appended once, compacted, erased, as it was, damaged; in a folder and at an address."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.lake.rows import DAY, SCHEMA, START, WIDER, rows

from tagcast.lake import Contested, Damaged, Gone, Lake, Snapshot
from tagcast.lake.table import LakeTable


def seen(table: LakeTable) -> Snapshot:
    found = table.snapshot()
    assert found is not None
    return found


def contents(table: LakeTable, at: Snapshot | None = None) -> list[str]:
    """Every row, in an order of its own."""
    now = at or seen(table)
    return sorted(str(row) for file in now.files for row in table.read(file, now.schema).to_pylist())


def plain(*tables: pa.Table, schema: pa.Schema = SCHEMA) -> list[str]:
    return sorted(str({name: row.get(name) for name in schema.names}) for one in tables for row in one.to_pylist())


def test_an_append_counts_once(lake: Lake) -> None:
    table = lake.table("w1/view")
    first, second = rows(1, 300), rows(2, 200)
    assert table.snapshot() is None
    assert table.append(first, after=0, upto=7)
    assert not table.append(first, after=0, upto=7)
    assert not table.append(second, after=3, upto=9)
    assert not table.append(second, after=7, upto=7)
    assert table.append(second, after=7, upto=9)
    assert seen(table).upto == 9
    assert contents(table) == plain(first, second)
    assert all(one.first // DAY <= one.last // DAY < one.first // DAY + 31 for one in seen(table).files)


def test_another_process_sees_what_was_appended(tmp_path: Path) -> None:
    mine, theirs = Lake(tmp_path).table("w1/view"), Lake(tmp_path).table("w1/view")
    assert theirs.snapshot() is None
    mine.append(rows(1, 10), after=0, upto=1)
    assert seen(theirs).rows == 10
    theirs.append(rows(2, 10), after=1, upto=2)
    assert seen(mine).rows == 20


def test_columns_come_later(lake: Lake) -> None:
    table = lake.table("w1/view")
    old, new = rows(1, 50), rows(2, 50, WIDER)
    table.append(old, after=0, upto=1)
    table.append(new, after=1, upto=2)
    table.append(old, after=2, upto=3)
    assert contents(table) == plain(old, new, old, schema=WIDER)
    assert {one.columns for one in seen(table).files} == {len(WIDER)} | {len(SCHEMA)}
    table.compact(everything=True)
    assert contents(table) == plain(old, new, old, schema=WIDER)


def test_compaction_keeps_every_row_in_few_ordered_files(lake: Lake) -> None:
    table = lake.table("w1/view")
    parts = [rows(seed, 60) for seed in range(9)]
    for place, part in enumerate(parts):
        table.append(part, after=place, upto=place + 1)
    before = len(seen(table).files)
    assert table.compact() == before - len(seen(table).files) > 0
    assert contents(table) == plain(*parts)
    table.compact(everything=True)
    now = seen(table)
    assert (len(now.files), now.upto, now.rows) == (3, 9, 540)
    assert contents(table) == plain(*parts)
    assert table.compact(everything=True) == 0
    for file in now.files:
        found = table.read(file, now.schema)
        who, when = found.column("contact").to_numpy(), found.column("at_ms").to_numpy()
        assert (np.lexsort((when, who)) == np.arange(len(found))).all()
        assert (file.low, file.high, file.first, file.last) == (who.min(), who.max(), when.min(), when.max())


def test_small_files_join_files_of_like_size(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("w1/view")
    table.append(rows(0, 40_000, days=20), after=0, upto=1)
    for place in range(1, 5):
        table.append(rows(place, 20, days=20), after=place, upto=place + 1)
    assert table.compact() == 3
    assert sorted(one.rows for one in seen(table).files) == [80, 40_000]


def test_what_is_erased_is_in_no_file_any_more(lake: Lake, tmp_path: Path) -> None:
    table = lake.table("w1/view")
    before = rows(1, 400)
    table.append(before, after=0, upto=4)
    table.compact()
    kept = before.filter(~np.isin(before.column("contact").to_numpy(), [3, 5]))
    assert table.erase([3, 5], after=4, upto=6) == 400 - len(kept)
    assert contents(table) == plain(kept)
    assert seen(table).upto == 6
    assert not table.append(before, after=4, upto=5)
    table.vacuum(0)
    left = pa.concat_tables([pq.read_table(one) for one in (tmp_path / "lake").rglob("*.parquet")])
    assert not np.isin(left.column("contact").to_numpy(), [3, 5]).any()
    assert table.erase([99], after=6, upto=7) == 0
    assert seen(table).upto == 7
    with pytest.raises(Contested):
        table.erase([1], after=6, upto=8)


def test_the_table_as_it_was(lake: Lake) -> None:
    table = lake.table("w1/view")
    first, second = rows(1, 100), rows(2, 100)
    table.append(first, after=0, upto=1)
    early = seen(table).version
    table.append(second, after=1, upto=2)
    table.compact(everything=True)
    assert contents(table, table.as_of(early)) == plain(first)
    assert table.as_of(early).upto == 1
    assert [one.what for one in table.versions()][-2:] == ["append", "append"]
    assert table.vacuum(3600) == 0
    assert table.vacuum(0) > 0
    assert contents(table) == plain(first, second)
    with pytest.raises(Gone):
        table.as_of(early)


def test_files_that_cannot_hold_a_time_are_left_out(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("w1/view")
    table.append(rows(1, 500), after=0, upto=1)
    found = seen(table).between(START + 40 * DAY, START + 41 * DAY)
    assert len(found) == 1
    assert len(seen(table).between(None, None)) == 3


def test_of_two_that_rewrite_the_same_files_one_gives_way(tmp_path: Path) -> None:
    mine, theirs = Lake(tmp_path).table("w1/view"), Lake(tmp_path).table("w1/view")
    parts = [rows(seed, 50) for seed in range(3)]
    for place, part in enumerate(parts[:2]):
        mine.append(part, after=place, upto=place + 1)
    first, second = seen(mine), seen(theirs)
    mine.append(parts[2], after=2, upto=3)
    mine.rewrite(first, first.files, "compact")
    with pytest.raises(Contested):
        theirs.rewrite(second, second.files, "compact")
    assert contents(mine) == contents(theirs) == plain(*parts)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.95])
def test_a_flipped_bit_is_found_and_never_copied(tmp_path: Path, place: float) -> None:
    table = Lake(tmp_path).table("w1/view")
    for number in range(4):
        table.append(rows(number, 100, days=10), after=number, upto=number + 1)
    assert table.verify() == []
    victim = seen(table).files[2]
    file = tmp_path / "w1/view" / victim.name
    data = bytearray(file.read_bytes())
    data[int(len(data) * place)] ^= 4
    file.write_bytes(data)
    assert table.verify() == [victim]
    for step in (
        lambda: table.compact(everything=True),
        lambda: table.erase([1], after=4, upto=5),
        lambda: contents(table),
    ):
        with pytest.raises(Damaged):
            step()
    now = seen(table)
    table.put_instead(now, [victim], rows(victim.since, 100, days=10), since=victim.since, upto=victim.upto)
    assert table.verify() == []
    assert contents(table) == plain(*(rows(number, 100, days=10) for number in range(4)))


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    table = Lake(tmp_path).table("w1/view")
    table.append(rows(1, 100, days=10), after=0, upto=1)
    victim = seen(table).files[0]
    (tmp_path / "w1/view" / victim.name).unlink()
    assert table.verify() == [victim]


@pytest.mark.parametrize("name", ["", "../etc", "A", "w1//x", "a b", "w1/x.y"])
def test_a_name_cannot_leave_the_lake(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        Lake(tmp_path).table(name)
