"""A company's own system from the command line: connect it, import its members, send, let them act, read the report."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shell
from tests.flows.test_story import free_ports

PEOPLE = 900


@contextmanager
def running(*arguments: str, **environ: str) -> Iterator[str]:
    """A program until the block ends; the address that it prints."""
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, **environ}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[str]:
    state = str(tmp_path / "sandbox.db")
    with running("wechat_sandbox", "--port", "0", "--state", state, "--population", str(PEOPLE), "--seed", "7") as url:
        yield url


def judge(url: str, account: int, expected: list[str]) -> dict[str, Any]:
    body = json.dumps({"account": account, "expected": expected}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/sandbox/ledger/judge", body), timeout=20) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return {name: found[name] for name in ("lost", "duplicated", "forbidden", "unexpected")}


def members_of(file: Path, column: str) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as rows:
        return [row[column] for row in csv.DictReader(rows) if row[column]]


def connect(tagcast: Shell, box: str, folder: Path) -> int:
    """Open a receiver in the sandbox and type the line that it prints; its number there."""
    made = tagcast("sandbox", "account", "custom", "会员系统", "--secrets", folder / "hook.env", "--url", box)
    (line,) = re.findall(r"tagcast (account add .*)", made.stdout + made.stderr)
    assert "--secrets" in line
    assert (folder / "hook.env").read_text().startswith("secret=whsec_")
    tagcast(*shlex.split(line))
    found = tagcast.json("account", "check", "会员系统")
    assert [(item["check"], item["state"]) for item in found["items"]] == [("receiver", "ok"), ("signature", "ok")]
    accounts = tagcast.json("sandbox", "accounts", "--url", box)
    return int(accounts[0]["id"])


def test_from_the_secret_to_the_report(tagcast: Shell, box: str, tmp_path: Path) -> None:
    port = free_ports()[0]
    tagcast.environ |= {"TAGCAST_ALLOW_PRIVATE": "true", "TAGCAST_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    tagcast.environ |= {"TAGCAST_SETTLE_SECONDS": "1"}
    number = connect(tagcast, box, tmp_path)
    members, mapping = tmp_path / "members.csv", tmp_path / "map.toml"
    assert tagcast.json("sandbox", "people", members, "--url", box)["rows"] == PEOPLE
    ids = members_of(members, f"member_id_{number}")
    assert PEOPLE / 3 < len(ids) < PEOPLE
    mapping.write_text(f'unionid = "identity:unionid"\nmember_id_{number} = "identity:member_id:1"\n', "utf-8")
    assert tagcast.json("contacts", "import", members, "--map", mapping)["made"] == PEOPLE
    consents = tmp_path / "consents.csv"
    consents.write_text("id,ok\n" + "".join(f"{one},是\n" for one in ids), "utf-8")
    mapping.write_text('id = "identity:member_id:1"\nok = "consent:marketing"\n', "utf-8")
    assert tagcast.json("contacts", "import", consents, "--map", mapping)["matched"] == len(ids)
    content = {"kind": "article", "title": "会员日", "body": "全场优惠", "url": "https://shop.example.com/"}
    said = {"name": "会员日", "account": "会员系统", "audience": "all", "content": content}
    (tmp_path / "draft.json").write_text(json.dumps(said), "utf-8")
    tagcast("quiet", "off", "--why", "tests run at any hour")
    draft = tagcast.json("broadcast", "draft", tmp_path / "draft.json")
    plan = tagcast.json("broadcast", "plan", draft["id"])
    steps = {step["name"]: step["count"] for step in plan["steps"]}
    assert (steps["addressed"], steps["no_identity"], steps["assigned"]) == (PEOPLE, PEOPLE - len(ids), len(ids))
    tagcast("broadcast", "send", plan["hash"], "--yes")
    with running("tagcast", "serve", "--port", str(port), **tagcast.environ):
        state = wait(tagcast, draft["id"])
        acted = tagcast.json("sandbox", "act", "--url", box)
    assert (state["state"], state["accepted"]) == ("finished", len(ids))
    assert judge(box, number, ids) == {"lost": 0, "duplicated": 0, "forbidden": 0, "unexpected": 0}
    (report,) = tagcast.json("report", "broadcast", draft["id"])
    figures = {one["name"]: one["numerator"] for one in report["figures"]}
    assert acted["opened"] > acted["clicked"] > 0
    assert (figures["opened"], figures["clicked"]) == (acted["opened"], acted["clicked"])


def wait(tagcast: Shell, broadcast: int) -> dict[str, Any]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state: dict[str, Any] = tagcast.json("broadcast", "status", broadcast)
        if state["state"] in ("finished", "paused"):
            return state
        time.sleep(0.3)
    raise AssertionError(state)


def test_a_secret_is_made_and_shown_once(tagcast: Shell, box: str) -> None:
    tagcast.environ |= {"TAGCAST_ALLOW_PRIVATE": "true"}
    added = tagcast("account", "add", "custom", "会员系统", "--url", f"{box}/webhook/in?account=1", "--lang", "zh")
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/]{32}", added.stdout + added.stderr)
    assert secret not in added.stdout
    for command in (("account", "show", "会员系统"), ("account", "ls"), ("doctor",)):
        shown = tagcast(*command)
        assert "whsec_" not in shown.stdout + shown.stderr
    tagcast.json("sandbox", "accounts", "--url", box)
    unknown = tagcast("account", "check", "会员系统", "--json", code=2)
    assert json.loads(unknown.stderr)["code"] == "accounts.receiver_refused"
    again = tagcast("account", "secret", "会员系统")
    assert re.search(r"whsec_\S+", again.stderr)
    assert secret not in again.stderr


def test_a_wrong_address_is_not_kept(tagcast: Shell, box: str, tmp_path: Path) -> None:
    secrets = tmp_path / "hook.env"
    secrets.write_text("secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "utf-8")
    line = ["account", "add", "custom", "x", "--secrets", secrets, "--json"]
    refused = tagcast(*line, "--url", f"{box}/webhook/in?account=77", code=2, TAGCAST_ALLOW_PRIVATE="true")
    assert json.loads(refused.stderr)["code"] == "cli.account_not_ready"
    clear = tagcast(*line, "--url", "http://crm.example.com/in", code=2, TAGCAST_ALLOW_PRIVATE="false")
    assert json.loads(clear.stderr)["code"] == "accounts.insecure_url"
    assert tagcast.json("account", "ls") == []
