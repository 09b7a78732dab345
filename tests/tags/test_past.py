"""Tags as they were, held against snapshots; undo with ends and expiry, held against a plain model."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from pyroaring import BitMap
from tests.tags.people import crowd, people, until_of

from tagcast import contacts, tags
from tagcast.bitmaps import Only
from tagcast.kit import clock
from tagcast.kit.errors import Conflict, NotFound, TagcastError
from tagcast.kit.uow import Runtime, Work

START = datetime(2026, 11, 1, tzinfo=UTC)
PEOPLE = 12
At = Callable[[datetime], Work]


@pytest.fixture
def at(runtime: Runtime, work: Work) -> At:
    """The open unit of work at another time."""

    def moved(moment: datetime) -> Work:
        view = runtime.bitmaps.view(work.connection, 1, who="test", at_ms=clock.to_ms(moment))
        return replace(work, now=moment, bitmaps=view)

    return moved


@dataclass
class Made:
    """A change of the model: who came or left, until when they had held it, whom it prolonged from when."""

    op: str
    members: set[int]
    ends: dict[int, datetime | None] = field(default_factory=dict)
    shorter: dict[int, datetime] = field(default_factory=dict)
    longer: dict[int, datetime | None] = field(default_factory=dict)
    undone: bool = False


class Model:
    """One tag: until when each holds it, and which change touched each last."""

    def __init__(self) -> None:
        self.ends: dict[int, datetime | None] = {}
        self.touched: dict[int, object] = {}
        self.end_touched: dict[int, object] = {}
        self.changes: dict[int, Made] = {}
        self.erased: set[int] = set()

    def assign(self, seq: int | None, some: set[int], until: datetime | None) -> None:
        made = Made("add", some - self.ends.keys())
        for one in some:
            before = self.ends.get(one)
            if one in made.members:
                self.ends[one], self.touched[one], self.end_touched[one] = until, made, made
            elif before is not None and (until is None or before < until):
                self.ends[one], self.end_touched[one] = until, made
                made.shorter[one] = before
        if seq is not None:
            self.changes[seq] = made

    def remove(self, seq: int | None, some: set[int]) -> None:
        made = Made("remove", some & self.ends.keys())
        for one in made.members:
            made.ends[one] = self.ends.pop(one)
            self.touched[one] = self.end_touched[one] = made
        if seq is not None:
            self.changes[seq] = made

    def expire(self, now: datetime) -> None:
        for one, until in list(self.ends.items()):
            if until is not None and until <= now:
                del self.ends[one]
                self.touched[one] = self.end_touched[one] = object()

    def erase(self, one: int) -> None:
        self.erased.add(one)
        if one in self.ends:
            self.remove(None, {one})

    def undo(self, seq: int, now: datetime) -> Made | None:
        made = self.changes[seq]
        standing = {one for one in made.members if self.touched[one] is made} - self.erased
        if made.op == "remove":
            standing = {one for one in standing if made.ends[one] is None or made.ends[one] > now}
        if not standing:
            return None
        made.undone = True
        after = Made("remove" if made.op == "add" else "add", standing)
        for one in standing:
            if made.op == "add":
                after.ends[one] = self.ends.pop(one)
            else:
                self.ends[one] = made.ends[one]
            self.touched[one] = self.end_touched[one] = after
        for one, before in made.shorter.items():
            if self.end_touched[one] is made and one not in self.erased:
                after.longer[one] = self.ends[one]
                self.ends[one], self.end_touched[one] = before, after
        for one, later in made.longer.items():
            if self.end_touched[one] is made and one not in self.erased:
                after.shorter[one] = self.ends[one]  # type: ignore[assignment]  # was set by that undo
                self.ends[one], self.end_touched[one] = later, after
        return after


@pytest.mark.parametrize("seed", range(8))
def test_undo_with_ends_and_expiry_does_what_a_plain_model_does(work: Work, at: At, seed: int) -> None:
    people(work, PEOPLE)
    dice, model, now = random.Random(seed), Model(), START
    work = at(now)
    tag = tags.create(work, "a").id
    for _ in range(60):
        now += timedelta(hours=dice.choice([0, 1, 5]))
        work = at(now)
        some = set(dice.sample(sorted(set(range(1, PEOPLE + 1)) - model.erased), dice.randrange(1, 5)))
        match dice.choice(["assign", "assign", "remove", "expire", "undo", "undo", "erase"]):
            case "assign":
                until = dice.choice([None, *(START + timedelta(hours=at) for at in (20, 60, 90, 200))])
                if until is not None and until <= now:
                    continue
                change = tags.assign(work, tag, BitMap(some), why="t", until=until)
                model.assign(change.seq if change else None, some, until)
            case "remove":
                change = tags.remove(work, tag, BitMap(some), why="t")
                model.remove(change.seq if change else None, some)
            case "expire":
                tags.expire(work)
                model.expire(now)
            case "erase" if dice.random() < 0.2:
                one = min(some)
                contacts.erase(work, one)
                model.erase(one)
            case "undo" if model.changes:
                seq = dice.choice(list(model.changes))
                if model.changes[seq].undone:
                    with pytest.raises(Conflict):
                        tags.undo(work, seq)
                    continue
                change, expected = tags.undo(work, seq), model.undo(seq, now)
                assert (change is None) == (expected is None)
                if change is not None and expected is not None:
                    assert set(work.bitmaps.members(change.seq)) == expected.members
                    model.changes[change.seq] = expected
        found = {one: until_of(work, tag, one) for one in tags.holders(work, tag)}
        assert found == {one: until and clock.to_ms(until) for one, until in model.ends.items()}


@pytest.mark.parametrize("seed", range(3))
def test_branches_and_differences_are_as_they_were(work: Work, at: At, seed: int) -> None:
    people(work, PEOPLE)
    dice, now, erased = random.Random(seed), START, set[int]()
    work = at(now)
    ids = [tags.create(work, path, parents=True).id for path in ("a", "a/b", "a/b/c", "a/d", "x", "x/b", "x/y")]
    merged: list[tags.Merged] = []
    taken: list[tuple[datetime, dict[int, set[int]], dict[int, set[int]]]] = []
    for _ in range(40):
        now += timedelta(minutes=7)
        work = at(now)
        alive = [one.id for one in tags.every(work).values() if one.archived_at is None]
        # A refusal is fine; what it leaves is held against the snapshots.
        with suppress(TagcastError):
            _step(work, dice, alive, merged)
        if dice.random() < 0.04:
            one = dice.choice(list(contacts.everyone(work)))
            contacts.erase(work, one)
            erased.add(one)
        own = {one: set(tags.holders(work, one, below=False)) for one in ids}
        taken.append((now, own, {one: set(tags.holders(work, one)) for one in ids}))
    for moment, own, below in dice.sample(taken, 10):
        later = moment + timedelta(minutes=3)
        for one in ids:
            assert set(tags.as_of(work, one, later)) == own[one] - erased
            assert set(tags.as_of(work, one, later, below=True)) == below[one] - erased, moment
        assert set(tags.as_of(work, ids[:3], later)) == set().union(*(own[one] for one in ids[:3])) - erased
    for first, second in zip(dice.sample(taken, 8), dice.sample(taken, 8), strict=True):
        one = dice.choice(ids)
        found = tags.diff(work, one, first[0], second[0], below=True)
        before, after = first[2][one] - erased, second[2][one] - erased
        assert (set(found.added), set(found.removed)) == (after - before, before - after)


def _step(work: Work, dice: random.Random, alive: list[int], merged: list[tags.Merged]) -> None:
    tag, some = dice.choice(alive), BitMap(dice.sample(range(1, PEOPLE + 1), dice.randrange(1, 5)))
    match dice.choice(["assign", "assign", "remove", "move", "merge", "unmerge", "archive", "undo"]):
        case "assign":
            tags.assign(work, tag, some & contacts.everyone(work), why="t")
        case "remove":
            tags.remove(work, tag, some, why="t")
        case "move":
            tags.move(work, tag, dice.choice([None, *alive]))
        case "merge":
            merged.append(tags.merge(work, tag, dice.choice(alive), why="t"))
        case "unmerge" if merged:
            tags.unmerge(work, merged.pop(), why="t")
        case "archive" if len(alive) > 4:
            tags.archive(work, tag)
        case "undo":
            for change in tags.history(work, tag, limit=1):
                tags.undo(work, change.seq)


def test_a_history_is_searched(work: Work, at: At) -> None:
    crowd(work, 10)
    tag = tags.create(work, "a").id
    for hour in range(6):
        later = at(START + timedelta(hours=hour))
        tags.assign(later, tag, BitMap([hour + 1]), why=f"Import {hour % 2}: 100%")
    tags.remove(at(START + timedelta(hours=9)), tag, BitMap([1, 2]), why="mistake")

    def whys(**only: object) -> list[str]:
        return [one.why for one in tags.history(work, tag, only=Only(**only))]  # type: ignore[arg-type]  # a table

    assert whys(op="remove") == ["mistake"]
    assert whys(why="import 1") == ["Import 1: 100%"] * 3
    assert whys(why="100_") == []
    assert whys(who="nobody") == []
    since = clock.to_ms(START + timedelta(hours=4))
    assert len(whys(since_ms=since)) == 3
    assert len(whys(since_ms=since, op="add", until_ms=since)) == 1
    first, rest = tags.history(work, tag, limit=2), []
    while page := tags.history(work, tag, limit=2, before=(rest or first)[-1].seq):
        rest += page
    assert [one.seq for one in first + rest] == [one.seq for one in tags.history(work, tag)]
    with pytest.raises(NotFound):
        tags.diff(work, [tag, 99], START, START)


def test_two_millions_are_tagged_undone_and_looked_back_at(work: Work, at: At) -> None:
    size = 2_000_000
    everyone = crowd(work, size + 10)
    tag = tags.create(work, "a/b", parents=True).id
    root = tags.find(work, "a").id
    tags.assign(at(START), tag, everyone[:1000], why="before")
    change = tags.assign(at(START + timedelta(hours=1)), tag, everyone[500:size], why="campaign")
    assert change is not None
    assert change.size == size - 1000
    tags.remove(at(START + timedelta(hours=2)), tag, everyone[size - 5 : size], why="later")
    undone = tags.undo(at(START + timedelta(hours=3)), change.seq)
    assert undone is not None
    assert undone.size == size - 1005
    assert tags.holders(work, root) == everyone[:1000]
    held = [len(tags.as_of(work, root, START + timedelta(hours=hour), below=True)) for hour in range(4)]
    # The tree was made after those moments, so only the tag's own figures go back so far.
    assert held == [0, 0, 0, 0]
    held = [len(tags.as_of(work, tag, START + timedelta(hours=hour))) for hour in range(4)]
    assert held == [1000, size, size - 5, 1000]
    found = tags.diff(work, tag, START, START + timedelta(hours=2))
    assert (len(found.added), len(found.removed)) == (size - 1005, 0)
