"""What each operation does, and how it is taken back."""

from contextlib import suppress
from typing import Any

from pyroaring import BitMap

from tagcast import bitmaps, tags
from tagcast.bitmaps import Only
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Work
from tagcast.tags import Merged, Tag
from tagcast.upkeep.graph import Graph
from tagcast.upkeep.rules import Effect, Operation, Sized

_MOST_CHANGES = 100_000
Notes = dict[str, Any]


def do(work: Work, operation: Operation, why: str) -> tuple[Effect, Notes]:
    """Carry out one operation: what it did, and what must be known to take it back."""
    tag, effect = tags.get(work, operation.tag), Effect(operation)
    before = _sizes(work)
    match operation.do:
        case "archive":
            notes = _archive(work, tag, effect)
        case "merge":
            notes = _merge(work, tag, operation, why, effect)
        case "empty":
            notes = {"changes": _seqs(tags.remove(work, tag.id, work.bitmaps.read(tags.key(tag.id)), why=why))}
        case "settle":
            notes = {"changes": _settle(work, tag, why)}
    after, paths = _sizes(work), {number: one.path for number, one in tags.every(work).items()}
    for number in sorted(before.keys() | after.keys()):
        was, now = before.get(number, BitMap()), after.get(number, BitMap())
        if was is not now and was != now:
            both = was.intersection_cardinality(now)
            effect.sizes.append(Sized(number, paths[number], len(was), len(now), len(now) - both, len(was) - both))
    return effect, notes


def take_back(work: Work, operation: Operation, notes: Notes, why: str) -> None:
    """Undo one operation. Raises Conflict, Refused."""
    match operation.do:
        case "archive":
            tags.restore(work, operation.tag)
        case "merge":
            tags.unmerge(work, Merged.from_json(notes["merged"]), why=why)
            for rewritten in reversed(notes["uses"]):
                tags.restore_uses(work, rewritten)
        case _:
            for seq in reversed(notes["changes"]):
                # What was undone by hand is back already.
                with suppress(Conflict):
                    tags.undo(work, seq, why=why, twice=True)


def _archive(work: Work, tag: Tag, effect: Effect) -> Notes:
    graph, paths = Graph(work), {number: one.path for number, one in tags.every(work).items()}
    going = tags.branch(work, tag.id)
    named = sorted({f"{use.kind} {use.name}" for one in going for use in graph.naming(one)})
    if named:
        raise Conflict("upkeep.in_use", path=tag.path, uses="、".join(named[:5]), count=len(named))
    tags.archive(work, tag.id)
    effect.archived = [paths[one] for one in going]
    return {}


def _merge(work: Work, tag: Tag, operation: Operation, why: str, effect: Effect) -> Notes:
    assert operation.into is not None
    target = tags.get(work, operation.into)
    pairs = tags.merge_pairs(work, tag.id, target.id)
    paths = {number: one.path for number, one in tags.every(work).items()}
    # While both are there: a use is proved with the paths of today.
    rewritten = [tags.rewrite_uses(work, tags.get(work, old), tags.get(work, new)) for old, new in pairs]
    done = tags.merge(work, tag.id, target.id, members=operation.members, why=why)
    effect.archived = [paths[old] for old, _ in done.pairs]
    effect.moved = [paths[moved] for moved, _ in done.moved]
    effect.uses = sorted({(kind, note["name"]) for one in rewritten for kind, notes in one.items() for note in notes})
    return {"merged": done.to_json(), "uses": rewritten}


def _settle(work: Work, group: Tag, why: str) -> list[int]:
    """Leave each contact the branch that it was given something of last, and take from it what it holds of the others.

    Raises Invalid for a tag that is no exclusive group.
    """
    if group.exclusive is None:
        raise Invalid("upkeep.not_exclusive", path=group.path)
    broken = {one.tag.id: one for one in tags.violations(work)}.get(group.id)
    if broken is None:
        return []
    roots = {one: root.id for root in broken.branches for one in tags.branch(work, root.id)}
    held = {one: work.bitmaps.read(tags.key(one)) & broken.contacts for one in roots}
    last = _given_last(work, held, roots, broken.contacts)
    changes = []
    for one, root in roots.items():
        changes += _seqs(tags.remove(work, one, held[one] - last[root], why=why))
    return changes


def _given_last(work: Work, held: dict[int, BitMap], roots: dict[int, int], left: BitMap) -> dict[int, BitMap]:
    """By branch: the contacts whose newest tagging, of those that still stand, was in it."""
    log = [
        change
        for one in held
        for change in tags.history(work, one, limit=_MOST_CHANGES, only=Only(op="add"))
    ]  # fmt: skip
    found: dict[int, BitMap] = {root: BitMap() for root in roots.values()}
    left = left.copy()
    for change in sorted(log, key=lambda one: -one.seq):
        tag_id = tags.tag_id_of(change)
        settled = work.bitmaps.members(change.seq) & held[tag_id] & left
        found[roots[tag_id]] |= settled
        left -= settled
    return found


def _sizes(work: Work) -> dict[int, BitMap]:
    return {int(key.partition(":")[2]): work.bitmaps.read(key) for key in work.bitmaps.keys("tag:")}


def _seqs(change: bitmaps.Change | None) -> list[int]:
    return [] if change is None else [change.seq]
