"""The benchmarks run, agree with their peers, and print the agreed row."""

import importlib
import importlib.util
import json

import pytest

from tagcast.cli import main

FIELDS = {"work", "size", "ours", "peer_name", "peer", "unit", "ratio", "bound", "equal"}


def test_import_agrees_with_its_peers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "import", "--size", "300", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["peer_name"] for row in rows} >= {"50,000 rows/s", "sqlite executemany"}
    assert all(set(row) in (FIELDS, BARS) and row["equal"] is True and row["size"] == 300 for row in rows)


def test_a_missing_peer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("chdb") is not None:
        pytest.skip("the peer is installed here")
    assert main(["bench", "audience", "--size", "1000"]) == 2
    assert "chdb" in capsys.readouterr().err


BARS = {"work", "size", "ours", "peer_name", "peer", "unit", "ratio", "bar", "met", "equal", "bound"}


@pytest.mark.parametrize(
    ("name", "peers"),
    [
        ("channels", {"wechatpy loop", "wechatpy 64 threads", "bare aiohttp", "bare fast"}),
        (
            "callbacks",
            {"10,000/s a core", "FastAPI, wechatpy, group commit", "FastAPI, wechatpy, a commit each", "limit"},
        ),
    ],
)
def test_answers_are_checked_and_each_ratio_has_a_bar(
    name: str, peers: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", name, "--size", "100", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["peer_name"] for row in rows} == peers
    assert all(set(row) == BARS and row["equal"] is True and type(row["met"]) is bool for row in rows)


@pytest.mark.usefixtures("small_audience")
def test_counts_are_those_of_every_peer_and_of_a_server_after_a_kill(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "audience", "--size", "2000", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(row) == BARS and row["equal"] is True for row in rows)
    titles = {row["work"].rpartition("contact: ")[2] for row in rows}
    assert {"resident after a start", "first answer after a kill", "by HTTP, p99, wall"} <= titles
    assert {"pyroaring", "duckdb, bits a tag", "duckdb, pairs", "chdb bitmaps"} <= {row["peer_name"] for row in rows}


@pytest.fixture
def small_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    """One index, few tags and expressions, and no server of PostgreSQL, which other tests know."""
    pytest.importorskip("chdb")
    audience = importlib.import_module("bench.audience")
    monkeypatch.setattr(audience, "SHAPES", audience.SHAPES[:1])
    monkeypatch.setattr(audience, "TAGS", 30)
    monkeypatch.setattr(audience, "EXPRESSIONS", 5)
    monkeypatch.setattr(audience, "BY_HTTP", 5)
    monkeypatch.setattr(audience, "SLOW", 5)
    monkeypatch.setattr(audience.peers, "EVERY", [one for one in audience.peers.EVERY if "postgresql" not in one[0]])


def test_a_plan_is_that_of_sql(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.import_module("bench.plan"), "TURNS", 1)
    assert main(["bench", "plan", "--size", "3000", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["peer_name"] for row in rows} >= {"postgresql joins", "postgresql, a row a recipient"}
    assert all(set(row) == BARS and row["equal"] is True for row in rows)
