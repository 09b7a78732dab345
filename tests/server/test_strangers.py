"""Another workspace's key meets nothing of what is kept here: what has a number is not found, lists are empty."""

from collections.abc import Iterator

import pytest

from tagcast import access
from tagcast.kit.uow import Runtime
from tagcast.server import create_app
from tests.tags.people import people
from tests.tags.served import Served
from tests.tracking.serving import serving

RULE, SEGMENT, TAG, ACT = "/rules/1", "/segments/1", "/tags/1", "/upkeep/acts/1"
NUMBERED: dict[tuple[str, str], object] = {
    ("GET", RULE): None,
    ("GET", f"{RULE}/history"): None,
    ("PUT", RULE): {"text": "all", "version": 1},
    ("DELETE", RULE): None,
    ("POST", f"{RULE}/try"): {"text": "all"},
    ("POST", f"{RULE}/activate"): {},
    ("POST", f"{RULE}/stop"): {},
    ("POST", f"{RULE}/restore"): {"version": 1},
    ("POST", "/rules"): {"tag": 1, "text": "all"},
    ("POST", "/rules/try"): {"tag": 1, "text": "all"},
    ("GET", SEGMENT): None,
    ("GET", f"{SEGMENT}/sizes"): None,
    ("POST", f"{SEGMENT}/sizes"): {},
    ("PUT", f"{SEGMENT}/keeping"): {"refresh": "live"},
    ("POST", f"{SEGMENT}/renew"): {},
    ("POST", f"{SEGMENT}/rename"): {"name": "theirs"},
    ("POST", f"{SEGMENT}/restore"): {},
    ("DELETE", SEGMENT): None,
    ("GET", TAG): None,
    ("PATCH", TAG): {"lifetime_days": 3},
    ("POST", f"{TAG}/rename"): {"name": "theirs"},
    ("POST", f"{TAG}/move"): {"parent": None},
    ("POST", f"{TAG}/archive"): {},
    ("POST", f"{TAG}/restore"): {},
    ("GET", f"{TAG}/history"): None,
    ("GET", f"{TAG}/as-of?moment=2026-11-01T00:00:00Z"): None,
    ("GET", f"{TAG}/diff?since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z"): None,
    ("GET", "/upkeep/uses/1"): None,
    ("GET", ACT): None,
    ("POST", f"{ACT}/undo"): {},
    ("POST", "/upkeep/preview"): {"operations": [{"do": "archive", "tag": 1}]},
    ("POST", "/upkeep/acts"): {"operations": [{"do": "empty", "tag": 1}]},
    ("GET", "/features/definitions/bought"): None,
    ("DELETE", "/features/definitions/bought"): None,
    ("POST", "/features/definitions/bought/compute"): {},
    ("GET", "/features/fields/bought/distribution"): None,
    ("POST", "/events/types/purchase/rebuild"): {},
    ("GET", "/lake/purchase/commits"): None,
    ("POST", "/segments/explain"): {"text": "all", "number": 1},
}
UNKNOWN = ('segment("ours")', 'tag("ours")', 'did("purchase")', "bought > 0")
LISTS = {
    "/rules": "rules", "/segments": "segments", "/segments/deleted": "segments", "/upkeep/acts": "acts",
    "/events/types": "types", "/tags": "tags", "/upkeep/report": "findings", "/lake": "types",
}  # fmt: skip


@pytest.fixture
def both(runtime_sqlite: Runtime) -> Iterator[tuple[Served, Served]]:
    """Those who have a tag, a segment, a rule, a clean-up, a feature, events; and strangers."""
    with runtime_sqlite.work(1, "test") as work:
        people(work, 5)
        key = access.issue_key(work, "ours")
    with runtime_sqlite.system() as connection:
        other = access.create_workspace(connection, runtime_sqlite.master_key, "other")
    with runtime_sqlite.work(other, "test") as work:
        strange = access.issue_key(work, "theirs")
    with serving(create_app(runtime_sqlite), lifespan="on") as port:
        ours = Served(port, key)
        made = [
            ours("POST", "/tags", {"path": "ours"}),
            ours("POST", "/tags", {"path": "old"}),
            ours("POST", "/tags/2/assign", {"numbers": [1, 2], "why": "t"}),
            ours("PUT", "/events/types/purchase", {"purpose": "t"}),
            ours("PUT", "/features/definitions/bought", {"events": ["purchase"], "measure": "count"}),
            ours("POST", "/segments", {"name": "ours", "text": "all"}),
            ours("POST", "/rules", {"tag": 1, "text": "all"}),
            ours("POST", "/upkeep/acts", {"operations": [{"do": "empty", "tag": 2}], "why": "t"}),
        ]
        assert [answer for answer in made if answer[0] not in (200, 201)] == []
        yield ours, Served(port, strange)


def test_strangers_find_nothing(both: tuple[Served, Served]) -> None:
    ours, theirs = both
    kept = {path: ours("GET", path)[1] for path in (RULE, SEGMENT, TAG, ACT, "/features/definitions/bought")}
    found = {what: theirs(*what, body) for what, body in NUMBERED.items()}
    assert {what: status for what, (status, _) in found.items() if status != 404} == {}
    assert [what for what, (_, problem) in found.items() if problem["code"].startswith("server.")] == []
    for path, name in LISTS.items():
        assert theirs("GET", path)[1][name] == [], path
    for text in UNKNOWN:
        for path in ("count", "explain", "table", "plan"):
            body = {"text": text, "number": 1, "dimensions": ["segments: ours"]}
            status, problem = theirs("POST", f"/segments/{path}", body)
            assert status in (404, 422), (path, text)
            assert "count" not in problem
    assert {path: ours("GET", path)[1] for path in kept} == kept
