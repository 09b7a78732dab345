"""`tagcast rule`, in a home of its own."""

from pathlib import Path

import pytest

from tagcast import access
from tagcast.kit.settings import Settings
from tests.cli.conftest import Shell
from tests.tags.people import people


@pytest.fixture
def tagcast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    home = tmp_path / "home"
    access.initialise(Settings(home=home))
    runtime = access.open_home(Settings(home=home))
    with runtime.work(1, "test") as work:
        people(work, 4)
    runtime.close()
    return Shell(home, capsys)


def test_a_rule_by_commands(tagcast: Shell) -> None:
    assert "tagcast rule create" in tagcast("rule", "ls").stderr
    tagcast("tags", "add", "会员")
    assert tagcast.json("rule", "try", "会员", "all")["added"] == 4
    made = tagcast.json("rule", "create", "会员", "all")
    assert made["state"] == "draft"
    assert tagcast.json("rule", "activate", "会员")["holders"] == 4
    assert tagcast.json("rule", "show", made["id"])["state"] == "active"
    assert tagcast.json("rule", "edit", "会员", "nobody")["version"] == 2
    assert tagcast.json("rule", "ls")[0]["holders"] == 0
    assert tagcast.json("rule", "restore", "会员", "1")["version"] == 3
    assert tagcast.json("rule", "stop", "会员")["state"] == "stopped"
    assert "已停止" in tagcast("rule", "ls", "--lang", "zh").stdout
    assert [line["what"] for line in tagcast.json("rule", "history", "会员")][-1] == "created"
    assert tagcast.json("rule", "rm", "会员", "--take", "--yes")["taken"] == 4
    assert "rule ls" in tagcast("rule", "show", "会员", code=2).stderr
    assert tagcast.json("rule", "history", made["id"])[0]["what"] == "deleted"
