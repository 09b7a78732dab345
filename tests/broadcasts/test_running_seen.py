"""What one sees of a broadcast on its way, over HTTP and on the command line."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import tagcast
from tagcast import access
from tagcast.server import create_app
from tests.broadcasts.conftest import Make
from tests.broadcasts.test_delivery import fault
from tests.broadcasts.test_official_subscription import agreed, followers, template_of
from tests.broadcasts.test_running import SEND, age
from tests.broadcasts.test_stages import notice, staged
from tests.cli.conftest import Shell
from tests.flows.harness import World, until
from tests.tracking.serving import call, serving

Ask = Callable[..., Any]
VERSIONS = Path(tagcast.__path__[0]) / "migrations" / "versions"


@pytest.fixture
def world(make: Make) -> World:
    return make("template", size=200)


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


def test_progress_stages_and_retry_over_http(world: World, ask: Ask) -> None:
    broadcast = world.send("service", notice(world), settings=staged([10, 100], wait=60))
    at = f"/broadcasts/{broadcast}"
    fault(world, SEND, "error", code=43004, times=3)
    first = ask("GET", f"{at}/progress")
    assert (first["stage"], first["stages"], first["stuck"], first["breaker"]) == (1, 2, None, None)
    later: list[Any] = []
    waiting = threading.Thread(target=lambda: later.append(ask("GET", f"{at}/progress?after={first['version']}")))
    waiting.start()
    with world.working():
        waiting.join(30)
        assert later
        assert later[0]["version"] != first["version"]
        until(lambda: ask("GET", f"{at}/progress")["reason"] == "stage_waiting")
        assert ask("GET", f"{at}/progress")["waits_until"]
        assert ask("POST", f"{at}/continue")["state"] == "sending"
        world.wait(broadcast, "finished")
        assert ask("POST", f"{at}/continue", status=409)["code"] == "broadcasts.nothing_waits"
        assert ask("POST", f"{at}/retry", {"reasons": ["x"]}, 422)["code"] == "broadcasts.no_such_reason"
        assert ask("POST", f"{at}/retry", {"reasons": []}, 422)
        assert ask("POST", f"{at}/retry", {"reasons": ["official:43004"]}) == {"retried": 3}
        until(lambda: ask("GET", f"{at}/progress")["state"] == "finished")
    states = ask("GET", f"{at}/progress")["states"]
    assert states["accepted"] == sum(states.values()) == len(world.assigned(broadcast))
    parts = ask("GET", f"{at}/chunks?limit=2")
    assert parts["next"] == 1
    rest = ask("GET", f"{at}/chunks?after=1")
    every = [*parts["items"], *rest["items"]]
    assert [one["no"] for one in every] == [0, 1, 2]
    assert sum(sum(one["states"].values()) for one in every) == len(world.assigned(broadcast))
    ask("GET", "/broadcasts/999/chunks", status=404)
    ask("GET", "/broadcasts/999/progress", status=404)


def test_consents_and_the_marketing_rule_over_http(world: World, ask: Ask) -> None:
    template, account = template_of(world), world.accounts["service"]
    assert ask("GET", f"/broadcasts/subscriptions/{account}") == {"items": []}
    agreed(world, template, followers(world)[:7])
    (left,) = ask("GET", f"/broadcasts/subscriptions/{account}")["items"]
    assert left == {"template": template, "people": 7, "consents": 7}
    draft = {"name": "x", "account": account, "audience": "all", "content": notice(world), "purpose": "marketing"}
    assert ask("POST", "/broadcasts", draft, 403)["code"] == "broadcasts.no_marketing"


def test_a_broadcast_on_its_way_by_commands(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    head = max(file.stem for file in VERSIONS.glob("*_*_*.py"))[:11]
    with world.runtime.engine.begin() as connection:  # the tables of a test are made without the migrations
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})
    shell = Shell(world.runtime.settings.home, capsys)
    assert "callbacks" in shell("broadcast", "consents", "service").stderr
    template = template_of(world)
    agreed(world, template, followers(world)[:7])
    assert shell.json("broadcast", "consents", "service")[0]["consents"] == 7
    broadcast = world.send("service", notice(world), settings=staged([10, 100], wait=60))
    fault(world, SEND, "error", code=43004, times=3)
    age(world, 400)
    assert shell.json("broadcast", "status", broadcast)["stuck"] == "stuck_no_worker"
    assert "没有工作进程" in shell("broadcast", "status", broadcast, "--lang", "zh").stdout
    assert "没有进展" in shell("doctor", "--lang", "zh").stdout
    with world.working():
        until(lambda: shell.json("broadcast", "status", broadcast)["reason"] == "stage_waiting")
        assert shell.json("broadcast", "status", broadcast)["stage"] == "1/2"
        assert shell.json("broadcast", "continue", broadcast, "--yes")["state"] == "sending"
        world.wait(broadcast, "finished")
        assert shell.json("broadcast", "retry", broadcast, "official:43004", "--yes")["retried"] == 3
        shell("broadcast", "status", broadcast, "--watch")
    assert world.states(broadcast)["accepted"] == len(world.assigned(broadcast))
    chunks = shell.json("broadcast", "chunks", broadcast)
    assert [one["stage"] for one in chunks] == [1, 2, 2]
    assert "阶段" in shell("broadcast", "chunks", broadcast, "--lang", "zh").stdout
