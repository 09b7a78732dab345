"""A worker is killed again and again in the middle of a broadcast; the sandbox's own ledger must not notice."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_runtime, wipe
from tests.flows.harness import Sandbox, World, sandbox

RECIPIENTS = 10_000
# How many people the sandbox needs so that at least RECIPIENTS of them can be reached on each kind of account.
PEOPLE = {"service": 13_000, "official": 16_000, "wecom": 19_000, "custom": 17_500}
KILLS = 20
LEASE = 0.4

TEXT = {"kind": "text", "text": "会员日活动今天开始"}
NOTICE = {
    "kind": "template",
    "data": {"name1": "会员", "thing2": "本月积分已到账", "thing3": "可在会员中心查看"},
    "url": "https://shop.example.com/points",
}
# route → (kind of account, content, its own limits, calls a second while it is killed, path that shows progress)
ROUTES: dict[str, tuple[str, dict[str, Any], dict[str, int], float, str]] = {
    "template": ("service", NOTICE, {}, 700.0, "/cgi-bin/message/template/send"),
    "list": ("service", TEXT, {"batch": 100}, 12.0, "/cgi-bin/message/mass/send"),
    "tag": ("official", TEXT, {}, 20.0, "/cgi-bin/tags/members/batchtagging"),
    "tasks": ("wecom", TEXT, {"batch": 100}, 12.0, "/cgi-bin/externalcontact/add_msg_template"),
    "webhook": ("custom", TEXT, {"batch": 100}, 12.0, "/webhook/in"),
}
ON = [
    *((route, "sqlite") for route in ROUTES),
    *((route, "postgresql") for route in ("template", "tasks", "webhook")),
]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with sandbox(tmp_path) as made:
        made.post("/sandbox/settings", confirm_share=1.0, confirm_seconds=0.2, mass_finish_seconds=0.2)
        made.post("/sandbox/limits", mass_per_minute=100_000)
        yield made


def kill_while_sending(world: World, broadcast: int, path: str, moments: random.Random, **settings: Any) -> int:
    """Kill workers, each at a random moment after it made its first call; how many were killed while sending."""
    kills = 0
    while kills < KILLS and world.state(broadcast) == "sending":
        before = world.sandbox.calls(path)
        with world.worker_process(**settings) as process:
            while world.sandbox.calls(path) == before and world.state(broadcast) == "sending":
                time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 0.3))
            if world.state(broadcast) == "sending":
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    return kills


@pytest.mark.slow
@pytest.mark.parametrize(("route", "database"), ON)
def test_killed_workers_lose_and_double_nobody(
    route: str, database: str, box: Sandbox, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind, content, limits, rate, path = ROUTES[route]
    url = ""
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
        wipe(url)
    runtime = make_runtime(tmp_path, url, lease_seconds=LEASE, in_doubt_seconds=0.4, settle_seconds=2.0)
    world = World(runtime, box)
    world.add_account(kind)
    world.profile(kind, **limits)
    world.people(PEOPLE[kind])
    if content["kind"] == "template":
        content = {**content, "template_id": world.template_id()}
    broadcast = world.send(kind, content)
    seed = int(os.environ.get("TAGCAST_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"TAGCAST_TEST_SEED={seed}")
    moments = random.Random(seed)
    kills = kill_while_sending(world, broadcast, path, moments, rate_per_second=rate)
    reached = world.states(broadcast)
    sending = world.state(broadcast) == "sending"
    world.work_until(broadcast, rate_per_second=2000.0, lease_seconds=5.0)
    states = world.states(broadcast)
    verdict = world.judge(kind, broadcast)
    assigned = len(world.assigned(broadcast))
    print(f"{kills} kills while sending; then {reached}; at the end {states}")
    runtime.close()

    assert (kills, sending) == (KILLS, True)
    assert route == "tag" or reached["planned"] < assigned
    assert sum(states.values()) == assigned >= RECIPIENTS
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0, 0)
    assert states["planned"] == states["retry"] == states["in_doubt"] == 0
