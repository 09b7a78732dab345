"""API keys and idempotent writes, on both databases."""

import pytest
from pydantic import BaseModel
from pyroaring import BitMap

from tagcast import access
from tagcast.access import Caller, Entry, Replayed
from tagcast.kit.errors import Conflict, NotFound
from tagcast.kit.uow import Runtime, Work


class Answer(BaseModel):
    """What a write gives."""

    size: int


def issue(runtime: Runtime, workspace: int = 1) -> str:
    with runtime.work(workspace, "test") as work:
        return access.issue_key(work, "test key")


def test_a_key_opens_its_own_workspace_only(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    mine, theirs = access.authenticate(runtime, issue(runtime)), access.authenticate(runtime, issue(runtime, other))
    assert mine is not None
    assert theirs is not None
    assert (mine.workspace, theirs.workspace) == (1, other)


def test_a_changed_or_revoked_key_opens_nothing(runtime: Runtime) -> None:
    text = issue(runtime)
    flipped = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    for wrong in ("", "tc_", flipped, text[:-1], text + "0", "x" * 10_000):
        assert access.authenticate(runtime, wrong) is None
    key_id = text.split("_")[1]
    assert access.authenticate(runtime, text) == Caller(1, f"key:{key_id}")
    with runtime.work(1, "test") as work:
        access.revoke_key(work, key_id)
    assert access.authenticate(runtime, text) is None
    with pytest.raises(NotFound), runtime.work(1, "test") as work:
        access.revoke_key(work, key_id)


def test_a_key_of_another_workspace_cannot_be_revoked(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    text = issue(runtime, other)
    with pytest.raises(NotFound), runtime.work(1, "test") as work:
        access.revoke_key(work, text.split("_")[1])
    assert access.authenticate(runtime, text) is not None


def test_the_text_of_a_key_is_stored_nowhere(runtime: Runtime) -> None:
    text = issue(runtime)
    secret = text.split("_", 2)[2][:43]
    with runtime.read(1, "test") as work:
        (row,) = access.keys(work)
    assert row.name == "test key"
    assert secret not in str(tuple(row))


def entry(runtime: Runtime, key: str | None, request: str) -> Entry:
    return Entry(runtime, Caller(1, "test"), key, request, 201)


def tag(work: Work) -> Answer:
    change = work.bitmaps.add("tag:1", BitMap([1, 2, 3]), why="test")
    return Answer(size=change.size if change else 0)


def test_a_repeated_write_gives_the_first_answer_and_does_nothing(runtime: Runtime) -> None:
    assert entry(runtime, "k", "digest").write(tag) == Answer(size=3)
    with pytest.raises(Replayed) as caught:
        entry(runtime, "k", "digest").write(tag)
    assert (caught.value.status, caught.value.body) == (201, '{"size":3}')
    with runtime.read(1, "test") as work:
        assert len(work.bitmaps.history("tag:1")) == 1


def test_a_key_used_for_another_request_is_refused(runtime: Runtime) -> None:
    entry(runtime, "k", "digest").write(tag)
    with pytest.raises(Conflict) as caught:
        entry(runtime, "k", "another").write(tag)
    assert caught.value.code == "access.key_reused"


def test_a_failed_write_leaves_its_key_free(runtime: Runtime) -> None:
    def fail(work: Work) -> Answer:
        tag(work)
        raise NotFound("access.no_key", key="x")

    with pytest.raises(NotFound):
        entry(runtime, "k", "digest").write(fail)
    assert entry(runtime, "k", "digest").write(tag) == Answer(size=3)
