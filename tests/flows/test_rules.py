"""Rules through sudden death: a worker killed at any moment of a back-fill or a turn loses and doubles nothing."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import audiences, tag_rules, tags
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Runtime, open_runtime
from tests.flows.harness import FORK
from tests.tag_rules.keeping import eager, give, held, rule, settle, take
from tests.tags.people import crowd

PEOPLE = 200_000


def _keep(home: str, url: str) -> None:
    runtime = open_runtime(Settings(home=Path(home), database_url=url))
    turning = eager()
    while True:
        if not turning.turn(runtime, [1]):
            time.sleep(0.005)


def _start(runtime: Runtime) -> Any:
    home, url = str(runtime.settings.home), runtime.settings.database_url
    process = FORK.Process(target=_keep, args=(home, url), daemon=True)
    process.start()
    return process


def _kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def _rules(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, PEOPLE)
        for path in ("a", "b"):
            tags.create(work, path)
        give(work, "a", *range(1, PEOPLE, 2))
        rule(work, "c", 'tag("a") and not tag("b")')
        rule(work, "d", 'not tag("c")')
        rule(work, "e", 'tag("d") or tag("b")')


def _check(runtime: Runtime) -> None:
    """Each tag is what its rule says, and the log of each adds up to it: no change is there twice."""
    with runtime.read(1, "test") as work:
        for found in tag_rules.every(work):
            assert found.state == "active"
            assert audiences.members(work, found.definition.expression) == tags.holders(work, found.tag, below=False)
            replayed = BitMap()
            for change in reversed(tags.history(work, found.tag, limit=10_000)):
                members = work.bitmaps.members(change.seq)
                assert not (members & replayed if change.op == "add" else members - replayed)
                replayed = replayed | members if change.op == "add" else replayed - members
            assert replayed == tags.holders(work, found.tag, below=False)


def test_a_worker_killed_while_it_fills_and_follows_loses_and_doubles_nothing(runtime: Runtime) -> None:
    dice = random.Random(3)
    _rules(runtime)
    for _ in range(5):
        process = _start(runtime)
        time.sleep(dice.uniform(0.05, 0.4))
        for _ in range(4):
            with runtime.work(1, "test") as work:
                some = dice.sample(range(1, PEOPLE), 40)
                dice.choice((give, take))(work, dice.choice("ab"), *some)
            time.sleep(dice.uniform(0, 0.05))
        _kill(process)
    settle(eager(), runtime)
    _check(runtime)


@pytest.mark.parametrize("workers", [2])
def test_two_workers_keep_the_same_rules(runtime: Runtime, workers: int) -> None:
    dice = random.Random(4)
    _rules(runtime)
    processes = [_start(runtime) for _ in range(workers)]
    for _ in range(25):
        with runtime.work(1, "test") as work:
            dice.choice((give, take))(work, dice.choice("ab"), *dice.sample(range(1, PEOPLE), 30))
        time.sleep(dice.uniform(0, 0.04))
    with runtime.read(1, "test") as work:
        wanted = set(audiences.members(work, audiences.parse('tag("a") and not tag("b")')))
    until = time.monotonic() + 60
    found: set[int] = set()
    while found != wanted and time.monotonic() < until:
        time.sleep(0.05)
        with runtime.read(1, "test") as work:
            found = held(work, "c")
    for process in processes:
        _kill(process)
    assert found == wanted
    settle(eager(), runtime)
    _check(runtime)
