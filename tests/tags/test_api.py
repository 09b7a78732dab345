"""Tags over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.tags.people import people, small_account
from tests.tags.served import Served
from tests.tracking.serving import serving

from tagcast import access
from tagcast.kit.uow import Runtime
from tagcast.server import create_app


@pytest.fixture
def api(runtime_sqlite: Runtime) -> Iterator[Served]:
    with runtime_sqlite.work(1, "test") as work:
        people(work, 5)
        small_account(work, members=3)
        key = access.issue_key(work, "test")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        yield Served(port, key)


def test_from_tree_to_undo(api: Served) -> None:
    status, gold = api("POST", "/tags", {"path": "会员/金卡", "parents": True})
    assert (status, gold["path"], gold["depth"]) == (201, "会员/金卡", 2)
    one = f"/tags/{gold['id']}"
    rows = [{"kind": "customer_id", "value": value} for value in ("c2", "nobody", "c3")]
    body = {"numbers": [1, 99], "identities": rows, "why": "bought a card"}
    status, done = api("POST", f"{one}/assign", body)
    assert (status, done["changed"]) == (200, 3)
    assert [(row["number"], row["status"]) for row in done["rows"]] == [
        (1, "changed"), (None, "unknown"), (2, "changed"), (None, "unknown"), (3, "changed"),
    ]  # fmt: skip
    status, again = api("POST", f"{one}/assign", body)
    assert (again["seq"], again["changed"], again["rows"][0]["status"]) == (None, 0, "unchanged")
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert api("GET", f"{one}/as-of?moment={before}")[1] == {"count": 0}
    assert api("POST", f"{one}/remove", {"numbers": [1, 4], "why": "no"})[1]["changed"] == 1
    assert [(tag["path"], tag["own"], tag["below"]) for tag in api("GET", "/tags")[1]["tags"]] == [
        ("会员", 0, 2), ("会员/金卡", 2, 2),
    ]  # fmt: skip
    changes = api("GET", f"{one}/history")[1]["changes"]
    assert [(change["op"], change["size"], change["why"]) for change in changes] == [
        ("remove", 1, "no"), ("add", 3, "bought a card"),
    ]  # fmt: skip
    assert [change["why"] for change in api("GET", f"{one}/history?op=add&why=CARD")[1]["changes"]] == ["bought a card"]
    assert api("GET", f"{one}/history?since=2026-01-01T00:00:00")[0] == 422
    status, moved = api("GET", f"{one}/diff?since={before}&until=2099-01-01T00:00:00Z")
    assert (moved["before"], moved["after"], moved["came_first"], moved["left"]) == (0, 2, [2, 3], 0)
    status, refused = api("GET", f"{one}/diff?since=2099-01-01T00:00:00Z&until=2099-01-02T00:00:00Z")
    assert (status, refused["code"]) == (422, "tags.diff_future")
    assert api("POST", "/tags/undo", {"seq": done["seq"]})[1]["change"]["size"] == 2
    assert api("POST", "/tags/undo", {"seq": done["seq"]})[0] == 409
    assert api("GET", "/tags/of/2")[1]["tags"] == []
    assert [change["op"] for change in api("GET", "/tags/of/2/history")[1]["changes"]] == ["remove", "add"]


def test_the_tree_is_changed(api: Served) -> None:
    root, leaf = (api("POST", "/tags", {"path": path})[1] for path in ("a", "a/b"))
    assert api("POST", f"/tags/{leaf['id']}/rename", {"name": "c"})[1]["path"] == "a/c"
    assert api("POST", f"/tags/{leaf['id']}/move", {"parent": None})[1]["path"] == "c"
    told = api("PATCH", f"/tags/{root['id']}", {"lifetime_days": 30, "exclusive": "replace"})[1]
    assert (told["lifetime_days"], told["exclusive"]) == (30, "replace")
    assert api("PATCH", f"/tags/{root['id']}", {"exclusive": None})[1]["lifetime_days"] == 30
    assert api("POST", f"/tags/{root['id']}/archive")[1]["archived"] is True
    assert [tag["path"] for tag in api("GET", "/tags")[1]["tags"]] == ["c"]
    assert api("POST", f"/tags/{root['id']}/restore")[1]["archived"] is False
    assert api("GET", f"/tags/{root['id']}")[1]["path"] == "a"


def test_refusals(api: Served, runtime_sqlite: Runtime) -> None:
    tag = api("POST", "/tags", {"path": "a", "account": 1})[1]["id"]
    assert api("POST", "/tags", {"path": "a", "account": 1})[0] == 409
    assert api("POST", "/tags", {"path": "a/b/c", "account": 1, "parents": True})[0] == 403
    assert api("POST", "/tags", {"path": "x", "colour": "red"})[0] == 422
    assert api("GET", "/tags?account=77")[0] == 404
    assert api("GET", "/tags/9999")[0] == 404
    status, problem = api("POST", f"/tags/{tag}/assign", {"numbers": [1, 2, 3, 4], "why": "t"})
    assert (status, problem["code"]) == (403, "tags.full")
    assert api("GET", "/tags?account=1")[1]["tags"][0]["own"] == 0
    for body in (
        {"numbers": list(range(1, 10_002)), "why": "t"},
        {"numbers": [0], "why": "t"},
        {"numbers": [1], "why": ""},
        {"numbers": [1], "why": "t", "until": "2099-01-01T00:00:00"},
        {"identities": [{"kind": "nonsense", "value": "x"}], "why": "t"},
    ):
        assert api("POST", f"/tags/{tag}/assign", body)[0] == 422, body
    with runtime_sqlite.system() as connection:
        other = access.create_workspace(connection, runtime_sqlite.master_key, "other")
    with runtime_sqlite.work(other, "test") as work:
        stranger = Served(api.port, access.issue_key(work, "other"))
    assert stranger("GET", f"/tags/{tag}")[0] == 404
    assert stranger("POST", f"/tags/{tag}/archive")[0] == 404
    assert Served(api.port, "tc_none")("GET", "/tags")[0] == 401


def test_a_repeated_write_is_answered_from_the_first(api: Served) -> None:
    first = api("POST", "/tags", {"path": "a"}, **{"Idempotency-Key": "k1"})
    assert api("POST", "/tags", {"path": "a"}, **{"Idempotency-Key": "k1"}) == first
    assert first[0] == 201
