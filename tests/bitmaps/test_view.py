"""The verbs of a view, inside and between transactions."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pyroaring import BitMap
from tests.bitmaps.conftest import Log, reading, writing

from tagcast.bitmaps import AlreadyUndone, Bitmaps, UnknownChange, pack, unpack


def test_only_what_really_changed_is_recorded(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        first = view.add("a", BitMap([1, 2]), why="first", until_ms=9000)
        assert first is not None
        assert (first.op, first.size, first.who, first.why, first.at_ms) == ("add", 2, "anna", "first", 1000)
        assert first.until_ms == 9000
        second = view.add("a", BitMap([2, 3]), why="second")
        assert second is not None
        assert view.members(second.seq) == BitMap([3])
        assert view.add("a", BitMap([1, 3]), why="again") is None
        assert view.add("a", BitMap(), why="nothing") is None
        assert view.remove("a", BitMap([7]), why="not there") is None
        assert view.remove("b", BitMap([7]), why="no such key") is None
        gone = view.remove("a", BitMap([1, 7]), why="one of two")
        assert gone is not None
        assert view.members(gone.seq) == BitMap([1])
        assert [change.seq for change in view.history("a")] == [gone.seq, second.seq, first.seq]
        assert view.history("a")[-1] == first
        assert view.history("b") == []


def test_replace_takes_and_gives_only_the_difference(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1, 2]), why="")
        changes = view.replace("a", BitMap([2, 3]), why="")
        assert changes is not None
        assert [(change.op, view.members(change.seq)) for change in changes] == [
            ("remove", BitMap([1])),
            ("add", BitMap([3])),
        ]
        assert view.replace("a", BitMap([2, 3]), why="") is None
        assert view.read("a") == BitMap([2, 3])


def test_a_caller_may_reuse_the_set_it_gave(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    mine = BitMap([1, 2])
    with writing(bitmaps, log) as view:
        view.add("a", mine, why="")
        mine.add(3)
        assert view.read("a") == BitMap([1, 2])


def test_what_was_read_stays_as_it_was(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap(range(10_000)), why="")
        before = view.read("a")
        view.remove("a", BitMap(range(5000)), why="")
        view.add("a", BitMap([20_000]), why="")
        assert before == BitMap(range(10_000))
        assert view.read("a") == BitMap([*range(5000, 10_000), 20_000])


def test_keys_and_counts(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        for key in ("tag:2", "tag:1", "tax:1", "tag:3", "Tag:1", "标签:1"):
            view.add(key, BitMap([1, 2]), why="")
        view.remove("tag:3", BitMap([1, 2]), why="")
        assert view.keys("tag:") == ["tag:1", "tag:2"]
    with writing(bitmaps, log) as view:
        view.remove("tag:1", BitMap([2]), why="")
        assert view.keys("tag:") == ["tag:1", "tag:2"]
        assert view.keys("标签") == ["标签:1"]
        assert view.keys() == ["Tag:1", "tag:1", "tag:2", "tax:1", "标签:1"]
        assert [view.count(key) for key in ("tag:1", "tag:2", "tag:3", "none")] == [1, 2, 0, 0]


def test_workspaces_are_apart(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as one:
        change = one.add("a", BitMap([1]), why="")
        assert change is not None
    with writing(bitmaps, log, workspace=2) as two:
        assert two.read("a") == BitMap()
        assert two.keys() == []
        assert two.history("a") == []
        assert two.changes_of("", 1) == []
        for refused in (two.members, two.change):
            with pytest.raises(UnknownChange):
                refused(change.seq)
        with pytest.raises(UnknownChange):
            two.undo(change.seq, why="")


def test_undo_takes_back_only_what_still_stands(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1]), why="")
        change = view.add("a", BitMap([1, 2, 3, 4]), why="")
        assert change is not None
        view.remove("a", BitMap([3, 4]), why="")
        view.add("a", BitMap([4]), why="again, for another reason")
    with writing(bitmaps, log) as view:
        undone = view.undo(change.seq, why="mistake")
        assert undone is not None
        assert (undone.op, undone.undoes, undone.size) == ("remove", change.seq, 1)
        assert view.members(undone.seq) == BitMap([2])
        assert view.read("a") == BitMap([1, 4])
        with pytest.raises(AlreadyUndone):
            view.undo(change.seq, why="twice")
        redone = view.undo(undone.seq, why="no mistake")
        assert redone is not None
        assert view.read("a") == BitMap([1, 2, 4])
        with pytest.raises(UnknownChange):
            view.undo(redone.seq + 1000, why="")


def test_undo_of_what_no_longer_stands_records_nothing(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        change = view.add("a", BitMap([1]), why="")
        assert change is not None
        view.remove("a", BitMap([1]), why="")
        assert view.undo(change.seq, why="") is None
        assert len(view.history("a")) == 2


def test_the_past_of_a_key(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    for at_ms, op, members in [(1000, "add", [1, 2]), (2000, "remove", [1]), (2000, "add", [5]), (3000, "add", [1, 6])]:
        with writing(bitmaps, log, at_ms=at_ms) as view:
            getattr(view, op)("a", BitMap(members), why="")
    with writing(bitmaps, log, at_ms=4000) as view:
        view.remove("a", BitMap([6]), why="not committed yet")
        wanted = {999: [], 1000: [1, 2], 1999: [1, 2], 2000: [2, 5], 3000: [1, 2, 5, 6], 4000: [1, 2, 5]}
        assert {at: list(view.as_of("a", at)) for at in wanted} == wanted
        difference = view.diff("a", 1500, 3500)
        assert (difference.added, difference.removed) == (BitMap([5, 6]), BitMap())
        backwards = view.diff("a", 3500, 2500)
        assert (backwards.added, backwards.removed) == (BitMap(), BitMap([1, 6]))
        assert view.as_of("none", 5000) == BitMap()


def test_the_history_of_one_member(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        first = view.add("tag:1", BitMap([1, 5, 9]), why="")
        view.add("tag:1", BitMap([4, 6]), why="around it")
        view.add("other", BitMap([5]), why="another family")
        second = view.add("tag:2", BitMap([5]), why="")
        third = view.remove("tag:1", BitMap([5]), why="")
        assert view.changes_of("tag:", 5) == [third, second, first]
        assert len(view.changes_of("", 5)) == 4


def test_history_in_pages(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        seqs = [change.seq for n in range(5) if (change := view.add("a", BitMap([n]), why="")) is not None]
        page = view.history("a", limit=2)
        rest = view.history("a", before=page[-1].seq)
        assert [change.seq for change in page + rest] == seqs[::-1]


def test_a_rollback_leaves_no_trace(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1]), why="")
    with log.engine.connect() as connection:
        transaction = connection.begin()
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        view.add("a", BitMap([2]), why="")
        view.add("b", BitMap([2]), why="")
        uncommitted = view.version("a")
        assert view.read("a") == BitMap([1, 2])
        assert bitmaps.view(connection, 1, who="other", at_ms=0).read("a") == BitMap([1, 2])
        transaction.rollback()
        assert view.read("a") == BitMap([1])
    with writing(bitmaps, log) as view:
        assert view.read("a") == BitMap([1])
        assert view.keys() == ["a"]
        view.add("a", BitMap([3]), why="SQLite gives the same seq again")
        assert view.version("a") != uncommitted
    with reading(bitmaps, log) as view:
        assert view.read("a") == BitMap([1, 3])
        assert view.version("a") == view.history("a")[0].seq
        assert view.version("a") != uncommitted
        assert view.version("none") == 0


def test_a_savepoint_takes_only_its_own_changes_with_it(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with log.engine.begin() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        inner = connection.begin_nested()
        view.add("a", BitMap([9]), why="the lock is taken inside")
        inner.rollback()
        assert view.read("a") == BitMap()
        view.add("a", BitMap([1]), why="")
        inner = connection.begin_nested()
        view.add("a", BitMap([2]), why="")
        view.remove("a", BitMap([1]), why="")
        view.add("b", BitMap([2]), why="")
        inner.rollback()
        assert view.read("a") == BitMap([1])
        assert view.keys() == ["a"]
        inner = connection.begin_nested()
        view.add("a", BitMap([2, 3]), why="")
        inner.commit()
    with reading(bitmaps, log) as view:
        assert view.read("a") == BitMap([1, 2, 3])
        assert len(view.history("a")) == 2


def test_a_lock_lost_with_a_savepoint_is_taken_again(postgres_log: Log) -> None:
    """After the rolled back savepoint another transaction gets its turn; nothing is counted twice."""
    bitmaps = Bitmaps(postgres_log.engine)
    with postgres_log.engine.begin() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        inner = connection.begin_nested()
        view.add("a", BitMap([1]), why="")
        inner.rollback()
        with writing(bitmaps, postgres_log) as other:
            other.add("a", BitMap([1, 2]), why="")
        change = view.add("a", BitMap([1, 2, 3]), why="")
        assert change is not None
        assert view.members(change.seq) == BitMap([3])
    with reading(bitmaps, postgres_log) as view:
        assert view.read("a") == BitMap([1, 2, 3])
        assert view.count("a") == 3


def test_the_lock_holds_after_a_savepoint_was_rolled_back(postgres_log: Log) -> None:
    bitmaps, order = Bitmaps(postgres_log.engine), []

    def second() -> None:
        with writing(bitmaps, postgres_log) as other:
            other.add("a", BitMap([2]), why="")
        order.append("second")

    thread = threading.Thread(target=second)
    with postgres_log.engine.begin() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        inner = connection.begin_nested()
        view.add("a", BitMap([1]), why="")
        inner.rollback()
        view.add("a", BitMap([1]), why="")
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_writer_that_read_before_sees_what_was_committed_since(postgres_log: Log) -> None:
    """With SQLite this cannot happen: a write transaction is alone from its beginning."""
    bitmaps = Bitmaps(postgres_log.engine)
    with writing(bitmaps, postgres_log) as view:
        assert view.read("a") == BitMap()
        with writing(bitmaps, postgres_log) as other:
            other.add("a", BitMap([1, 2]), why="")
        change = view.add("a", BitMap([2, 3]), why="")
        assert change is not None
        assert view.members(change.seq) == BitMap([3])
        assert view.count("a") == 3


def test_others_see_nothing_before_the_commit(log: Log) -> None:
    """A reader in another thread, while a writer of the same process has changes open."""
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1]), why="")
    seen: list[list[int]] = []

    def read() -> None:
        with reading(bitmaps, log) as view:
            seen.append(list(view.read("a")))

    with writing(bitmaps, log) as view:
        view.add("a", BitMap([2]), why="")
        for _ in range(2):
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        assert view.read("a") == BitMap([1, 2])
    read()
    assert seen == [[1], [1], [1, 2]]


def test_a_reader_keeps_its_moment(log: Log) -> None:
    """What a transaction has seen does not change under it, though the process has meanwhile learnt more."""
    bitmaps = Bitmaps(log.engine)
    with writing(bitmaps, log) as view:
        view.add("a", BitMap([1]), why="")
    with reading(bitmaps, log) as old:
        assert old.read("a") == BitMap([1])
        for n in range(2, 12):
            with writing(bitmaps, log) as view:
                view.add("a", BitMap([n]), why="")
                view.add("b", BitMap([n]), why="")
            with reading(bitmaps, log) as new:
                assert new.count("a") == n
        assert old.read("a") == BitMap([1])
        assert old.count("b") == 0


def test_a_transaction_that_began_earlier_sees_its_own_moment(sqlite_log: Log) -> None:
    """SQLite: the snapshot was taken by another statement, the sets are first read after the process has moved on."""
    bitmaps = Bitmaps(sqlite_log.engine)
    with writing(bitmaps, sqlite_log) as view:
        view.add("a", BitMap([1]), why="")
    with sqlite_log.engine.connect().execution_options(reading=True) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM bitmap_change")
        for n in range(2, 12):
            with writing(bitmaps, sqlite_log) as view:
                view.add("a", BitMap([n]), why="")
            with reading(bitmaps, sqlite_log) as new:
                assert new.count("a") == n
        assert bitmaps.view(connection, 1, who="", at_ms=0).read("a") == BitMap([1])


def test_many_threads_write_and_roll_back(log: Log) -> None:
    """Every committed member is there, no rolled back one is, and the log agrees with memory."""
    bitmaps = Bitmaps(log.engine)
    committed: list[int] = []

    def work(first: int) -> None:
        for member in range(first, first + 40):
            with log.engine.connect() as connection, connection.begin() as transaction:
                view = bitmaps.view(connection, 1, who="", at_ms=0)
                view.add("a", BitMap([member]), why="")
                view.add(f"own:{first}", BitMap([member]), why="")
                if member % 3 == 0:
                    transaction.rollback()
                else:
                    committed.append(member)
            with reading(bitmaps, log) as view:
                assert (member in view.read("a")) == (member % 3 != 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 4000, 1000)))
    for process in (bitmaps, Bitmaps(log.engine)):
        with reading(process, log) as view:
            assert view.read("a") == BitMap(committed)
            assert view.count("a") == len(committed)


def test_pack_and_unpack() -> None:
    assert pack([3, 1, 3]) == BitMap([1, 3])
    assert pack(np.array([], dtype=np.float64)) == BitMap()
    assert pack(np.array([5, 2**32 - 1], dtype=np.int64)[::-1]) == BitMap([5, 2**32 - 1])
    assert unpack(BitMap([7, 2])).tolist() == [2, 7]
    assert unpack(BitMap()).dtype == np.uint32
    for wrong in (np.array([-1]), np.array([2**32]), [-1]):
        with pytest.raises(OverflowError):
            pack(wrong)
    with pytest.raises(TypeError):
        pack(np.array([1.5]))


def test_the_members_of_a_change_are_the_callers_own_and_gone_with_its_savepoint(log: Log) -> None:
    bitmaps = Bitmaps(log.engine)
    with log.engine.begin() as connection:
        view = bitmaps.view(connection, 1, who="", at_ms=0)
        first = view.add("a", BitMap([1, 2]), why="")
        assert first is not None
        view.members(first.seq).add(9)
        assert view.members(first.seq) == BitMap([1, 2])
        with connection.begin_nested() as savepoint:
            second = view.add("a", BitMap([3]), why="")
            assert second is not None
            assert view.members(second.seq) == BitMap([3])
            savepoint.rollback()
        with pytest.raises(UnknownChange):
            view.members(second.seq)
        assert view.members(first.seq) == BitMap([1, 2])
        assert view.read("a") == BitMap([1, 2])
