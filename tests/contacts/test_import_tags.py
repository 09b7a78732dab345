"""Imports that give tags: by column, for the whole file, made on the way, refused, limited."""

from pathlib import Path

import pytest
from pyroaring import BitMap
from tests.contacts.test_api import Api
from tests.tracking.serving import serving

from tagcast import access, accounts, contacts, tags
from tagcast.kit.errors import Conflict, Invalid, NotFound, Refused
from tagcast.kit.uow import Runtime, Work
from tagcast.server import create_app

MAPPING = {"id": "identity:customer_id", "标签": "tag"}


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def held(work: Work, path: str, account: int | None = None) -> list[int]:
    return list(tags.holders(work, tags.find(work, path, account=account).id, below=False))


def run(
    runtime: Runtime, path: Path, mapping: dict[str, str], *, make_tags: bool = False, dry_run: bool = False
) -> contacts.ImportResult:
    above = contacts.Above(on_tags=tags.ON_IMPORT, make_tags=make_tags)
    return contacts.import_contacts(runtime, 1, path, mapping, above=above, dry_run=dry_run)


def test_cells_hold_one_or_several_tags_and_unknown_ones_refuse_their_row(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.work(1, "t") as work:
        for path in ("会员/金卡", "会员/银卡", "促销"):
            tags.create(work, path, parents=True)
        tags.archive(work, tags.create(work, "旧").id)
    path = write(
        tmp_path / "p.csv",
        "id,标签\nA,会员/金卡\nB,会员/金卡; 促销\nC,会员/银卡、促销；促销\nD,\n"
        "E,会员/金牌\nF,促销;会员/金牌\nG,旧\nA,促销\n",
    )
    rehearsed = run(runtime, path, MAPPING, dry_run=True)
    with runtime.read(1, "t") as work:
        assert held(work, "会员/金卡") == []
    result = run(runtime, path, MAPPING)
    assert (result.rows, result.made, result.matched, result.changed, result.refused) == (8, 4, 1, 0, 3)
    assert rehearsed.problems == result.problems
    assert [(one.line, one.code) for one in result.problems] == [
        (6, "tags.unknown"),
        (7, "tags.unknown"),
        (8, "tags.archived"),
    ]
    assert "会员/金卡" in result.problems[0].zh
    with runtime.read(1, "t") as work:
        assert (held(work, "会员/金卡"), held(work, "促销"), held(work, "会员/银卡")) == ([1, 2], [1, 2, 3], [3])
        assert contacts.everyone(work) == BitMap([1, 2, 3, 4])
        change = tags.history(work, tags.find(work, "促销").id)[0]
        assert change.why == f"import {result.job}"
    later = write(tmp_path / "later.csv", "id,标签\nD,促销\nA,促销\n")
    assert (run(runtime, later, MAPPING).changed, run(runtime, later, MAPPING).already) == (1, True)


def test_unknown_tags_are_made_when_asked_and_only_for_rows_that_come_in(runtime: Runtime, tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "id,标签\nA,新/一\n,新/二\nB,新//三\nC,新/一;旧\n")
    refused = run(runtime, path, MAPPING)
    assert (refused.made, refused.refused) == (0, 4)
    result = run(runtime, path, MAPPING, make_tags=True)
    assert (result.made, result.refused, result.already) == (2, 2, False)
    assert [one.code for one in result.problems] == ["contacts.no_identity", "tags.name_empty"]
    with runtime.read(1, "t") as work:
        assert sorted(node.tag.path for node in tags.tree(work)) == ["新", "新/一", "旧"]
        assert (held(work, "新/一"), held(work, "旧")) == ([1, 2], [2])


def test_a_file_gives_all_its_people_tags_of_the_workspace_and_of_an_account(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.work(1, "t") as work:
        account = accounts.add(
            work, accounts.NewAccount("custom", "shop", "whsec_" + "a" * 44, base_url="https://example.com/h")
        ).id
        tags.create(work, "名单", account=account)
        tags.create(work, "老客", account=account)
        tags.create(work, "名单")
    path = write(tmp_path / "p.csv", "id,标签\nA,老客\nB,\nC,nobody\n")
    mapping = {"id": "identity:customer_id", "标签": f"tag:{account}", "*": f"tag:{account}=名单"}
    with pytest.raises(Conflict, match="名单"):
        contacts.with_tags(mapping, ["x"])
    assert run(runtime, path, mapping).refused == 1
    other = contacts.with_tags({"id": "identity:customer_id"}, ["名单"])
    assert other == contacts.with_tags(other, []) == {"id": "identity:customer_id", "*": "tag=名单"}
    assert run(runtime, path, other).changed == 2
    with runtime.read(1, "t") as work:
        assert (held(work, "名单", account), held(work, "老客", account), held(work, "名单")) == (
            [1, 2],
            [1],
            [1, 2, 3],
        )


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"*": "tag=没有"}, "tags.unknown"),
        ({"*": "tag="}, "contacts.bad_all"),
        ({"*": "attribute:x"}, "contacts.bad_all"),
        ({"标签": "tag:77"}, "accounts.no_account"),
        ({"标签": "tag=没有"}, "contacts.unknown_target"),
        ({"标签": "tag:x"}, "contacts.unknown_target"),
    ],
)
def test_a_wrong_target_is_refused_before_anything(
    runtime_sqlite: Runtime, tmp_path: Path, extra: dict[str, str], code: str
) -> None:
    path = write(tmp_path / "p.csv", "id,标签\nA,x\n")
    with pytest.raises((Invalid, NotFound)) as caught:
        run(runtime_sqlite, path, {"id": "identity:customer_id", **extra})
    assert caught.value.code == code
    with pytest.raises(Invalid, match="tag"):
        contacts.import_contacts(runtime_sqlite, 1, path, MAPPING)


def test_a_limit_stops_the_chunk_whole_and_the_import_goes_on_when_there_is_room(
    runtime: Runtime, tmp_path: Path
) -> None:
    with runtime.work(1, "t") as work:
        tags.declare(work, tags.create(work, "级").id, exclusive="refuse")
        for name in ("金", "银"):
            tags.create(work, f"级/{name}")
    # So wide that a chunk has 20,000 rows.
    wide = "," * 58
    rows = [f"c{n},级/金{wide}\n" for n in range(20_000)]
    head = "id,标签" + "".join(f",x{n}" for n in range(58))
    path = write(tmp_path / "p.csv", f"{head}\n" + "".join(rows) + f"c1,级/银{wide}\nc_new,{wide}\n")
    with pytest.raises(Refused, match="after 20000 rows, for the next 2") as caught:
        run(runtime, path, MAPPING)
    assert caught.value.code == "contacts.import_stopped"
    assert "级/金" in caught.value.text("zh")
    with runtime.work(1, "t") as work:
        assert len(contacts.everyone(work)) == 20_000
        tags.declare(work, tags.find(work, "级").id, exclusive="replace")
    result = run(runtime, path, MAPPING)
    assert (result.rows, result.made, result.matched, result.changed) == (20_002, 20_001, 1, 1)
    with runtime.read(1, "t") as work:
        assert (held(work, "级/银"), len(held(work, "级/金"))) == ([2], 19_999)


def test_tags_a_rule_keeps_and_columns_that_hold_none(runtime_sqlite: Runtime, tmp_path: Path) -> None:
    with runtime_sqlite.work(1, "t") as work:
        tags.keep(work, tags.create(work, "kept").id, "rule:1")
        tags.create(work, "near 1")
    rows = "".join(f"c{n},near x{n}\n" for n in range(300))
    path = write(tmp_path / "p.csv", "id,标签\nA,kept\nB,near 1\n" + rows)
    result = run(runtime_sqlite, path, MAPPING)
    assert (result.made, result.refused) == (1, 301)
    assert result.problems[0].code == "tags.kept"
    assert "near 1" in result.problems[1].en


def test_over_http(runtime_sqlite: Runtime) -> None:
    with runtime_sqlite.work(1, "t") as work:
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        api = Api(port, key)
        fields = {"mapping": '{"id": "identity:customer_id", "标签": "tag"}', "tag": "都有"}
        content = "id,标签\nA,一\n".encode()
        assert api.upload("/contacts/imports", content, **fields)[0] == 404
        status, done = api.upload("/contacts/imports", content, **fields, make_tags="true")
    assert (status, done["made"]) == (200, 1)
    with runtime_sqlite.read(1, "t") as work:
        assert (held(work, "一"), held(work, "都有")) == ([1], [1])
