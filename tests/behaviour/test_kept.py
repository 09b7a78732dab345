"""What is kept of each contact, over processes, restarts, damage and a log that let go of its events."""

from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.behaviour.test_questions import BEGIN, ZONES, crowded, recorded, sets, shown
from tests.behaviour.told import Event, day_sets, kept

from tagcast import behaviour
from tagcast.behaviour import levels, moving, store
from tagcast.behaviour.tables import batches
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Runtime, open_runtime

__all__ = ["crowded"]

ZONE = ZONES[0]
DAY = 86_400_000
HISTORY = [
    [Event(1, "purchase", BEGIN, 100), Event(2, "purchase", BEGIN + DAY, 5)],
    [Event(1, "purchase", BEGIN + 2 * DAY, 7), Event(1, "purchase", BEGIN + 2 * DAY, 8), Event(3, "purchase", BEGIN)],
    # Late: before the first day of contact 2, and on a day that contact 1 has.
    [Event(2, "purchase", BEGIN - DAY, 50), Event(1, "purchase", BEGIN + 5, 1)],
]
TOLD = [event for group in HISTORY for event in group]


def record(runtime: Runtime, groups: list[list[Event]], first: int = 0) -> None:
    for number, group in enumerate(groups, first):
        with runtime.work(1, "t") as work:
            recorded(work, group, str(number), ZONE)


def read(runtime: Runtime, until: date | None = None) -> dict[int, tuple[int, ...]]:
    with runtime.read(1, "t") as work:
        return shown(behaviour.aggregates(work, "purchase", until=until))


def files(runtime: Runtime) -> list[Path]:
    return list((runtime.settings.home / "columns").rglob("*.columns"))


def checkpoint(runtime: Runtime) -> int:
    with runtime.read(1, "t") as work:
        return behaviour.checkpoint(work)


def again(runtime: Runtime) -> Runtime:
    """Another process on the same home."""
    return open_runtime(runtime.settings)


def test_every_process_reads_what_any_has_recorded(crowded: Runtime) -> None:
    other = again(crowded)
    record(crowded, HISTORY[:1])
    assert read(other) == read(crowded) == kept(HISTORY[0], "purchase", ZONE)
    record(other, HISTORY[1:], 1)
    assert read(crowded) == read(other) == kept(TOLD, "purchase", ZONE)
    other.close()


def test_what_is_rolled_back_leaves_no_trace(crowded: Runtime) -> None:
    record(crowded, HISTORY[:1])
    before = read(crowded)

    class Undo(Exception):
        pass

    with suppress(Undo), crowded.work(1, "t") as work:
        recorded(work, HISTORY[1], "1", ZONE)
        assert shown(behaviour.aggregates(work, "purchase")) == kept(HISTORY[0] + HISTORY[1], "purchase", ZONE)
        with suppress(Undo), work.connection.begin_nested():
            recorded(work, HISTORY[2], "2", ZONE)
            assert shown(behaviour.aggregates(work, "purchase")) == kept(TOLD, "purchase", ZONE)
            raise Undo
        assert shown(behaviour.aggregates(work, "purchase")) == kept(HISTORY[0] + HISTORY[1], "purchase", ZONE)
        behaviour.rebuild(work, "purchase", zone=ZONES[1])
        assert shown(behaviour.aggregates(work, "purchase")) == kept(HISTORY[0] + HISTORY[1], "purchase", ZONES[1])
        raise Undo
    assert read(crowded) == before
    record(crowded, HISTORY[1:], 1)
    assert read(crowded) == kept(TOLD, "purchase", ZONE)


def test_a_process_begins_with_the_checkpoint_and_what_came_after(crowded: Runtime) -> None:
    record(crowded, HISTORY[:2])
    assert checkpoint(crowded) == 1
    assert checkpoint(crowded) == 0
    record(crowded, HISTORY[2:], 2)
    # The log before the checkpoint is not read: were it needed, its absence would show.
    with crowded.work(1, "t") as work:
        first = store.entries(work, "purchase", 0, None)
        seqs = [entry.seq for entry in first]
        work.connection.execute(sa.update(batches).where(batches.c.seq == seqs[0]).values(fresh=b"\0", payload=b"?"))
    other = again(crowded)
    assert read(other) == kept(TOLD, "purchase", ZONE)
    other.close()


def test_a_flipped_bit_is_found_and_mended_from_the_log(crowded: Runtime) -> None:
    record(crowded, HISTORY)
    checkpoint(crowded)
    (path,) = files(crowded)
    data = bytearray(path.read_bytes())
    # The first record that is somebody's, in the first column.
    data[4096 + 4] ^= 1
    path.write_bytes(data)
    other = again(crowded)
    assert read(other) == kept(TOLD, "purchase", ZONE)
    assert checkpoint(other) == 1
    third = again(crowded)
    assert read(third) == kept(TOLD, "purchase", ZONE)
    other.close()
    third.close()


def test_a_checkpoint_of_another_time_line_is_not_used(crowded: Runtime) -> None:
    record(crowded, HISTORY[:1])
    checkpoint(crowded)
    # As after a restored backup: the seq is there again and stands for other events.
    with crowded.work(1, "t") as work:
        work.connection.execute(sa.update(batches).values(stamp=batches.c.stamp + 1))
    other = again(crowded)
    with other.work(1, "t") as work:
        (entry,) = store.entries(work, "purchase", 0, None)
        one = entry.events()
        store.rewrite_batch(work, entry.seq, one.where(one.contact == 1), b"\x80")
    assert read(other) == kept(HISTORY[0][:1], "purchase", ZONE)
    other.close()


def test_records_and_sets_come_back_from_the_lake(crowded: Runtime) -> None:
    record(crowded, HISTORY[:2])
    moving.bring(crowded, 1)
    record(crowded, HISTORY[2:], 2)
    with crowded.work(1, "t") as work:
        newest = store.last_seq(work)
        # The log lets go of what the lake has, and of nothing else.
        assert store.release(work, newest - 1, work.now_ms + 1) == 2
    other = again(crowded)
    assert read(other) == kept(TOLD, "purchase", ZONE)
    assert read(other, date(2026, 3, 27)) == kept(TOLD, "purchase", ZONE, date(2026, 3, 27))
    with other.work(1, "t") as work:
        assert behaviour.rebuild(work, "purchase", zone=ZONES[1]) == len(TOLD)
    third = again(crowded)
    for one in (crowded, other, third):
        assert read(one) == kept(TOLD, "purchase", ZONES[1])
    with third.work(1, "t") as work:
        assert sets(work, "purchase") == day_sets(TOLD, "purchase", ZONES[1], levels.top())
        assert behaviour.forget(work, 1) == sum(event.contact == 1 for event in TOLD)
    left = [event for event in TOLD if event.contact != 1]
    fourth = again(crowded)
    for one in (crowded, other, third, fourth):
        assert read(one) == kept(left, "purchase", ZONES[1])
    for one in (other, third, fourth):
        one.close()


def test_days_of_another_zone_are_counted_anew_before_more_come(crowded: Runtime) -> None:
    record(crowded, HISTORY[:1])
    with pytest.raises(Conflict) as caught, crowded.work(1, "t") as work:
        recorded(work, HISTORY[1], "1", ZONES[1])
    assert caught.value.code == "behaviour.other_zone"
    with crowded.work(1, "t") as work:
        behaviour.rebuild(work, "purchase", zone=ZONES[1])
        recorded(work, HISTORY[1], "1", ZONES[1])
    assert read(crowded) == kept(HISTORY[0] + HISTORY[1], "purchase", ZONES[1])
