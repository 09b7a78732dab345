"""Logs are JSON lines that cannot hold what a person is called or wrote."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tagcast.kit import logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    logs.configure("INFO")
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logs.configure("WARNING")


def test_unknown_fields_are_dropped(lines: Lines) -> None:
    logs.get("part").info("batch sent", account=3, openid="o-canary-123", phone="13800000000", name="张三")
    (line,) = lines()
    assert {name: line[name] for name in ("event", "component", "level", "account")} == {
        "event": "batch sent",
        "component": "part",
        "level": "info",
        "account": 3,
    }
    assert set(line) == {"event", "component", "level", "account", "ts"}


def test_an_exception_leaves_its_type_and_not_its_text(lines: Lines) -> None:
    log = logs.get("part")
    try:
        int("张三 wrote 13800000000")
    except ValueError:
        log.exception("work failed", kind="deliver")
    (line,) = lines()
    assert line["exc_type"] == "ValueError"
    assert "13800000000" not in json.dumps(line)
    assert "张三" not in json.dumps(line, ensure_ascii=False)


def test_levels_are_kept(lines: Lines) -> None:
    logs.get("part").debug("not this")
    logs.get("part").error("but this")
    assert [line["event"] for line in lines()] == ["but this"]
