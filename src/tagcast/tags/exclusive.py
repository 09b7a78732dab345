"""Exclusive groups: tags below one tag, or branches below it, of which a contact holds at most one."""

from dataclasses import dataclass

from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.bitmaps import Change
from tagcast.kit.errors import Refused
from tagcast.kit.uow import Work
from tagcast.tags import rules, store
from tagcast.tags.actions import every, get, key
from tagcast.tags.rules import Tag


@dataclass(frozen=True, slots=True)
class Violation:
    """Contacts who hold two or more branches of an exclusive tag, and the branches that they hold."""

    tag: Tag
    contacts: BitMap
    branches: tuple[Tag, ...]


def make_room(work: Work, tag: Tag, members: BitMap, *, why: str) -> list[Change]:
    """Before `members` get the tag: take from them what shuts it out, or refuse, as was declared for the group.

    A contact who holds a tag below a branch holds the branch.
    Raises Refused; Conflict if a rule keeps what they hold.
    """
    if not tag.rivals or not members:
        return []
    taken: list[Change] = []
    for branch, how, others in store.exclusive_above(work, tag.id):
        for other in others:
            for rival in store.below(work, other):
                shut = work.bitmaps.read(key(rival)) & members
                if not shut:
                    continue
                rules.check_keeper(get(work, rival), work.actor)
                if how == "refuse":
                    raise Refused(
                        "tags.exclusive", path=tag.path, held=get(work, rival).path, group=_group(work, branch),
                        contacts=len(shut), first=shut.min(),
                    )  # fmt: skip
                change = work.bitmaps.remove(key(rival), shut, why=why)
                assert change is not None
                taken.append(change)
    return taken


def shut_out(work: Work, tag: Tag) -> BitMap:
    """Who holds something that the tag cannot be held beside."""
    if not tag.rivals:
        return BitMap()
    rivals = [
        rival for _, _, others in store.exclusive_above(work, tag.id) for o in others for rival in store.below(work, o)
    ]
    return BitMap.union(BitMap(), *[work.bitmaps.read(key(rival)) for rival in rivals])


def violations(work: Work) -> list[Violation]:
    """Where contacts hold two branches of an exclusive group: given before it was declared, or moved into it."""
    tags = [tag for tag in every(work).values() if tag.archived_at is None]
    children: dict[int, list[Tag]] = {}
    for tag in tags:
        if tag.parent is not None:
            children.setdefault(tag.parent, []).append(tag)
    found = []
    for tag in tags:
        branches = children.get(tag.id, []) if tag.exclusive is not None else []
        sets = [(one, _branch(work, one, children)) for one in branches]
        twice = bitmaps.counting.at_least([held for _, held in sets], 2) if len(sets) > 1 else BitMap()
        if twice:
            found.append(Violation(tag, twice, tuple(one for one, held in sets if held & twice)))
    return found


def _branch(work: Work, root: Tag, children: dict[int, list[Tag]]) -> BitMap:
    held, waiting = BitMap(), [root]
    while waiting:
        tag = waiting.pop()
        held |= work.bitmaps.read(key(tag.id))
        waiting += children.get(tag.id, [])
    return held


def _group(work: Work, branch: int) -> str:
    parent = get(work, branch).parent
    assert parent is not None
    return get(work, parent).path
