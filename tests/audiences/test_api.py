"""Segments over real HTTP."""

from collections.abc import Iterator

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd
from tests.tags.served import Served
from tests.tracking.serving import call, serving

from tagcast import access, tags
from tagcast.kit.uow import Runtime
from tagcast.server import create_app


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[Served]:
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 9)
        for name, numbers in (("a", [1, 2, 3]), ("b", [3, 4])):
            tags.assign(work, tags.create(work, name).id, BitMap(numbers), why="t")
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Served(port, key)


def test_counting_while_editing(api: Served) -> None:
    text, form = 'tag("a") and not tag("b")', {"and": [{"tag": "a"}, {"not": {"tag": "b"}}]}
    for body in ({"text": "标签(“a”) 且 not 标签(“b”)"}, {"json": form}):
        status, found = api("POST", "/segments/count", body)
        assert (status, found["count"], found["text"], found["json"]) == (200, 2, text, form)
        assert 0 < found["took_ms"] < 5000


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "audiences.one_form"),
        ({"text": "all", "json": {"all": True}}, 422, "audiences.one_form"),
        ({"text": 'tag("A"'}, 422, "audiences.text_ends"),
        ({"text": 'tag("aa")'}, 422, "audiences.unknown_tag"),
        ({"json": {"tag": "a", "or": []}}, 422, "audiences.no_kind"),
        ({"text": "(" * 19_000}, 403, "audiences.too_large"),
        ({"text": "all", "name": "x"}, 422, None),
        ({"text": "\ud800"}, 422, "audiences.bad_text"),
        ({"json": {"tag": "\ud800"}}, 422, "audiences.bad_characters"),
    ],
)
def test_what_cannot_be_counted(api: Served, body: object, status: int, code: str | None) -> None:
    got, problem = api("POST", "/segments/count", body)
    assert got == status
    if code is not None:
        assert problem["code"] == code


def test_a_segment_from_making_to_deleting(api: Served) -> None:
    status, made = api("POST", "/segments", {"name": "s", "text": 'tag("a")', "description": "d"})
    assert (status, made["version"], made["json"]) == (201, 1, {"tag": "a"})
    top = api("POST", "/segments", {"name": "top", "json": {"not": {"segment": "s"}}})[1]
    one = f"/segments/{made['id']}"
    assert api("GET", one)[1]["used_by"] == {"segment": ["top"]}
    assert [segment["name"] for segment in api("GET", "/segments")[1]["segments"]] == ["s", "top"]
    assert api("PUT", one, {"text": 'tag("b")', "version": 1})[1]["version"] == 2
    assert api("PUT", one, {"text": 'tag("b")', "version": 1})[0] == 409
    assert api("PUT", one, {"text": 'segment("top")'})[1]["code"] == "audiences.ring"
    assert api("POST", "/segments/count", {"text": 'segment("top")'})[1]["count"] == 7
    assert api("DELETE", one)[0] == 409
    assert api("DELETE", f"/segments/{top['id']}")[0] == 200
    assert api("DELETE", one)[0] == 200
    assert api("GET", one)[0] == 404


def test_looking_into_an_audience(api: Served) -> None:
    pages, after = [], 0
    while after is not None:
        page = api("POST", "/segments/members", {"text": "all", "after": after, "limit": 4})[1]
        assert page["count"] == 9
        pages.append(page["numbers"])
        after = page["next"]
    assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert api("POST", "/segments/sample", {"text": 'tag("a")', "size": 9})[1] == {"numbers": [1, 2, 3]}
    explained = api("POST", "/segments/explain", {"text": 'tag("a") and tag("b")', "number": 1})[1]
    assert (explained["holds"], [part["holds"] for part in explained["parts"]]) == (False, [True, False])
    both = {"of": [{"text": 'tag("a")'}, {"json": {"tag": "b"}}]}
    overlap = api("POST", "/segments/overlap", both)[1]
    assert overlap["pairs"] == [{"a": 0, "b": 1, "both": 1, "only_a": 2, "only_b": 1, "jaccard": 0.25}]
    assert [(one["inside"], one["size"]) for one in overlap["regions"]] == [([0], 2), ([1], 1), ([0, 1], 1)]


def test_using_an_audience(api: Served) -> None:
    new = api("POST", "/tags", {"path": "new"})[1]["id"]
    body = {"text": 'tag("a") or tag("b")', "tag": new, "why": "a segment"}
    assert api("POST", "/segments/tag", body)[1]["changed"] == 4
    assert api("POST", "/segments/tag", body)[1] == {"seq": None, "changed": 0}
    status, frozen = api("POST", "/segments/freeze", {"text": 'tag("new")', "why": "a broadcast"})
    assert (status, frozen["size"], len(frozen["digest"])) == (201, 4, 64)


def test_looking_closer(api: Served) -> None:
    api("POST", "/segments", {"name": "s", "text": 'tag("a")'})
    explained = api("POST", "/segments/explain", {"text": 'tag("a") and tag("b")', "number": 1})[1]
    assert [part["matters"] for part in explained["parts"]] == [False, True]
    fact = explained["parts"][0]["facts"][0]
    assert (fact["code"], fact["params"]["who"], fact["zh"] != fact["en"]) == ("tag_held", "test", True)
    assert api("POST", "/segments/explain", {"text": "all", "number": 99})[0] == 404
    of = {"of": [{"text": 'tag("a")'}, {"text": 'tag("b")'}, {"text": "all"}]}
    assert api("POST", "/segments/matrix", of)[1]["pairs"][1]["jaccard"] == 3 / 9
    region = api("POST", "/segments/overlap/region", {**of, "inside": [0, 2]})[1]
    assert (region["count"], region["text"]) == (2, 'tag("a") and all and not tag("b")')
    table = {"dimensions": ["tag: a", "segments: s"], "text": "not nobody"}
    found = api("POST", "/segments/table", table)[1]
    assert (found["total"], found["sizes"]) == (9, [3, 0, 0, 6])
    assert api("POST", "/segments/table/cell", {**table, "place": [0, 0]})[1]["count"] == 3
    assert api("POST", "/segments/table", {"dimensions": ["x"]})[1]["code"] == "audiences.unknown_dimension"
    plan = api("POST", "/segments/plan", {"text": 'tag("a") or segment("s")'})[1]
    assert (plan["size"], plan["asked"], plan["root"]["kind"]) == (3, [], "group")
    since = {"text": 'tag("a")', "since": "2020-01-01T00:00:00Z", "sample": 2}
    moved = api("POST", "/segments/difference", since)[1]
    assert (moved["before"], moved["came"], moved["left"], len(moved["came_sample"])) == (0, 3, 0, 2)
    assert api("POST", "/segments/as-of", {"text": "all", "at": "2020-01-01T00:00:00Z"})[1]["count"] == 0
    assert api("POST", "/segments/as-of", {"text": "all", "at": "2020-01-01T00:00:00"})[0] == 422


def test_a_segment_over_time(api: Served) -> None:
    made = api("POST", "/segments", {"name": "s", "text": 'tag("a")'})[1]
    one = f"/segments/{made['id']}"
    assert api("POST", f"{one}/sizes")[1]["size"] == 3
    trend = api("GET", f"{one}/sizes?rebuild=true&since=2026-11-01")[1]
    assert (trend["now"], trend["sizes"][-1]["size"]) == (3, 3)
    kept = api("PUT", f"{one}/keeping", {"refresh": "scheduled", "every_hours": 24})[1]
    assert (kept["kept"], kept["fresh_at"] is not None) == (3, True)
    assert api("GET", one)[1]["kept"] == 3
    assert api("POST", f"{one}/renew")[1]["kept"] == 3
    assert api("PUT", f"{one}/keeping", {"refresh": "scheduled", "every_hours": 5})[1]["code"] == "audiences.bad_rhythm"
    assert api("POST", f"{one}/rename", {"name": "t"})[1]["name"] == "t"
    assert api("DELETE", one)[0] == 200
    assert [gone["name"] for gone in api("GET", "/segments/deleted")[1]["segments"]] == ["t"]
    assert api("POST", f"{one}/restore")[1]["name"] == "t"


def test_tables_and_sizes_as_files(api: Served) -> None:
    made = api("POST", "/segments", {"name": "=cmd", "text": 'tag("a")'})[1]
    head = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    body = b'{"dimensions": ["segments: =cmd"]}'
    status, headers, table = call(api.port, "/api/v1/segments/table?format=csv", "POST", body=body, **head)
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    # A spreadsheet must not run it.
    assert table.decode().splitlines() == ["segments,size", "'=cmd,3", "none,6"]
    status, _, sizes = call(api.port, f"/api/v1/segments/{made['id']}/sizes?format=csv", **head)
    assert (status, sizes.decode().splitlines()[1].endswith(",1,3,false")) == (200, True)


@pytest.mark.parametrize("number", [2**64, 10**30])
def test_a_number_that_nothing_can_have_is_told_as_it_was_sent(api: Served, number: int) -> None:
    for method, path, body in (
        ("POST", f"/segments/{number}/restore", None),
        ("GET", f"/tags?account={number}", None),
        ("PATCH", "/upkeep/thresholds", {"tiny": number}),
        ("POST", "/upkeep/preview", {"operations": [{"do": "empty", "tag": number}]}),
    ):
        status, problem = api(method, path, body)
        assert (status in (404, 422), problem["remedy"] != "") == (True, True), (path, problem)
