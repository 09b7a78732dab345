"""What became of real sends, as segments name it: from the plan over the deliveries to the visits."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from pyroaring import BitMap

from tagcast import access, audiences, broadcasts, compliance, outcomes, tracking
from tagcast.kit.errors import Invalid
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.conftest import ARTICLE, Make, box, make  # noqa: F401 - fixtures
from tests.broadcasts.test_actions import account, draft, people
from tests.broadcasts.test_webhook import part
from tests.flows.harness import World
from tests.tracking.serving import call, serving


def found(world: World, text: str) -> BitMap:
    with world.runtime.read(1, "test") as work:
        return audiences.members(work, audiences.parse(text))


def visit(world: World, broadcast: int, opens: BitMap, clicks: BitMap) -> None:
    """Real visits of the message page and of its button."""
    key = f"broadcast:{broadcast}"
    with world.runtime.work(1, "test") as work:
        page = tracking.page_of(work, key)
        urls = [tracking.message_url(work, page, "", number=number) for number in opens] if page else []
        link = tracking.make_link(work, key, ARTICLE["url"])
        urls += tracking.personal_urls(work, link, clicks, "")
    visits = tracking.Visits(world.runtime)
    visits.start()
    with serving(visits) as port:
        for url in urls:
            assert call(port, urlsplit(url).path)[0] in (200, 302)
    visits.close()
    with world.runtime.work(1, "test") as work:
        assert tracking.fold(work) == len(urls)


def test_segments_name_what_became_of_a_broadcast(make: Make) -> None:  # noqa: F811 - a fixture
    world = make("webhook", size=150)
    everyone = world.set("contact")
    broadcast = world.send("custom", ARTICLE, holdout=20.0)
    assigned, holdout = world.assigned(broadcast), world.set(f"broadcast:{broadcast}:holdout")
    gone, changed_mind = BitMap(list(assigned)[:7]), BitMap(list(assigned)[7:10])
    part(world, gone, follows=False)
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "marketing", BitMap(), changed_mind, source="test")
    name = '"to custom"'
    assert found(world, f"received({name}) or failed({name})") == BitMap()
    assert found(world, f"held_out({name})") == holdout != BitMap()
    world.work_until(broadcast)
    got = assigned - gone - changed_mind
    assert found(world, f"received({name})") == got != BitMap()
    assert found(world, f"failed({name})") == gone
    assert found(world, f"held_back({name})") == (everyone - assigned - holdout) | changed_mind
    came, bought = BitMap(list(got)[:5]), BitMap(list(got)[3:8])
    visit(world, broadcast, came, bought)
    assert found(world, f"opened(broadcast {broadcast})") == came
    assert found(world, f"clicked({name})") == bought
    assert found(world, f"received({name}) and not opened({name}) and not clicked({name})") == got - came - bought
    assert found(world, "received(any, last 7 days)") == got
    assert found(world, f"received(account {world.accounts['custom']}, today)") == got
    assert found(world, "received(any, before today)") == BitMap()
    assert found(world, "not received(any)") == everyone - got


def test_several_launches_under_one_name_are_counted(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service")
        who = people(work, at, 6)
        sent = []
        for some in (who[:4], who[2:]):
            broadcast = draft(work, at, name="周报")
            sent.append(broadcasts.send(work, broadcasts.plan(work, broadcast).hash).id)
            work.bitmaps.add(f"broadcast:{sent[-1]}:accepted", BitMap(some), why="delivered")

        def members(text: str) -> set[int]:
            return set(audiences.members(work, audiences.parse(text)))

        assert members('received("周报")') == set(who)
        assert members('received("周报", times >= 2)') == set(who[2:4])
        assert members('received("周报", times = 1)') == {*who[:2], *who[4:]}
        assert members('received("周报", times < 1)') == members('received("周报", times > 2)') == set()
        assert members(f"received(broadcast {sent[1]})") == set(who[2:])
        outcomes.rename(work, f"broadcast:{sent[0]}", "周报（一）")
        assert members('received("周报")') == set(who[2:])
        assert members('received("周报（一）")') == set(who[:4])


def test_what_was_not_launched_has_no_outcome(work: Work) -> None:
    at = account(work, "service")
    people(work, at, 3)
    broadcast = draft(work, at, name="预热")
    for text in ('received("预热")', f"received(broadcast {broadcast})"):
        with pytest.raises(Invalid) as caught:
            audiences.count(work, audiences.parse(text))
        assert caught.value.code == "audiences.unknown_sending"
    assert outcomes.sendings(work) == []
    assert audiences.count(work, audiences.parse("received(any)")) == 0
    assert audiences.count(work, audiences.parse("not received(any)")) == 3


def test_launches_are_told_in_order_and_to_their_workspace_only(runtime: Runtime) -> None:
    with runtime.system() as connection:
        other = access.create_workspace(connection, runtime.master_key, "other")
    with runtime.work(1, "test") as work:
        first = outcomes.register(work, "broadcast:1", "b", account=1)
        started = work.now
    with runtime.work(1, "test", now=started + timedelta(days=1)) as work:
        second = outcomes.register(work, "broadcast:2", "a", account=1)
        assert outcomes.sendings(work) == [first, second]
        assert outcomes.sendings(work, names=["a"]) == outcomes.sendings(work, refs=["broadcast:2"]) == [second]
        assert outcomes.names(work) == ["a", "b"]
    with runtime.work(1, "test", now=started + timedelta(days=2)) as work:
        again = outcomes.register(work, "broadcast:1", "b", account=2)
        assert outcomes.sendings(work) == [second, again]
    with runtime.work(other, "test") as work:
        assert (outcomes.sendings(work), outcomes.names(work)) == ([], [])
        outcomes.rename(work, "broadcast:1", "mine")
    with runtime.read(1, "test") as work:
        assert outcomes.names(work) == ["a", "b"]
