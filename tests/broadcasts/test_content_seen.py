"""Files and texts over HTTP and on the command line."""

import json
from pathlib import Path

import pytest

from tagcast import access, broadcasts
from tagcast.server import create_app
from tests.broadcasts.conftest import Make
from tests.broadcasts.test_content_sent import GREETING, JPG, furnish
from tests.cli.conftest import Shell
from tests.tracking.serving import call, serving


def test_files_and_texts_over_http(make: Make) -> None:
    world = make("list", size=30)
    who = furnish(world, "service")
    with world.runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
        account = world.accounts["service"]
        content = {"kind": "text", "text": GREETING}
        draft = broadcasts.draft(work, name="x", account=account, audience="all", content=content).id
    headers = {"Authorization": f"Bearer {key}"}
    with serving(create_app(world.runtime), lifespan="on") as port:
        octets = {**headers, "Content_Type": "application/octet-stream"}
        status, _, answer = call(port, "/api/v1/media?name=a.jpg", "POST", body=JPG, **octets)
        made = json.loads(answer)
        assert (status, made["reference"], made["kind"], made["size"]) == (201, "media:1", "image", len(JPG))
        status, _, answer = call(port, "/api/v1/media?name=a.jpg", "POST", body=b"no picture", **octets)
        assert (status, json.loads(answer)["code"]) == (422, "broadcasts.media_content")
        assert call(port, "/api/v1/media/1/content", "GET", **headers)[2] == JPG
        assert [one["id"] for one in json.loads(call(port, "/api/v1/media", "GET", **headers)[2])["items"]] == [1]
        texts = json.loads(call(port, f"/api/v1/broadcasts/{draft}/texts", "GET", **headers)[2])
        assert sum(one["contacts"] for one in texts["texts"]) == len(who)
        assert texts["different"] == len(texts["texts"])
        assert {case["why"] for case in texts["cases"]} == {"longest", "shortest", "if", "else"}
        assert call(port, f"/api/v1/broadcasts/{draft}/texts?variant=B", "GET", **headers)[0] == 404
        assert call(port, "/api/v1/media/1", "DELETE", **headers)[0] == 200
        assert call(port, "/api/v1/media/1", "GET", **headers)[0] == 404


def test_files_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "home", capsys)
    shell("init")
    (tmp_path / "a.jpg").write_bytes(JPG)
    assert json.loads(shell("--json", "media", "add", str(tmp_path / "a.jpg")).stdout)["reference"] == "media:1"
    listed = shell("media", "ls", "--lang", "zh")
    assert "引用" in listed.stdout
    assert "media:1" in listed.stdout
    assert "none.jpg" in shell("media", "add", tmp_path / "none.jpg", code=2).stderr
    shell("--yes", "media", "rm", 1)
    assert "media:1" not in shell("media", "ls").stdout
