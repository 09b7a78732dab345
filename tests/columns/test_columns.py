"""Records that stand on files: what is read back, what damage does, what other processes leave."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from tagcast.columns import Columns, Damaged, Mark

FIELDS = {"small": "<u4", "large": "<i8"}


def fill(columns: Columns, seq: int, size: int = 5000) -> None:
    with columns.records(1, "some", FIELDS) as records:
        records.reset(7)
        records.reserve(size)
        records.column("small")[:size] = np.arange(size)
        records.column("large")[:size] = -np.arange(size)
        records.mark, records.entries = Mark(7, seq, seq + 1000), size
        records.write()


def known(mark: Mark) -> bool:
    return mark.stamp == mark.seq + 1000


def test_what_was_written_is_read_by_another_process(tmp_path: Path) -> None:
    fill(Columns(tmp_path), 5)
    with Columns(tmp_path).records(1, "some", FIELDS) as records:
        records.load(7, known)
        assert (records.mark, records.entries) == (Mark(7, 5, 1005), 0)
        assert records.column("small")[:5000].tolist() == list(range(5000))
        assert int(records.column("large")[4999]) == -4999
        # Changes are this process's own until they are written.
        records.column("small")[3] = 77
    with Columns(tmp_path).records(1, "some", FIELDS) as records:
        records.load(7, known)
        assert int(records.column("small")[3]) == 3


@pytest.mark.parametrize(
    ("epoch", "stamp", "fields"),
    [(8, 1000, FIELDS), (7, 999, FIELDS), (7, 1000, {"small": "<u4"}), (7, 1000, {"small": "<u8", "large": "<i8"})],
)
def test_what_stands_for_another_log_is_not_used(
    tmp_path: Path, epoch: int, stamp: int, fields: dict[str, str]
) -> None:
    fill(Columns(tmp_path), 5)
    with Columns(tmp_path).records(1, "some", fields) as records:
        records.load(epoch, lambda mark: mark.stamp == mark.seq + stamp)
        assert (records.mark.seq, records.size) == (0, 0)


def test_any_flipped_bit_is_seen_before_it_is_read(tmp_path: Path) -> None:
    fill(Columns(tmp_path), 5)
    (path,) = tmp_path.rglob("*.columns")
    whole = path.read_bytes()
    # In the header, in each column, and an end that is missing; never in the padding, which stands for nothing.
    for at in (3, 60, 4096 + 17, 4096 + 20_480 + 39_999, None):
        path.write_bytes(whole[:-1] if at is None else whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        with Columns(tmp_path).records(1, "some", FIELDS) as records:
            records.load(7, known)
            if records.mark.seq:
                with pytest.raises(Damaged):
                    [records.column(name) for name in FIELDS]
                with pytest.raises(Damaged):
                    records.reserve(1_000_000)
    path.write_bytes(whole)
    with Columns(tmp_path).records(1, "some", FIELDS) as records:
        records.load(7, known)
        assert int(records.column("large")[4999]) == -4999


def test_records_grow_and_a_copy_leaves_no_trace(tmp_path: Path) -> None:
    columns = Columns(tmp_path)
    fill(columns, 5)
    with columns.records(1, "some", FIELDS) as records:
        records.reserve(100_000)
        assert records.size >= 100_000
        assert records.column("small")[4990:5010].tolist() == [*range(4990, 5000), *[0] * 10]
        apart = records.copy()
        apart.column("small")[:] = 9
        assert int(records.column("small")[4999]) == 4999


def test_the_newest_stands_and_old_files_go(tmp_path: Path) -> None:
    first, second = Columns(tmp_path), Columns(tmp_path)
    fill(first, 9)
    # A process that was behind writes later: its file is older and does not take the newer one's place.
    fill(second, 5)
    with Columns(tmp_path).records(1, "some", FIELDS) as records:
        records.load(7, known)
        assert records.mark.seq == 9
    fill(first, 12)
    assert [path.name.split("-")[1].lstrip("0") for path in tmp_path.rglob("*.columns")] == ["12"]
    assert list(tmp_path.rglob("*.tmp")) == []
    first.drop(1, "some")
    assert list(tmp_path.rglob("*.columns")) == []


def write_for_ever(folder: str) -> None:
    columns = Columns(Path(folder))
    for seq in range(1, 1_000_000):
        fill(columns, seq, 200_000)


def test_a_kill_while_writing_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    for _ in range(3):
        process = multiprocessing.get_context("forkserver").Process(target=write_for_ever, args=(str(tmp_path),))
        process.start()
        while not list(tmp_path.rglob("*.columns")):
            process.join(0.01)
        process.join(0.15)
        process.kill()
        process.join()
        process.close()
        with Columns(tmp_path).records(1, "some", FIELDS) as records:
            records.load(7, known)
            assert records.mark.seq > 0
            assert int(records.column("small")[199_999]) == 199_999
            assert int(records.column("large")[199_999]) == -199_999


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    for name in ("../x", "", ".x", "a/b"):
        with pytest.raises(ValueError, match="cannot name"), Columns(tmp_path).records(1, name, FIELDS):
            pass
