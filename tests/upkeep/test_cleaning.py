"""Clean-ups: a merge rewrites every use, the preview is exact, the undo is whole."""

import pytest
import sqlalchemy as sa
from pyroaring import BitMap
from tests.tags.people import account, crowd, people

from tagcast import audiences, broadcasts, tag_rules, tags, upkeep
from tagcast.broadcasts.tables import broadcasts as broadcast_table
from tagcast.groups.tables import ways
from tagcast.kit import db
from tagcast.kit.errors import Conflict, Invalid, Refused
from tagcast.kit.uow import Work
from tagcast.tags.tables import sync_directions, sync_links
from tagcast.upkeep import Operation


def state(work: Work) -> object:
    """Everything that a clean-up may touch."""
    segments = [(one.name, audiences.to_json(one.expression)) for one in audiences.every(work)]
    drafts = [(one.id, one.audience) for one in sorted(broadcasts.all_(work), key=lambda one: one.id)]
    rows = {
        table.name: [tuple(row) for row in work.connection.execute(sa.select(*columns).order_by(*columns))]
        for table, columns in (
            (ways, (ways.c.id, ways.c.tag, ways.c.joined_tag)),
            (sync_links, (sync_links.c.account, sync_links.c.there, sync_links.c.tag)),
            (sync_directions, (sync_directions.c.account, sync_directions.c.tag, sync_directions.c.direction)),
        )
    }
    tree = {one.id: (one.path, one.archived_at is None) for one in tags.every(work).values()}
    held = {key: set(work.bitmaps.read(key)) for key in work.bitmaps.keys("tag")}
    return segments, rows, drafts, tree, held


def used(work: Work) -> tuple[int, int]:
    """老会员/金 and 会员/金 with every kind of use."""
    people(work, 9)
    wecom = account(work, "wecom")
    old, new = (tags.create(work, path, parents=True).id for path in ("老会员/金", "会员/金"))
    tags.create(work, "老会员/金/星")
    tags.create(work, "会员/金/星")
    tags.create(work, "老会员/金/新")
    tags.assign(work, old, BitMap([1, 2, 3]), why="t")
    tags.assign(work, new, BitMap([3, 4]), why="t")
    tags.assign(work, tags.find(work, "老会员/金/星").id, BitMap([5]), why="t")
    audiences.create(work, "gold", audiences.parse('tag("老会员/金") and not tag("会员/金/星")'))
    audiences.create(work, "over", audiences.parse('segment("gold") or tag("老会员")'))
    audiences.create(work, "star", audiences.parse('tag("老会员/金/星")'))
    common = {
        "workspace": 1, "account": wecom, "name": "d", "purpose": "marketing", "content": {}, "holdout_percent": 0.0,
        "route": "tasks", "settings": {}, "totals": {}, "running": {}, "created_at": 1, "created_by": "t",
        "audience": {"tag": "老会员/金"},
    }  # fmt: skip
    db.insert_many(work.connection, broadcast_table, [common | {"state": "draft"}, common | {"state": "finished"}])
    way = {
        "workspace": 1, "account": wecom, "tag": old, "name": "w", "chats": [], "auto_create": True, "base_name": "",
        "joined_tag": old, "state": "s", "config_id": "", "qr_code": "", "status": "ready", "created_at": 1,
        "created_by": "t",
    }  # fmt: skip
    db.insert_many(work.connection, ways, [way])
    link = dict.fromkeys(("group_id", "here_group", "here_name", "there_group", "there_name"), "x")
    row = {"workspace": 1, "account": wecom, "tag": old, "there": "et1", "met": True, "version": 1, "bearers": 3}
    db.insert_many(work.connection, sync_links, [row | link])
    direction = {"workspace": 1, "account": wecom, "tag": old, "direction": "both"}
    db.insert_many(work.connection, sync_directions, [direction])
    work.bitmaps.add(f"tag-base:{wecom}:{old}", BitMap([1]), why="t")
    audiences.freeze(work, "gold", why="kept")
    return old, new


def test_a_merge_rewrites_every_use_and_is_taken_back_as_a_whole(work: Work) -> None:
    old, new = used(work)
    before = state(work)
    merge = [Operation("merge", old, new)]
    foreseen = upkeep.preview(work, merge)
    assert state(work) == before
    act = upkeep.apply(work, merge, why="one of the two is enough")
    assert act.effects == foreseen
    (effect,) = foreseen
    assert {(one.path, one.before, one.after, one.gained, one.lost) for one in effect.sizes} == {
        ("老会员/金", 3, 0, 0, 3), ("会员/金", 2, 4, 2, 0), ("老会员/金/星", 1, 0, 0, 1), ("会员/金/星", 0, 1, 1, 0),
    }  # fmt: skip
    assert set(effect.archived) == {"老会员/金", "老会员/金/星"}
    assert effect.moved == ["老会员/金/新"]
    assert {kind for kind, _ in effect.uses} == {"segment", "broadcast", "group", "sync"}
    texts = {one.name: audiences.to_text(one.expression) for one in audiences.every(work)}
    assert "老会员/金" not in texts["gold"] + texts["star"]
    assert "老会员" in texts["over"]
    assert audiences.members(work, audiences.find(work, "star").expression) == BitMap([5])
    assert [broadcasts.get(work, number).audience["tag"] for number in (1, 2)] == ["会员/金", "老会员/金"]
    assert work.bitmaps.read(f"tag-base:1:{new}") == BitMap([1])
    upkeep.undo(work, act.id)
    assert state(work) == before
    with pytest.raises(Conflict):
        upkeep.undo(work, act.id)
    assert [(one.id, one.undone_by) for one in upkeep.acts(work)] == [(act.id, "test")]


def test_a_use_changed_since_stops_the_undo_and_nothing_is_taken_back(work: Work) -> None:
    old, new = used(work)
    act = upkeep.apply(work, [Operation("merge", old, new)])
    tags.assign(work, new, BitMap([9]), why="since")
    found = audiences.find(work, "star")
    audiences.update(work, found.id, audiences.parse('tag("会员")'))
    after = state(work)
    with pytest.raises(Conflict):
        upkeep.undo(work, act.id)
    assert state(work) == after


def test_a_merge_is_taken_back_though_the_tags_have_other_names_by_now(work: Work) -> None:
    old, new = used(work)
    audiences.create(work, "all of them", audiences.parse("all"))
    both = audiences.parse('tag("老会员/金") and segment("all of them")')
    audiences.create(work, "both", both)
    rule = tag_rules.create(work, tags.create(work, "kept").id, both)
    act = upkeep.apply(work, [Operation("merge", old, new)])
    tags.rename(work, tags.find(work, "会员").id, "众")
    assert broadcasts.get(work, 1).audience == {"tag": "众/金"}
    tags.rename(work, tags.find(work, "老会员").id, "旧")
    audiences.rename(work, audiences.find(work, "all of them").id, "everyone")
    upkeep.undo(work, act.id)
    assert [broadcasts.get(work, number).audience["tag"] for number in (1, 2)] == ["旧/金", "老会员/金"]
    assert audiences.to_text(audiences.find(work, "gold").expression) == 'tag("旧/金") and not tag("众/金/星")'
    found = (audiences.find(work, "both").expression, tag_rules.get(work, rule.id).definition.expression)
    assert {audiences.to_text(one) for one in found} == {'tag("旧/金") and segment("everyone")'}


def test_a_rule_that_says_something_else_by_now_is_not_overwritten(work: Work) -> None:
    old, new = used(work)
    rule = tag_rules.create(work, tags.create(work, "kept").id, audiences.parse('tag("老会员/金")'))
    act = upkeep.apply(work, [Operation("merge", old, new)])
    tag_rules.edit(work, rule.id, expression=audiences.parse("all"))
    with pytest.raises(Conflict) as caught:
        upkeep.undo(work, act.id)
    assert caught.value.code == "tag_rules.moved"
    assert audiences.to_text(tag_rules.get(work, rule.id).definition.expression) == "all"


def test_a_tag_does_not_come_back_below_one_that_was_put_away(work: Work) -> None:
    crowd(work, 3)
    for path in ("a/b", "c"):
        tags.create(work, path, parents=True)
    act = upkeep.apply(work, [Operation("merge", tags.find(work, "a/b").id, tags.find(work, "c").id)])
    tags.archive(work, tags.find(work, "a").id)
    before = state(work)
    with pytest.raises(Conflict) as caught:
        upkeep.undo(work, act.id)
    assert caught.value.code == "tags.archived"
    assert state(work) == before


def test_where_a_tag_is_used(work: Work) -> None:
    old, _ = used(work)
    star = tags.find(work, "老会员/金/星").id

    def told(tag: int) -> set[tuple[str, str, str]]:
        return {(one.use.kind, one.use.name, one.how) for one in upkeep.walk(upkeep.Graph(work).of(tag))}

    direct = {(kind, name, "itself") for kind, name in (("segment", "gold"), ("broadcast", "d"), ("group", "w"))}
    assert direct < told(old)
    assert ("segment", "over", "through") in told(old)
    assert ("segment", "star", "itself") in told(star)
    assert ("segment", "gold", "above") in told(star)
    lines = upkeep.used_lines(upkeep.Graph(work).of(old), "zh")
    assert any(line.startswith("  人群 over") for line in lines)
    with pytest.raises(Conflict) as caught:
        upkeep.apply(work, [Operation("archive", old)])
    assert caught.value.code == "upkeep.in_use"
    assert "gold" in str(caught.value.params["uses"])


def test_several_things_at_once_or_none(work: Work) -> None:
    crowd(work, 9)
    a, b, c = (tags.create(work, name).id for name in "abc")
    for tag in (a, b, c):
        tags.assign(work, tag, BitMap([1, 2]), why="t")
    audiences.create(work, "uses c", audiences.parse('tag("c")'))
    before = state(work)
    with pytest.raises(Conflict):
        upkeep.apply(work, [Operation("empty", a), Operation("archive", b), Operation("archive", c)])
    assert state(work) == before
    act = upkeep.apply(work, [Operation("empty", a), Operation("archive", b)])
    assert tags.holders(work, a) == BitMap()
    tags.assign(work, a, BitMap([2]), why="since")
    upkeep.undo(work, act.id)
    assert tags.holders(work, a) == BitMap([1, 2])
    assert tags.get(work, b).archived_at is None
    for wrong in (
        [], [Operation("merge", a)], [Operation("archive", a, b)], [Operation("empty", a), Operation("archive", a)],
        [Operation("burn", a)],  # type: ignore[arg-type]  # unknown
    ):  # fmt: skip
        with pytest.raises(Invalid):
            upkeep.preview(work, wrong)


def test_merges_that_cannot_be(work: Work) -> None:
    from tests.tags.people import small_account

    crowd(work, 9)
    of = small_account(work, members=3, depth=2)
    a, b = (tags.create(work, name, account=of).id for name in "ab")
    below = tags.create(work, "a/x", account=of).id
    tags.assign(work, a, BitMap([1, 2]), why="t")
    tags.assign(work, b, BitMap([3, 4]), why="t")
    other = tags.create(work, "a").id
    before = state(work)
    for source, target, error in ((a, b, Refused), (a, below, Conflict), (a, a, Invalid), (a, other, Invalid)):
        with pytest.raises(error):
            upkeep.apply(work, [Operation("merge", source, target)])
        assert state(work) == before
    upkeep.apply(work, [Operation("merge", a, b, "common")])
    assert tags.holders(work, b) == BitMap()
    assert tags.get(work, below).path == "b/x"


def test_who_holds_two_of_a_group_keeps_the_last(work: Work) -> None:
    crowd(work, 9)
    group, x, y = (tags.create(work, path).id for path in ("g", "g/x", "g/y"))
    tags.assign(work, x, BitMap([1, 2, 3]), why="t")
    tags.assign(work, y, BitMap([2, 3]), why="t")
    tags.remove(work, x, BitMap([3]), why="t")
    tags.assign(work, x, BitMap([3]), why="t")
    with pytest.raises(Invalid):
        upkeep.apply(work, [Operation("settle", group)])
    tags.declare(work, group, exclusive="refuse")
    act = upkeep.apply(work, [Operation("settle", group)])
    assert (tags.holders(work, x), tags.holders(work, y)) == (BitMap([1, 3]), BitMap([2]))
    upkeep.undo(work, act.id)
    assert len(tags.violations(work)[0].contacts) == 2
