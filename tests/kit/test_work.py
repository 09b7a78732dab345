"""The unit of work, events, the clock and the log, on both databases."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast.kit import clock, events, logs
from tagcast.kit.errors import NotFound
from tagcast.kit.events import Event
from tagcast.kit.uow import Runtime


@dataclass(frozen=True)
class Happened(Event):
    name: ClassVar[str] = "test.happened"
    number: int


def test_a_block_that_raises_keeps_nothing_of_rows_sets_and_events(runtime: Runtime) -> None:
    def fail() -> None:
        with runtime.work(1, "test") as work:
            work.bitmaps.add("tag:1", BitMap([1, 2]), why="test")
            events.publish(work, Happened(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with runtime.read(1, "test") as work:
        assert work.bitmaps.count("tag:1") == 0
        assert events.open_batch(work.connection, 10) == []


def test_what_a_read_writes_is_not_kept(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        events.publish(work, Happened(1))
    with runtime.read(1, "test") as work:
        work.connection.execute(sa.delete(events.events))
    with runtime.read(1, "test") as work:
        assert [event.payload for event in events.open_batch(work.connection, 10)] == [{"number": 1}]


def test_an_unknown_workspace_is_refused(runtime: Runtime) -> None:
    with pytest.raises(NotFound) as caught, runtime.work(99, "test"):
        pass
    assert caught.value.code == "access.no_workspace"


def test_events_are_followed_in_order_and_once(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        events.publish(work, *(Happened(number) for number in range(5)))
    with runtime.work(1, "worker") as work:
        batch = events.open_batch(work.connection, 3)
        assert [event.payload["number"] for event in batch] == [0, 1, 2]
        events.close_batch(work, batch)
    with runtime.work(1, "worker") as work:
        assert [event.payload["number"] for event in events.open_batch(work.connection, 10)] == [3, 4]
        assert events.still_open(work, batch) == []


@pytest.mark.parametrize("ms", [0, 1, 999, 1_700_000_000_123, -1, -86_400_001])
def test_milliseconds_and_moments_are_each_others_inverse(ms: int) -> None:
    assert clock.to_ms(clock.from_ms(ms)) == ms


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        clock.to_ms(datetime(2026, 1, 1))


def test_a_day_is_the_zones_day() -> None:
    moment = datetime(2026, 1, 1, 16, 30, tzinfo=UTC)
    assert clock.local_day(moment, "Asia/Shanghai").isoformat() == "2026-01-02"
    assert clock.local_day(moment, "UTC").isoformat() == "2026-01-01"


def test_a_log_line_drops_what_is_not_on_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    try:
        int("1380000000x")
    except ValueError:
        logs.get("test").error("failed", broadcast=7, phone="13800000000", exc_info=True)
    written = capsys.readouterr().err
    line = json.loads(written)
    assert "1380000000" not in written
    assert (line["event"], line["broadcast"], line["exc_type"]) == ("failed", 7, "ValueError")
    logs.configure("WARNING")
