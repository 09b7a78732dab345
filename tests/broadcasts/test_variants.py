"""Variants of a broadcast, sent for real: who gets which text, what is written down, what a bandit makes of it."""

from typing import Any

import numpy as np
import pytest
from pyroaring import BitMap

from tagcast import broadcasts, compliance, contacts, tags
from tagcast.broadcasts import running, variants
from tagcast.kit.errors import Conflict, Invalid, Refused
from tagcast.kit.uow import Runtime, Work
from tests.broadcasts.conftest import NOTICE, TEXT, Make
from tests.broadcasts.test_actions import TEMPLATE, account
from tests.broadcasts.test_actions import people as make_people
from tests.flows.harness import World, until

OTHER = {"kind": "text", "text": "本周新品到店，欢迎来看看"}


def people(work: Work, at: int, size: int) -> list[int]:
    """Contacts who consent to messages of service, too: templates may say nothing else."""
    who = make_people(work, at, size)
    compliance.record(work, "service", BitMap(who), BitMap(), source="test")
    return who


def draft(work: Work, at: int, content: dict[str, Any] = TEMPLATE, **more: Any) -> int:
    given = {"name": "一次", "account": at, "audience": "all", "content": content, "purpose": "service", **more}
    return broadcasts.draft(work, **given).id


def tagged(work: Work, path: str, who: list[int]) -> None:
    work.bitmaps.add(f"tag:{tags.ensure(work, path).id}", BitMap(who), why="test")


def said(world: World, kind: str) -> dict[str, str]:
    """Person → what the sandbox saw that he was sent."""
    lines = world.sandbox.lines(f"/sandbox/ledger?account={world.remote[kind]['id']}")
    return {line["person"]: line["content"] for line in lines}


def planned(work: Work, content: dict[str, Any], section: dict[str, Any], **more: Any) -> broadcasts.Broadcast:
    made = broadcasts.draft(
        work,
        name="两版",
        account=more.pop("account"),
        audience="all",
        content=content,
        purpose="service",
        settings={"variants": section},
        **more,
    )
    broadcasts.plan(work, made.id)
    return made


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_segment_hears_its_own_words(make: Make, database: str) -> None:
    world = make("list", size=240, database=database)
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "service", contacts.everyone(work), BitMap(), source="test")
        who = sorted(work.bitmaps.read(f"following:{world.accounts['service']}"))
        tagged(work, "新客", who[:60])
        tagged(work, "会员", who[40:100])
        items = [
            {"name": "新", "content": OTHER, "when": 'tag("新客")'},
            {"name": "会", "content": {"kind": "text", "text": "会员请到柜台领礼"}, "when": 'tag("会员")'},
        ]
        made = planned(work, TEXT, {"items": items, "base": "众"}, account=world.accounts["service"])
        plan = broadcasts.plan(work, made.id)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    world.work_until(made.id)
    assert world.states(made.id)["delivered"] + world.states(made.id)["accepted"] == len(world.assigned(made.id))
    sets = {name: world.set(f"broadcast:{made.id}:variant:{name}") for name in ("众", "新", "会")}
    assert sets["新"] == BitMap(who[:60])
    assert sets["会"] == BitMap(who[60:100])
    assert sets["众"] == BitMap(who[100:])
    got = said(world, "service")
    texts = {name: {got[one] for one in world.ids("service", members).values()} for name, members in sets.items()}
    assert [len(one) for one in texts.values()] == [1, 1, 1]
    assert len(set.union(*texts.values())) == 3


def test_a_split_is_exact_beside_the_holdout_and_everybody_gets_his_own_variant(make: Make) -> None:
    world = make("template", size=200)
    notice = {**NOTICE, "template_id": world.template_id()}
    other = {**notice, "data": {**notice["data"], "thing2": "双倍积分本周开始"}}
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "service", contacts.everyone(work), BitMap(), source="test")
        section = {"items": [{"name": "B", "content": other, "weight": 3}], "choose": "weights"}
        made = planned(work, notice, section, account=world.accounts["service"], holdout_percent=10)
        before = variants.view(work, made.id)
        plan = broadcasts.plan(work, made.id)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    world.work_until(made.id)
    assigned = world.assigned(made.id)
    one, two = (world.set(f"broadcast:{made.id}:variant:{name}") for name in "AB")
    assert one | two == assigned
    assert not one & two
    assert abs(len(two) - len(assigned) * 0.75) < 1
    assert [share.size for share in before.draws[0].shares] == [len(one), len(two)]
    got = said(world, "service")
    texts = [{got[id_] for id_ in world.ids("service", members).values()} for members in (one, two)]
    assert [len(text) for text in texts] == [1, 1]
    assert texts[0] != texts[1]
    with world.runtime.read(1, "test") as work:
        view = variants.view(work, made.id)
    assert [(result.name, result.got, result.reached) for result in view.results] == [
        ("A", len(one), len(one)),
        ("B", len(two), len(two)),
    ]


RATES = {"A": 0.05, "B": 0.30}


def _run(work: Work, at: int, broadcast: int, seed: int) -> None:
    """Everybody is reached; people open as their variant makes them: the truth, known here alone."""
    chance = np.random.default_rng(seed)
    key = f"broadcast:{broadcast}"
    for name, rate in RATES.items():
        who = sorted(work.bitmaps.read(f"{key}:variant:{name}"))
        work.bitmaps.add(f"{key}:delivered", BitMap(who), why="test")
        opened = [one for one in who if chance.random() < rate]
        work.bitmaps.add(f"{key}:opened", BitMap(opened), why="test")


def test_a_bandit_learns_over_a_series_and_tells_what_each_variant_does(runtime: Runtime) -> None:
    other = {**TEMPLATE, "data": {"name1": "会员日"}}
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        who = people(work, at, 1000)
    for round_ in range(3):
        with runtime.work(1, "test") as work:
            for key in work.bitmaps.keys("sent:"):
                work.bitmaps.replace(key, BitMap(), why="test")
            section = {
                "items": [{"name": "B", "content": other}],
                "choose": "bandit",
                "explore": 0.2,
                "measure": "opened",
                "series": "每周积分",
            }
            made = planned(work, TEMPLATE, section, account=at)
            broadcasts.send(work, broadcasts.plan(work, made.id).hash)
            _run(work, at, made.id, round_)
            view = variants.view(work, made.id)
        a, b = view.draws[0].shares
        assert a.size + b.size == len(who)
        assert abs(a.explored + b.explored - 200) <= 1
        assert abs(a.explored - 100) <= 1
        assert a.probability == pytest.approx(0.1 + 0.8 * a.best)
        for result in view.results:
            assert result.rate is not None
            assert result.rate.low <= RATES[result.name] <= result.rate.high
    assert a.best == 0
    assert b.size == pytest.approx(900, abs=2)
    # Two earlier ones with decay: all of B's people of both, 0.8 and 0.64 of them.
    assert b.trials == pytest.approx(0.8 * 900 + 0.64 * 500, abs=3)


def test_groups_are_split_apart(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        who = people(work, at, 300)
        tagged(work, "区/东", who[:101])
        tagged(work, "区/西", who[90:201])
        other = {**TEMPLATE, "data": {"name1": "会员日"}}
        section = {"items": [{"name": "B", "content": other, "weight": 1}], "choose": "weights", "by": "tag: 区"}
        made = planned(work, TEMPLATE, section, account=at)
        view = variants.view(work, made.id)
    sizes = {draw.label: [share.size for share in draw.shares] for draw in view.draws}
    assert {label: sum(parts) for label, parts in sizes.items()} == {"东": 101, "西": 100, "none": 99}
    assert all(abs(a - b) <= 1 for a, b in sizes.values())


def test_a_plan_is_void_when_a_segment_of_a_variant_has_moved(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        who = people(work, at, 20)
        tagged(work, "新客", who[:5])
        other = {**TEMPLATE, "data": {"name1": "新客"}}
        items = [{"name": "新", "content": other, "when": 'tag("新客")'}]
        made = planned(work, TEMPLATE, {"items": items}, account=at)
        plan = broadcasts.plan(work, made.id)
    with runtime.work(1, "test") as work:
        tagged(work, "新客", who[5:6])
    with runtime.work(1, "test") as work, pytest.raises(Conflict):
        broadcasts.send(work, plan.hash)


B = {"name": "B", "content": {**TEMPLATE, "data": {"name1": "乙"}}}


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ([], "bad_variants"),
        ({"items": []}, "bad_variants"),
        ({"items": [B]}, "bad_variants"),
        ({"items": [B], "choose": "luck"}, "bad_variants"),
        ({"items": [{**B, "weight": 0}], "choose": "weights"}, "bad_variants"),
        ({"items": [{**B, "weight": 1}], "choose": "bandit"}, "bad_variants"),
        ({"items": [{**B, "name": "A"}], "choose": "bandit"}, "same_variants"),
        ({"items": [{**B, "name": "a:b"}], "choose": "bandit"}, "bad_variant_name"),
        ({"items": [{**B, "name": f"B{n}"} for n in range(10)], "choose": "bandit"}, "many_variants"),
        ({"items": [B], "choose": "bandit", "explore": 0}, "bad_explore"),
        ({"items": [B], "choose": "bandit", "measure": "converted"}, "bad_goal"),
        ({"items": [B], "choose": "weights", "series": "x"}, "bad_variants"),
        ({"items": [B], "choose": "bandit", "odd": 1}, "bad_variants"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(runtime: Runtime, section: Any, code: str) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        with pytest.raises(Invalid) as raised:
            draft(work, at, settings={"variants": section})
    assert raised.value.code == f"broadcasts.{code}"


def test_a_variant_travels_as_the_message_does_and_a_bandit_needs_to_see(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        at = account(work, "service", "platform")
        people(work, at, 20)
        wrong = draft(
            work,
            at,
            settings={"variants": {"items": [{"name": "B", "content": OTHER, "weight": 1}], "choose": "weights"}},
        )
        with pytest.raises(Refused) as raised:
            broadcasts.plan(work, wrong)
        assert raised.value.code == "broadcasts.other_route"
        blind = draft(
            work, at, TEXT, settings={"variants": {"items": [{"name": "B", "content": OTHER}], "choose": "bandit"}}
        )
        with pytest.raises(Refused) as raised:
            broadcasts.plan(work, blind)
        assert raised.value.code == "broadcasts.nothing_to_learn"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_next_stage_gets_what_the_first_one_liked(make: Make, database: str) -> None:
    """The truth is known here alone: everybody opens B, nobody A. Each is reached once, with the variant on record."""
    world = make("template", size=400, database=database)
    notice = {**NOTICE, "template_id": world.template_id()}
    other = {**notice, "data": {**notice["data"], "thing2": "双倍积分本周开始"}}
    with world.runtime.work(1, "test") as work:
        compliance.record(work, "service", contacts.everyone(work), BitMap(), source="test")
        section = {"items": [{"name": "B", "content": other}], "choose": "bandit", "explore": 0.1}
        made = broadcasts.draft(
            work,
            name="分阶段",
            account=world.accounts["service"],
            audience="all",
            content=notice,
            purpose="service",
            settings={"variants": section, "stages": {"percent": [20, 100], "wait_minutes": 60}},
        )
        plan = broadcasts.plan(work, made.id)
    with world.runtime.work(1, "test") as work:
        broadcasts.send(work, plan.hash)
    with world.working():
        until(lambda: _between(world, made.id))
        key = f"broadcast:{made.id}"
        first = {name: world.set(f"{key}:variant:{name}") & world.set(f"{key}:accepted") for name in "AB"}
        with world.runtime.work(1, "test") as work:
            work.bitmaps.add(f"{key}:opened", first["B"], why="test")
            broadcasts.proceed(work, made.id)
        world.wait(made.id, "finished")
    assigned = world.assigned(made.id)
    a, b = (world.set(f"{key}:variant:{name}") for name in "AB")
    assert a | b == assigned
    assert not a & b
    later = len(assigned) - len(first["A"] | first["B"])
    assert len(first["A"]) - len(first["B"]) in (-1, 0, 1)
    assert len(a - first["A"]) == pytest.approx(0.05 * later, abs=1)
    assert len(world.set(f"{key}:explored")) == pytest.approx(0.1 * len(assigned), abs=2)
    verdict = world.judge("service", made.id)
    assert (verdict["lost"], verdict["duplicated"], verdict["forbidden"]) == (0, 0, 0)
    got = said(world, "service")
    texts = [{got[id_] for id_ in world.ids("service", members).values()} for members in (a, b)]
    assert [len(text) for text in texts] == [1, 1]
    assert texts[0] != texts[1]
    with world.runtime.read(1, "test") as work:
        view = variants.view(work, made.id)
    assert [draw.stage for draw in view.draws] == [0, 1]
    assert [share.trials for share in view.draws[1].shares] == [len(first["A"]), len(first["B"])]
    assert [share.best for share in view.draws[1].shares] == [0, 1]


def _between(world: World, broadcast: int) -> bool:
    with world.runtime.read(1, "test") as work:
        return running.between(work, broadcasts.get(work, broadcast))
