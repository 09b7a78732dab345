"""The tree: names, depth, number, moving, archiving."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from tests.tags.people import account, crowd, small_account

from tagcast import tags
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused, TagcastError
from tagcast.kit.uow import Runtime, Work


def paths(work: Work, of: int | None = None) -> list[str]:
    return [node.tag.path for node in tags.tree(work, of)]


def test_a_path_makes_missing_tags_only_when_asked(work: Work) -> None:
    with pytest.raises(NotFound) as caught:
        tags.create(work, "会员/金卡/一星")
    assert caught.value.params["path"] == "会员"
    made = tags.create(work, "会员/金卡/一星", parents=True)
    assert (made.path, made.depth, made.name, made.account) == ("会员/金卡/一星", 3, "一星", None)
    assert tags.create(work, "会员/金卡/二星").parent == made.parent
    assert tags.create(work, "三星", parent=made.parent).path == "会员/金卡/三星"
    assert paths(work) == ["会员", "会员/金卡", "会员/金卡/一星", "会员/金卡/二星", "会员/金卡/三星"]


def test_a_refused_path_makes_none_of_its_tags(work: Work) -> None:
    for path in ("a/b/", "a//b", "a/b/\u200b", "a/b/c\x00", "a/b／c", "a/" + "x" * 101, "/".join(["x" * 90] * 12)):
        with pytest.raises(TagcastError):
            tags.create(work, path, parents=True)
    assert paths(work) == []


@pytest.mark.parametrize("other", ["VIP 客户", "vip 客户", "ＶＩＰ　客户", " Vip  客户 "])
def test_width_case_and_spaces_make_no_other_name(work: Work, other: str) -> None:
    made = tags.create(work, "VIP 客户")
    with pytest.raises(Conflict) as caught:
        tags.create(work, other)
    assert caught.value.params["tag"] == made.id
    assert tags.find(work, other) == made
    assert tags.ensure(work, other) == made


@pytest.mark.parametrize("name", ["select", "'; DROP TABLE tag; --", "%", "_", "null", "🦄", "Ünïcode", '"', "\\"])
def test_a_name_is_only_a_name(work: Work, name: str) -> None:
    made = tags.create(work, name)
    assert tags.find(work, name).id == made.id
    assert paths(work) == [name]


@pytest.mark.parametrize(("kind", "depth"), [("wecom", 3), ("official", 2), ("service", 2)])
def test_depth_by_account_kind(work: Work, kind: str, depth: int) -> None:
    of = account(work, kind)  # type: ignore[arg-type]  # kinds from the table above
    deepest = "/".join("abcd"[:depth])
    assert tags.create(work, deepest, account=of, parents=True).depth == depth
    with pytest.raises(Refused) as caught:
        tags.create(work, f"{deepest}/x", account=of)
    assert caught.value.code == "tags.too_deep"
    assert (caught.value.params["most"], caught.value.params["profile"]) == (depth, "article")
    assert f"{depth}" in caught.value.text("zh")
    assert str(caught.value.params["source"]) in caught.value.text("en")


def test_the_workspace_and_custom_accounts_have_no_depth(work: Work) -> None:
    for of in (None, account(work, "custom")):
        assert tags.create(work, "/".join("abcdefghijklmnopqrstuvwxyz"), account=of, parents=True).depth == 26


def test_the_last_tag_that_fits_is_made_and_the_next_refused(work: Work) -> None:
    of = small_account(work, count=3)
    tags.create(work, "a/b", account=of, parents=True)
    with pytest.raises(Refused) as caught:
        tags.create(work, "c/d", account=of, parents=True)
    assert (caught.value.code, caught.value.params["most"]) == ("tags.too_many", 3)
    assert paths(work, of) == ["a", "a/b"]
    last = tags.create(work, "c", account=of)
    with pytest.raises(Refused):
        tags.create(work, "d", account=of)
    tags.archive(work, last.id)
    tags.create(work, "d", account=of)
    with pytest.raises(Refused):
        tags.restore(work, last.id)
    assert paths(work, of) == ["a", "a/b", "d"]


def test_an_unknown_path_names_the_nearest(work: Work) -> None:
    tags.create(work, "会员/金卡", parents=True)
    tags.create(work, "会员/银卡")
    for wrong, near in (("会员/金card", "会员/金卡"), ("会员/全卡", "会员/金卡"), ("银卡", "会员/银卡"), ("zzz", "–")):
        with pytest.raises(NotFound) as caught:
            tags.find(work, wrong)
        assert near in str(caught.value.params["near"]), wrong


def test_rename_and_move_keep_what_is_below(work: Work) -> None:
    leaf = tags.create(work, "a/b/c", parents=True)
    b = tags.find(work, "a/b")
    other = tags.create(work, "x/B", parents=True)
    assert tags.rename(work, b.id, "β").path == "a/β"
    assert tags.get(work, leaf.id).path == "a/β/c"
    assert tags.move(work, b.id, other.parent).path == "x/β"
    assert tags.get(work, leaf.id).path == "x/β/c"
    assert tags.move(work, b.id, None).path == "β"
    with pytest.raises(Conflict) as caught:
        tags.rename(work, other.id, "Β") and tags.move(work, b.id, other.parent)
    assert caught.value.code == "tags.exists"
    assert tags.rename(work, b.id, "Β".lower()).name == "β"


def test_a_tag_cannot_stand_below_itself_or_in_another_account(work: Work) -> None:
    of = account(work, "wecom")
    leaf = tags.create(work, "a/b/c", parents=True)
    root = tags.find(work, "a")
    for parent in (leaf.id, root.id):
        with pytest.raises(Conflict) as caught:
            tags.move(work, root.id, parent)
        assert caught.value.code == "tags.ring"
    foreign = tags.create(work, "a", account=of)
    with pytest.raises(Invalid) as wrong:
        tags.move(work, root.id, foreign.id)
    assert wrong.value.code == "tags.other_account"
    assert paths(work) == ["a", "a/b", "a/b/c"]


def test_a_move_that_would_be_too_deep_changes_nothing(work: Work) -> None:
    of = account(work, "wecom")
    tags.create(work, "a/b", account=of, parents=True)
    pair = tags.create(work, "c/d", account=of, parents=True)
    with pytest.raises(Refused) as caught:
        tags.move(work, int(pair.parent or 0), tags.find(work, "a/b", account=of).id)
    assert caught.value.params["path"] == "a/b/c/d"
    assert paths(work, of) == ["a", "a/b", "c", "c/d"]


def test_what_was_put_away_does_not_come_back_too_deep(work: Work) -> None:
    of = account(work, "wecom")
    leaf = tags.create(work, "a/b/c", account=of, parents=True)
    tags.archive(work, leaf.id)
    above = tags.create(work, "x", account=of)
    tags.move(work, tags.find(work, "a", account=of).id, above.id)
    with pytest.raises(Refused) as caught:
        tags.restore(work, leaf.id)
    assert caught.value.code == "tags.too_deep"
    assert tags.get(work, leaf.id).archived_at is not None
    tags.move(work, tags.find(work, "x/a", account=of).id, None)
    assert tags.restore(work, leaf.id).path == "a/b/c"


def test_archive_takes_what_is_below_and_restore_brings_that_back(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        leaf = tags.create(work, "a/b/c", parents=True)
        tags.create(work, "a/d")
        tags.archive(work, tags.find(work, "a/d").id)
        first = work.now
    with runtime.work(1, "test", now=first + timedelta(seconds=1)) as work:
        tags.archive(work, tags.find(work, "a").id)
        assert paths(work) == []
        with pytest.raises(NotFound):
            tags.find(work, "a/b/c")
        with pytest.raises(Conflict):
            tags.create(work, "a")
        with pytest.raises(Conflict):
            tags.restore(work, leaf.id)
    with runtime.work(1, "test") as work:
        tags.restore(work, leaf_root(work, leaf.id))
        assert paths(work) == ["a", "a/b", "a/b/c"]


def leaf_root(work: Work, tag_id: int) -> int:
    tag = tags.get(work, tag_id)
    return tag.id if tag.parent is None else leaf_root(work, tag.parent)


def test_the_tree_counts_own_holders_and_each_contact_below_once(work: Work) -> None:
    crowd(work, 10)
    gold, silver = tags.create(work, "会员/金卡", parents=True), tags.create(work, "会员/银卡")
    root = tags.find(work, "会员")
    from pyroaring import BitMap

    tags.assign(work, root.id, BitMap([1, 2]), why="t")
    tags.assign(work, gold.id, BitMap([2, 3, 4]), why="t")
    tags.assign(work, silver.id, BitMap([4, 5]), why="t")
    counts = {node.tag.path: (node.own, node.below) for node in tags.tree(work)}
    assert counts == {"会员": (2, 5), "会员/金卡": (3, 3), "会员/银卡": (2, 2)}
    assert tags.holders(work, root.id) == BitMap([1, 2, 3, 4, 5])
    assert tags.holders(work, root.id, below=False) == BitMap([1, 2])


def test_another_workspace_sees_no_tag(runtime: Runtime) -> None:
    from tagcast import access

    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        made = tags.create(work, "a/b", parents=True)
    with runtime.work(other, "test") as work:
        assert tags.tree(work) == []
        assert tags.every(work) == {}
        for attempt in (tags.get, tags.archive, tags.history, tags.holders):
            with pytest.raises(NotFound):
                attempt(work, made.id)
        assert tags.create(work, "a").path == "a"


def test_a_deep_tree_costs_no_more_statements(work: Work) -> None:
    tags.create(work, "/".join(f"t{i}" for i in range(40)), parents=True)
    for i in range(60):
        tags.create(work, f"wide {i}")
    seen: list[str] = []
    sa.event.listen(work.connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
    assert len(tags.tree(work)) == 100
    assert len([sql for sql in seen if " tag" in sql]) == 1
