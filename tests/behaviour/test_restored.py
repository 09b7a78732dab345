"""A database restored from a backup older than its lake: nothing recorded later is lost, nothing stays twice."""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.behaviour.naive import KINDS, PEOPLE, Told
from tests.behaviour.test_history import check, record
from tests.conftest import make_runtime

from tagcast import behaviour, contacts
from tagcast.behaviour import mending, moving
from tagcast.behaviour.packed import local_days
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.uow import Runtime, open_runtime


class Home:
    """A home whose database can be put back to an earlier day."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = runtime.settings
        self.runtime = runtime
        self._opened: list[Runtime] = []
        with runtime.work(1, "t") as work:
            contacts.ensure(work, [PersonIn({Identity("customer_id"): f"P{n}"}) for n in range(1, PEOPLE + 1)])
            for name in ("view", "buy"):
                behaviour.declare_event(work, name, "to measure", KINDS)

    def backup(self) -> Path:
        """A copy of the database as it is."""
        made = self.settings.home / "backup.db"
        made.unlink(missing_ok=True)
        with self.runtime.engine.connect() as connection:
            connection.connection.dbapi_connection.execute(f"VACUUM INTO '{made}'")  # type: ignore[union-attr]  # it is open
        return made

    def restore(self, copy: Path) -> None:
        """Put it back, and begin a new process."""
        self.runtime.engine.dispose()
        for name in ("tagcast.db-wal", "tagcast.db-shm"):
            (self.settings.home / name).unlink(missing_ok=True)
        shutil.copy(copy, self.settings.home / "tagcast.db")
        self.runtime = open_runtime(self.settings)
        self._opened.append(self.runtime)

    def close(self) -> None:
        """Close what was opened here."""
        for one in self._opened:
            one.close()


@pytest.fixture
def home(runtime_sqlite: Runtime) -> Iterator[Home]:
    made = Home(runtime_sqlite)
    yield made
    made.close()


def in_lake(home: Home) -> dict[str, int]:
    with home.runtime.read(1, "t") as work:
        status = moving.status(work)
    assert all(one.agrees and not one.waiting for one in status)
    return {one.type: one.rows for one in status}


@pytest.mark.parametrize("vacuumed", [False, True], ids=["former files there", "former files gone"])
def test_the_lake_goes_back_with_a_restored_database(home: Home, vacuumed: bool) -> None:
    told = record(home.runtime, "view", 1) + record(home.runtime, "buy", 1)
    moving.bring(home.runtime, 1)
    told += record(home.runtime, "view", 2, 30)
    moving.bring(home.runtime, 1)
    copy = home.backup()
    # What the backup does not know of, more than what comes after it.
    for seed in range(20, 26):
        record(home.runtime, "view", seed, 10)
        moving.bring(home.runtime, 1)
    if vacuumed:
        moving.tidy(home.runtime, 1, everything=True)
        for name in ("view", "buy"):
            home.runtime.lake.table(f"w1/{name}").vacuum(0)
    home.restore(copy)
    check(home.runtime, told)
    with home.runtime.read(1, "t") as work:
        assert [one.agrees for one in moving.status(work)] == [True, False]
        assert moving.due(work)
    told += record(home.runtime, "view", 3, 25)
    check(home.runtime, told)
    moving.bring(home.runtime, 1)
    assert in_lake(home) == {"buy": 60, "view": 115}
    check(home.runtime, told)
    told += record(home.runtime, "view", 4, 5)
    moving.bring(home.runtime, 1)
    moving.tidy(home.runtime, 1, everything=True)
    assert in_lake(home) == {"buy": 60, "view": 120}
    assert mending.verify(home.runtime, 1) == []
    check(home.runtime, told)


def test_a_lake_that_began_after_the_backup_begins_anew(home: Home) -> None:
    copy = home.backup()
    record(home.runtime, "view", 1)
    record(home.runtime, "view", 2)
    moving.bring(home.runtime, 1)
    home.restore(copy)
    told = record(home.runtime, "view", 3, 7)
    check(home.runtime, told)
    moving.bring(home.runtime, 1)
    assert in_lake(home) == {"buy": 0, "view": 7}
    check(home.runtime, told)


def test_what_only_the_lake_has_is_not_given_up(home: Home) -> None:
    """The database handed events over before the backup, so they are in the lake alone, in one file with later ones."""
    told: list[Told] = record(home.runtime, "view", 1)
    moving.bring(home.runtime, 1)
    with home.runtime.work(1, "t") as work:
        moving.release(work, timedelta(milliseconds=-1000))
    copy = home.backup()
    record(home.runtime, "view", 2)
    moving.bring(home.runtime, 1)
    home.restore(copy)
    told += record(home.runtime, "view", 3, 9)
    check(home.runtime, told)
    moving.bring(home.runtime, 1)
    check(home.runtime, told)
    assert in_lake(home) == {"buy": 0, "view": 69}


def test_events_that_cannot_be_parted_from_later_ones_stay_and_are_told(home: Home) -> None:
    record(home.runtime, "view", 1)
    moving.bring(home.runtime, 1)
    with home.runtime.work(1, "t") as work:
        moving.release(work, timedelta(milliseconds=-1000))
    copy = home.backup()
    record(home.runtime, "view", 2)
    moving.bring(home.runtime, 1)
    moving.tidy(home.runtime, 1, everything=True)
    home.runtime.lake.table("w1/view").vacuum(0)
    home.restore(copy)
    assert moving.bring(home.runtime, 1) == 0
    with home.runtime.work(1, "t") as work:
        (view,) = [one for one in moving.status(work) if one.type == "view"]
        assert (view.agrees, view.rows) == (False, 120)
        assert moving.release(work, timedelta(milliseconds=-1000)) == 0


def test_the_lake_of_another_database_is_left_alone(home: Home, tmp_path: Path) -> None:
    told = record(home.runtime, "view", 1)
    moving.bring(home.runtime, 1)
    (tmp_path / "other").mkdir()
    other = Home(make_runtime(tmp_path / "other", lake_url=(home.settings.home / "lake").absolute().as_uri()))
    theirs = record(other.runtime, "view", 2, 20)
    assert moving.bring(other.runtime, 1) == 0
    assert mending.verify(other.runtime, 1, repair=True) == []
    check(other.runtime, theirs)
    with other.runtime.read(1, "t") as work:
        assert [(one.agrees, one.waiting) for one in moving.status(work)] == [(True, 0), (False, 0)]
    check(home.runtime, told)
    assert in_lake(home) == {"buy": 0, "view": 60}
    other.runtime.close()


def test_days_counted_anew_stay_right_when_the_lake_is_begun_anew(home: Home) -> None:
    """A rebuild for another zone speaks of all batches, also of those that were in the lake by then."""
    other = "America/Los_Angeles"
    record(home.runtime, "view", 1)
    record(home.runtime, "view", 2)
    moving.bring(home.runtime, 1)
    with home.runtime.work(1, "t") as work:
        behaviour.rebuild(work, "view", zone=other)
    copy = home.backup()
    shutil.rmtree(home.settings.home / "lake")
    home.restore(copy)
    with home.runtime.read(1, "t") as work:
        seen = behaviour.events_of(work, "view")
        days = {
            (who, day) for who, day in zip(seen.contact.tolist(), local_days(seen.at_ms, other).tolist(), strict=True)
        }
        found = behaviour.aggregates(work, "view")
        assert dict(zip(found.contact.tolist(), found.days.tolist(), strict=True)) == Counter(who for who, _ in days)


def test_a_compaction_that_tells_where_it_began_is_not_taken_for_where_the_lake_stood(home: Home) -> None:
    """It began before an append and was committed after it: its `upto` is a version's that never was."""
    told = record(home.runtime, "view", 1)
    moving.bring(home.runtime, 1)
    table = home.runtime.lake.table("w1/view")
    early = table.snapshot()
    assert early is not None
    copy = home.backup()
    late = record(home.runtime, "view", 2)
    moving.bring(home.runtime, 1)
    table.rewrite(early, early.files, "compact")
    newest = table.versions()[0]
    assert (newest.what, newest.upto) == ("compact", early.upto)
    check(home.runtime, told + late)
    assert in_lake(home) == {"buy": 0, "view": 120}
    home.restore(copy)
    check(home.runtime, told)
    moving.bring(home.runtime, 1)
    assert in_lake(home) == {"buy": 0, "view": 60}
    told += record(home.runtime, "view", 3)
    moving.bring(home.runtime, 1)
    check(home.runtime, told)
