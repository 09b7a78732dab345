"""Rules over real HTTP."""

from collections.abc import Iterator

import pytest

from tagcast import access
from tagcast.kit.uow import Runtime
from tagcast.server import create_app
from tests.tag_rules.keeping import eager, settle
from tests.tags.people import people
from tests.tags.served import Served
from tests.tracking.serving import serving


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[Served]:
    with runtime_sqlite.work(1, "test") as work:
        people(work, 5)
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Served(port, key)


def test_from_a_draft_to_its_end(api: Served, runtime_sqlite: Runtime) -> None:
    turning = eager()
    ids = {path: api("POST", "/tags", {"path": path})[1]["id"] for path in ("a", "b")}
    api("POST", f"/tags/{ids['a']}/assign", {"numbers": [1, 2], "why": "test"})
    wanted = {"tag": ids["b"], "text": 'tag("a")'}
    status, found = api("POST", "/rules/try", wanted)
    assert (status, found["added"]["count"], found["problem"]) == (200, 2, None)
    assert {one["number"]: one["why"]["holds"] for one in found["added"]["sample"]} == {1: True, 2: True}
    status, made = api("POST", "/rules", wanted)
    assert (status, made["state"], made["path"], made["lag"]) == (201, "draft", "b", None)
    one = f"/rules/{made['id']}"
    assert api("POST", "/rules", wanted)[0] == 409
    assert api("POST", f"{one}/activate", {})[1]["state"] == "filling"
    settle(turning, runtime_sqlite)
    listed = api("GET", "/rules")[1]["rules"]
    assert [(rule["state"], rule["holders"], rule["lag"]) for rule in listed] == [("active", 2, 0)]
    assert listed[0]["acted_at"] is not None
    status, refused = api("POST", f"/tags/{ids['b']}/assign", {"numbers": [3], "why": "by hand"})
    assert (status, refused["code"]) == (409, "tags.kept")
    assert api("POST", f"{one}/try", {"text": "all"})[1]["added"]["count"] == 3
    assert api("PUT", one, {"text": "all", "version": 1})[1]["version"] == 2
    assert api("PUT", one, {"text": "nobody", "version": 1})[0] == 409
    settle(turning, runtime_sqlite)
    assert api("GET", one)[1]["holders"] == 5
    assert api("POST", f"{one}/restore", {"version": 1})[1]["text"] == 'tag("a")'
    assert api("POST", f"{one}/stop", {})[1]["state"] == "stopped"
    what = [line["what"] for line in api("GET", f"{one}/history")[1]["lines"]]
    assert what == ["stopped", "restored", "edited", "activated", "created"]
    assert api("DELETE", f"{one}?take=true") == (200, {"taken": 5})
    assert api("GET", one)[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"text": 'tag("x")'}, 422), ({"text": "all", "json": {"all": True}}, 422), ({"text": "("}, 422)],
)
def test_what_is_no_rule_is_told(api: Served, body: dict[str, object], status: int) -> None:
    tag = api("POST", "/tags", {"path": "a"})[1]["id"]
    assert api("POST", "/rules", {"tag": tag, **body})[0] == status
    assert api("GET", "/rules")[1] == {"rules": []}
