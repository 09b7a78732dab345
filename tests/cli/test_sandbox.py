"""`tagcast sandbox …` against a sandbox that runs: what is typed on the way to a first account."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Shell


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A sandbox of its own."""
    command = [sys.executable, "-m", "wechat_sandbox", "--population", "50", "--state", str(tmp_path / "sandbox.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.fixture
def sandbox(empty: Shell, address: str) -> Shell:
    empty.environ |= {"WECHAT_SANDBOX_URL": address, "TAGCAST_ALLOW_PRIVATE": "true"}
    return empty


def test_a_file_in_the_way_is_told_before_an_account_is_opened(sandbox: Shell, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("mine")
    assert str(file) in sandbox("sandbox", "account", "service", "店", "--secrets", file, code=2).stderr
    assert sandbox.json("sandbox", "accounts") == []
    assert file.read_text() == "mine"


def test_what_the_sandbox_refuses_is_a_sentence_of_its_own(sandbox: Shell, tmp_path: Path) -> None:
    done = sandbox("sandbox", "account", "telegram", "店", "--secrets", tmp_path / "x", code=2)
    assert "kind must be one of wecom" in done.stderr
    assert "demo" not in done.stderr
    assert "no account 9" in sandbox("sandbox", "callback", 9, "http://127.0.0.1:9/", code=2).stderr
    sandbox("sandbox", "account", "service", "店", "--secrets", tmp_path / "x")
    done = sandbox("sandbox", "callback", 1, "http://192.0.2.1/", "--lang", "zh", code=2)
    assert done.stderr.startswith("沙箱拒绝：callback_url must be a loopback address")


def test_a_name_is_shown_as_the_shell_takes_it(sandbox: Shell, tmp_path: Path) -> None:
    done = sandbox("sandbox", "account", "service", "<b> a'b", "--secrets", tmp_path / "a b.env")
    line = done.stderr.partition(": ")[2]
    plain = sandbox("sandbox", "account", "service", "旗舰店", "--secrets", tmp_path / "b.env").stderr
    assert "tagcast account add service 旗舰店 --appid" in plain
    said = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[:5] == ["tagcast", "account", "add", "service", "<b> a'b"]
    assert str(tmp_path / "a b.env") in said.splitlines()


def test_a_callback_takes_the_keys_that_the_product_made(sandbox: Shell, address: str, tmp_path: Path) -> None:
    sandbox("sandbox", "account", "service", "店", "--secrets", tmp_path / "a.env")
    keys = ("--token", "mytoken123", "--aes-key", "a" * 42 + "A")
    assert "tagcast serve" in sandbox("sandbox", "callback", 1, "http://127.0.0.1:9/", *keys, code=2).stderr
    with urllib.request.urlopen(f"{address}/sandbox/accounts/1", timeout=10) as answer:
        made = json.load(answer)
    assert (made["callback_url"], made["token"]) == ("http://127.0.0.1:9/", "mytoken123")
    assert made["encoding_aes_key"] == keys[3]
