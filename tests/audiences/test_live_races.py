"""Segments and tags changed while their keeper is between its reading and its commit, on PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from tests.conftest import make_runtime, wipe
from tests.tag_rules.keeping import EAGER, give
from tests.tags.people import crowd

from tagcast import audiences, tags, upkeep
from tagcast.audiences import live
from tagcast.audiences.live import Kept
from tagcast.kit.uow import Runtime, Work
from tagcast.upkeep import Operation


@pytest.fixture
def postgres(tmp_path: Path, postgres_url: str) -> Iterator[Runtime]:
    wipe(postgres_url)
    made = make_runtime(tmp_path, postgres_url)
    yield made
    made.close()


class Held(live.Segments):
    """The owner of live segments; it lets somebody else begin and get stuck before it notes that a set is true."""

    def __init__(self, runtime: Runtime, change: Callable[[Work], object]) -> None:
        self.failed: list[OperationalError] = []
        self._runtime = runtime
        self._change = change
        self._other = threading.Thread(target=self._run)

    def filled(self, work: Work, kept: Kept) -> None:
        self._other.start()
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        until = time.monotonic() + 20
        while not work.connection.scalar(waiting):
            assert time.monotonic() < until
            time.sleep(0.01)
        super().filled(work, kept)

    def join(self) -> None:
        self._other.join()

    def _run(self) -> None:
        try:
            with self._runtime.work(1, "other") as work:
                self._change(work)
        except OperationalError as error:
            self.failed.append(error)


def _delete(work: Work) -> None:
    audiences.delete(work, audiences.find(work, "s").id)


def _ask(work: Work) -> None:
    audiences.keep(work, audiences.find(work, "s").id, "asked")


def _merge(work: Work) -> None:
    upkeep.apply(work, [Operation("merge", tags.find(work, "a").id, tags.find(work, "b").id)])


@pytest.mark.parametrize(("change", "members"), [(_delete, set()), (_ask, set()), (_merge, {1, 2, 3})])
def test_nobody_and_the_keeper_wait_for_each_other(
    postgres: Runtime, change: Callable[[Work], object], members: set[int]
) -> None:
    with postgres.work(1, "test") as work:
        crowd(work, 9)
        for path in ("a", "b"):
            tags.create(work, path)
        give(work, "a", 1, 2)
        give(work, "b", 3)
        made = audiences.create(work, "s", audiences.parse('tag("a")'))
        audiences.keep(work, made.id, "live")
    memory, owner = live.Memory(EAGER), Held(postgres, change)
    assert live.turn(postgres, 1, memory, [owner])
    owner.join()
    assert owner.failed == []
    usual = live.Segments()
    while live.turn(postgres, 1, memory, [usual]):
        pass
    with postgres.read(1, "test") as work:
        assert set(work.bitmaps.read(made.key)) == members
        assert live.lag(work, [made.key]) == {made.key: live.Lag(0, 0.0) if members else None}
