"""Who holds a tag: limits, history, undo, as of, until, files."""

from datetime import timedelta
from pathlib import Path

import pytest
from pyroaring import BitMap
from tests.tags.people import account, crowd, people, small_account

from tagcast import tags
from tagcast.kit import events
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work


def facts(work: Work) -> list[tuple[str, dict[str, int]]]:
    found = []
    while batch := events.open_batch(work.connection, 100):
        found += [(event.seq, event.name, event.payload) for event in batch]
        events.close_batch(work, batch)
    return [(name, payload) for _, name, payload in sorted(found, key=lambda one: one[0])]


def test_assigning_again_changes_nothing_and_publishes_nothing(work: Work) -> None:
    crowd(work, 10)
    tag = tags.create(work, "a")
    change = tags.assign(work, tag.id, BitMap([1, 2, 3]), why="first")
    assert change is not None
    assert (change.op, change.size, change.who, change.why) == ("add", 3, "test", "first")
    assert facts(work) == [("tags.assigned", {"tag": tag.id, "seq": change.seq})]
    assert tags.assign(work, tag.id, BitMap([1, 2]), why="again") is None
    more = tags.assign(work, tag.id, BitMap([3, 4]), why="more")
    assert more is not None
    assert more.size == 1
    gone = tags.remove(work, tag.id, BitMap([1, 9]), why="gone")
    assert gone is not None
    assert facts(work) == [
        ("tags.assigned", {"tag": tag.id, "seq": more.seq}),
        ("tags.removed", {"tag": tag.id, "seq": gone.seq}),
    ]
    assert tags.remove(work, tag.id, BitMap([1, 9]), why="gone") is None
    assert tags.holders(work, tag.id) == BitMap([2, 3, 4])
    assert [change.why for change in tags.history(work, tag.id)] == ["gone", "more", "first"]


def test_the_last_contact_that_fits_is_tagged_and_the_next_refused(work: Work) -> None:
    crowd(work, 10)
    tag = tags.create(work, "a", account=small_account(work, members=3))
    tags.assign(work, tag.id, BitMap([1, 2]), why="t")
    with pytest.raises(Refused) as caught:
        tags.assign(work, tag.id, BitMap([2, 3, 4]), why="two more do not fit")
    assert caught.value.code == "tags.full"
    named = {key: caught.value.params[key] for key in ("before", "asked", "room", "most", "profile", "source")}
    assert named == {"before": 2, "asked": 2, "room": 1, "most": 3, "profile": "small", "source": "a test"}
    assert tags.holders(work, tag.id) == BitMap([1, 2])
    assert len(tags.history(work, tag.id)) == 1
    tags.assign(work, tag.id, BitMap([1, 2, 3]), why="the last")
    with pytest.raises(Refused):
        tags.assign(work, tag.id, BitMap([4]), why="one over")
    assert tags.holders(work, tag.id) == BitMap([1, 2, 3])
    assert len(facts(work)) == 2


def test_the_shipped_limits_hold_to_the_contact(work: Work) -> None:
    everyone = crowd(work, 2_000_001)
    for kind, most in (("official", 500_000), ("wecom", 2_000_000)):
        tag = tags.create(work, "a", account=account(work, kind))  # type: ignore[arg-type]  # kinds of this table
        tags.assign(work, tag.id, everyone[:most], why="all that fit")
        with pytest.raises(Refused) as caught:
            tags.assign(work, tag.id, everyone[most : most + 1], why="one over")
        assert caught.value.params["most"] == most
        assert len(tags.holders(work, tag.id)) == most
    free = tags.create(work, "a", account=account(work, "custom"))
    tags.assign(work, free.id, everyone, why="unlimited")
    assert len(tags.holders(work, free.id)) == 2_000_001


def test_two_at_once_cannot_both_take_the_last_place(runtime: Runtime) -> None:
    if runtime.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with runtime.work(1, "test") as work:
        crowd(work, 10)
        tag = tags.create(work, "a", account=small_account(work, members=2))
        tags.assign(work, tag.id, BitMap([1]), why="t")
    with runtime.read(1, "slow") as slow:
        assert len(tags.holders(slow, tag.id)) == 1
        with runtime.work(1, "fast") as fast:
            tags.assign(fast, tag.id, BitMap([2]), why="took the last place")
        with pytest.raises(Refused):
            tags.assign(slow, tag.id, BitMap([3]), why="saw a free place")


def test_how_many_tags_a_contact_may_hold(work: Work) -> None:
    crowd(work, 5)
    of = small_account(work, per_contact=2)
    a, b, c = (tags.create(work, name, account=of) for name in "abc")
    tags.assign(work, a.id, BitMap([1, 2, 3]), why="t")
    tags.assign(work, b.id, BitMap([2, 3]), why="t")
    with pytest.raises(Refused) as caught:
        tags.assign(work, c.id, BitMap([1, 2, 3, 4]), why="t")
    assert (caught.value.code, caught.value.params["contacts"], caught.value.params["first"]) == (
        "tags.holds_too_many", 2, 2,
    )  # fmt: skip
    assert tags.holders(work, c.id) == BitMap()
    tags.assign(work, c.id, BitMap([1, 4]), why="t")
    assert [tag.name for tag in tags.tags_of(work, 1)] == ["a", "c"]


def test_undo_is_exact_once_and_undoable(work: Work) -> None:
    crowd(work, 10)
    tag = tags.create(work, "a")
    tags.assign(work, tag.id, BitMap([1]), why="before")
    change = tags.assign(work, tag.id, BitMap([1, 2, 3]), why="wrong")
    assert change is not None
    tags.remove(work, tag.id, BitMap([3]), why="later")
    tags.assign(work, tag.id, BitMap([3]), why="meant")
    undone = tags.undo(work, change.seq, why="a mistake")
    assert undone is not None
    assert (undone.op, undone.size, undone.undoes, undone.why) == ("remove", 1, change.seq, "a mistake")
    assert tags.holders(work, tag.id) == BitMap([1, 3])
    with pytest.raises(Conflict) as caught:
        tags.undo(work, change.seq)
    assert caught.value.code == "tags.undone"
    tags.undo(work, undone.seq)
    assert tags.holders(work, tag.id) == BitMap([1, 2, 3])


def test_undo_keeps_to_the_limits_and_to_tags(work: Work) -> None:
    crowd(work, 10)
    tag = tags.create(work, "a", account=small_account(work, members=2))
    tags.assign(work, tag.id, BitMap([1, 2]), why="t")
    gone = tags.remove(work, tag.id, BitMap([1, 2]), why="t")
    tags.assign(work, tag.id, BitMap([3]), why="t")
    assert gone is not None
    with pytest.raises(Refused):
        tags.undo(work, gone.seq)
    assert tags.holders(work, tag.id) == BitMap([3])
    other = work.bitmaps.add("suppressed", BitMap([1]), why="t")
    assert other is not None
    for seq in (other.seq, 10**6):
        with pytest.raises(NotFound) as caught:
            tags.undo(work, seq)
        assert caught.value.code == "tags.no_change"


def test_as_of_any_past_time_and_the_history_of_a_contact(runtime: Runtime) -> None:
    with runtime.work(1, "first") as work:
        crowd(work, 10)
        start = work.now
        tag, below = tags.create(work, "a"), tags.create(work, "a/b")
    for day, (who, numbers) in enumerate([("x", [1, 2]), ("y", [3]), ("z", [4])], 1):
        with runtime.work(1, who, now=start + timedelta(days=day)) as work:
            tags.assign(work, tag.id, BitMap(numbers), why=f"day {day}")
            tags.assign(work, below.id, BitMap([day + 5]), why=f"below {day}")
    with runtime.work(1, "w", now=start + timedelta(days=4)) as work:
        tags.remove(work, tag.id, BitMap([2, 3]), why="day 4")
        at = [tags.as_of(work, tag.id, start + timedelta(days=day)) for day in range(5)]
        assert at == [BitMap(), BitMap([1, 2]), BitMap([1, 2, 3]), BitMap([1, 2, 3, 4]), BitMap([1, 4])]
        assert tags.as_of(work, tag.id, start + timedelta(days=2), below=True) == BitMap([1, 2, 3, 6, 7])
        changes = [(change.op, change.who, tags.tag_id_of(change)) for change in tags.contact_history(work, 3)]
        assert changes == [("remove", "w", tag.id), ("add", "y", tag.id)]


@pytest.mark.parametrize("why", ["", "  ", "x" * 301])
def test_a_change_needs_a_reason(work: Work, why: str) -> None:
    crowd(work, 2)
    tag = tags.create(work, "a")
    with pytest.raises(Invalid):
        tags.assign(work, tag.id, BitMap([1]), why=why)


def test_nobody_unknown_is_tagged_and_nothing_archived_given(work: Work) -> None:
    crowd(work, 3)
    tag = tags.create(work, "a")
    with pytest.raises(NotFound) as caught:
        tags.assign(work, tag.id, BitMap([1, 2, 77, 78]), why="t")
    assert (caught.value.params["count"], caught.value.params["first"]) == (2, 77)
    tags.assign(work, tag.id, BitMap([1]), why="t")
    tags.archive(work, tag.id)
    with pytest.raises(Conflict):
        tags.assign(work, tag.id, BitMap([2]), why="t")
    assert tags.tags_of(work, 1) == []
    assert tags.holders(work, tag.id) == BitMap([1])


def test_a_tag_ends_when_it_should_and_the_longer_time_stands(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 10)
        start, tag = work.now, tags.create(work, "a")
        day = timedelta(days=1)
        with pytest.raises(Invalid):
            tags.assign(work, tag.id, BitMap([1]), why="t", until=start)
        change = tags.assign(work, tag.id, BitMap([1, 2, 3, 4]), why="t", until=start + 2 * day)
        assert change is not None
        assert change.until_ms == tags.history(work, tag.id)[0].until_ms is not None
        tags.assign(work, tag.id, BitMap([2, 5]), why="longer", until=start + 4 * day)
        tags.assign(work, tag.id, BitMap([2]), why="shorter", until=start + day)
        tags.assign(work, tag.id, BitMap([3]), why="for good")
        tags.assign(work, tag.id, BitMap([6]), why="for good")
        tags.assign(work, tag.id, BitMap([6]), why="no shorter", until=start + day)
        tags.remove(work, tag.id, BitMap([4]), why="gone")
        tags.assign(work, tag.id, BitMap([4]), why="back for good")
    left = []
    for days in (1, 2, 3, 4, 5):
        with runtime.work(1, "worker", now=start + days * day) as work:
            lost = tags.expire(work)
            left.append((lost, list(tags.holders(work, tag.id))))
    everybody = [1, 2, 3, 4, 5, 6]
    assert left == [(0, everybody), (1, everybody[1:]), (0, everybody[1:]), (2, [3, 4, 6]), (0, [3, 4, 6])]


def test_a_file_of_identities(work: Work, tmp_path: Path) -> None:
    people(work, 5)
    tag = tags.create(work, "a")
    source, refused = tmp_path / "in.csv", tmp_path / "refused.csv"
    source.write_text("id,名称\nc1,甲\nc3,乙\nc3,乙\nnobody,丙\nc2\n,丁\nc5,戊\n", "utf-8")
    done = tags.assign_file(work, tag.id, tags.Source(source, "id", "customer_id"), why="a list", refused=refused)
    assert (done.rows, done.found, done.tagged, done.refused) == (7, 3, 3, 3)
    assert tags.holders(work, tag.id) == BitMap([1, 3, 5])
    lines = refused.read_text("utf-8-sig").splitlines()
    assert [line.split(",")[0].strip('"') for line in lines] == ["line", "5", "6", "7"]
    again = tags.assign_file(work, tag.id, tags.Source(source, "id", "customer_id"), why="a list", refused=refused)
    assert (again.tagged, again.seq) == (0, None)
    with pytest.raises(Invalid) as caught:
        tags.assign_file(work, tag.id, tags.Source(source, "openid", "customer_id"), why="a list", refused=refused)
    assert "名称" in str(caught.value.params["columns"])


def test_a_file_that_does_not_fit_tags_nobody(work: Work, tmp_path: Path) -> None:
    people(work, 5)
    tag = tags.create(work, "a", account=small_account(work, members=2))
    source = tmp_path / "in.csv"
    source.write_text("id\nc1\nc3\nc4\n", "utf-8")
    with pytest.raises(Refused):
        tags.assign_file(
            work, tag.id, tags.Source(source, "id", "customer_id"), why="t", refused=tmp_path / "refused.csv"
        )
    assert tags.holders(work, tag.id) == BitMap()


def test_hundreds_of_tags_on_one_contact(work: Work) -> None:
    crowd(work, 1)
    root = tags.create(work, "root").id
    ids = [root, *(tags.create(work, f"t{i}", parent=root).id for i in range(200))]
    for tag_id in ids:
        tags.assign(work, tag_id, BitMap([1]), why="t")
    assert [tag.id for tag in tags.tags_of(work, 1)] == ids
    assert tags.tree(work)[0].below == 1
