"""Upkeep over real HTTP."""

from collections.abc import Iterator

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd
from tests.tags.served import Served
from tests.tracking.serving import call, serving

from tagcast import access, audiences, tags
from tagcast.kit.uow import Runtime
from tagcast.server import create_app


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[Served]:
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 200)
        a, b = (tags.create(work, name).id for name in "ab")
        tags.assign(work, a, BitMap(range(1, 101)), why="t")
        tags.assign(work, b, BitMap(range(1, 100)), why="t")
        audiences.create(work, "s", audiences.parse('tag("b")'))
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Served(port, key)


def test_from_the_report_to_the_undo(api: Served) -> None:
    (found,) = api("GET", "/upkeep/report?kind=equal")[1]["findings"]
    assert found["suggested"] == {"do": "merge", "tag": 1, "into": 2, "members": "unite"}
    assert "99" in found["found"]
    status, _, csv = call(api.port, "/api/v1/upkeep/report?format=csv", "GET", Authorization=f"Bearer {api.key}")
    assert (status, csv.count(b"\r\n")) == (200, 2)
    assert [use["name"] for use in api("GET", "/upkeep/uses/2")[1]["uses"]] == ["s"]
    body = {"operations": [found["suggested"]]}
    effects = api("POST", "/upkeep/preview", body)[1]["effects"]
    assert api("GET", "/upkeep/acts")[1] == {"acts": []}
    status, act = api("POST", "/upkeep/acts", body)
    assert (status, act["effects"]) == (201, effects)
    assert [tag["own"] for tag in api("GET", "/tags")[1]["tags"]] == [100]
    assert api("POST", f"/upkeep/acts/{act['id']}/undo")[1]["undone_by"]
    assert [tag["own"] for tag in api("GET", "/tags")[1]["tags"]] == [100, 99]
    assert api("POST", f"/upkeep/acts/{act['id']}/undo")[0] == 409
    assert api("GET", f"/upkeep/acts/{act['id']}")[1]["undone_at"]


def test_thresholds_and_refusals(api: Served) -> None:
    assert api("PATCH", "/upkeep/thresholds", {"nearly_equal": 0.995})[1]["nearly_equal"] == 0.995
    assert api("GET", "/upkeep/report?kind=equal")[1]["findings"] == []
    assert api("PATCH", "/upkeep/thresholds", {"nearly_equal": None})[1]["nearly_equal"] == 0.9
    assert api("GET", "/upkeep/thresholds")[1]["stale_days"] == 180
    assert api("PATCH", "/upkeep/thresholds", {"tiny": -1})[0] == 422
    assert api("GET", "/upkeep/uses/99")[0] == 404
    assert api("POST", "/upkeep/acts", {"operations": [{"do": "archive", "tag": 2}]})[0] == 409
    assert api("POST", "/upkeep/preview", {"operations": []})[0] == 422
    assert api("GET", "/upkeep/acts/9")[0] == 404
