"""Features over real HTTP and on the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.features.story import TODAY, Event, people, record
from tests.tracking.serving import call, serving

from tagcast import access, features
from tagcast.cli import main
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime
from tagcast.server import create_app

Ask = Callable[..., tuple[int, Any]]
BEFORE, AFTER = "2026-03-01", TODAY.isoformat()
EVENTS = [Event(n, "purchase", 5 * n, 100 * n) for n in range(1, 11)]


@pytest.fixture
def ask(runtime: Runtime) -> Iterator[Ask]:
    with runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
        people(work)
        record(work, EVENTS)
    with serving(create_app(runtime), lifespan="on") as port:

        def asked(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}
            status, _, answer = call(port, f"/api/v1{path}", method, body=data, **headers)
            return status, json.loads(answer)

        yield asked


def test_a_feature_from_its_definition_to_its_end(ask: Ask, runtime: Runtime) -> None:
    wanted = {"events": ["purchase"], "measure": "sum", "window_days": 30, "label_zh": "月消费"}
    status, body = ask("PUT", "/features/definitions/spend_30d", wanted)
    assert (status, body["version"], body["fields"], body["as_of"]) == (200, 1, ["spend_30d"], None)
    status, body = ask("POST", "/features/definitions/spend_30d/compute", {"as_of": AFTER})
    assert (status, body["progress"]["state"]) == (202, "waiting")
    features.recompute(runtime, 1, "spend_30d", as_of=TODAY)
    status, body = ask("GET", "/features/definitions/spend_30d")
    assert (status, body["present"]["contacts"], body["present"]["as_of"]) == (200, 5, AFTER)
    assert body["versions"][0]["created_by"].startswith("key:")
    status, body = ask("GET", "/features/fields/spend_30d/distribution")
    assert (status, body["contacts"], body["percentiles"]["50"], body["mean"]) == (200, 5, "3.00", 3.0)
    listed = {one["name"]: one for one in ask("GET", "/features")[1]["features"]}
    assert listed["spend_30d"]["layer"] == "custom"
    assert ask("GET", "/features/definitions")[1]["definitions"][-1]["name"] == "spend_30d"
    assert ask("DELETE", "/features/definitions/spend_30d") == (200, {"done": True})
    assert ask("GET", "/features/definitions/spend_30d")[0] == 404


def test_rfm_and_who_moved(ask: Ask) -> None:
    status, body = ask("POST", "/features/rfm", {"as_of": AFTER})
    assert (status, body["contacts"], sum(body["classes"].values())) == (200, 10, 10)
    assert ask("GET", "/features/rfm")[1]["grid"] == body["grid"]
    status, body = ask("GET", f"/features/rfm/migration?before={BEFORE}&after={AFTER}")
    assert (status, sum(map(sum, body["counts"]))) == (200, 10)
    to = body["classes"].index("")
    for index, name in enumerate(body["classes"]):
        if count := body["counts"][to][index]:
            path = f"/features/rfm/migration/members?before={BEFORE}&after={AFTER}&source=&target={_quoted(name)}"
            status, page = ask("GET", f"{path}&limit=1")
            assert (status, page["count"], len(page["contacts"])) == (200, count, 1)
            assert (page["next"] is None) == (count == 1)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


def test_layers_and_families(ask: Ask) -> None:
    status, body = ask("GET", "/features/layers")
    assert (status, {one["layer"] for one in body["features"]}) == (200, {"basic", "behaviour", "value", "social"})
    labels = {one["name"]: one["label_zh"] for one in body["features"]}
    assert (labels["basic.age"], labels["lifetime"]) == ("年龄", "生命周期价值")
    assert "order_average" in ask("POST", "/features/layers/value")[1]["made"]
    assert "os" in ask("POST", "/features/pest/device")[1]["made"]
    status, body = ask("GET", "/features/pest")
    assert (status, [one["label_zh"] for one in body["families"]]) == (200, ["人口", "设备", "行为", "社交"])
    members = {one["name"]: one for family in body["families"] for one in family["members"]}
    assert (members["views_7d"]["label_zh"], members["views_7d"]["there"]) == ("近7天浏览次数", False)
    assert members["basic.age.band"]["label_en"] == "age band"


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "/features/definitions/a", {"events": []}, 422, "features.bad_definition"),
    ("PUT", "/features/definitions/A!", {"events": ["purchase"]}, 422, "features.bad_name"),
    ("PUT", "/features/definitions/a", {"events": ["sneeze"]}, 404, "behaviour.no_event_type"),
    ("PUT", "/features/definitions/rfm.r", {"events": ["purchase"]}, 409, "features.name_taken"),
    ("POST", "/features/definitions/none/compute", {}, 404, "features.no_feature"),
    ("DELETE", "/features/definitions/rfm", None, 422, "features.standard"),
    ("GET", "/features/rfm?model=none", None, 404, "features.no_feature"),
    ("GET", "/features/rfm/migration?before=2026-03-02&after=2026-03-01", None, 422, "features.days_reversed"),
    ("POST", "/features/layers/none", None, 404, "features.no_layer"),
    ("POST", "/features/pest/none", None, 404, "features.no_family"),
    ("GET", "/features/fields/none/distribution", None, 404, "features.no_feature"),
]


def test_what_is_wrong_is_said(ask: Ask) -> None:
    for method, path, body, status, said in WRONG:
        found = ask(method, path, body)
        assert (found[0], found[1].get("code")) == (status, said), path


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setenv("TAGCAST_HOME", str(tmp_path / "home"))
    settings = Settings(home=tmp_path / "home")
    access.initialise(settings)
    runtime = access.open_home(settings)
    with runtime.work(1, "test") as work:
        people(work)
        record(work, EVENTS)
    runtime.close()

    def run(*line: str, code: int = 0) -> str:
        assert main(["--lang", "zh", "features", *line]) == code
        out = capsys.readouterr()
        return out.out + out.err

    assert "版本 1" in run("define", "spend_30d", "--event", "purchase", "--measure", "sum", "--window", "30")
    model = tmp_path / "model.json"
    model.write_text('{"kind": "rfm", "events": ["purchase"], "recency_events": ["view"], "parts": 3}')
    assert "rfm_online.class" in run("define", "rfm_online", "--from", str(model))
    assert "rfm_online" in run("compute", "--as-of", AFTER)
    assert "每日" in run("status")
    assert "90 %" in run("spread", "spend_30d")
    assert "重要价值" in run("spread", "rfm_online.class")
    assert "R3" in run("show", "rfm_online")
    assert "重要价值" in run("moves", "--before", BEFORE, "--after", AFTER)
    moves = ("moves", "--before", BEFORE, "--after", AFTER)
    found = json.loads(run(*moves, "--json"))
    target = max(range(len(found["classes"])), key=lambda at: found["counts"][-1][at])
    members = run(*moves, "--source", "", "--target", found["classes"][target]).split()
    assert len(members) == found["counts"][-1][target] > 0
    assert "客单价" in run("layers")
    assert "order_average" in run("use", "value")
    assert "os" in run("declare", "device")
    assert "操作系统" in run("pest", "device")
    assert "test" not in run("history", "spend_30d")
    run("delete", "spend_30d", code=2)
    assert "已删除" in run("delete", "spend_30d", "--yes")
    assert "spend_30d" not in run("ls")
    assert "JSON" in run("define", "x", "--event", "purchase", "--where", "[", code=2)
