"""Named segments: kept, changed, standing on each other; frozen audiences; tagging a segment."""

import hashlib
import struct

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd, people, small_account

from tagcast import access, audiences, contacts, tags
from tagcast.audiences import parse, to_text
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work


def test_a_segment_is_kept_and_changed(work: Work) -> None:
    crowd(work, 5)
    tags.create(work, "a")
    made = audiences.create(work, " 新客 ", parse('tag("a")'), description="who is new")
    assert (made.name, made.version, made.description, made.created_by) == ("新客", 1, "who is new", "test")
    assert audiences.find(work, "新客") == made == audiences.get(work, made.id)
    changed = audiences.update(work, made.id, parse('not tag("a")'), version=1)
    assert (changed.version, to_text(changed.expression), changed.description) == (2, 'not tag("a")', "who is new")
    with pytest.raises(Conflict) as caught:
        audiences.update(work, made.id, parse("all"), version=1)
    assert (caught.value.code, caught.value.params["found"]) == ("audiences.moved", 2)
    with pytest.raises(Conflict):
        audiences.create(work, "新客", parse("all"))
    assert audiences.delete(work, made.id).name == "新客"
    assert audiences.every(work) == []
    for attempt in (audiences.get, audiences.delete):
        with pytest.raises(NotFound):
            attempt(work, made.id)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb"])
def test_a_segment_needs_a_usable_name(work: Work, name: str) -> None:
    with pytest.raises(Invalid):
        audiences.create(work, name, parse("all"))


def test_a_segment_that_cannot_be_counted_is_not_kept(work: Work) -> None:
    contacts.declare_attribute(work, "spend", "number", purpose="test")
    for text in ('tag("a")', "spend = true", 'segment("x")', "color = 1"):
        with pytest.raises(Invalid):
            audiences.create(work, "s", parse(text))
    assert audiences.every(work) == []


def test_a_ring_is_refused_with_the_way(work: Work) -> None:
    a = audiences.create(work, "a", parse("all"))
    audiences.create(work, "b", parse('not segment("a")'))
    c = audiences.create(work, "c", parse('segment("b") or segment("a")'))
    for expression, way in (('segment("a")', "a → a"), ('segment("b")', "a → b → a"), ('segment("c")', "a → c → a")):
        with pytest.raises(Conflict) as caught:
            audiences.update(work, a.id, parse(expression))
        assert (caught.value.code, caught.value.params["path"]) == ("audiences.ring", way)
    audiences.update(work, c.id, parse('segment("b")'))
    with pytest.raises(Conflict) as caught:
        audiences.update(work, a.id, parse('segment("c") and all'))
    assert caught.value.params["path"] == "a → c → b → a"


def test_what_others_stand_on_stays(work: Work) -> None:
    base = audiences.create(work, "base", parse("all"))
    top = audiences.create(work, "top", parse('segment("base") and all'))
    assert audiences.where_used(work, "base") == ["top"]
    with pytest.raises(Conflict) as caught:
        audiences.delete(work, base.id)
    assert caught.value.params["users"] == "top"
    audiences.delete(work, top.id)
    assert audiences.delete(work, base.id).name == "base"


def test_what_names_a_segment_follows_its_new_name(work: Work) -> None:
    crowd(work, 3)
    base = audiences.create(work, "base", parse("all"))
    top = audiences.create(work, "top", parse('segment("base") and not segment("base")'))
    frozen = audiences.freeze(work, "base", why="t")
    assert audiences.update(work, base.id, parse("nobody"), name="ground").name == "ground"
    assert audiences.rename(work, base.id, " floor ").version == 2
    found = audiences.get(work, top.id)
    assert (to_text(found.expression), found.version) == ('segment("floor") and not segment("floor")', 1)
    assert audiences.uses(work, "floor") == {"frozen": [str(frozen.id)], "segment": ["top"]}
    assert audiences.frozen(work, frozen.id).segment == "floor"
    with pytest.raises(Conflict):
        audiences.rename(work, base.id, "top")


def test_a_deleted_segment_comes_back_or_says_why_not(work: Work) -> None:
    crowd(work, 3)
    tag = tags.create(work, "a")
    made = audiences.create(work, "s", parse('tag("a") or nobody'))
    audiences.delete(work, made.id)
    again = audiences.create(work, "s", parse("all"))
    assert [(one.id, at) for one, at in audiences.deleted(work)] == [(made.id, work.now_ms)]
    with pytest.raises(Conflict) as caught:
        audiences.restore(work, made.id)
    assert caught.value.code == "audiences.name_taken"
    audiences.delete(work, again.id)
    tags.rename(work, tag.id, "b")
    assert to_text(audiences.restore(work, made.id).expression) == 'tag("b") or nobody'
    audiences.delete(work, made.id)
    tags.archive(work, tag.id)
    with pytest.raises(Invalid):
        audiences.restore(work, made.id)
    with pytest.raises(NotFound):
        audiences.restore(work, 10**6)
    assert [one.id for one, _ in audiences.deleted(work)] == [made.id, again.id]


def test_segments_stand_on_each_other_so_high_and_no_higher(work: Work) -> None:
    crowd(work, 3)
    first = audiences.create(work, "s1", parse("all"))
    for i in range(2, 9):
        audiences.create(work, f"s{i}", parse(f'segment("s{i - 1}") and segment("s{i - 1}") or nobody'))
    with pytest.raises(Refused) as caught:
        audiences.create(work, "s9", parse('segment("s8")'))
    assert caught.value.params["limit"] == "segment_depth"
    assert audiences.count(work, parse('segment("s8")')) == 3
    assert audiences.explain(work, parse('segment("s8") and segment("s8")'), 1).holds
    audiences.create(work, "under", parse("all"))
    with pytest.raises(Refused):
        audiences.update(work, first.id, parse('segment("under")'))


def test_a_segment_follows_its_tags_when_they_move(work: Work) -> None:
    crowd(work, 5)
    gold = tags.create(work, "会员/金卡", parents=True)
    tags.assign(work, gold.id, BitMap([1, 2]), why="t")
    made = audiences.create(work, "s", parse('tag("会员/金卡", exactly) or nobody'))
    audiences.create(work, "over", parse('segment("s")'))
    tags.rename(work, gold.id, "黄金")
    tags.move(work, gold.id, None)
    impostor = tags.create(work, "会员/金卡")
    tags.assign(work, impostor.id, BitMap([4]), why="t")
    found = audiences.get(work, made.id)
    assert to_text(found.expression) == 'tag("黄金", exactly) or nobody'
    assert list(audiences.members(work, found.expression)) == [1, 2]
    assert list(audiences.members(work, parse('segment("over")'))) == [1, 2]
    tags.archive(work, gold.id)
    with pytest.raises(Invalid) as caught:
        audiences.count(work, parse('segment("over")'))
    assert caught.value.code == "audiences.archived_tag"


def test_a_frozen_audience_stays_as_it_was(work: Work) -> None:
    crowd(work, 9)
    tag = tags.create(work, "a")
    tags.assign(work, tag.id, BitMap([2, 3, 5]), why="t")
    audiences.create(work, "s", parse('tag("a")'))
    made = audiences.freeze(work, "s", why="a broadcast")
    digest = hashlib.sha256(struct.pack("<3I", 2, 3, 5)).hexdigest()
    assert (made.segment, made.size, made.digest, made.key) == ("s", 3, digest, f"frozen:{made.id}")
    tags.assign(work, tag.id, BitMap([7]), why="later")
    assert audiences.frozen(work, made.id) == made
    assert audiences.digest(work.bitmaps.read(made.key)) == digest
    again = audiences.freeze(work, parse('tag("a")'), why="another")
    assert (again.id != made.id, again.segment, again.size) == (True, None, 4)
    empty = audiences.freeze(work, parse("nobody"), why="nobody")
    assert (empty.size, empty.digest) == (0, hashlib.sha256(b"").hexdigest())
    with pytest.raises(NotFound):
        audiences.frozen(work, 10**6)


def test_the_digest_does_not_depend_on_how_a_set_is_kept() -> None:
    runs, single = BitMap(range(100_000)), BitMap()
    for number in range(100_000):
        single.add(number)
    runs.run_optimize()
    assert audiences.digest(runs) == audiences.digest(single)


def test_everyone_in_a_segment_is_tagged_or_nobody(work: Work) -> None:
    people(work, 6)
    contacts.declare_attribute(work, "spend", "number", purpose="test")
    contacts.set_values(work, "spend", {n: n * 10 for n in range(1, 7)}, why="t")
    tag = tags.create(work, "big", account=small_account(work, members=3))
    with pytest.raises(Refused):
        audiences.tag_segment(work, parse("spend >= 30"), tag.id, why="four do not fit")
    assert not tags.holders(work, tag.id)
    change = audiences.tag_segment(work, parse("spend between 60 and 40"), tag.id, why="three do")
    assert change is not None
    assert change.size == 3
    assert audiences.tag_segment(work, parse("spend >= 40"), tag.id, why="again") is None
    tags.undo(work, change.seq)
    assert not tags.holders(work, tag.id)


def test_another_workspace_sees_no_segment(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        made = audiences.create(work, "s", parse("all"))
        frozen = audiences.freeze(work, "s", why="t")
    with runtime.work(other, "test") as work:
        assert audiences.every(work) == []
        for attempt in (
            lambda: audiences.get(work, made.id),
            lambda: audiences.find(work, "s"),
            lambda: audiences.delete(work, made.id),
            lambda: audiences.update(work, made.id, parse("nobody")),
            lambda: audiences.frozen(work, frozen.id),
        ):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(Invalid):
            audiences.count(work, parse('segment("s")'))
        assert audiences.create(work, "s", parse("nobody")).name == "s"
