"""Test sends, for real: by each platform's own means, once, outside of caps; required above a size."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyroaring import BitMap

from tagcast import accounts, broadcasts, compliance, contacts
from tagcast.broadcasts import previews
from tagcast.kit.errors import Invalid, NotFound, Refused
from tests.broadcasts.conftest import ARTICLE, NOTICE, TEXT, Make
from tests.flows.harness import World

PREVIEW = "/cgi-bin/message/mass/preview"
SECOND = {"kind": "text", "text": "第二版：新品到店"}


def draft(world: World, kind: str, content: dict[str, Any], **settings: Any) -> int:
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "service", contacts.everyone(work), BitMap(), source="test")
        return broadcasts.draft(
            work,
            name="试发",
            account=world.accounts[kind],
            audience="all",
            content=content,
            purpose="service",
            settings=settings,
        ).id


def enlist(world: World, kind: str, at: int = 0) -> previews.Tester:
    with world.runtime.work(1, "test") as work:
        who = list(work.bitmaps.read(f"following:{world.accounts[kind]}"))
        return previews.add(work, world.accounts[kind], contact=who[at], agreed=True)


def show(world: World, broadcast: int, **asked: Any) -> list[tuple[str, str, str]]:
    """(variant, state, reason) of each."""
    found = asyncio.run(previews.send(world.runtime, 1, "test", broadcast, previews.Asked(**asked)))
    return [(one.variant, one.state, one.reason) for one in found]


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises((Refused, NotFound)) as raised:
        yield
    assert raised.value.code == f"broadcasts.{code}"


def sent_slots(world: World) -> dict[str, int]:
    with world.runtime.read(1, "test") as work:
        return {key: work.bitmaps.count(key) for key in work.bitmaps.keys("sent:")}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_an_article_is_shown_by_the_platforms_preview_once(make: Make, database: str) -> None:
    world = make("tag", size=40, database=database)
    who = enlist(world, "official")
    made = draft(world, "official", ARTICLE)
    assert show(world, made) == [("", "sent", "")]
    assert world.sandbox.calls(PREVIEW) == 1
    (phone,) = world.ids("official", [who.contact]).values()
    lines = world.sandbox.lines(f"/sandbox/ledger?account={world.remote['official']['id']}")
    assert {line["person"] for line in lines} == {phone}
    assert sent_slots(world) == {}
    # The draft that was made for it is gone again, and nobody is shown the same twice.
    drafts = world.sandbox.calls("/cgi-bin/draft/add"), world.sandbox.calls("/cgi-bin/draft/delete")
    assert drafts == (1, 1)
    assert show(world, made) == [("", "already", "")]
    assert world.sandbox.calls(PREVIEW) == 1
    assert show(world, made, again=True) == [("", "sent", "")]
    assert world.sandbox.calls(PREVIEW) == 2
    with world.runtime.read(1, "test") as work:
        assert [one.state for one in previews.tested(work, made)] == ["sent"]


def test_a_template_and_each_variant_of_a_text(make: Make) -> None:
    world = make("template", size=40)
    who = enlist(world, "service")
    notice = draft(world, "service", {**NOTICE, "template_id": world.template_id()})
    assert show(world, notice) == [("", "sent", "")]
    section = {"items": [{"name": "B", "content": SECOND, "weight": 1}], "choose": "weights"}
    made = draft(world, "service", TEXT, variants=section)
    assert show(world, made, variant="B") == [("B", "sent", "")]
    with world.runtime.read(1, "test") as work:
        assert previews.untested(work, broadcasts.get(work, made)) == ["A"]
    assert sorted(show(world, made)) == [("A", "sent", ""), ("B", "already", "")]
    (phone,) = world.ids("service", [who.contact]).values()
    messages = world.sandbox.get(f"/sandbox/people/phone?person={phone}")["messages"]
    assert len([one for one in messages if one["via"] == "preview"]) == 2
    assert world.sandbox.calls("/cgi-bin/message/template/send") == 1
    assert sent_slots(world) == {}


def test_an_employee_sees_it_as_an_application_message(make: Make) -> None:
    world = make("tasks", size=40)
    employees = world.sandbox.get(f"/sandbox/employees?account={world.remote['wecom']['id']}")
    name = next(iter(_names(employees)))
    with world.runtime.work(1, "test") as work:
        account = world.accounts["wecom"]
        with pytest.raises(Invalid):
            previews.add(work, account, contact=1, agreed=True)
        with pytest.raises(Invalid):
            previews.add(work, account, userid=name)
        previews.add(work, account, userid=name, agreed=True)
        previews.add(work, account, userid="nobody", agreed=True)
    made = draft(world, "wecom", {**TEXT, "url": "https://shop.example.com/day"})
    assert sorted(show(world, made)) == [("", "failed", "wecom:81013"), ("", "sent", "")]
    shown = world.sandbox.get(f"/sandbox/employees/messages?account={world.remote['wecom']['id']}")["messages"]
    assert [one["userid"] for one in shown] == [name]
    assert shown[0]["body"]["content"] == f"{TEXT['text']}\nhttps://shop.example.com/day"
    assert world.sandbox.calls("/cgi-bin/externalcontact/add_msg_template") == 0


def _names(told: Any) -> list[str]:
    rows = told["employees"] if isinstance(told, dict) else told
    return [row["userid"] if isinstance(row, dict) else row for row in rows]


def test_a_member_of_a_webhook_account(make: Make) -> None:
    world = make("webhook", size=20)
    enlist(world, "custom")
    made = draft(world, "custom", ARTICLE)
    assert show(world, made) == [("", "sent", "")]
    assert world.sandbox.calls("/webhook/in") == 1


def test_what_the_platform_refuses_is_told(make: Make) -> None:
    world = make("tag", size=40)
    who = enlist(world, "official")
    world.sandbox.post("/sandbox/faults", path=PREVIEW, kind="error", code=43004, times=1)
    made = draft(world, "official", TEXT)
    ((_, state, reason),) = show(world, made)
    assert state == "failed"
    assert "43004" in reason
    assert show(world, made, testers=(who.id,)) == [("", "sent", "")]


def test_what_nobody_knows_is_not_shown_again_unless_asked(make: Make) -> None:
    world = make("tag", size=40)
    enlist(world, "official")
    world.sandbox.post("/sandbox/faults", path=PREVIEW, kind="timeout_after", times=1, seconds=3.0)
    made = draft(world, "official", TEXT)
    ((_, state, _),) = show(world, made)
    assert state == "unknown"
    assert show(world, made) == [("", "unknown", "")]
    with world.runtime.read(1, "test") as work:
        assert previews.untested(work, broadcasts.get(work, made)) == [""]
    assert show(world, made, again=True) == [("", "sent", "")]


def test_a_test_is_required_above_a_size_and_dies_with_the_text(make: Make) -> None:
    world = make("list", size=60)
    enlist(world, "service")
    made = draft(world, "service", TEXT)
    with world.runtime.work(1, "test") as work:
        previews.set_above(work, 10)
        plan = broadcasts.plan(work, made)
        assert not previews.done(work, plan.hash)
        with pytest.raises(Refused) as raised:
            broadcasts.send(work, plan.hash)
    assert raised.value.code == "broadcasts.test_needed"
    assert show(world, made) == [("", "sent", "")]
    with world.runtime.work(1, "test") as work:
        assert previews.done(work, plan.hash)
        other = broadcasts.edit(work, made, {"content": SECOND})
        again = broadcasts.plan(work, other.id)
        assert not previews.done(work, again.hash)
        broadcasts.undo(work, made)
        again = broadcasts.plan(work, made)
        assert previews.done(work, again.hash)
        broadcasts.send(work, again.hash)


def test_who_can_be_shown_nothing_is_said(make: Make) -> None:
    world = make("tag", size=40)
    made = draft(world, "official", TEXT)
    with refused("no_testers"):
        show(world, made)
    who = enlist(world, "official")
    with refused("no_tester"):
        show(world, made, testers=(99,))
    for at in range(1, 7):
        enlist(world, "official", at)
    with world.runtime.read(1, "test") as work:
        everybody = tuple(one.id for one in previews.listed(work, None))
    with refused("testers_at_once"):
        show(world, made, testers=everybody)
    assert len(show(world, made)) == 5
    with world.runtime.work(1, "test") as work:
        compliance.suppress(work, BitMap([who.contact]), "asked")
    with refused("tester_silent"):
        show(world, made)
    with world.runtime.work(1, "test") as work:
        accounts.set_profile(work, world.accounts["official"], "article")
    with refused("no_test_here"):
        show(world, made)
