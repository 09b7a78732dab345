"""The lake over HTTP: its state, a damaged file told and mended, its commits."""

import json
from typing import Any

from tests.features.story import Event, people, record
from tests.tracking.serving import call, serving

from tagcast import access
from tagcast.behaviour import moving
from tagcast.kit.uow import Runtime
from tagcast.server import create_app


def test_state_damage_and_commits_over_http(runtime_sqlite: Runtime) -> None:
    runtime = runtime_sqlite
    with runtime.work(1, "t") as work:
        key = access.issue_key(work, "test")
        people(work)
        record(work, [Event(n, "purchase", 2 * n) for n in range(1, 11)])
    moving.bring(runtime, 1)
    with runtime.work(1, "t") as work:
        record(work, [Event(1, "purchase", 1)], key="b")
    with serving(create_app(runtime), lifespan="on") as port:

        def ask(method: str, path: str) -> tuple[int, dict[str, Any]]:
            status, _, answer = call(port, f"/api/v1/lake{path}", method, Authorization=f"Bearer {key}")
            return status, json.loads(answer)

        status, found = ask("GET", "")
        assert status == 200
        assert found["engine"] == "duckdb"
        types = {one["type"]: one for one in found["types"]}
        assert [types["purchase"][name] for name in ("rows", "waiting", "agrees")] == [10, 1, True]
        assert types["purchase"]["last"].startswith("2026-03-29T")
        assert (types["view"]["rows"], types["view"]["first"]) == (0, None)
        assert ask("POST", "/verify") == (200, {"damaged": []})
        file = next((runtime.settings.home / "lake" / "w1" / "purchase").glob("*.parquet"))
        file.write_bytes(file.read_bytes()[:-1])
        for query, repaired in (("", False), ("?repair=true", True)):
            (wrong,) = ask("POST", f"/verify{query}")[1]["damaged"]
            assert (wrong["file"], wrong["repaired"]) == (file.name, repaired)
        assert ask("POST", "/verify") == (200, {"damaged": []})
        commits = ask("GET", "/purchase/commits")[1]["commits"]
        assert [one["what"] for one in commits] == ["repair", "append"]
        assert ask("GET", "/nothing/commits")[0] == 404
