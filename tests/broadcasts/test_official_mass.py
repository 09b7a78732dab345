"""公众号 mass sends: to the platform's own tag where it is exactly the audience, else to a temporary one."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from tagcast import accounts, tags
from tagcast.tags.tables import sync_links
from tests.broadcasts.conftest import TEXT, Make
from tests.broadcasts.test_delivery import CLEAN, fault, verdict
from tests.flows.harness import World

TAGGING, SENDALL = "/cgi-bin/tags/members/batchtagging", "/cgi-bin/message/mass/sendall"
AUDIENCE = 'tag("常客", account {})'
ON = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


def do(world: World, what: Any) -> Any:
    async def run() -> Any:
        async with accounts.connect(world.runtime, 1, world.accounts["official"]) as connected:
            return await what(connected)

    return asyncio.run(run())


def tagged(world: World, size: int) -> tuple[int, list[int]]:
    """A tag here and the same on the platform, worn by the same followers; its id there and the followers."""
    account = world.accounts["official"]
    who = sorted(world.set(f"following:{account}"))[:size]
    openids = list(world.ids("official", who).values())

    async def make(connected: accounts.Connected) -> int:
        tag = (await connected.call(lambda: connected.official.tags.create("常客"))).id
        for at in range(0, len(openids), 50):
            await connected.call(lambda at=at: connected.official.tags.put_on(tag, openids[at : at + 50]))
        return tag

    there = do(world, make)
    with world.runtime.work(1, "test") as work:
        ours = tags.ensure(work, "常客", account=account)
        tags.assign(work, ours.id, BitMap(who), why="test")
    return int(there), who


def link(world: World, there: int) -> None:
    with world.runtime.work(1, "test") as work:
        ours = tags.find(work, "常客", account=world.accounts["official"])
        work.connection.execute(
            sa.insert(sync_links).values(
                workspace=1, account=world.accounts["official"], tag=ours.id, there=str(there), group_id="",
                here_group="", here_name="常客", there_group="", there_name="常客", met=True, version=0, bearers=0,
            )
        )  # fmt: skip


def names(world: World) -> set[str]:
    async def ask(connected: accounts.Connected) -> set[str]:
        return {tag.name for tag in await connected.call(connected.official.tags.all)}

    found: set[str] = do(world, ask)
    return found


@ON
def test_a_tag_that_is_the_audience_is_sent_to_as_it_is(database: str, make: Make) -> None:
    world = make("tag", database=database)
    there, who = tagged(world, 100)
    link(world, there)
    before = world.sandbox.calls(TAGGING)
    broadcast = world.send("official", TEXT, audience=AUDIENCE.format(world.accounts["official"]))
    world.work_until(broadcast)
    assert world.sandbox.calls(TAGGING) == before
    assert verdict(world, "tag", broadcast) == CLEAN
    assert world.states(broadcast)["accepted"] == len(who)
    assert "常客" in names(world)


@pytest.mark.parametrize("kind", ["cut", "timeout_after", "busy"])
def test_a_lost_answer_of_it_doubles_nobody(kind: str, make: Make) -> None:
    world = make("tag")
    there, who = tagged(world, 100)
    link(world, there)
    fault(world, SENDALL, kind, times=2, seconds=3.0)
    broadcast = world.send("official", TEXT, audience=AUDIENCE.format(world.accounts["official"]))
    world.work_until(broadcast)
    assert verdict(world, "tag", broadcast) == CLEAN
    assert world.states(broadcast)["accepted"] == len(who)


@pytest.mark.parametrize("why", ["not linked", "a stranger bears it", "a holdout"])
def test_any_difference_takes_a_temporary_tag(why: str, make: Make) -> None:
    world = make("tag")
    there, who = tagged(world, 100)
    if why != "not linked":
        link(world, there)
    if why == "a stranger bears it":
        other = sorted(world.set(f"following:{world.accounts['official']}"))[150]
        openid = world.ids("official", [other])[other]
        do(world, lambda connected: connected.call(lambda: connected.official.tags.put_on(there, [openid])))
    before = world.sandbox.calls(TAGGING)
    broadcast = world.send(
        "official",
        TEXT,
        audience=AUDIENCE.format(world.accounts["official"]),
        holdout=10.0 if why == "a holdout" else 0.0,
    )
    world.work_until(broadcast)
    assert world.sandbox.calls(TAGGING) > before
    assert verdict(world, "tag", broadcast) == CLEAN
    assert names(world) == {"星标组", "常客"}
    assert world.states(broadcast)["accepted"] == len(world.assigned(broadcast)) <= len(who)
