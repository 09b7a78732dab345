"""A worker is killed again and again in the middle of a broadcast; the sandbox's own ledger must not notice."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagcast import accounts
from tests.conftest import make_runtime, wipe
from tests.flows.harness import Sandbox, World, sandbox

RECIPIENTS = 10_000
# How many people the sandbox needs so that at least RECIPIENTS of them can be reached on each kind of account.
PEOPLE = {"service": 13_000, "official": 16_000, "wecom": 19_000}
KILLS = 20

TEXT = {"kind": "text", "text": "会员日活动今天开始"}
NOTICE = {
    "kind": "template",
    "template_id": "",
    "data": {"name1": "会员", "thing2": "本月积分已到账", "thing3": "可在会员中心查看"},
    "url": "https://shop.example.com/points",
}
FIGURE = {"source": "this test", "date": "2026-11-23"}
# route → (kind of account, content, limits of the account that make many small calls out of the broadcast, calls a second)
ROUTES: dict[str, tuple[str, dict[str, Any], dict[str, int], float]] = {
    "template": ("service", NOTICE, {}, 700.0),
    "list": ("service", TEXT, {"batch": {"value": 200, **FIGURE}}, 20.0),
    "tag": ("official", TEXT, {}, 70.0),
    "tasks": ("wecom", TEXT, {"batch": {"value": 100, **FIGURE}}, 40.0),
}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    with sandbox(tmp_path) as made:
        yield made


def template_id(world: World) -> str:
    """A template of the service account, as an operator would look it up."""
    account = world.accounts["service"]

    async def ask() -> str:
        async with accounts.connect(world.runtime, 1, account) as connected:
            found = await connected.call(connected.official.templates)
            return next(template.template_id for template in found if template.title == "会员权益提醒")

    return asyncio.run(ask())


def kill_until_done(world: World, broadcast: int, rate: float, seed: int) -> int:
    """Kill workers at random moments while the broadcast is being sent; how many were killed."""
    moments = random.Random(seed)
    kills = 0
    while kills < KILLS and world.state(broadcast) == "sending":
        with world.worker_process(rate_per_second=rate) as process:
            time.sleep(moments.uniform(0.15, 0.9))
            if world.state(broadcast) == "sending":
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("route", list(ROUTES))
def test_killed_workers_lose_and_double_nobody(
    route: str, database: str, box: Sandbox, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind, content, limits, rate = ROUTES[route]
    url = ""
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
        wipe(url)
    runtime = make_runtime(tmp_path, url, lease_seconds=0.6, in_doubt_seconds=0.5, settle_seconds=20.0)
    world = World(runtime, box)
    account = world.add_account(kind)
    with runtime.work(1, "test") as work:
        accounts.add_profile(work, "wide", "platform", {kind: {"send": limits}})
        accounts.set_profile(work, account, "wide")
    world.people(PEOPLE[kind])
    if content["kind"] == "template":
        content = {**content, "template_id": template_id(world)}
    broadcast = world.send(kind, content, audience="all")
    seed = int(os.environ.get("TAGCAST_TEST_SEED", "11"))
    kills = kill_until_done(world, broadcast, rate, seed)
    world.work_until(broadcast, rate_per_second=500.0)
    states = world.states(broadcast)
    verdict = world.judge(kind, broadcast)
    assigned = len(world.assigned(broadcast))
    runtime.close()

    assert sum(states.values()) == assigned >= RECIPIENTS
    assert kills >= KILLS, f"only {kills} kills before it was sent (seed {seed})"
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"], verdict["unexpected"]) == (0, 0, 0, 0), seed
    assert states["planned"] == states["retry"] == states["in_doubt"] == 0, (states, seed)
