"""What one sees of 企业微信 over HTTP and on the command line: shares, tasks, reminders, postings."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import tagcast
from tagcast import access
from tagcast.server import create_app
from tests.broadcasts.conftest import TEXT, Make
from tests.broadcasts.test_wecom import confirm, nobody_confirms, start
from tests.cli.conftest import Shell
from tests.flows.harness import World, until
from tests.tracking.serving import call, serving

Ask = Callable[..., Any]
VERSIONS = Path(tagcast.__path__[0]) / "migrations" / "versions"


@pytest.fixture
def world(make: Make) -> World:
    one = make("tasks", size=160)
    nobody_confirms(one)
    return one


@pytest.fixture
def ask(world: World) -> Iterator[Ask]:
    with world.runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
    with serving(create_app(world.runtime), lifespan="on") as port:

        def asked(method: str, path: str, body: Any = None, status: int = 200) -> Any:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}
            found, _, answer = call(port, f"/api/v1{path}", method, body=data, **headers)
            assert found == status, answer
            return json.loads(answer)

        yield asked


def test_shares_tasks_and_reminders_over_http(world: World, ask: Ask) -> None:
    broadcast = start(world)
    assigned = len(world.assigned(broadcast))
    shares = ask("GET", f"/broadcasts/{broadcast}/senders")["items"]
    assert sum(one["customers"] for one in shares) == assigned
    with world.working():
        world.wait(broadcast, "settling")
        now = ask("GET", f"/broadcasts/{broadcast}/progress")
        assert (now["waiting_employees"], now["waiting_recipients"]) == (len(shares), assigned)
        made = ask("GET", f"/broadcasts/{broadcast}/tasks")
        assert (made["waiting_employees"], made["waiting_recipients"]) == (len(shares), assigned)
        reminded = ask("POST", f"/broadcasts/{broadcast}/remind")
        assert reminded == {"tasks": len(made["items"]), "enough": 0}
        confirm(world)
        world.wait(broadcast, "finished")
    made = ask("GET", f"/broadcasts/{broadcast}/tasks")
    assert made["waiting_employees"] == 0
    assert all(one["confirmed_at"] and len(one["reminders"]) == 1 for one in made["items"])
    problem = ask("POST", f"/broadcasts/{broadcast}/remind", status=409)
    assert problem["code"] == "broadcasts.nobody_waits"


def test_a_posting_over_http(world: World, ask: Ask) -> None:
    body = {"kind": "moments", "name": "day", "account": world.accounts["wecom"], "content": TEXT}
    posting = ask("POST", "/postings", body, 201)["id"]
    plan = ask("POST", f"/postings/{posting}/plan")
    assert plan["warnings"] == ["moment_everybody"]
    assert ask("POST", f"/postings/plans/{plan['hash']}/send")["state"] == "sending"
    with world.working():
        until(lambda: set(ask("GET", f"/postings/{posting}")["states"]) == {"accepted"})
        assert ask("GET", f"/postings/{posting}")["waiting"] == len(plan["shares"])
        ask("POST", f"/postings/{posting}/cancel")
        until(lambda: ask("GET", f"/postings/{posting}")["state"] == "cancelled")
    assert set(ask("GET", f"/postings/{posting}")["states"]) == {"cancelled"}
    assert [one["state"] for one in ask("GET", "/postings")["items"]] == ["cancelled"]
    ask("POST", "/postings", {**body, "content": {"kind": "text", "text": "{{name}} 你好"}}, 422)


def test_employees_and_postings_by_commands(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = max(file.stem for file in VERSIONS.glob("*_*_*.py"))[:11]
    with world.runtime.engine.begin() as connection:  # the tables of a test are made without the migrations
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
    shell = Shell(world.runtime.settings.home, capsys)
    broadcast = start(world)
    shares = shell.json("broadcast", "senders", str(broadcast))
    assert sum(one["customers"] for one in shares) == len(world.assigned(broadcast))
    with world.working():
        world.wait(broadcast, "settling")
        assert shell.json("broadcast", "remind", str(broadcast))["enough"] == 0
        assert len(shell.json("broadcast", "tasks", str(broadcast))) >= len(shares)
        confirm(world)
        world.wait(broadcast, "finished")
    draft = {"kind": "moments", "name": "day", "account": world.accounts["wecom"], "content": TEXT}
    file = tmp_path / "posting.json"
    file.write_text(json.dumps(draft), "utf-8")
    posting = str(shell.json("post", "draft", str(file))["id"])
    plan = shell.json("post", "plan", posting)
    assert shell.json("post", "send", plan["hash"], "--yes")["state"] == "sending"
    assert shell.json("post", "ls")[0]["state"] == "sending"
    assert set(shell.json("post", "status", posting)["states"]) == {"planned"}
