"""Segments over real HTTP."""

from collections.abc import Iterator

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd
from tests.tags.served import Served
from tests.tracking.serving import serving

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
