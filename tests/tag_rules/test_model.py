"""Rules and live segments against a model that works everything out anew after each step."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from pyroaring import BitMap

from tagcast import audiences, behaviour, contacts, tag_rules, tags
from tagcast.kit.errors import TagcastError
from tagcast.kit.uow import Runtime, Work
from tests.tag_rules.keeping import eager, give, held, rule, settle, take
from tests.tags.people import crowd

PEOPLE = 25
START = datetime(2026, 3, 1, 3, tzinfo=UTC)
OWN = ("a", "a/below", "b")
PARTS = (
    'tag("a")',
    'tag("a", exactly)',
    'tag("b")',
    'region = "x"',
    'region != "x"',
    "score >= 3",
    "score unknown",
    "born last 3 days",
    'did("view", last 2 days)',
    'did("view", times >= 2, last 3 days)',
    'did("buy", sum(amount) >= 2.00, last 3 days)',
    'did("view", days >= 2, 1 to 3 days ago)',
    'did("view", shop = "s", last 4 days)',
    'did("view") then not did("buy") within 2 hours',
    'did("view", last 3 days) then did("buy") within 1 days',
    "score top 30 %",
    'segment("s")',
)


@dataclass
class World:
    """What the steps have to know."""

    dice: random.Random
    clock: time_machine.Traveller
    rules: dict[str, tag_rules.Rule] = field(default_factory=dict)
    grown: dict[str, set[int]] = field(default_factory=dict)
    steps: int = 0

    def text(self) -> str:
        parts = [self.dice.choice(PARTS) for _ in range(self.dice.randrange(1, 4))]
        parts = [f"not {part}" if self.dice.random() < 0.25 and " then " not in part else f"({part})" for part in parts]
        return self.dice.choice((" and ", " or ")).join(parts)


@pytest.mark.parametrize("seed", range(3))
def test_a_rule_is_what_it_would_be_if_it_were_worked_out_anew(runtime: Runtime, seed: int) -> None:
    with time_machine.travel(START, tick=False) as clock:
        world, turning = World(random.Random(seed), clock), eager(changes=world_changes(seed))
        with runtime.work(1, "test") as work:
            _begin(work, world)
        for step in range(40):
            if step % 15 == 14:
                turning = eager()  # another process
            with runtime.work(1, "test") as work:
                for _ in range(world.dice.choice((1, 1, 3))):
                    _step(work, world)
            settle(turning, runtime)
            with runtime.read(1, "test") as work:
                _check(work, world)


def world_changes(seed: int) -> int:
    """How many changes a turn follows: with few it has to come back for the rest."""
    return (4000, 3, 7)[seed % 3]


def _begin(work: Work, world: World) -> None:
    crowd(work, PEOPLE)
    for path in OWN:
        tags.create(work, path)
    contacts.declare_attribute(work, "region", "choice", purpose="test")
    contacts.declare_attribute(work, "score", "number", purpose="test")
    contacts.declare_attribute(work, "born", "date", purpose="test")
    for name in ("view", "buy"):
        behaviour.declare_event(work, name, "test", ["shop"])
    contacts.set_values(work, "region", {1: "x", 2: "y", 3: "z"}, why="test")
    _set_attribute(work, world)
    audiences.create(work, "s", audiences.parse('tag("b")'))
    audiences.create(work, "live", audiences.parse('tag("a") or did("view", last 2 days)'))
    audiences.keep(work, audiences.find(work, "live").id, "live")
    _new_rule(work, world)


def _own(work: Work, world: World) -> str:
    """The path of a tag that no rule keeps, as it is today."""
    name = world.dice.choice(OWN).rpartition("/")[2]
    return next(tag.path for tag in tags.every(work).values() if tag.name == name)


def _some(world: World) -> list[int]:
    return world.dice.sample(range(1, PEOPLE + 1), world.dice.randrange(1, 5))


def _step(work: Work, world: World) -> None:
    steps = [_happens] * 4 + [_give, _take, _set_attribute, _day, _hours, _new_rule, _edit, _stop_or_start]
    steps += [_edit_segment, _move, _erase]
    world.dice.choice(steps)(work, world)


def _happens(work: Work, world: World) -> None:
    world.steps += 1
    at = work.now_ms - world.dice.randrange(0, 3 * 86_400_000)
    events = [
        behaviour.EventIn(
            world.dice.choice(("view", "buy")), number, at, world.dice.randrange(0, 300),
            properties={"shop": world.dice.choice("st")},
        )
        for number in _some(world)
        if number in contacts.everyone(work)
    ]  # fmt: skip
    if events:
        behaviour.record(work, events, batch_key=str(world.steps), zone=work.zone)


def _give(work: Work, world: World) -> None:
    give(work, _own(work, world), *(BitMap(_some(world)) & contacts.everyone(work)))


def _take(work: Work, world: World) -> None:
    take(work, _own(work, world), *_some(world))


def _set_attribute(work: Work, world: World) -> None:
    some = [number for number in _some(world) if number in contacts.everyone(work)]
    contacts.set_values(work, "region", {number: world.dice.choice("xyz") for number in some}, why="test")
    contacts.set_values(work, "score", {number: world.dice.randrange(6) for number in some}, why="test")
    day = work.today - timedelta(days=world.dice.randrange(-2, 6))
    contacts.set_values(work, "born", {number: day.isoformat() for number in some}, why="test")


def _day(_work: Work, world: World) -> None:
    """The clock jumps over days, now and then back."""
    world.clock.shift(timedelta(days=world.dice.choice((1, 1, 2, 5, -1))))


def _hours(_work: Work, world: World) -> None:
    world.clock.shift(timedelta(hours=world.dice.choice((1, 3))))


def _new_rule(work: Work, world: World) -> None:
    if len(world.rules) < 6:
        path = f"rule{len(world.rules)}"
        mode = world.dice.choice(("mirror", "mirror", "grow"))
        text = world.text()
        if world.rules and mode == "mirror" and world.dice.random() < 0.4:
            text = f'({text}) and not tag("{world.dice.choice(list(world.rules))}")'
        world.rules[path] = rule(work, path, text, mode=mode)
        world.grown[path] = set()


def _edit(work: Work, world: World) -> None:
    path = world.dice.choice(list(world.rules))
    world.rules[path] = tag_rules.edit(work, world.rules[path].id, expression=audiences.parse(world.text()))


def _stop_or_start(work: Work, world: World) -> None:
    path = world.dice.choice(list(world.rules))
    found = tag_rules.get(work, world.rules[path].id)
    world.rules[path] = (tag_rules.stop if found.state == "active" else tag_rules.activate)(work, found.id)


def _edit_segment(work: Work, world: World) -> None:
    text = world.dice.choice(('tag("b")', 'tag("a")', 'region = "x"', 'did("view", last 2 days)', "score >= 2"))
    audiences.update(work, audiences.find(work, "s").id, audiences.parse(text))


def _move(work: Work, world: World) -> None:
    below = next(tag for tag in tags.every(work).values() if tag.name == "below")
    tags.move(work, below.id, None if below.parent is not None else tags.find(work, "a").id)


def _erase(work: Work, world: World) -> None:
    gone = BitMap(_some(world)[:1])
    for key in work.bitmaps.keys(""):
        work.bitmaps.remove(key, gone, why="erased")


def _check(work: Work, world: World) -> None:
    everyone = set(contacts.everyone(work))
    for path, made in world.rules.items():
        found = tag_rules.get(work, made.id)
        assert found.problem is None, found.problem
        if found.state != "active":
            world.grown[path] = held(work, path)
            continue
        meant = set(audiences.members(work, found.definition.expression))
        if found.definition.mode == "grow":
            meant |= world.grown[path] & everyone
            world.grown[path] = meant
        assert held(work, path) == meant, (path, audiences.to_text(found.definition.expression))
    segment = audiences.find(work, "live")
    assert set(work.bitmaps.read(segment.key)) == set(audiences.members(work, segment.expression))


def test_a_step_of_the_model_can_fail(runtime_sqlite: Runtime) -> None:
    """Without a turn nothing is followed: the check above would see it."""
    with runtime_sqlite.work(1, "test") as work:
        crowd(work, 3)
        tags.create(work, "a")
        made = rule(work, "b", 'tag("a")')
        give(work, "a", 1)
        assert held(work, "b") == set()
        assert set(audiences.members(work, made.definition.expression)) == {1}
        with pytest.raises(TagcastError):
            give(work, "b", 1)
