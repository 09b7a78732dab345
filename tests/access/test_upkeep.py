"""What keeps a home in order: its version, its workspaces, old answers."""

from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from tagcast import access
from tagcast.access.store import find_answer, insert_answer
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime


def test_a_home_is_current_until_its_database_is_at_another_version(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    access.initialise(settings)
    runtime = access.open_home(settings)
    assert access.is_current(runtime)
    with runtime.system() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'older'"))
    assert not access.is_current(runtime)
    runtime.close()


def test_a_database_without_a_version_is_not_current(runtime: Runtime) -> None:
    assert not access.is_current(runtime)


def test_workspaces_are_listed_oldest_first(runtime: Runtime) -> None:
    with runtime.system() as connection:
        assert access.create_workspace(connection, runtime.master_key, "second") == 2
        assert access.workspaces(connection) == [1, 2]


def test_old_answers_are_purged_in_their_own_workspace(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        first = work.now
        insert_answer(work, "old", "d", 200, "{}")
    with runtime.work(other, "test", now=first) as work:
        insert_answer(work, "old", "d", 200, "{}")
    with runtime.work(1, "test", now=first + timedelta(hours=1)) as work:
        insert_answer(work, "new", "d", 200, "{}")
    with runtime.work(1, "test") as work:
        assert access.purge_answers(work, first + timedelta(minutes=1)) == 1
        assert access.purge_answers(work, first + timedelta(minutes=1)) == 0
        assert find_answer(work, "old") is None
        assert find_answer(work, "new") is not None
    with runtime.read(other, "test") as work:
        assert find_answer(work, "old") is not None
