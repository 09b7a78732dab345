"""Random use of tags against a plain model: the tree, the holders, undo."""

import random
from dataclasses import dataclass, field

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd

from tagcast import tags
from tagcast.kit.errors import Conflict
from tagcast.kit.uow import Work

NAMES = ("a", "A", "Ａ", "b", "select")
PEOPLE = 20


@dataclass
class Change:
    tag: int
    op: str
    members: set[int]
    undone: bool = False


@dataclass
class Model:
    parents: dict[int, int | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    holders: dict[int, set[int]] = field(default_factory=dict)
    changes: dict[int, Change] = field(default_factory=dict)

    def taken(self, parent: int | None, name: str, but: int | None = None) -> bool:
        same = {"a": "a", "A": "a", "Ａ": "a"}
        return any(
            above == parent and tag != but and same.get(self.names[tag], self.names[tag]) == same.get(name, name)
            for tag, above in self.parents.items()
        )

    def above(self, tag: int) -> list[int]:
        found = [tag]
        while (parent := self.parents[found[-1]]) is not None:
            found.append(parent)
        return found

    def path(self, tag: int) -> str:
        return "/".join(self.names[one] for one in reversed(self.above(tag)))

    def below(self, tag: int) -> set[int]:
        return set().union(*(held for one, held in self.holders.items() if tag in self.above(one)))


@pytest.mark.parametrize("seed", range(4))
def test_tags_do_what_a_plain_model_does(work: Work, seed: int) -> None:
    crowd(work, PEOPLE)
    dice, model = random.Random(seed), Model()
    for _ in range(120):
        step = dice.choice([_create, _rename, _move, _assign, _assign, _remove, _undo])
        if model.parents or step is _create:
            step(work, model, dice)
        found = {node.tag.id: (node.tag.path, node.own, node.below) for node in tags.tree(work)}
        expected = {tag: (model.path(tag), len(model.holders[tag]), len(model.below(tag))) for tag in model.parents}
        assert found == expected
    for tag, held in model.holders.items():
        assert set(tags.holders(work, tag, below=False)) == held
        assert tags.find(work, model.path(tag)).id == tag
    assert sum(len(tags.history(work, tag, limit=1000)) for tag in model.parents) == len(model.changes)


def _create(work: Work, model: Model, dice: random.Random) -> None:
    parent, name = dice.choice([None, *model.parents]), dice.choice(NAMES)
    if model.taken(parent, name):
        with pytest.raises(Conflict):
            tags.create(work, name, parent=parent)
        return
    made = tags.create(work, name, parent=parent)
    model.parents[made.id], model.names[made.id], model.holders[made.id] = parent, name, set()


def _rename(work: Work, model: Model, dice: random.Random) -> None:
    tag, name = dice.choice(list(model.parents)), dice.choice(NAMES)
    if model.taken(model.parents[tag], name, tag):
        with pytest.raises(Conflict):
            tags.rename(work, tag, name)
        return
    tags.rename(work, tag, name)
    model.names[tag] = name


def _move(work: Work, model: Model, dice: random.Random) -> None:
    tag, parent = dice.choice(list(model.parents)), dice.choice([None, *model.parents])
    if (parent is not None and tag in model.above(parent)) or model.taken(parent, model.names[tag], tag):
        with pytest.raises(Conflict):
            tags.move(work, tag, parent)
        return
    tags.move(work, tag, parent)
    model.parents[tag] = parent


def _assign(work: Work, model: Model, dice: random.Random) -> None:
    tag, numbers = dice.choice(list(model.parents)), set(dice.sample(range(1, PEOPLE + 1), dice.randrange(6)))
    change = tags.assign(work, tag, BitMap(numbers), why="t")
    new = numbers - model.holders[tag]
    assert (change is not None) == bool(new)
    if change is not None:
        model.changes[change.seq] = Change(tag, "add", new)
        model.holders[tag] |= new


def _remove(work: Work, model: Model, dice: random.Random) -> None:
    tag, numbers = dice.choice(list(model.parents)), set(dice.sample(range(1, PEOPLE + 1), dice.randrange(6)))
    change = tags.remove(work, tag, BitMap(numbers), why="t")
    gone = numbers & model.holders[tag]
    assert (change is not None) == bool(gone)
    if change is not None:
        model.changes[change.seq] = Change(tag, "remove", gone)
        model.holders[tag] -= gone


def _undo(work: Work, model: Model, dice: random.Random) -> None:
    if not model.changes:
        return
    seq = dice.choice(list(model.changes))
    undone = model.changes[seq]
    if undone.undone:
        with pytest.raises(Conflict):
            tags.undo(work, seq)
        return
    touched = [c.members for later, c in model.changes.items() if later > seq and c.tag == undone.tag]
    standing = undone.members.difference(*touched)
    change = tags.undo(work, seq)
    assert (change is not None) == bool(standing)
    if change is not None:
        undone.undone = True
        op = "remove" if undone.op == "add" else "add"
        assert (change.op, change.size, change.undoes) == (op, len(standing), seq)
        model.changes[change.seq] = Change(undone.tag, op, standing)
        model.holders[undone.tag] ^= standing
