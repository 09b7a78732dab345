"""Runs that are refused, stale, cancelled, cut off or killed; limits; the API and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import make_runtime
from tests.tags.served import Served
from tests.tags.syncing import Both, join, work_off
from tests.tracking.serving import serving
from tests.wechat_sandbox.conftest import Sandbox, start

import tagcast
from tagcast import access, tags
from tagcast.kit import leases
from tagcast.kit.errors import Conflict, TagcastError
from tagcast.kit.uow import Runtime
from tagcast.server import create_app

WORKER = """
import asyncio, sys
from tagcast.kit import leases
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
from tagcast.tags import sync
from tests.conftest import _import_tables
from pathlib import Path
_import_tables()
runtime = open_runtime(Settings(home=Path(sys.argv[1]), allow_private=True, lease_seconds=1.0))
with runtime.system() as connection:
    lease = leases.claim(connection, "killed", [sync.KIND], 1.0)
print("claimed", flush=True)
asyncio.run(sync.work(runtime, lease))
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = start(tmp_path_factory.mktemp("sandbox") / "state.db", "--population", "600")
    yield running
    running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture
def both(runtime_sqlite: Runtime, sandbox: Sandbox) -> Both:
    found = join(runtime_sqlite, sandbox, "service")
    found.direct("both")
    return found


def calls(both: Both) -> dict[str, int]:
    found: dict[str, int] = both.client.sandbox.get("/sandbox/health")["calls"]
    return {path: count for path, count in found.items() if path.startswith("/cgi-bin/tags/") and "get" not in path}


def test_a_stale_plan_changes_nothing_and_says_what_moved(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:20])
    plan = both.plan()
    both.give("金卡", people[20:23])
    both.make_there("老客", people[:2])
    before = both.ours(), both.theirs()
    begun = both.start(plan.hash)
    work_off(both.runtime)
    run = both.look(begun.id)
    assert run.state == "stale"
    assert run.told["moved"] == [
        {"do": "create_here", "path": "老客", "before": 0, "after": 1},
        {"do": "members", "path": "老客", "before": 0, "after": 2},
        {"do": "members", "path": "金卡", "before": 20, "after": 23},
    ]
    assert (both.ours(), both.theirs()) == before
    with pytest.raises(Conflict) as caught:
        both.start(plan.hash)
    assert caught.value.code == "tags.sync_no_plan"
    begun = both.start(run.told["plan"])
    work_off(both.runtime)
    assert both.look(begun.id).state == "done"
    assert both.theirs() == {"金卡": set(people[:23]), "老客": set(people[:2])} == both.ours()


def test_a_run_anew_takes_in_what_moved(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:20])
    plan = both.plan()
    both.give("金卡", people[20:23])
    begun = both.start(plan.hash, anew=True)
    with pytest.raises(Conflict) as caught:
        both.start(plan.hash, anew=True)
    assert caught.value.code == "tags.sync_running"
    work_off(both.runtime)
    assert both.look(begun.id).state == "done"
    assert both.theirs() == {"金卡": set(people[:23])}


def test_tags_beyond_the_platform_s_limit_are_refused_before_the_first_call(both: Both) -> None:
    people = both.client.reachable()
    for number in range(60):
        both.client.post("tags/create", {"tag": {"name": f"t{number}"}})
    with both.runtime.work(1, "test") as work:
        for number in range(41):
            tag = tags.create(work, f"u{number}")
            tags.assign(work, tag.id, both.numbers(work, people[:1]), why="test")
            tags.sync.direct(work, both.id, tag.id, "to")
    both.direct("off")
    before, done = both.theirs(), calls(both)
    plan = both.plan()
    assert [(one.limit, one.where, one.count, one.most) for one in plan.refusals] == [("tags", "there", 101, 100)]
    begun = both.start(plan.hash)
    work_off(both.runtime)
    run = both.look(begun.id)
    assert (run.state, run.told["refusals"][0]["count"]) == ("refused", 101)
    assert (both.theirs(), calls(both)) == (before, done)
    with both.runtime.work(1, "test") as work:
        tags.sync.direct(work, both.id, tags.find(work, "u40").id, "off")
    assert both.plan().refusals == []


def test_tags_beyond_our_own_limit_are_refused(runtime_sqlite: Runtime, sandbox: Sandbox) -> None:
    both = join(runtime_sqlite, sandbox, "official")
    for number in range(60):
        both.give(f"u{number}")
        both.client.post("tags/create", {"tag": {"name": f"t{number}"}})
    plan = both.plan()
    assert [(one.limit, one.where, one.count, one.most) for one in plan.refusals] == [("tags.count", "here", 120, 100)]


def test_who_has_twenty_tags_there_is_left_out_and_the_others_are_not(both: Both) -> None:
    people = both.client.reachable()
    both.direct("off")
    for number in range(20):
        both.make_there(f"t{number}", people[:2] if number else people[:1])
    with both.runtime.work(1, "test") as work:
        for name in ("a", "b"):
            tag = tags.create(work, name)
            tags.assign(work, tag.id, both.numbers(work, people[:5]), why="test")
            tags.sync.direct(work, both.id, tag.id, "to")
    plan = both.plan()
    assert plan.left_out == {"a": 1, "b": 2}
    assert both.run().state == "done"
    theirs = both.theirs()
    assert (theirs["a"], theirs["b"]) == (set(people[1:5]), set(people[2:5]))


def test_people_whom_the_platform_refuses_are_named_and_the_others_are_tagged(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:60])
    plan = both.plan()
    change = {"account": both.client.id, "people": people[3:5], "follows": False}
    both.client.sandbox.post("/sandbox/people/change", change)
    begun = both.start(plan.hash)
    work_off(both.runtime)
    run = both.look(begun.id)
    assert (run.state, run.told["counts"]) == ("done", {"unsubscribed": 2})
    assert both.theirs() == {"金卡": set(people[:60]) - set(people[3:5])}
    assert run.done == run.total - 2


def test_a_tag_that_vanishes_is_told_and_the_next_plan_says_so(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:10])
    both.run()
    both.give("金卡", people[10:20])
    begun = both.start(both.plan().hash)
    fault = {"path": "/cgi-bin/tags/members/batchtagging", "kind": "error", "code": 45159, "times": 1}
    both.client.sandbox.post("/sandbox/faults", fault)
    work_off(both.runtime)
    run = both.look(begun.id)
    assert (run.state, run.told["problems"]) == ("done", [{"path": "金卡", "problem": "no_such_tag"}])
    assert both.plan().counts() == {"add_there": 10}


def test_a_cancelled_run_stops_and_what_it_did_stands(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:10])
    begun = both.start(both.plan().hash)
    with both.runtime.work(1, "test") as work:
        assert tags.sync.cancel(work, both.id, begun.id).state == "cancelled"
    with both.runtime.work(1, "test") as work, pytest.raises(TagcastError):
        tags.sync.cancel(work, both.id, begun.id)
    assert work_off(both.runtime) == 1
    assert both.theirs() == {}
    assert both.run().state == "done"


def test_not_full_reads_only_what_may_have_changed(both: Both) -> None:
    people = both.client.reachable()
    for number in range(4):
        both.give(f"t{number}", people[: 10 + number])
    both.run()
    both.run()
    assert (plan := both.plan(full=False)).steps == []
    assert (plan.skipped, plan.read_calls) == (4, 2)
    both.put_there("t1", people[20:22])
    both.give("t2", people[22:23])
    plan = both.plan(full=False)
    assert (plan.skipped, plan.counts()) == (2, {"add_here": 2, "add_there": 1})
    both.run(full=False)
    both.put_there("t3", people[:1], off=True)
    both.put_there("t3", people[30:31])
    assert both.plan(full=False).counts() == {"add_here": 1, "drop_here": 1}  # the sample holds all of these few


@pytest.mark.parametrize("kind", ["service", "wecom"])
def test_a_run_killed_at_any_point_ends_as_one_that_was_not(tmp_path: Path, sandbox: Sandbox, kind: str) -> None:
    runtime = make_runtime(tmp_path)
    both = join(runtime, sandbox, kind, **({"employees": 3} if kind == "wecom" else {}))
    people = both.client.reachable()
    both.direct("both")
    wanted = {}
    for number in range(6):
        members = people[number * 20 : number * 20 + 100]
        both.give(f"组/t{number}", members)
        wanted[f"组/t{number}"] = set(members)
    begun = both.start(both.plan().hash)
    sandbox.post("/sandbox/faults", {"path": "/cgi-bin/*", "kind": "slow", "seconds": 0.01, "probability": 0.5})
    kills = 0
    try:
        for wait in (0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 30.0):
            with runtime.system() as connection:  # the next worker need not wait for the dead one's lease
                connection.execute(sa.update(leases.leases).values(until=0, due_at=0, owner=None))
            command = [sys.executable, "-c", WORKER, str(runtime.settings.home)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "claimed\n"
                end = time.monotonic() + wait
                while process.poll() is None and time.monotonic() < end:
                    time.sleep(0.01)
                if process.poll() is not None:
                    break
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    finally:
        sandbox.call("DELETE", "/sandbox/faults")
    assert kills >= 1
    run = both.look(begun.id)
    assert (run.state, run.done, run.total) == ("done", run.total, 6 + 600)
    assert both.theirs() == wanted
    assert both.ours() == wanted | {"组": set()}
    assert both.plan().steps == []
    runtime.close()


def test_over_http(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:10])
    both.give("私密", people[:3], account=False)
    with both.runtime.work(1, "test") as work:
        key = access.issue_key(work, "test")
    with serving(create_app(both.runtime), lifespan="on") as port:
        api = Served(port, key)
        base = f"/accounts/{both.id}/tag-sync"
        assert api("GET", base)[1]["members"] == "union"
        assert api("PATCH", base, {"members": "ours", "daily": True})[1]["daily"] is True
        assert api("PATCH", base, {"members": "newest"})[0] == 422
        ways = {one["path"]: one for one in api("GET", f"{base}/directions")[1]["tags"]}
        assert (ways["金卡"]["direction"], ways["金卡"]["name"]) == ("both", "金卡")
        assert (ways["私密"]["direction"], ways["私密"]["name"]) == ("off", None)
        status, plan = api("POST", f"{base}/plan", {})
        assert (status, plan["counts"], plan["calls"]) == (200, {"create_there": 1, "add_there": 10}, 2)
        assert len(plan["steps"][1]["sample"]["add_there"]) == 5
        assert both.theirs() == {}
        status, run = api("POST", f"{base}/runs", {"plan": plan["plan"]})
        assert (status, run["state"]) == (202, "waiting")
        assert api("POST", f"{base}/runs", {"plan": plan["plan"]})[0] == 409
        work_off(both.runtime)
        run = api("GET", f"{base}/runs/{run['id']}")[1]
        assert (run["state"], run["done"], run["total"]) == ("done", 11, 11)
        assert api("POST", f"{base}/runs/{run['id']}/cancel")[0] == 409
        assert [one["id"] for one in api("GET", f"{base}/runs")[1]["runs"]] == [run["id"]]
        assert api("GET", "/accounts/999/tag-sync")[0] == 404
        body = {"tag": ways["私密"]["tag"], "direction": "to"}
        ways = {one["path"]: one for one in api("PUT", f"{base}/directions", body)[1]["tags"]}
        assert (ways["私密"]["direction"], ways["私密"]["own"]) == ("to", True)
    assert both.theirs() == {"金卡": set(people[:10])}


def test_once_a_day_if_so_set(both: Both) -> None:
    with both.runtime.work(1, "test") as work:
        assert tags.sync.start_due(work) == []
    both.configure(daily=True)
    both.give("金卡", both.client.reachable()[:3])
    with both.runtime.work(1, "test") as work:
        (number,) = tags.sync.start_due(work)
        assert tags.sync.start_due(work) == []
    work_off(both.runtime)
    assert (both.look(number).state, both.look(number).full) == ("done", True)
    assert len(both.theirs()["金卡"]) == 3
    with both.runtime.work(1, "test") as work:
        assert tags.sync.start_due(work) == []


def test_on_the_command_line(both: Both) -> None:
    people = both.client.reachable()
    both.give("金卡", people[:10])
    versions = Path(tagcast.__file__).parent / "migrations" / "versions"
    newest = max(file.name for file in versions.glob("2*.py"))[:11]
    with both.runtime.system() as connection:  # the tables were made without migrations
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:newest)"), {"newest": newest})

    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tagcast", "--home", str(both.runtime.settings.home), "--json", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "TAGCAST_ALLOW_PRIVATE": "1"},
        )  # fmt: skip

    name = f"service {both.client.id}"
    plan = cli("tags", "sync", "plan", name)
    assert plan.returncode == 0, plan.stderr
    found = json.loads(plan.stdout)
    assert found["counts"] == {"create_there": 1, "add_there": 10}
    both.give("金卡", people[10:11])
    stale = cli("tags", "sync", "run", name, "--plan", found["plan"])
    assert (stale.returncode, json.loads(stale.stderr)["code"]) == (2, "tags.sync_stale")
    assert both.theirs() == {}
    done = cli("--yes", "tags", "sync", "run", name)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "done")
    assert both.theirs() == {"金卡": set(people[:11])}
    assert cli("tags", "sync", "rules", name, "--names", "newest").returncode != 0
    assert json.loads(cli("tags", "sync", "rules", name, "--names", "ours").stdout)["names"] == "ours"
    assert cli("tags", "sync", "direct", name, "off").returncode == 0
    assert json.loads(cli("tags", "sync", "directions", name).stdout)[0]["direction"] == "off"
