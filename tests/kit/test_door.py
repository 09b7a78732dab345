"""Who waits to write gets in, whatever another process does."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tagcast.kit import db

GREEDY = """
import sys, time
import sqlalchemy as sa
from tagcast.kit import db

engine = db.open_engine(sys.argv[1])
with engine.connect().execution_options(**{db.WRITE: True}) as connection:
    print("begun", flush=True)
    while True:
        with connection.begin():
            connection.execute(sa.text("UPDATE counted SET greedy = greedy + 1"))
            time.sleep(0.02)
"""
WRITES = 15


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path / 'shared.db'}"
    engine = db.open_engine(found)
    with engine.connect().execution_options(**{db.WRITE: True}) as connection, connection.begin():
        connection.execute(sa.text("CREATE TABLE counted (greedy INTEGER, patient INTEGER)"))
        connection.execute(sa.text("INSERT INTO counted VALUES (0, 0)"))
    engine.dispose()
    return found


def test_one_who_writes_without_a_pause_is_not_always_there_first(url: str) -> None:
    engine = db.open_engine(url)
    with subprocess.Popen([sys.executable, "-c", GREEDY, url], stdout=subprocess.PIPE) as greedy:
        try:
            assert greedy.stdout is not None
            assert greedy.stdout.readline() == b"begun\n"
            overtaken = []
            with engine.connect().execution_options(**{db.WRITE: True}) as connection:
                for _ in range(WRITES):
                    # The other one writes again before we ask.
                    time.sleep(0.03)
                    before = counted(engine)
                    with connection.begin():
                        connection.execute(sa.text("UPDATE counted SET patient = patient + 1"))
                        overtaken.append(counted_by(connection) - before)
        finally:
            greedy.kill()
    engine.dispose()
    # One was about to commit, and one may just have begun. By SQLite's own wait it was a thousand.
    assert max(overtaken) <= 2


def counted(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return counted_by(connection)


def counted_by(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT greedy FROM counted")).scalar_one())


def test_who_was_stopped_in_the_door_keeps_nobody_out(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("tagcast.kit.door._DOOR_SECONDS", 0.05)
    engine = db.open_engine(url)
    with (
        Path(f"{engine.url.database}-door").open("w") as stopped,
        engine.connect().execution_options(**{db.WRITE: True}) as connection,
    ):
        fcntl.flock(stopped, fcntl.LOCK_EX)
        with connection.begin():
            connection.execute(sa.text("UPDATE counted SET patient = 1"))
    engine.dispose()


def test_a_lock_of_sqlite_that_is_never_given_back_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagcast.kit.door.BUSY_MS", 50)
    engine = db.open_engine(url)
    with engine.connect().execution_options(**{db.WRITE: True}) as one, one.begin():
        begun = time.monotonic()
        with (
            pytest.raises(sa.exc.OperationalError, match="locked"),
            engine.connect().execution_options(**{db.WRITE: True}) as other,
            other.begin(),
        ):
            pass
        assert time.monotonic() - begun >= 0.05
    engine.dispose()
