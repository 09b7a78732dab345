"""Messages to customer groups and Moments over real HTTP, under faults and kills, judged by the sandbox."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tagcast import accounts, groups
from tagcast.broadcasts import postings
from tagcast.broadcasts.postings import store
from tagcast.kit.errors import Conflict, Invalid, Refused
from tests.conftest import make_runtime, wipe
from tests.flows.harness import Sandbox, World, until

TEXT = {"kind": "text", "text": "会员日活动今天开始"}
DATABASES = pytest.mark.parametrize("database", ["sqlite", "postgresql"])
TASK = "/cgi-bin/externalcontact/add_msg_template"
MOMENT = "/cgi-bin/externalcontact/add_moment_task"


@pytest.fixture
def there(box: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Makes a wecom world with twelve customer groups."""
    made: list[World] = []

    def world(database: str = "sqlite", **settings: Any) -> World:
        url = ""
        if database == "postgresql":
            url = request.getfixturevalue("postgres_url")
            wipe(url)
        given = {"lease_seconds": 5.0, "in_doubt_seconds": 0.3, "http_timeout_seconds": 1.0, **settings}
        one = World(make_runtime(tmp_path, url, **given), box)
        made.append(one)
        one.add_account("wecom", groups=12)
        one.profile("wecom")
        one.people(160)
        asyncio.run(groups.sync(one.runtime, 1, one.accounts["wecom"]))
        return one

    yield world
    for one in made:
        one.runtime.close()


def draft(world: World, kind: str, **given: Any) -> int:
    with world.runtime.work(1, "test") as work:
        return postings.draft(work, kind=kind, name="day", account=world.accounts["wecom"], content=TEXT, **given).id


def plan(world: World, posting: int) -> postings.Plan:
    with world.runtime.work(1, "test") as work:
        return postings.plan(work, posting)


def start(world: World, kind: str, **given: Any) -> int:
    posting = draft(world, kind, **given)
    made = plan(world, posting)
    with world.runtime.work(1, "test") as work:
        postings.send(work, made.hash)
    return posting


def status(world: World, posting: int) -> postings.Status:
    with world.runtime.read(1, "test") as work:
        return postings.status(work, posting)


def work_until(world: World, posting: int, *states: str, seconds: float = 60.0) -> None:
    with world.working():
        wait(world, posting, *(states or ("finished", "cancelled")), seconds=seconds)


def wait(world: World, posting: int, *states: str, seconds: float = 60.0) -> None:
    until(lambda: status(world, posting).state in states, seconds, lambda: status(world, posting))


def asked(world: World) -> Counter[str]:
    """How often the sandbox was asked for each recipient of what was sent."""
    lines = world.sandbox.lines(f"/sandbox/ledger?account={world.remote['wecom']['id']}")
    return Counter(line["person"] for line in lines if line["outcome"] == "asked")


def nobody_confirms(world: World) -> None:
    world.sandbox.post("/sandbox/settings", confirm_share=0.0)


def confirm(world: World, **whom: str) -> None:
    body = {"account": world.sandbox_id["wecom"], **whom}
    world.sandbox.post("/sandbox/employees/confirm", **body)
    world.sandbox.post("/sandbox/wecom/moments/confirm", **body)


@DATABASES
def test_each_group_is_sent_to_once(database: str, there: Any) -> None:
    world = there(database)
    posting = start(world, "groups")
    work_until(world, posting)
    told = status(world, posting)
    assert told.states == {"delivered": 12}
    assert asked(world) == Counter({one.recipient: 1 for one in told.outcomes})


def test_groups_are_chosen_by_owner_and_by_who_is_in_them(there: Any) -> None:
    world = there()
    with world.runtime.read(1, "test") as work:
        chats = groups.chats(work, world.accounts["wecom"])
    owner = chats[0].owner
    made = plan(world, draft(world, "groups", target={"owners": [owner]}))
    assert made.shares == {owner: sum(chat.owner == owner for chat in chats)}
    assert {line.name: line.count for line in made.lines}["chat_not_chosen"] == 12 - made.shares[owner]
    made = plan(world, draft(world, "groups", target={"audience": "all", "least": 10_000}))
    assert made.warnings == ["nobody"]
    with world.runtime.work(1, "test") as work, pytest.raises(Refused):
        postings.send(work, made.hash)
    made = plan(world, draft(world, "groups", target={"chats": [chats[3].chat_id]}))
    assert made.shares == {chats[3].owner: 1}


def test_a_full_group_falls_and_a_plan_that_moved_is_not_sent(there: Any) -> None:
    world = there()
    world.profile("wecom")
    first, second = draft(world, "groups"), draft(world, "groups")
    hashes = [plan(world, posting).hash for posting in (first, second)]
    with world.runtime.work(1, "test") as work:
        said = {"source": "this test", "date": "2026-11-23"}
        accounts.add_profile(work, "once", "platform", {"wecom": {"broadcast": {"per_day": {"value": 1, **said}}}})
        accounts.set_profile(work, world.accounts["wecom"], "once")
        with pytest.raises(Conflict):
            postings.send(work, hashes[0])
    with world.runtime.work(1, "test") as work:
        postings.send(work, postings.plan(work, first).hash)
    made = plan(world, second)
    assert {line.name: line.count for line in made.lines}["chat_full"] == 12


@pytest.mark.parametrize("kind", ["busy", "timeout_before", "timeout_after", "cut", "cut_before"])
def test_a_fault_loses_and_doubles_no_group(kind: str, there: Any) -> None:
    world = there()
    world.sandbox.post("/sandbox/faults", path=TASK, kind=kind, times=2, seconds=2.0)
    posting = start(world, "groups")
    work_until(world, posting)
    told = status(world, posting)
    assert told.states == {"delivered": 12}
    assert set(asked(world).values()) == {1}


@DATABASES
def test_a_cancelled_posting_proves_which_groups_were_reached(database: str, there: Any) -> None:
    world = there(database)
    nobody_confirms(world)
    posting = start(world, "groups")
    with world.working():
        until(lambda: status(world, posting).states == {"accepted": 12})
        assert status(world, posting).waiting > 1
        with world.runtime.read(1, "test") as work:
            owner = groups.chats(work, world.accounts["wecom"])[0].owner
        confirm(world, userid=owner)
        with world.runtime.work(1, "test") as work:
            postings.cancel(work, posting)
        wait(world, posting, "cancelled")
    told = status(world, posting)
    outcomes = world.outcomes("wecom")
    words = {"arrived": "delivered", "failed:not_confirmed": "cancelled"}
    assert {one.recipient: one.status for one in told.outcomes} == {
        one.recipient: words[outcomes[one.recipient]] for one in told.outcomes
    }
    assert set(told.states) == {"delivered", "cancelled"}


@pytest.mark.slow
@DATABASES
@pytest.mark.parametrize("kind", ["groups", "moments"])
def test_killed_workers_send_nothing_twice(kind: str, database: str, there: Any) -> None:
    world = there(database, lease_seconds=0.5, in_doubt_seconds=0.5)
    posting = start(world, kind)
    seed = random.SystemRandom().randrange(1, 10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    kills = 0
    while kills < 8 and status(world, posting).state == "sending":
        with world.worker_process(rate_per_second=10.0) as process:
            time.sleep(moments.uniform(0.4, 1.2))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
    work_until(world, posting)
    told = status(world, posting)
    assert set(told.states) == {"delivered"}, told
    assert set(asked(world).values()) == {1} or kind == "moments"
    assert world.sandbox.calls(TASK if kind == "groups" else MOMENT) >= 1


@DATABASES
def test_a_moment_for_everybody_is_published_by_each_employee(database: str, there: Any) -> None:
    world = there(database)
    made = plan(world, posting := draft(world, "moments"))
    assert made.warnings == ["moment_everybody"]
    assert sum(made.shares.values()) > 50
    with world.runtime.work(1, "test") as work:
        postings.send(work, made.hash)
        assert postings.send(work, made.hash).state == "sending"
    work_until(world, posting)
    told = status(world, posting)
    assert told.states == {"delivered": len(made.shares)}
    assert world.sandbox.calls(MOMENT) == 1


def test_a_moment_for_some_goes_by_a_temporary_tag_of_the_platform(there: Any) -> None:
    world = there()
    (some, *_) = world.split("wecom", 20)
    made = plan(world, posting := draft(world, "moments", target={"audience": some}))
    assert made.warnings == ["moment_tag"]
    with world.runtime.work(1, "test") as work:
        postings.send(work, made.hash)
    work_until(world, posting)
    with world.runtime.read(1, "test") as work:
        chosen = work.bitmaps.read(f"posting:{posting}:assigned").copy()
    assert len(chosen) == 20
    assert set(asked(world)) == set(world.ids("wecom", chosen).values())
    assert not remote_tags(world)


def remote_tags(world: World) -> list[str]:
    async def ask() -> list[str]:
        async with accounts.connect(world.runtime, 1, world.accounts["wecom"]) as connected:
            found = await connected.call(connected.wecom.tags.groups)
            return [tag.name for group in found for tag in group.tag if tag.name.startswith("tagcast-m")]

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", ["timeout_after", "cut"])
def test_a_fault_makes_no_second_moment(kind: str, there: Any) -> None:
    world = there()
    world.sandbox.post("/sandbox/faults", path=MOMENT, kind=kind, times=1, seconds=2.0)
    posting = start(world, "moments")
    work_until(world, posting)
    assert set(status(world, posting).states) == {"delivered"}
    assert world.sandbox.calls(MOMENT) == 1


def test_a_moment_that_is_proven_absent_is_made_again(there: Any) -> None:
    """A job may run for a day: only then its absence from the record is proof."""
    world = there()
    world.sandbox.post("/sandbox/faults", path=MOMENT, kind="cut_before", times=1)
    posting = start(world, "moments", within_hours=72.0)
    with world.working():
        until(lambda: world.sandbox.get("/sandbox/faults")["faults"][0]["hit"] == 1)
        time.sleep(1.5)
        assert status(world, posting).states.keys() == {"planned"}
    with world.runtime.engine.begin() as connection:
        table = sa.table("posting_post", sa.column("tried_at"))
        connection.execute(sa.update(table).values(tried_at=sa.column("tried_at") - 86_400_000))
        lease = sa.table("lease", sa.column("due_at"))
        connection.execute(sa.update(lease).values(due_at=0))
    work_until(world, posting)
    assert set(status(world, posting).states) == {"delivered"}


def test_a_cancelled_moment_proves_who_had_published(there: Any) -> None:
    world = there()
    nobody_confirms(world)
    posting = start(world, "moments")
    with world.working():
        until(lambda: set(status(world, posting).states) == {"accepted"})
        until(lambda: moment_of(world, posting))
        first = status(world, posting).outcomes[0].recipient
        confirm(world, userid=first)
        with world.runtime.work(1, "test") as work:
            postings.cancel(work, posting)
        wait(world, posting, "cancelled")
    told = {one.recipient: one.status for one in status(world, posting).outcomes}
    assert told.pop(first) == "delivered"
    assert set(told.values()) == {"cancelled"}


def moment_of(world: World, posting: int) -> bool:
    with world.runtime.read(1, "test") as work:
        return "moment" in store.post(work, posting, 0).progress


def test_a_fifth_moment_of_a_month_reaches_nobody_again(there: Any) -> None:
    world = there()
    for _ in range(4):
        start(world, "moments")
    made = plan(world, draft(world, "moments"))
    lines = {line.name: line.count for line in made.lines}
    assert lines["moments_full"] > 50
    assert lines["assigned"] == 0


def test_what_a_moment_cannot_show_is_refused_at_once(there: Any) -> None:
    world = there()
    with world.runtime.work(1, "test") as work, pytest.raises(Invalid) as refused:
        postings.draft(
            work,
            kind="moments",
            name="day",
            account=world.accounts["wecom"],
            content={"kind": "mini_program", "title": "t", "app_id": "wx1", "page": "p", "cover": "m"},
        )
    assert refused.value.code == "broadcasts.moment_kinds"
