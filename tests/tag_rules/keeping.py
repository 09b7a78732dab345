"""A workspace with rules that are followed at once, and turns taken by hand."""

from dataclasses import replace
from typing import Any

from pyroaring import BitMap

from tagcast import audiences, tag_rules, tags
from tagcast.audiences import live
from tagcast.kit.uow import Runtime, Work
from tagcast.tag_rules import Rule, Turning

EAGER = replace(live.pace(), look_seconds=0, save_seconds=0, whole_seconds=0)


def eager(**figures: float) -> Turning:
    """Turns that look at everything each time, with other figures where they are given."""
    return Turning(replace(EAGER, **figures))


def settle(turning: Turning, runtime: Runtime, most: int = 50) -> None:
    """Turns until there is nothing to do."""
    for _ in range(most):
        if not turning.turn(runtime, [1]):
            return
    raise AssertionError("the turns do not come to an end")


def rule(work: Work, path: str, text: str, **ways: Any) -> Rule:
    """An active rule for a tag, made if it is not there."""
    tag = tags.ensure(work, path)
    made = tag_rules.create(work, tag.id, audiences.parse(text), **ways)
    return tag_rules.activate(work, made.id)


def held(work: Work, path: str) -> set[int]:
    """Who holds the tag itself."""
    return set(tags.holders(work, tags.find(work, path).id, below=False))


def give(work: Work, path: str, *numbers: int) -> None:
    tags.assign(work, tags.find(work, path).id, BitMap(numbers), why="test")


def take(work: Work, path: str, *numbers: int) -> None:
    tags.remove(work, tags.find(work, path).id, BitMap(numbers), why="test")
